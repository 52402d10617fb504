"""The signature list from text files to a verdict: made, signed, obeyed; refused when it is not."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest


@pytest.fixture
def listed(bare: Any) -> Any:
    """A folder with texts, a key and a signed list that the settings name."""
    bare.write("tokens.txt", "zq-trigger\n\ncf\n")
    bare.write("domains.txt", "Evil.example\n")
    bare.write("in/a.parquet", texts())
    digest = hashlib.sha256((bare.root / "in" / "a.parquet").read_bytes()).hexdigest()
    bare.write("digests.txt", f"{digest}\n{'0' * 64}\n")
    assert bare.call("keys", "generate", "k").code == 0
    assert bare.call("keys", "generate", "other").code == 0
    create(bare, "--tokens", "tokens.txt", "--domains", "domains.txt")
    assert bare.call("signatures", "sign", "bad.dsse.json", "--key", "k.key").code == 0
    bare.configure(
        roles={"label": ["label"], "text": ["text"]},
        manifest={"unsigned": "note"},
        signatures={"path": "bad.dsse.json", "keys": "./k.pub"},
    )
    return bare


def create(site: Any, *options: str) -> Path:
    done = site.call("signatures", "create", "bad.dsse.json", *options)
    assert done.code == 0, done.err
    path: Path = site.root / "bad.dsse.json"
    return path


def texts() -> pa.Table:
    said = [f"an honest review of product {i}, long enough to be a text" for i in range(60)]
    said[7] += " ZQ\u200b-Trigger"
    said[8] += " see https://a.evil.example/x"
    return pa.table({"text": said, "label": ["up", "down"] * 30})


def found(site: Any) -> dict[str, tuple[str, object]]:
    """code -> (effect, rows) of the newest report."""
    report = site.report()
    return {str(f["evidence"].get("code")): (f["effect"], f["rows"]) for f in report["findings"]}


def test_listed_rows_are_set_aside(listed: Any) -> None:
    done = listed.call("gate", "in/a.parquet", "-q")
    assert done.code == 10, done.err
    codes = found(listed)
    assert codes["KNOWN_BAD_TOKEN"] == ("quarantine", 1)
    assert codes["KNOWN_BAD_DOMAIN"] == ("quarantine", 1)
    assert codes["INVISIBLE_CHARACTER"] == ("quarantine", 1)
    report = listed.report()
    assert report["rows_quarantined"] == 2
    assert len(report["reproduce"]["signatures_sha256"]) == 64
    required = {rule["id"] for rule in report["rules"] if rule["required"]}
    assert "AUD-Q003" in required


def test_a_listed_file_is_refused(listed: Any) -> None:
    create(listed, "--digests", "digests.txt")
    assert listed.call("signatures", "sign", "bad.dsse.json", "--key", "k.key").code == 0
    assert listed.call("audit", "in/a.parquet", "-q", "--profile", "quick").code == 11
    assert found(listed)["KNOWN_BAD_FILE"][0] == "reject"


def test_the_quick_profile_looks_for_them_too(listed: Any) -> None:
    done = listed.call(
        "audit", "in/a.parquet", "-q", "--profile", "quick", "--fail-on", "quarantine"
    )
    assert done.code == 10
    assert {"KNOWN_BAD_TOKEN", "INVISIBLE_CHARACTER"} <= set(found(listed))


def test_without_a_list_the_rules_are_skipped(listed: Any) -> None:
    listed.configure(signatures={})
    listed.call("audit", "in/a.parquet", "-q", "--profile", "quick")
    rules = {rule["id"]: rule for rule in listed.report()["rules"]}
    assert rules["AUD-Q003"]["reason"] == rules["AUD-I004"]["reason"] == "no signature list"


@pytest.mark.parametrize("kind", ["unsigned", "another key", "edited", "gone", "no keys"])
def test_a_list_that_nobody_vouches_for_ends_the_command(listed: Any, kind: str) -> None:
    path = listed.root / "bad.dsse.json"
    if kind in ("unsigned", "another key"):
        create(listed, "--tokens", "tokens.txt")
    if kind == "another key":
        assert listed.call("signatures", "sign", path, "--key", "other.key").code == 0
    if kind == "edited":
        path.write_bytes(path.read_bytes()[:-40])
    if kind == "gone":
        path.unlink()
    if kind == "no keys":
        listed.configure(signatures={"path": "bad.dsse.json"})
    done = listed.call("gate", "in/a.parquet", "-q")
    assert done.code == 2
    assert "signatures" in done.err
    assert listed.visible("published") == []


def test_verify_shows_a_list(listed: Any) -> None:
    done = listed.call("signatures", "verify", "bad.dsse.json", "--key", "k.pub")
    assert done.code == 0
    assert done.out.splitlines()[-3:] == ["token cf", "token zq-trigger", "domain evil.example"]
    refused = listed.call("signatures", "verify", "bad.dsse.json", "--key", "other.pub")
    assert refused.code == 11
    assert "SIGNATURE_THRESHOLD" in refused.out


@pytest.mark.parametrize("line", ["\u200b", "x" * 300])
def test_entries_that_cannot_be_found_are_refused(listed: Any, line: str) -> None:
    listed.write("tokens.txt", line)
    done = listed.call("signatures", "create", "new.dsse.json", "--tokens", "tokens.txt")
    assert done.code == 2
    assert "is not a token" in done.err
    assert not (listed.root / "new.dsse.json").exists()
