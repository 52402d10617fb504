"""Which trusted rows a baseline keeps as a sample: the same ones in whatever order parts came.

Every row draws a number, once, by a seed that its sender does not know. The rows with the smallest
numbers are the sample (bottom-k, Cohen & Kaplan 2007); rare labels divide theirs by a larger share.
The smallest of all parts are among the smallest of each, so a sum of parts needs no row that its
parts did not keep.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.baseline import Frame, Piece, label_counts
from auditor.baseline_content import DRAW, PLACE, compact
from auditor.batch import Batch, Roles, as_text
from auditor.coded import coded

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Rows of a rare label that a sample keeps, where there are as many.
RARE: Final = 200
#: Sources of a batch that get a part of their own: the largest. The rest share one.
MOST_SOURCES: Final = 64
#: The name of a missing label, in counts.
MISSING: Final = "(missing)"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A batch before it is cut: what each row drew, whose it is, and which rows are kept.

    `draws` float64[rows] in [0, 1). `owners` int64[rows]: position in `sources`; None in `sources`
    is the rest, or everything. `chosen` int64[<= 2 bound] ascending; `main` bool[chosen]: those
    that are the sample of the whole batch, the others are kept in case a source is dropped.
    """

    draws: Floats
    owners: Rows
    sources: tuple[str | None, ...]
    chosen: Rows
    main: npt.NDArray[np.bool_]


def draw(batch: Batch, seed: int, bound: int) -> Drawn:
    """Choose the rows that are kept of a batch, `bound` for the batch, a share of it a source."""
    name = hashlib.blake2b(batch.digest.encode(), digest_size=8).digest()
    rng = np.random.default_rng([seed, int.from_bytes(name, "little")])
    draws = rng.random(batch.rows)
    priority = draws / _batch_shares(batch, bound)
    owners, sources = _owners(batch)
    main = np.zeros(batch.rows, dtype=bool)
    main[_smallest(priority, bound)] = True
    kept = main.copy()
    for number in range(len(sources)):
        own = np.flatnonzero(owners == number)
        kept[own[_smallest(priority[own], bound // len(sources))]] = True
    chosen = np.flatnonzero(kept)
    return Drawn(draws, owners, sources, chosen, main[chosen])


def merged(pieces: Iterable[Piece], frame: Frame, bound: int) -> pa.Table:
    """The sample of all these parts, in time order: at most `bound` rows, columns of the frame."""
    ordered = sorted(pieces, key=lambda piece: piece.part.age)
    labels = label_counts(piece.part for piece in ordered)
    batches: dict[tuple[str, str], int] = {}
    kept = _empty(frame)
    for piece in ordered:
        # One part after the other: the sample of a year of batches is not held at once.
        sample = piece.content.sample()
        batch = batches.setdefault(piece.part.age[:2], len(batches))
        texts = _label_texts(sample, frame.roles)
        share = np.ones(len(sample)) if texts is None else _shares(labels, bound, texts)
        ranked = sample.append_column("_auditor_batch", pa.array([batch] * len(sample), pa.int64()))
        priority = sample.column(DRAW).to_numpy() / share
        ranked = ranked.append_column("_auditor_priority", pa.array(priority, pa.float64()))
        kept = pa.concat_tables([kept, ranked])
        if len(kept) > bound:
            kept = kept.take(pa.array(_first(kept, "_auditor_priority")[:bound]))
    kept = kept.take(pa.array(_first(kept)))
    kept = kept.take(pa.array(np.argsort(moments(kept, frame.roles), kind="stable")))
    return compact(kept.select(frame.schema.names))


def moments(table: pa.Table, roles: Roles) -> Rows:
    """When each row happened, in microseconds; 0 where no timestamp says so: int64[rows]."""
    stamp = roles.first("timestamp")
    if stamp is None or not pa.types.is_timestamp(table.schema.field(stamp).type):
        return np.zeros(len(table), dtype=np.int64)
    column = table.column(stamp).combine_chunks()
    micro = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
    found: Rows = micro.fill_null(0).to_numpy()
    return found


def row_weights(sample: pa.Table, labels: Mapping[str, int], roles: Roles) -> Floats:
    """Trusted rows that each row of a sample stands for: float64[rows]."""
    texts = _label_texts(sample, roles)
    if texts is None:
        return np.ones(len(sample))
    own: dict[str, int] = {}
    for text in texts:
        own[text] = own.get(text, 0) + 1
    weight = {text: labels.get(text, 0) / count for text, count in own.items()}
    return np.array([weight[text] for text in texts], dtype=np.float64)


def _first(table: pa.Table, *before: str) -> Rows:
    """Rows in order of some columns, then of their batch and place: no two are equal."""
    names = (PLACE, "_auditor_batch", *reversed(before))
    return np.lexsort([table.column(name).to_numpy() for name in names]).astype(np.int64)


def _empty(frame: Frame) -> pa.Table:
    extra = [
        (DRAW, pa.float64()), (PLACE, pa.int64()),
        ("_auditor_batch", pa.int64()), ("_auditor_priority", pa.float64()),
    ]  # fmt: skip
    return pa.schema([*frame.schema, *(pa.field(*each) for each in extra)]).empty_table()


def _batch_shares(batch: Batch, bound: int) -> Floats:
    if batch.roles.label is None:
        return np.ones(batch.rows)
    known = coded(batch, batch.roles.label, missing=MISSING)
    labels = dict(zip(known.names, known.counts.tolist(), strict=True))
    found: Floats = _shares(labels, bound, list(known.names))[known.codes]
    return found


def _shares(labels: Mapping[str, int], bound: int, texts: Sequence[str]) -> Floats:
    """Share of its label's rows that is wanted, for each text; rare labels are kept first."""
    common = bound / max(sum(labels.values()), 1)
    share = {text: min(1.0, max(common, RARE / max(n, 1))) for text, n in labels.items()}
    return np.array([share.get(text, 1.0) for text in texts], dtype=np.float64)


def _label_texts(table: pa.Table, roles: Roles) -> list[str] | None:
    if roles.label is None:
        return None
    text = as_text(table.column(roles.label).combine_chunks())
    found: list[str] = pc.fill_null(text, MISSING).to_pylist()
    return found


def _owners(batch: Batch) -> tuple[Rows, tuple[str | None, ...]]:
    column = batch.roles.first("source")
    if column is None:
        return np.zeros(batch.rows, dtype=np.int64), (None,)
    known = coded(batch, column, missing="")
    if len(known.names) <= MOST_SOURCES:
        return known.codes, tuple(known.names)
    largest = np.sort(np.argsort(-known.counts, kind="stable")[: MOST_SOURCES - 1])
    place = np.full(len(known.names), len(largest), dtype=np.int64)
    place[largest] = np.arange(len(largest))
    return place[known.codes], (*(known.names[int(i)] for i in largest), None)


def _smallest(priority: Floats, bound: int) -> Rows:
    return np.argsort(priority, kind="stable")[:bound].astype(np.int64)
