"""What an ingest gave, and how it is remembered in staging."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from auditor.batch import BatchKind, Roles
from auditor.model import Finding, Severity
from auditor.readers.staged import StagedBatch
from auditor.report_records import FileRecord

#: The normalised rows, in a staging area.
BATCH_FILE: Final = "batch.parquet"
_VERSION: Final = 1
_RECORD: Final = "ingest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """What reading a batch gave.

    `digest`: sha256 of the SHA256SUMS text over the received files. `batch` is None where the
    batch cannot be used; `findings` say why. `skipped`: files that are there and were not read.
    `sandbox`: how the parsing process was confined, for the report.
    """

    files: tuple[FileRecord, ...]
    digest: str
    batch: StagedBatch | None
    findings: tuple[Finding, ...] = ()
    sandbox: str = "limits only"
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def save(self, staging: Path) -> None:
        """Write `ingest.json`, at once or not at all."""
        record = {
            "version": _VERSION,
            "files": [asdict(file) for file in self.files],
            "digest": self.digest,
            "findings": [_finding_image(finding) for finding in self.findings],
            "sandbox": self.sandbox,
            "skipped": self.skipped,
            "notes": self.notes,
            "batch": None if self.batch is None else _batch_image(self.batch),
        }
        new = staging / f"{_RECORD}.new"
        new.write_text(json.dumps(record, ensure_ascii=True), encoding="utf-8")
        new.replace(staging / _RECORD)

    @classmethod
    def load(cls, staging: Path) -> Ingest:
        """What `save` wrote.

        Raises:
            FileNotFoundError: nothing was ingested here, or not to the end.
            ValueError: another version wrote it.
        """
        record = json.loads((staging / _RECORD).read_text(encoding="utf-8"))
        if record["version"] != _VERSION:
            raise ValueError(f"{staging / _RECORD}: version {record['version']}, not {_VERSION}")
        return cls(
            files=tuple(
                FileRecord(**{**file, "notes": tuple(file["notes"])}) for file in record["files"]
            ),
            digest=record["digest"],
            batch=None if record["batch"] is None else _batch_of(record["batch"], staging),
            findings=tuple(_finding_of(finding) for finding in record["findings"]),
            sandbox=record["sandbox"],
            skipped=tuple(record["skipped"]),
            notes=tuple(record["notes"]),
        )


def fresh(staging: Path) -> None:
    """A private, empty staging area; what an aborted ingest left there goes first."""
    staging.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (_RECORD, f"{_RECORD}.new", BATCH_FILE):
        (staging / name).unlink(missing_ok=True)
    for name in ("input", "empty"):
        if (staging / name).exists():
            shutil.rmtree(staging / name)
        (staging / name).mkdir(mode=0o700)


def _finding_image(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "message": finding.message,
        "evidence": dict(finding.evidence),
    }


def _finding_of(image: dict[str, Any]) -> Finding:
    return Finding(**{**image, "severity": Severity(image["severity"])})


def _batch_image(batch: StagedBatch) -> dict[str, Any]:
    return {
        "digest": batch.digest,
        "schema": batch.schema.serialize().to_pybytes().hex(),
        "rows": batch.rows,
        "files": batch.files,
        "offsets": batch.offsets,
        "blocks": batch.blocks,
        "roles": dict(batch.roles.assigned),
        "kind": batch.kind.value,
    }


def _batch_of(image: dict[str, Any], staging: Path) -> StagedBatch:
    batch = StagedBatch(
        path=staging / BATCH_FILE,
        digest=image["digest"],
        schema=pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(image["schema"]))),
        rows=image["rows"],
        files=tuple(image["files"]),
        offsets=tuple(image["offsets"]),
        blocks=tuple(image["blocks"]),
        kind=BatchKind(image["kind"]),
    )
    return replace(
        batch, roles=Roles({role: tuple(names) for role, names in image["roles"].items()})
    )
