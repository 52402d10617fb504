"""The history as a run sees it: `auditor.context.History` over the database."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditor.context import Earlier, Published, Record, Sent, Sums
from auditor.history.store import FEATURES, WHOLE, HistoryStore, stored
from auditor.model import Evidence
from auditor.parquet_bytes import table_of
from auditor.rowhash import Words


@dataclass(frozen=True, slots=True)
class Past:
    """Everything before the run of the batch with this digest, that batch itself left out.

    `beside`: another batch that is left out as well: a release that is published once more must not
    be its own past.
    """

    store: HistoryStore
    batch: str
    beside: str | None = None

    @property
    def again(self) -> bool:
        """Whether this very batch was published before."""
        return bool(self._own(self.batch))

    def earlier(self, scheme: str) -> Earlier:
        """See `context.History`."""
        own = self._left_out()
        if not self.store.path.exists():
            return Earlier(rows=0, keys=_Keys(self.store, scheme, own))
        with self.store.opened() as db:
            (rows,) = db.execute(
                "SELECT coalesce(sum(rows), 0) FROM batch WHERE scheme = ? AND seq = first "
                "AND digest NOT IN (?, ?)",
                (scheme, *self._digests()),
            ).fetchone()
        return Earlier(rows=int(rows), keys=_Keys(self.store, scheme, own))

    def tallies(self, rule: str, name: str) -> npt.NDArray[np.float64]:
        """See `context.History`."""
        if not self.store.path.exists():
            return np.zeros((0, 2))
        own = self._left_out()
        with self.store.opened() as db:
            found = db.execute(
                "SELECT events, exposure FROM tally WHERE rule = ? AND name = ? "
                "AND seq NOT IN (?, ?) ORDER BY seq",
                (rule, name, *(*own, -1, -1)[:2]),
            ).fetchall()
        return np.array(found, dtype=np.float64).reshape(-1, 2)

    def recent(self, scheme: str, most: int) -> tuple[Published, ...]:
        """See `context.History`."""
        if not self.store.path.exists():
            return ()
        found: list[Published] = []
        query = "SELECT digest, content FROM sample WHERE scheme = ? ORDER BY seq DESC"
        with self.store.opened() as db:
            for digest, content in db.execute(query, (scheme,)):
                left = most - sum(one.rows.num_rows for one in found)
                if left <= 0:
                    break
                if digest not in self._digests():
                    rows = table_of(content)
                    found.append(Published(batch=digest, rows=rows.slice(0, left)))
        return tuple(found)

    def set_aside(self, scheme: str) -> tuple[tuple[int, Words], ...]:
        """Ledger entry and keys, uint64[k, 2], of each earlier batch with rows set aside."""
        if not self.store.path.exists():
            return ()
        query = "SELECT seq, keys FROM aside WHERE scheme = ? AND digest NOT IN (?, ?) ORDER BY seq"
        with self.store.opened() as db:
            found = db.execute(query, (scheme, *self._digests())).fetchall()
        return tuple((seq, np.frombuffer(keys, dtype="<u8").reshape(-1, 2)) for seq, keys in found)

    def contributors(self) -> dict[str, Record]:
        """Everybody who sent rows in an earlier batch."""
        if not self.store.path.exists():
            return {}
        query = (
            "SELECT s.subject, s.rows, s.suspicious, s.quarantined, s.certain, b.vouched "
            "FROM sent s JOIN batch b USING(seq) WHERE b.digest NOT IN (?, ?) "
            "ORDER BY s.seq"
        )
        found: dict[str, list[Sent]] = {}
        with self.store.opened() as db:
            for subject, *counts, vouched in db.execute(query, self._digests()):
                rows, suspicious, quarantined, certain = counts
                found.setdefault(subject, []).append(
                    Sent(
                        rows=rows,
                        suspicious=suspicious,
                        quarantined=quarantined,
                        certain=certain,
                        vouched=bool(vouched),
                    )
                )
        return {subject: Record(batches=tuple(each)) for subject, each in found.items()}

    def cumulative(self) -> dict[str, Sums]:
        """Rule -> (subject, name) -> sums over all batches; this one too if it came before."""
        if not self.store.path.exists():
            return {}
        found: dict[str, dict[tuple[str, str], Evidence]] = {}
        with self.store.opened() as db:
            for rule, subject, name, batches, total in db.execute("SELECT * FROM evidence"):
                values = tuple(np.frombuffer(total, dtype="<f8").tolist())
                found.setdefault(rule, {})[subject, name] = Evidence(
                    subject=subject, name=name, values=values, batches=batches
                )
        return dict(found)

    def _digests(self) -> tuple[str, str]:
        return self.batch, self.beside or self.batch

    def _left_out(self) -> tuple[int, ...]:
        return tuple(sorted({own for digest in self._digests() for own in self._own(digest)}))

    def _own(self, digest: str) -> tuple[int, ...]:
        """The number that a batch's keys have; none where it was not published before."""
        if not self.store.path.exists():
            return ()
        with self.store.opened() as db:
            query = "SELECT min(first) FROM batch WHERE digest = ?"
            (own,) = db.execute(query, (digest,)).fetchone()
        return () if own is None else (int(own),)


@dataclass(frozen=True, slots=True)
class _Keys:
    store: HistoryStore
    scheme: str
    own: tuple[int, ...]

    def hold(self, keys: Words, *, features_only: bool = False) -> npt.NDArray[np.bool_]:
        """See `context.Keys`. One segment at a time."""
        held = np.zeros(len(keys), dtype=bool)
        if not self.store.path.exists():
            return held
        # In order, neighbouring searches touch the same pages: a few times faster.
        order = np.argsort(keys[:, 0], kind="stable")
        asked = keys[order]
        kind = FEATURES if features_only else WHOLE
        query = "SELECT keys, batch FROM segment WHERE scheme = ? AND kind = ?"
        with self.store.opened() as db:
            for cells in db.execute(query, (self.scheme, kind)):
                segment = stored(*cells)
                for own in self.own:
                    segment = segment.without(own)
                held[order] |= segment.hold(asked)
        return held
