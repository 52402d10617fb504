"""Ingest once: receive the files, parse them apart, keep what came out and why."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa

from auditor.batch import BatchKind, Roles
from auditor.model import FileRecord, Finding, Severity
from auditor.readers.launch import Answer, Killed, Staged, parse_apart
from auditor.readers.limits import Limits
from auditor.readers.receive import Received, changed_listing, receive, sums_digest
from auditor.readers.resolve import Source
from auditor.readers.rules import changed, unusable
from auditor.readers.staged import StagedBatch, block_digests

_VERSION: Final = 1
_BATCH: Final = "batch.parquet"
_RECORD: Final = "ingest.json"
#: Restarts without the file that killed the child; each one may have cost a whole time limit.
_RESTARTS: Final = 8


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


def ingest(
    sources: Sequence[Source],
    *,
    staging: Path,
    limits: Limits | None = None,
    broken: Literal["reject", "set_aside"] = "reject",
    progress: Callable[[str], None] | None = None,
    kind: BatchKind = BatchKind.TRAINING,
) -> Ingest:
    """Copy, hash and parse the files of a batch; everything lands below `staging` (mode 0700).

    Bad input gives findings of AUD-I001 and AUD-I002, never an exception.

    Raises:
        BatchError: no permission to read a file.
        OSError: the machine failed, for example ENOSPC: nothing is known about the batch.
        RuntimeError: the parsing process broke for a reason that is not the input's.
    """
    return _Run(sources, staging, limits or Limits(), broken == "set_aside", progress, kind).run()


class _Run:
    """One ingest; the parts of the record grow as it goes."""

    def __init__(
        self,
        sources: Sequence[Source],
        staging: Path,
        limits: Limits,
        set_aside: bool,
        progress: Callable[[str], None] | None,
        kind: BatchKind,
    ) -> None:
        self._all = tuple(sources)
        self._sources = tuple(source for source in sources if not source.skipped)
        self._staging = staging
        self._limits = limits
        self._set_aside = set_aside
        self._progress = progress
        self._kind = kind
        self._refused: dict[int, tuple[str, str]] = {}
        self._received: tuple[Received, ...] = ()
        self._answer = Answer()

    def run(self) -> Ingest:
        fresh(self._staging)
        whole: tuple[Finding, ...] = ()
        if len(self._sources) > self._limits.files:
            text = f"{len(self._sources):,} files, more than {self._limits.files:,}"
            whole = (unusable("the batch", "LIMIT", text),)
        else:
            whole = self._receive()
        if not whole and (self._set_aside or not self._refused):
            self._parse()
        result = self._result(whole)
        result.save(self._staging)
        return result

    def _receive(self) -> tuple[Finding, ...]:
        """Copy all files; findings where the batch moved under our hands."""
        self._received = receive(
            self._sources, self._staging / "input", self._limits, self._progress
        )
        moved = [one for one in self._received if one.code == "FILE_CHANGED"]
        self._refused = {
            i: (one.code, one.message) for i, one in enumerate(self._received) if one.code
        }
        listing = changed_listing(self._all)
        if listing and not moved:
            return (changed(listing, "the file came or went while the batch was read"),)
        return tuple(changed(one.name, one.message) for one in moved)

    def _parse(self) -> None:
        """Run the child; where a file kills it and may be set aside, run it again without."""
        deadline = time.monotonic() + self._limits.seconds
        for _ in range(_RESTARTS):
            try:
                self._answer = self._parse_once(deadline - time.monotonic())
            except Killed as killed:
                self._refused[killed.index] = ("LIMIT", killed.message)
                self._answer = Answer(sandbox=killed.sandbox)
                if not self._set_aside:
                    return
            else:
                self._refused |= self._answer.refused
                return

    def _parse_once(self, seconds: float) -> Answer:
        files = [
            Staged(index, one.name, one.path, one.size)
            for index, one in enumerate(self._received)
            if index not in self._refused and one.path is not None
        ]
        if not files:
            return Answer(sandbox=self._answer.sandbox)
        output = os.open(
            self._staging / _BATCH, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600
        )
        empty = os.open(self._staging / "empty", os.O_RDONLY | os.O_DIRECTORY)
        try:
            return parse_apart(
                files,
                output,
                empty,
                limits=self._limits,
                set_aside=self._set_aside,
                seconds=seconds,
                progress=self._progress,
            )
        finally:
            os.close(output)
            os.close(empty)

    def _result(self, whole: tuple[Finding, ...]) -> Ingest:
        digest = sums_digest(self._received)
        batch = None if whole or self._answer.schema is None else self._batch(digest)
        left = None if batch is None else len(batch.files)
        findings = [
            unusable(self._received[index].name, code, message, left=left)
            for index, (code, message) in sorted(self._refused.items())
            if code != "FILE_CHANGED"
        ]
        skipped = [source for source in self._all if source.skipped]
        return Ingest(
            files=tuple(self._record(index) for index in range(len(self._received))),
            digest=digest,
            batch=batch,
            findings=(*whole, *findings),
            sandbox=self._answer.sandbox,
            skipped=tuple(source.name for source in skipped),
            notes=tuple(f"{source.name}: not read: {source.skipped}" for source in skipped),
        )

    def _record(self, index: int) -> FileRecord:
        one = self._received[index]
        refused = self._refused.get(index)
        return FileRecord(
            name=one.name,
            sha256=one.sha256,
            size=one.size,
            rows=0 if refused else self._answer.rows.get(index, 0),
            format=self._answer.formats.get(index, ""),
            notes=self._answer.notes.get(index, ()),
            refused=refused[0] if refused else None,
        )

    def _batch(self, digest: str) -> StagedBatch:
        used = [index for index in sorted(self._answer.rows) if index not in self._refused]
        offsets, total = [], 0
        for index in used:
            offsets.append(total)
            total += self._answer.rows[index]
        path = self._staging / _BATCH
        return StagedBatch(
            path=path,
            digest=digest,
            schema=self._answer.schema,
            rows=total,
            files=tuple(self._received[index].name for index in used),
            offsets=tuple(offsets),
            blocks=block_digests(path),
            kind=self._kind,
        )


def fresh(staging: Path) -> None:
    """A private, empty staging area; what an aborted ingest left there goes first."""
    staging.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (_RECORD, f"{_RECORD}.new", _BATCH):
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
        path=staging / _BATCH,
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
