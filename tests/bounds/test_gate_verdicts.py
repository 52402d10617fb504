"""Verdicts of the gate, their exit codes, and what is published, set aside and attested."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from auditor.errors import Unavailable
from auditor.model import Mode, Outcome, Verdict
from auditor.provenance import dsse


def payload(path: Path) -> dict[str, Any]:
    envelope = json.loads(path.read_bytes())
    found = json.loads(base64.b64decode(envelope["payload"]))
    assert isinstance(found, dict)
    return found


def extension(statement: dict[str, Any]) -> dict[str, Any]:
    """The part of the attestation that is ours: named by a URI."""
    (found,) = (v for k, v in statement["predicate"].items() if k.startswith("https://"))
    assert isinstance(found, dict)
    return found


def only(folders: list[Path]) -> Path:
    (folder,) = folders
    return folder


@pytest.fixture
def poisoned(site: Any) -> Path:
    """230 rows, of which the last 30 are copies of the first."""
    path: Path = site.write("in/b.parquet", site.copies(site.rows(200, 6), 30))
    return path


def test_accept(site: Any) -> None:
    data = site.write("in/a.parquet", site.rows(200, 5))
    done = site.auditor("gate", data, "-q")
    assert (done.code, done.err) == (0, "")
    assert done.last.startswith("auditor: ACCEPT 0/200 rows (0.00 %) rules=- run=")
    folder = only(site.visible("published"))
    assert (folder / "a.parquet").read_bytes() == data.read_bytes()
    assert site.visible("quarantine") == []
    assert site.events() == ["baseline.promoted", "batch.received", "batch.screening", "verdict"]


def test_quarantine(site: Any, poisoned: Path) -> None:
    done = site.auditor("gate", poisoned, "-q")
    assert (done.code, done.err) == (10, "")
    assert done.last.startswith("auditor: QUARANTINE 30/230 rows (13.04 %) rules=AUD-D001 run=")
    published = pq.read_table(only(site.visible("published")) / "b.parquet")
    folder = only(site.visible("quarantine"))
    aside = pq.read_table(folder / "rows.parquet")
    assert published.num_rows + aside.num_rows == 230
    came = pq.read_table(poisoned)
    assert published.equals(came.slice(0, 200))
    assert aside.select(came.column_names).equals(came.slice(200))
    assert aside["_auditor_row"].to_pylist() == list(range(200, 230))
    assert set(aside["_auditor_file"].to_pylist()) == {"b.parquet"}
    assert set(aside["_auditor_rules"].to_pylist()) == {"AUD-D001"}
    assert min(aside["_auditor_suspicion"].to_pylist()) > 0
    assert all(aside["_auditor_reason"].to_pylist())
    assert folder.stat().st_mode & 0o077 == 0
    assert site.events()[-2:] == ["quarantine.created", "verdict"]


def test_reject_by_the_share_of_the_batch(site: Any) -> None:
    site.write("in/b.parquet", site.copies(site.rows(60, 6), 60))
    site.configure(policy={"limits": {"batch_share": 0.2}})
    done = site.call("gate", "in/b.parquet")
    assert done.code == 11, done.out
    assert "over the limit of 20% of a batch" in done.out
    assert site.visible("published") == site.visible("quarantine") == []
    assert site.report()["set_digest"] is None
    assert site.call("quarantine", "list").out == "nothing is set aside\n"


@pytest.mark.parametrize(("unsigned", "code"), [("note", 0), ("hold", 12), ("reject", 11)])
def test_an_unsigned_batch(site: Any, unsigned: str, code: int) -> None:
    site.write("in/a.parquet", site.rows(200, 5))
    site.configure(manifest={"unsigned": unsigned})
    done = site.call("gate", "in/a.parquet")
    assert done.code == code
    assert "No manifest came with the batch" in done.out
    assert bool(site.visible("published")) == (code == 0)
    if code == 0:
        levels = payload(only(site.visible("published")) / "attestation.dsse.json")
        assert "AUDITOR_PROVENANCE_VERIFIED" not in levels["predicate"]["verifiedLevels"]


def test_fail_on_reject_lets_quarantine_pass_with_0(site: Any, poisoned: Path) -> None:
    site.configure(gate={"fail_on": "reject"})
    assert site.call("gate", poisoned).code == 0
    assert len(site.visible("published")) == len(site.visible("quarantine")) == 1


def test_observe_blocks_publishes_and_sets_aside_nothing(site: Any, poisoned: Path) -> None:
    done = site.call("gate", poisoned, "--observe")
    assert done.code == 0
    assert "30 of 230 rows would be set aside (13.04 %); `observe` publishes nothing" in done.out
    assert site.visible("published") == site.visible("quarantine") == []
    assert site.events()[-1] == "verdict"
    statement = payload(only(site.visible("runs")) / "attestation.dsse.json")
    assert statement["predicate"]["verificationResult"] == "FAILED"
    assert extension(statement)["mode"] == "observe"
    site.write("in/broken.parquet", "no Parquet")
    assert site.call("gate", "in/broken.parquet", "--observe").code == 0
    assert site.report()["verdict"] == "REJECT"


def test_audit_fails_on_quarantine_where_asked(site: Any, poisoned: Path) -> None:
    quick = ("audit", poisoned, "--profile", "quick", "-q")
    assert site.call(*quick).code == 0
    assert site.report()["rows_published"] == 0, "`audit` publishes nothing"
    done = site.call(*quick, "--fail-on", "quarantine")
    assert done.code == 10
    assert "`audit` publishes nothing" in done.out
    assert site.visible("published") == site.visible("quarantine") == []


def test_files_without_a_suspicious_row_are_published_as_they_came(site: Any) -> None:
    site.write("in/a.parquet", site.rows(150, 5))
    site.write("in/b.parquet", site.copies(site.rows(150, 6), 30))
    site.write("in/c.parquet", site.rows(100, 7))
    done = site.call("gate", "in")
    assert done.code == 10, done.out
    folder = only(site.visible("published"))
    for name in ("a.parquet", "c.parquet"):
        assert (folder / name).read_bytes() == (site.root / "in" / name).read_bytes()
    assert pq.read_table(folder / "b.parquet").num_rows == 150
    report = site.report()
    assert (report["rows_in"], report["rows_published"], report["rows_quarantined"]) == (
        430,
        400,
        30,
    )
    aside = pq.read_table(only(site.visible("quarantine")) / "rows.parquet")
    assert set(aside["_auditor_file"].to_pylist()) == {"b.parquet"}
    assert aside["_auditor_row"].to_pylist() == list(range(150, 180))


def test_the_attestation_names_the_files_as_coreutils_would(site: Any, poisoned: Path) -> None:
    assert site.call("keys", "generate", "gate").code == 0
    site.configure(signing={"key": "gate.key"})
    site.write("in/a.parquet", site.rows(150, 5))
    assert site.call("gate", "in").code == 10
    folder = only(site.visible("published"))
    listing = "LC_ALL=C sha256sum *.parquet | LC_ALL=C sort -k2 | sha256sum"
    said = subprocess.run(listing, shell=True, cwd=folder, capture_output=True, check=True)
    subject = said.stdout.decode().split()[0]
    path = folder / "attestation.dsse.json"
    statement = payload(path)
    assert statement["subject"][0]["digest"] == {"sha256": subject}
    assert folder.name == subject
    rows = extension(statement)["rows"]
    assert rows == {"in": 380, "out": 350, "quarantined": 30}
    assert statement["predicate"]["verificationResult"] == "PASSED"

    envelope = dsse.parse(path.read_bytes())
    key = load_pem_public_key((site.root / "gate.pub").read_bytes())
    (signature,) = envelope.signatures
    key.verify(signature.sig, dsse.pae(envelope.payload_type, envelope.payload))
    run = only(site.visible("runs"))
    assert (run / "attestation.dsse.json").read_bytes() == path.read_bytes()
    report = hashlib.sha256((run / "report.json").read_bytes()).hexdigest()
    assert extension(statement)["report"] == {"sha256": report}
    assert site.report()["reproduce"]["attestation"] == "signed"


@pytest.mark.parametrize("form", ["csv", "jsonl", "arrow"])
def test_other_formats_are_published_as_parquet_with_the_same_values(site: Any, form: str) -> None:
    table = site.copies(site.rows(150, 5), 20)
    if form == "csv":
        lines = [",".join(map(str, row.values())) for row in table.to_pylist()]
        site.write("in/a.csv", "\n".join([",".join(table.column_names), *lines]) + "\n")
    elif form == "jsonl":
        site.write("in/a.jsonl", "\n".join(map(json.dumps, table.to_pylist())) + "\n")
    else:
        (site.root / "in").mkdir()
        with pa.ipc.new_file(site.root / "in" / "a.arrow", table.schema) as writer:
            writer.write_table(table)
    assert site.call("gate", f"in/a.{form}").code == 10
    (path,) = only(site.visible("published")).glob("*.parquet")
    assert pq.read_table(path).to_pylist() == table.slice(0, 150).to_pylist()


def test_hive_folders_keep_their_names_and_their_column(site: Any) -> None:
    site.configure(roles={**site.settings["roles"], "ignored": ["day"]})
    site.write("in/day=2024-01-01/a.parquet", site.rows(150, 5))
    site.write("in/day=2024-01-02/b.parquet", site.copies(site.rows(150, 6), 30))
    done = site.call("gate", "in")
    assert done.code == 10, done.out
    folder = only(site.visible("published"))
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet"))
    assert files == ["day=2024-01-01/a.parquet", "day=2024-01-02/b.parquet"]
    assert "day" in [name for name, _ in site.report()["columns"]]
    assert pq.ParquetFile(folder / files[1]).schema_arrow.names == ["id", "x", "y", "who", "label"]
    assert sum(pq.read_metadata(folder / name).num_rows for name in files) == 300


def test_a_signed_manifest_and_a_batch_that_does_not_match_it(site: Any) -> None:
    data = site.write("in/a.parquet", site.rows(200, 5))
    assert site.call("keys", "generate", "vendor").code == 0
    create = ("manifest", "create", data, "--source", "v/stones", "--batch-id", "1")
    assert site.call(*create, "--label", "label", "--contributor", "who").code == 0
    manifest = Path(f"{data}.manifest.dsse.json")
    assert site.call("manifest", "sign", manifest, "--key", "vendor.key").code == 0
    site.configure(manifest={"keys": {"v/stones": ["./vendor.pub"]}, "unsigned": "reject"})
    done = site.call("gate", data)
    assert done.code == 0, done.out
    statement = payload(only(site.visible("published")) / "attestation.dsse.json")
    assert "AUDITOR_PROVENANCE_VERIFIED" in statement["predicate"]["verifiedLevels"]
    assert statement["predicate"]["resourceUri"] == "dataset:v/stones@1"

    site.write("in/a.parquet", site.rows(200, 6))
    done = site.call("gate", data)
    assert done.code == 11
    assert "a.parquet" in done.out
    assert "AUD-P002" in done.last
    codes = {f["evidence"].get("code") for f in site.report()["findings"]}
    assert codes & {"FILE_DIGEST", "FILE_SIZE"}
    assert len(site.visible("published")) == 1, "only the batch before"


class Broken:
    """A rule whose detector raises; the message is not for a terminal."""

    def __init__(self, _: object) -> None:
        pass

    @classmethod
    def load(cls, context: object) -> Broken:
        return cls(context)

    def scan(self, batch: object) -> Outcome:
        raise ZeroDivisionError("by \x1b[31mzero")


class Absent(Broken):
    """A rule that is required and says that it cannot run."""

    def scan(self, batch: object) -> Outcome:
        raise Unavailable("needs a moon")


@pytest.mark.parametrize(
    ("kind", "words"),
    [(Broken, "AUD-D001 failed: ZeroDivisionError: by"), (Absent, "AUD-D001 is required and was")],
)
def test_case_132_a_detector_that_cannot_say_holds_the_batch(
    site: Any, monkeypatch: pytest.MonkeyPatch, kind: type[Broken], words: str
) -> None:
    """A batch makes a rule break, or a required one cannot run: held, not passed."""
    from auditor.config import load
    from auditor.detectors.exact_duplicates import ExactDuplicates
    from auditor.formats import text
    from auditor.pipeline import audit
    from auditor.readers import resolve
    from auditor.run import Job

    data = site.write("in/a.parquet", site.rows(200, 5))
    monkeypatch.chdir(site.root)
    kind.rule, kind.options = ExactDuplicates.rule, ExactDuplicates.options  # type: ignore[attr-defined]
    settings = load(Path("auditor.yaml"), {}, strict_permissions=True)
    job = Job(
        settings=settings,
        mode=Mode.GATE,
        sources=resolve([str(data)]),
        detectors=(kind,),  # type: ignore[arg-type]
    )
    result = audit(job)
    assert result.verdict == Verdict.HOLD
    assert any(words in reason for reason in result.report.reasons)
    assert words in text.render(result.report)
    assert "\x1b" not in text.render(result.report)
    assert (result.published, result.quarantined) == (None, None)
    assert site.visible("published") == []
    assert site.events()[-1] == "batch.held"


def test_case_133_a_gate_with_every_rule_off_is_refused(site: Any) -> None:
    """Somebody switches every rule off."""
    from auditor.detectors import DETECTORS

    site.configure(detectors={d.rule.id: {"enabled": False} for d in DETECTORS})
    done = site.call("gate", "trusted.parquet")
    assert (done.code, done.out) == (2, "")
    assert "every rule is switched off; a gate needs one" in done.err


def test_the_same_rows_again_are_known(site: Any) -> None:
    done = site.call("gate", "trusted.parquet")
    assert done.code == 11
    assert "AUD-D002" in done.last
    assert site.visible("published") == []
