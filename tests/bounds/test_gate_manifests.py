"""What a manifest says against what the gate was told to take: source, roles, files, links."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from auditor.provenance import dsse
from auditor.signing import unsigned_envelope

pytestmark = pytest.mark.slow


@pytest.fixture
def batch(site: Any) -> Path:
    path: Path = site.write("in/a.parquet", site.rows(200, 5))
    return path


# --- source -------------------------------------------------------------------------------------


def test_a_gate_for_one_source_takes_no_other_whoever_signed(
    site: Any, vendor: Any, batch: Path
) -> None:
    vendor.send(batch)
    vendor.trust(source="v/gravel")
    assert site.call("gate", batch, "-q").code == 11
    (finding,) = vendor.found()["SOURCE_MISMATCH"]
    assert finding["effect"] == "reject"
    assert "v/stones" in finding["message"]
    assert "v/gravel" in finding["message"]
    vendor.trust(source="v/stones")
    assert site.call("gate", batch, "-q").code == 0


def test_an_unsigned_manifest_of_another_source_is_no_mere_note(
    site: Any, vendor: Any, batch: Path
) -> None:
    asked = ("manifest", "create", batch, "--source", "v/stones", "--batch-id", "1")
    assert site.call(*asked, "--label", "label", "--contributor", "who").code == 0
    vendor.trust(source="v/gravel", unsigned="note")
    assert site.call("gate", batch, "-q").code == 11
    assert list(vendor.found()) == ["SOURCE_MISMATCH"]


def test_the_source_is_part_of_the_policy(site: Any, vendor: Any, batch: Path) -> None:
    vendor.send(batch)
    assert site.call("gate", batch, "-q").code == 0
    before = site.report()["reproduce"]["policy_sha256"]
    vendor.trust(source="v/stones")
    assert site.call("gate", batch, "-q").code == 12, "the same batch again is a replay"
    assert site.report()["reproduce"]["policy_sha256"] != before


def test_a_batch_signed_for_another_use_is_not_trained_on(
    site: Any, vendor: Any, batch: Path
) -> None:
    manifest = vendor.send(batch)
    statement = json.loads(dsse.parse(manifest.read_bytes()).payload)
    statement["predicate"]["kind"] = "validation"
    manifest.write_bytes(unsigned_envelope(json.dumps(statement).encode()))
    assert site.call("manifest", "sign", manifest, "--key", "vendor.key").code == 0
    assert site.call("gate", batch, "-q").code == 11
    (finding,) = vendor.found()["KIND_MISMATCH"]
    assert finding["evidence"]["declared"] == "validation"
    assert finding["evidence"]["received"] == "training"


# --- the columns it names -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "field", "named", "played"),
    [
        (("--label", "id", "--contributor", "who"), "labelColumn", "id", "label"),
        (("--label", "label", "--contributor", "id"), "contributorId", "id", "who"),
    ],
)
def test_roles_that_the_manifest_sees_otherwise(
    site: Any, vendor: Any, batch: Path, options: Any, field: str, named: str, played: str
) -> None:
    vendor.send(batch, *options)
    assert site.call("gate", batch, "-q").code == 11
    (finding,) = vendor.found()["SCHEMA"]
    said = finding["evidence"]
    assert (said["field"], said["declared"], said["received"]) == (field, named, played)
    assert site.visible("published") == []


def test_verifying_by_hand_holds_the_contributor_column_too(
    site: Any, vendor: Any, batch: Path
) -> None:
    vendor.send(batch)
    asked = ("manifest", "verify", batch, "--key", "vendor.pub", "--source", "v/stones")
    assert site.call(*asked, "--contributor", "who").code == 0
    done = site.call(*asked, "--contributor", "id")
    assert done.code == 11
    assert 'SCHEMA: The manifest names "who" as contributorId' in done.out


# --- files that cannot be read ------------------------------------------------------------------


@pytest.mark.parametrize("broken", ["reject", "set_aside"])
def test_one_broken_file_does_not_flood_the_report(site: Any, vendor: Any, broken: str) -> None:
    for number in range(4):
        site.write(f"in/day/{number}.parquet", site.rows(60, 20 + number))
    data = site.root / "in" / "day"
    vendor.send(data)
    cut = (data / "2.parquet").read_bytes()[:-50]
    (data / "2.parquet").write_bytes(cut)
    site.configure(policy={"broken_files": broken})
    assert site.call("gate", data, "-q").code == 11
    codes = {code: len(found) for code, found in vendor.found().items()}
    assert codes == {"FILE_SIZE": 1, "FILE_DIGEST": 1, "NOT_COMPARED": 1}
    (finding,) = vendor.found()["NOT_COMPARED"]
    assert finding["evidence"]["files"] == (4 if broken == "reject" else 1)


# --- the manifest itself ------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["manifest", "roll"])
def test_a_link_in_place_of_manifest_or_roll_is_refused(
    site: Any, vendor: Any, batch: Path, what: str
) -> None:
    manifest = vendor.send(batch)
    roll = batch.with_name(f"{batch.name}.contributors.json")
    path = manifest if what == "manifest" else roll
    path.rename(site.root / "elsewhere")
    path.symlink_to(site.root / "elsewhere")
    assert site.call("gate", batch, "-q").code == 11
    (finding,) = vendor.found()["FILE_SYMLINK"]
    assert path.name in finding["message"]
    path.unlink()
    (site.root / "elsewhere").rename(path)
    assert site.call("gate", batch, "-q").code == 0


@pytest.mark.parametrize("kind", ["fifo", "folder", "dangling"])
def test_what_is_no_file_is_not_taken_for_no_manifest(
    site: Any, vendor: Any, batch: Path, kind: str
) -> None:
    """With `unsigned: note` a batch without manifest would be published."""
    vendor.trust(unsigned="note")
    path = batch.with_name(f"{batch.name}.manifest.dsse.json")
    {
        "fifo": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "dangling": lambda: path.symlink_to("nowhere"),
    }[kind]()
    assert site.call("gate", batch, "-q").code == 11
    assert list(vendor.found()) == ["FILE_SYMLINK" if kind == "dangling" else "DSSE_FORMAT"]


def test_a_manifest_without_end_is_read_to_a_bound(site: Any, vendor: Any, batch: Path) -> None:
    path = batch.with_name(f"{batch.name}.manifest.dsse.json")
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert site.call("gate", batch, "-q").code == 11
    assert list(vendor.found()) == ["JSON_TOO_LARGE"]


@pytest.mark.parametrize(("unsigned", "code"), [("note", 0), ("hold", 12)])
def test_the_advice_without_a_manifest_is_right_under_every_setting(
    site: Any, vendor: Any, batch: Path, unsigned: str, code: int
) -> None:
    vendor.trust(unsigned=unsigned)
    assert site.call("gate", batch, "-q").code == code
    (finding,) = vendor.found()["NO_MANIFEST"]
    assert "or set `unsigned: note`" not in finding["message"]
    assert "`manifest.unsigned`: note, hold or reject" in finding["message"]
