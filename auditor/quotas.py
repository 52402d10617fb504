"""Quotas: how many rows of a batch one sender may have. What is over is set aside, the rest flows.

A quota is a share of what stays, not of what came: who floods the batch must not raise everybody's
quota, its own included. Which rows of a sender stay is drawn by the run's seed: nobody can choose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from auditor.batch import Batch
from auditor.coded import Coded, coded
from auditor.model import Finding, Outcome, row_table
from auditor.policy import NAME, OVER_QUOTA

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """Largest shares of 1 that one contributor, or one source, may have.

    `contributor_label`: of the rows with one label; one with fewer than `minimum` has no quota.
    """

    contributor: float = 1.0
    contributor_label: float = 1.0
    source: float = 1.0
    minimum: int = 10

    @property
    def any(self) -> bool:
        """Whether there is a quota at all."""
        return min(self.contributor, self.contributor_label, self.source) < 1.0


def within_quotas(batch: Batch, quotas: Quotas, seed: int) -> Outcome:
    """One finding for each quota that senders are over, with the rows that are too many."""
    draw = np.random.default_rng(seed)
    return Outcome(rule=OVER_QUOTA.id, findings=tuple(_findings(batch, quotas, draw)))


def level(counts: Rows, share: float) -> int:
    """The most rows a sender may keep, so that none has more than `share` of what all keep.

    `counts` int64[senders]. With fewer senders than the quota can be kept by, they share alike: the
    quota bounds who may outweigh others, it cannot demand others that are not there.
    """
    share = max(share, 1.0 / max(1, len(counts)))
    ordered = np.sort(counts)[::-1]
    rest, total = int(counts.sum()), int(counts.sum())
    for over, largest in enumerate(ordered.tolist()):
        # The `over` largest keep `kept` each, where kept = share * (rest + over * kept).
        free = 1.0 - share * over
        kept = share * rest / free if free > 1e-9 else float(largest)
        if largest <= kept + 1e-9:
            return int(kept + 1e-9) if over else total
        rest -= largest
    return int(ordered[-1]) if len(ordered) else 0


def _findings(batch: Batch, quotas: Quotas, draw: np.random.Generator) -> Iterator[Finding]:
    for role, share in (("contributor", quotas.contributor), ("source", quotas.source)):
        column = batch.roles.first(role)
        if column is not None and share < 1.0:
            senders = coded(batch, column)
            everything = np.arange(len(senders.codes))
            yield from _finding(senders, _over(senders, everything, share, draw), role, "", share)
    sender, label = batch.roles.contributor, batch.roles.label
    if sender is None or label is None or quotas.contributor_label >= 1.0:
        return
    senders, share, labels = coded(batch, sender), quotas.contributor_label, coded(batch, label)
    over = [
        _over(senders, rows, share, draw)
        for rows in _rows_of_each(labels)
        if len(rows) >= quotas.minimum
    ]
    found = np.sort(np.concatenate(over)) if over else np.zeros(0, dtype=np.int64)
    yield from _finding(senders, found, "contributor", " with one label", share)


def _over(senders: Coded, rows: Rows, share: float, draw: np.random.Generator) -> Rows:
    """Those of `rows` that are more than their sender may have; rows without a name share one."""
    codes = senders.codes[rows]
    names, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
    most = level(counts.astype(np.int64), share)
    too_many = [
        draw.permutation(rows[place == position])[most:]
        for position in range(len(names))
        if counts[position] > most
    ]
    return np.sort(np.concatenate(too_many)) if too_many else np.zeros(0, dtype=np.int64)


def _rows_of_each(labels: Coded) -> Iterator[Rows]:
    order = np.argsort(labels.codes, kind="stable")
    starts = np.searchsorted(labels.codes[order], np.arange(-1, len(labels.names) + 1))
    for start, stop in pairwise(starts):
        yield np.sort(order[start:stop])


def _finding(senders: Coded, rows: Rows, role: str, where: str, share: float) -> Iterator[Finding]:
    if not len(rows):
        return
    codes, counts = np.unique(senders.codes[rows], return_counts=True)
    first = int(codes[np.argmax(counts)])
    name = str(senders.names[first])[:NAME] if first >= 0 else ""
    yield Finding(
        rule=OVER_QUOTA.id,
        severity=OVER_QUOTA.severity,
        message=f"{len(codes)} of the {role}s have more than {share:.0%} of the rows{where}; "
        f"{len(rows)} rows are over, most of them of {name!r}",
        evidence={role: name, "senders": len(codes), "rows_over": len(rows), "limit": share},
        rows=row_table(rows, 0.5),
    )
