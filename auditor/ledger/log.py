"""`EventLog`: append an event, read events back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from auditor.errors import LedgerError
from auditor.ledger import heads, tree
from auditor.ledger.events import KEY_CHANGED, Event, Line, Via, decode, leaf_hash, time_text
from auditor.ledger.faults import Conflict, LedgerTampered
from auditor.ledger.key import ORIGIN, LedgerKey
from auditor.ledger.store import Row, Session, open_store
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


class EventLog:
    """An append-only log of events: what is said about batches, and how it is read back.

    `location` is a SQLite file, or the `postgresql://` URL of a database for several hosts. Making
    the object touches nothing; database and key are made by the first append. Every entry that is
    read is compared with its leaf hash (`LedgerTampered`). Every method raises `LedgerError`;
    a full disk is `LedgerFull`, which is an `OSError` with ENOSPC as well.
    """

    def __init__(
        self,
        location: Path | str,
        *,
        origin: str = ORIGIN,
        key: Path | None = None,
        password: str | None = None,
    ) -> None:
        """Remember where the database and its key are, or will be.

        `key` defaults to the file's name with `.key` behind it; a database needs one given.
        """
        self.store = open_store(location, password)
        if key is None:
            if not isinstance(location, Path):
                raise LedgerError("a ledger in a database needs the path of its key")
            key = location.with_name(f"{location.name}.key")
        self.key = LedgerKey(key, origin)

    @property
    def where(self) -> str:
        """How messages call it: the path, or the URL without a password."""
        return self.store.where

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
        source: str | None = None,
    ) -> int:
        """Write one event and return its index; see `Line` for `expect` and `source`.

        If another entry has been written since the one that is expected, nothing is appended and
        `Conflict` is raised: looking and writing are one transaction, so one of two claimants wins.
        A verdict, release or recall is covered by a checkpoint that is written in the same
        transaction.
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
            detail=dict(detail or {}),
        )
        return self.append_all([Line(event=said, expect=expect, source=source)])[0]

    def append_all(self, lines: Sequence[Line]) -> tuple[int, ...]:
        """Write several events in one transaction, all of them or none; their indexes.

        What each expects is compared with the ledger as it was before the first of them.
        """
        bodies = [line.body() for line in lines]
        if not self.store.exists():
            self.store.create()
        with self.store.writing() as session:
            for line in lines:
                if line.expect is not ANY:
                    self._refuse_stale(session, line)
            pairs = zip(lines, bodies, strict=True)
            return tuple(self._write(session, line.event, body) for line, body in pairs)

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
                    raise LedgerTampered(self.where, f"entry {expected} is missing")
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
        wanted = [(self.store.run, run), (self.store.subject, subject)]
        terms = " AND ".join(f"{column} = ?" for column, value in wanted if value is not None)
        values = tuple(value for _, value in wanted if value is not None)
        found = self._select(f"WHERE {terms} ORDER BY idx", values)
        return tuple(entry for entry in found if event in (None, entry.name))

    def names(self, digest: str) -> bool:
        """Whether a verdict refers to this digest (lowercase hex sha256)."""
        return self.verdict_naming(digest) is not None

    def head_of(self, subject: str) -> int:
        """The index of the newest entry about a subject, -1 where there is none."""
        clause = f"WHERE {self.store.subject} = ? ORDER BY idx DESC LIMIT 1"
        found = self._select(clause, (subject,))
        return found[0].idx if found else NONE_YET

    def of_source(self, source: str) -> tuple[Entry, ...]:
        """The entries that have a place in the order of a source, in that order."""
        return tuple(self._select(f"WHERE {self.store.order} = ? ORDER BY idx", (source,)))

    def latest(self) -> datetime | None:
        """The latest time of any entry, None where there is none. Entries may be out of order."""
        found = self._select("ORDER BY at DESC, idx DESC LIMIT 1", ())
        return found[0].event.at if found else None

    def kept_open(self) -> AbstractContextManager[None]:
        """For many appends in a row: spares opening and closing. Each is as durable as before."""
        return self.store.kept_open()

    def settled(self, session: Session) -> int:
        """The number of entries, once the tree is laid over those that had none."""
        size = int(session.all("SELECT coalesce(max(idx) + 1, 0) FROM entry")[0][0])
        if session.bare:
            tree.grow_over(session, self.where, size)
        return size

    def _write(self, session: Session, event: Event, body: bytes) -> int:
        index, leaf = self.settled(session), leaf_hash(body)
        row = (index, time_text(event.at), body, leaf)
        session.run("INSERT INTO entry(idx, at, body, leaf) VALUES (?, ?, ?, ?)", row)
        tree.grow(session, self.where, index, leaf)
        # The first entry is signed for too: a ledger without any checkpoint is not one of ours.
        if event.name in heads.SIGNED or not heads.any_yet(session):
            changing = event.name == KEY_CHANGED
            heads.sign_head(session, self.where, self.key, index + 1, changing=changing)
        return index

    def _refuse_stale(self, session: Session, line: Line) -> None:
        about = line.event.subject if line.source is None else line.source
        column = self.store.subject if line.source is None else self.store.order
        query = f"{_COLUMNS} WHERE {column} = ? ORDER BY idx DESC LIMIT 1"
        rows = session.all(query, (about,))
        head = self._entry(rows[0]).idx if rows else NONE_YET
        if head != line.expect:
            raise Conflict(
                f"{line.event.name}: entry {head} about {about} was written after entry "
                f"{line.expect}, the last one seen; read it and decide again"
            )

    def verdict_naming(self, digest: str) -> Entry | None:
        """The verdict that refers to this digest (lowercase hex sha256), None without one."""
        clause = f"WHERE {self.store.mentions} ORDER BY idx"
        said = self._select(clause, (digest,))
        named = (e for e in said if e.name == "verdict" and digest in e.event.refs)
        return next(named, None)

    def _select(self, clause: str, values: Sequence[str | int]) -> list[Entry]:
        if not self.store.exists():
            return []
        with self.store.reading() as session:
            rows = session.all(f"{_COLUMNS} {clause}", values)
        return [self._entry(row) for row in rows]

    def _entry(self, row: Row) -> Entry:
        idx, at, body, leaf = row
        if not isinstance(body, bytes) or leaf != leaf_hash(body):
            raise LedgerTampered(self.where, f"entry {idx} differs from its hash")
        try:
            event = decode(body)
        except ValueError as error:
            raise LedgerTampered(self.where, f"entry {idx} is {error}") from error
        if at != time_text(event.at):
            raise LedgerTampered(self.where, f"entry {idx} has another time than its body")
        return Entry(idx, event, body, leaf)
