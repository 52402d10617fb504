"""Ingest once: receive the files, parse them apart, keep what came out and why."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

from auditor.batch import BatchKind
from auditor.model import Finding
from auditor.readers.launch import Answer, Killed, Staged, TooLong, parse_apart
from auditor.readers.limits import Limits
from auditor.readers.receive import Received, changed_listing, receive, sums_digest
from auditor.readers.record import BATCH_FILE, Ingest, fresh
from auditor.readers.rules import changed, unusable
from auditor.readers.sources import Source
from auditor.readers.staged import StagedBatch, block_digests, stored_schema
from auditor.report_records import FileRecord

#: Restarts without the file that killed the child; each one may have cost a whole time limit.
_RESTARTS: Final = 8


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


def _once(progress: Callable[[str], None]) -> Callable[[str], None]:
    """Say nothing twice: a file that is read again, after another one broke, is no news."""
    said: set[str] = set()

    def say(text: str) -> None:
        if text not in said:
            said.add(text)
            progress(text)

    return say


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
        self._progress = progress and _once(progress)
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
            whole = self._parse()
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

    def _parse(self) -> tuple[Finding, ...]:
        """Run the child; where a file kills it and may be set aside, run it again without."""
        deadline = time.monotonic() + self._limits.seconds
        for _ in range(_RESTARTS):
            try:
                self._answer = self._parse_once(deadline - time.monotonic())
            except Killed as killed:
                self._refused[killed.index] = ("LIMIT", killed.message)
                self._answer = Answer(sandbox=killed.sandbox)
                if not self._set_aside:
                    return ()
            except TooLong as error:  # which file is to blame, only the child could say
                self._answer = Answer(sandbox=error.sandbox)
                return (unusable("the batch", "LIMIT", str(error)),)
            else:
                self._refused |= self._answer.refused
                return ()
        return ()

    def _parse_once(self, seconds: float) -> Answer:
        files = [
            Staged(index, one.name, one.path, one.size)
            for index, one in enumerate(self._received)
            if index not in self._refused and one.path is not None
        ]
        if not files:
            return Answer(sandbox=self._answer.sandbox)
        output = os.open(
            self._staging / BATCH_FILE, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600
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
        path = self._staging / BATCH_FILE
        return StagedBatch(
            path=path,
            digest=digest,
            schema=stored_schema(path),
            rows=total,
            files=tuple(self._received[index].name for index in used),
            offsets=tuple(offsets),
            blocks=block_digests(path),
            kind=self._kind,
        )
