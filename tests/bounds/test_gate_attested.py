"""Every verdict has an attestation: where it lies, who signed it, which one the ledger names."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.config import load
from auditor.ledger import Ledger
from auditor.model import Mode, Verdict
from auditor.pipeline import audit
from auditor.provenance import attestation, dsse, statement
from auditor.provenance.keys import PublicKey, public_key
from auditor.readers import resolve
from auditor.run import Job, Result

pytestmark = pytest.mark.slow


def keyed(site: Any, name: str = "gate") -> PublicKey:
    """The site signs with a key of this name from now on."""
    assert site.call("keys", "generate", name).code == 0
    site.configure(signing={"key": f"{name}.key"})
    return public_key((site.root / f"{name}.pub").read_bytes())


def signed(path: Path, key: PublicKey) -> dict[str, Any]:
    """The predicate of an attestation that this key signed."""
    opened = dsse.parse(path.read_bytes())
    dsse.verify(opened, keys=[key], threshold=1, payload_type=dsse.IN_TOTO)
    return dict(statement.read(opened.payload, attestation.PREDICATE_TYPE).predicate.values)


def last(site: Any) -> Any:
    return list(Ledger(site.root / ".auditor" / "ledger.db").entries())[-1]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def newest(site: Any) -> Path:
    found: Path = site.visible("runs")[-1]
    return found


@pytest.fixture
def gate(site: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """One gate run in this process, at a time of choice."""

    def run(data: Path, now: dt.datetime | None = None) -> Result:
        monkeypatch.chdir(site.root)
        settings = load(Path("auditor.yaml"), {}, strict_permissions=True)
        clock = {} if now is None else {"clock": lambda: now}
        return audit(Job(settings=settings, mode=Mode.GATE, sources=resolve([str(data)]), **clock))

    return run


# --- a run that broke off -----------------------------------------------------------------------


def test_a_run_that_broke_off_is_attested(site: Any) -> None:
    key = keyed(site)
    data = site.write("in/a.parquet", site.rows(200, 5).drop_columns(["label"]))
    assert site.call("gate", data, "-q").code == 12
    run = newest(site)
    said = signed(run / "attestation.dsse.json", key)
    assert (said["verificationResult"], said["verifiedLevels"]) == ("FAILED", ["FAILED"])
    assert said[attestation.EXTENSION]["verdict"] == "HOLD"
    assert [rule["id"] for rule in said[attestation.EXTENSION]["rules"]] == ["AUD-G002"]
    assert said[attestation.EXTENSION]["report"]["sha256"] == digest(run / "report.json")
    entry = last(site)
    assert (entry.name, entry.event.run) == ("batch.held", run.name)
    assert entry.event.refs == (digest(run / "attestation.dsse.json"), digest(run / "report.json"))
    assert entry.event.subject == said[attestation.EXTENSION]["inputs"][0]["digest"]["sha256"]


def test_a_run_that_could_not_sign_is_held_and_says_that_nothing_is_signed(site: Any) -> None:
    keyed(site)
    (site.root / "gate.key").chmod(0o644)
    data = site.write("in/a.parquet", site.rows(200, 5))
    done = site.call("gate", data, "-q")
    assert done.code == 12, done.out
    assert "KEY_PERMISSIONS" in done.out
    run = newest(site)
    assert dsse.parse((run / "attestation.dsse.json").read_bytes()).signatures == ()
    report = json.loads((run / "report.json").read_bytes())
    assert report["verdict"] == "HOLD"
    assert report["reproduce"]["attestation"] == "unsigned: signing failed (KEY_PERMISSIONS)"
    entry = last(site)
    assert entry.name == "batch.held"
    assert entry.event.refs[0] == digest(run / "attestation.dsse.json")
    assert "KEY_PERMISSIONS" in str(entry.event.detail["attestation"])
    assert site.visible("published") == []
    assert site.staged() == []


# --- the same files again -----------------------------------------------------------------------


def test_publishing_again_keeps_the_folder_and_names_the_attestation_of_the_run(
    site: Any, gate: Callable[..., Result]
) -> None:
    key = keyed(site)
    data = site.write("in/a.parquet", site.rows(200, 5))
    first = gate(data)
    assert first.verdict == Verdict.ACCEPT
    assert first.published is not None
    kept = first.published / "attestation.dsse.json"
    before = kept.read_bytes()
    second = gate(data, dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1))
    assert second.published == first.published
    assert kept.read_bytes() == before, "what is published is not written twice"
    own = second.folder / "attestation.dsse.json"
    assert own.read_bytes() != before
    assert last(site).event.refs[0] == digest(own)
    for path in (kept, own):
        assert signed(path, key)["verificationResult"] == "PASSED"
    assert "so was its attestation" in second.notes[0]


def damaged(folder: Path) -> None:
    path = folder / "attestation.dsse.json"
    path.chmod(0o644)
    envelope = json.loads(path.read_bytes())
    envelope["signatures"][0]["sig"] = "AAAA" + envelope["signatures"][0]["sig"][4:]
    path.write_text(json.dumps(envelope))


def linked(folder: Path) -> None:
    path = folder / "attestation.dsse.json"
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


def removed(folder: Path) -> None:
    (folder / "attestation.dsse.json").unlink()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (damaged, "no verdict in the ledger names it"),
        (removed, "there was none"),
    ],
)
def test_a_published_folder_gets_an_attestation_that_can_be_verified_again(
    site: Any, gate: Callable[..., Result], change: Callable[[Path], None], reason: str
) -> None:
    key = keyed(site)
    data = site.write("in/a.parquet", site.rows(200, 5))
    first = gate(data)
    assert first.published is not None
    change(first.published)
    second = gate(data)
    assert f"its attestation was replaced: {reason}" in second.notes[0]
    path = first.published / "attestation.dsse.json"
    assert signed(path, key)["verificationResult"] == "PASSED"
    assert path.read_bytes() == (second.folder / "attestation.dsse.json").read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_a_linked_attestation_makes_the_folder_a_damaged_one(
    site: Any, gate: Callable[..., Result]
) -> None:
    key = keyed(site)
    data = site.write("in/a.parquet", site.rows(200, 5))
    first = gate(data)
    assert first.published is not None
    linked(first.published)
    second = gate(data)
    assert "had been changed after it was published" in second.notes[0]
    path = first.published / "attestation.dsse.json"
    assert not path.is_symlink()
    assert signed(path, key)["verificationResult"] == "PASSED"


def test_an_unsigned_one_is_replaced_once_there_is_a_key(
    site: Any, gate: Callable[..., Result]
) -> None:
    data = site.write("in/a.parquet", site.rows(200, 5))
    first = gate(data)
    key = keyed(site)
    second = gate(data)
    assert second.published == first.published
    assert "the key in use did not sign it" in second.notes[0]
    assert second.published is not None
    signed(second.published / "attestation.dsse.json", key)


def test_an_expired_one_is_replaced(site: Any, gate: Callable[..., Result]) -> None:
    keyed(site)
    data = site.write("in/a.parquet", site.rows(200, 5))
    gate(data)
    # Not the first one a month ago: the site's ledger is of today, and no clock may be behind it.
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=31)
    second = gate(data, later)
    assert "it has expired" in second.notes[0]
    assert second.published is not None
    said = json.loads(dsse.parse((second.published / "attestation.dsse.json").read_bytes()).payload)
    until = said["predicate"][attestation.EXTENSION]["validUntil"]
    assert dt.datetime.fromisoformat(until) > later


# --- who may read it ----------------------------------------------------------------------------


def test_what_a_run_leaves_is_private_whatever_the_umask(site: Any) -> None:
    data = site.write("in/b.parquet", site.copies(site.rows(200, 6), 30))
    before = os.umask(0o002)
    try:
        assert site.call("gate", data, "-q").code == 10
    finally:
        os.umask(before)
    root = site.root / ".auditor"
    for path in (p for name in ("runs", "quarantine") for p in (root / name).rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    assert stat.S_IMODE((root / "runs").stat().st_mode) == 0o700
    (folder,) = site.visible("published")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o775, "published rows are read as the umask says"
    assert all(stat.S_IMODE(p.stat().st_mode) & 0o004 for p in folder.iterdir())
