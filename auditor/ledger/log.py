"""`Ledger`: append an event, read events back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from auditor.errors import LedgerError
from auditor.ledger.events import Event, Via, decode, encode, leaf_hash, time_text
from auditor.ledger.faults import Conflict, LedgerTampered
from auditor.ledger.store import RUN, SUBJECT, connection, create, exists
from auditor.model import Scalar

#: `expect` of an append that does not care what was said about its subject before.
ANY: Final = None
#: `head_of` a subject that no entry is about.
NONE_YET: Final = -1

_PAGE: Final = 1000
_COLUMNS: Final = "SELECT idx, at, body, leaf FROM entry"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger: its index (dense from 0), the event and its bytes."""

    idx: int
    event: Event
    body: bytes
    leaf: bytes

    @property
    def name(self) -> str:
        """The event's name."""
        return self.event.name

    @property
    def subject(self) -> str | None:
        """The digest that the event is about."""
        return self.event.subject


class Ledger:
    """An append-only log of events in one SQLite file (WAL, synchronous=FULL).

    Making the object touches nothing; the file is made by the first append. Every entry that is
    read is compared with its leaf hash (`LedgerTampered`). Every method raises `LedgerError`;
    a full disk is `LedgerFull`, which is an `OSError` with ENOSPC as well.
    """

    def __init__(self, path: Path) -> None:
        """Remember where the file is, or will be."""
        self.path = path

    def append(
        self,
        event: str,
        *,
        at: datetime,
        via: Via,
        subject: str | None = None,
        refs: Sequence[str] = (),
        run: str | None = None,
        principal: str = "local",
        detail: Mapping[str, Scalar] | None = None,
        expect: int | None = ANY,
    ) -> int:
        """Write one event and return its index.

        `expect` is the index of the newest entry about `subject` that the caller knows, or -1 for
        none. If another has been written since, nothing is appended and `Conflict` is raised:
        looking and writing are one transaction, so one of two claimants wins.
        """
        if isinstance(refs, str):
            raise LedgerError("refs must be a sequence of digests, not one string")
        said = Event(
            name=event,
            at=at,
            via=via,
            subject=subject,
            refs=tuple(refs),
            run=run,
            principal=principal,
            detail=detail or {},
        )
        body = encode(said)
        if expect is not ANY and subject is None:
            raise LedgerError(f"{event}: expect needs a subject")
        if not exists(self.path):
            create(self.path)
        with connection(self.path) as opened:
            return self._write(opened, said, body, expect)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[Entry]:
        """The entries from `start` to before `stop`, in order; none where there is no ledger yet.

        A gap between them is `LedgerTampered`, as is an entry that differs from its hash.
        """
        expected = start
        while stop is None or expected < stop:
            upper = expected + _PAGE if stop is None else min(stop, expected + _PAGE)
            page = self._select("WHERE idx >= ? ORDER BY idx LIMIT ?", (expected, upper - expected))
            for entry in page:
                if entry.idx != expected:
                    raise LedgerTampered(self.path, f"entry {expected} is missing")
                expected += 1
                yield entry
            if len(page) < _PAGE:
                return

    def find(
        self, *, run: str | None = None, subject: str | None = None, event: str | None = None
    ) -> tuple[Entry, ...]:
        """The entries of a run and about a subject, in order; `event` narrows them by name."""
        if run is None and subject is None:
            raise LedgerError("find needs a run or a subject; use entries() to read all")
        wanted = [(RUN, run), (SUBJECT, subject)]
        terms = " AND ".join(f"{column} = ?" for column, value in wanted if value is not None)
        values = tuple(value for _, value in wanted if value is not None)
        found = self._select(f"WHERE {terms} ORDER BY idx", values)
        return tuple(entry for entry in found if event in (None, entry.name))

    def names(self, digest: str) -> bool:
        """Whether a verdict refers to this digest (lowercase hex sha256)."""
        said = self._select("WHERE instr(body, CAST(? AS BLOB)) ORDER BY idx", (digest,))
        return any(entry.name == "verdict" and digest in entry.event.refs for entry in said)

    def head_of(self, subject: str) -> int:
        """The index of the newest entry about a subject, -1 where there is none."""
        found = self._select(f"WHERE {SUBJECT} = ? ORDER BY idx DESC LIMIT 1", (subject,))
        return found[0].idx if found else NONE_YET

    def _write(
        self, opened: sqlite3.Connection, event: Event, body: bytes, expect: int | None
    ) -> int:
        # IMMEDIATE takes the write lock before the first read: nobody can slip in between.
        opened.execute("BEGIN IMMEDIATE")
        try:
            if expect is not ANY:
                self._refuse_stale(opened, event, expect)
            query = "SELECT coalesce(max(idx) + 1, 0) FROM entry"
            idx = int(opened.execute(query).fetchone()[0])
            row = (idx, time_text(event.at), body, leaf_hash(body))
            opened.execute("INSERT INTO entry(idx, at, body, leaf) VALUES (?, ?, ?, ?)", row)
            opened.execute("COMMIT")
        except BaseException:
            # SQLite has already rolled back after a full disk; asking again would be an error.
            if opened.in_transaction:
                opened.execute("ROLLBACK")
            raise
        return idx

    def _refuse_stale(self, opened: sqlite3.Connection, event: Event, expect: int) -> None:
        query = f"{_COLUMNS} WHERE {SUBJECT} = ? ORDER BY idx DESC LIMIT 1"
        row = opened.execute(query, (event.subject,)).fetchone()
        head = self._entry(row).idx if row else NONE_YET
        if head != expect:
            raise Conflict(
                f"{event.name}: entry {head} about {event.subject} was written after entry "
                f"{expect}, the last one seen; read it and decide again"
            )

    def _select(self, clause: str, values: tuple[str | int, ...]) -> list[Entry]:
        if not exists(self.path):
            return []
        with connection(self.path) as opened:
            rows = opened.execute(f"{_COLUMNS} {clause}", values).fetchall()
        return [self._entry(row) for row in rows]

    def _entry(self, row: tuple[int, str, bytes, bytes]) -> Entry:
        idx, at, body, leaf = row
        if not isinstance(body, bytes) or leaf != leaf_hash(body):
            raise LedgerTampered(self.path, f"entry {idx} differs from its hash")
        try:
            event = decode(body)
        except ValueError as error:
            raise LedgerTampered(self.path, f"entry {idx} is {error}") from error
        if at != time_text(event.at):
            raise LedgerTampered(self.path, f"entry {idx} has another time than its body")
        return Entry(idx, event, body, leaf)
