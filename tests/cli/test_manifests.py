"""`auditor manifest create|sign|export` as a supplier uses them."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from auditor.ledger import Ledger
from auditor.provenance import dsse, manifest

FORMS = ("croissant", "openlineage", "cyclonedx")


def create(site: Any, name: str, *options: str | Path, source: str = "v/a") -> Path:
    """The path of a new unsigned manifest."""
    data: Path = site.write(f"out/{name}.csv", f"id,x,who\n{name},2,ann\n2,3,bob\n")
    asked = ("manifest", "create", data, "--source", source, "--batch-id", name)
    done = site.call(*asked, *options)
    assert done.code == 0, done.err
    return data.with_name(f"{name}.csv.manifest.dsse.json")


def said(path: Path) -> dict[str, Any]:
    predicate = json.loads(dsse.parse(path.read_bytes()).payload)["predicate"]
    assert isinstance(predicate, dict)
    return predicate


def test_the_first_batch_has_number_1_and_nothing_before_it(bare: Any) -> None:
    batch = said(create(bare, "one"))["batch"]
    assert batch["sequence"] == 1
    assert "previousManifest" not in batch


def test_number_and_predecessor_follow_from_the_manifest_before(bare: Any) -> None:
    first = create(bare, "one", "--sequence", "41")
    second = create(bare, "two", "--after", first)
    batch = said(second)["batch"]
    assert batch["sequence"] == 42
    assert batch["previousManifest"]["sha256"] == manifest.parse(first.read_bytes()).sha256


def test_number_and_predecessor_follow_from_a_gates_ledger(bare: Any) -> None:
    path = bare.root / "ledger.db"
    told = {"batch_id": "b", "sequence": 6, "verdict": "REJECT", "manifest": "1" * 64}
    Ledger(path).append(
        "verdict",
        at=dt.datetime.now(dt.UTC),
        via="gate",
        detail={**told, "content": "2" * 64, "envelope": "3" * 64},
        source="v/a",
        expect=-1,
    )
    batch = said(create(bare, "two", "--ledger", path))["batch"]
    assert (batch["sequence"], batch["previousManifest"]["sha256"]) == (7, "1" * 64)
    assert said(create(bare, "three", "--ledger", path, source="v/b"))["batch"]["sequence"] == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--after", "other"), "a batch of v/b, not of v/a"),
        (("--after", "out/x.csv"), "not a manifest"),
        (("--after", "nowhere"), "cannot be read"),
        (("--ledger", "nowhere"), "there is no such file"),
        (("--after", "other", "--ledger", "other"), "not both"),
        (("--details", "out/x.csv"), "JSON_INVALID"),
    ],
)
def test_what_cannot_be_followed_is_refused(
    bare: Any, options: tuple[str, ...], words: str
) -> None:
    create(bare, "b", source="v/b").rename(bare.root / "other")
    data = bare.write("out/x.csv", "id,x\n1,2\n")
    done = bare.call("manifest", "create", data, "--source", "v/a", "--batch-id", "x", *options)
    assert done.code == 2
    assert words in done.err


def test_columns_kind_and_details_are_declared(bare: Any) -> None:
    details = bare.write("details.json", '{"license": {"spdx": "CC0-1.0"}, "rows": 99}')
    options = ("--contributor", "who", "--row-key", "id", "--kind", "validation")
    found = said(create(bare, "one", *options, "--details", details))
    assert found["schema"]["rowProvenance"] == {"contributorId": "who", "rowKey": "id"}
    assert (found["kind"], found["license"]["spdx"]) == ("validation", "CC0-1.0")
    assert found["rows"] == 2, "what is counted is not taken from the details"


@pytest.mark.parametrize("form", FORMS)
def test_export_prints_json_or_writes_a_file(bare: Any, form: str) -> None:
    path = create(bare, "one")
    done = bare.call("manifest", "export", path, "--to", form)
    assert done.code == 0, done.err
    digest = manifest.parse(path.read_bytes()).sha256
    assert digest in json.dumps(json.loads(done.out))
    assert bare.call("manifest", "export", path, "--to", form, "-o", "x.json").code == 0
    assert json.loads((bare.root / "x.json").read_text("utf-8")) == json.loads(done.out)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--to", "spdx"), "one of croissant, openlineage, cyclonedx"),
        (("--to", "croissant", "-o", "no/where.json"), "no folder"),
    ],
)
def test_export_refuses_what_it_cannot_do(bare: Any, options: Any, words: str) -> None:
    done = bare.call("manifest", "export", create(bare, "one"), *options)
    assert done.code == 2
    assert words in done.err


def test_what_is_no_manifest_is_not_exported(bare: Any) -> None:
    done = bare.call("manifest", "export", bare.write("x.json", "{}"), "--to", "cyclonedx")
    assert done.code == 2
    assert "not a manifest" in done.err
