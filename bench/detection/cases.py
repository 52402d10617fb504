"""Real rows cut into a trusted part and an incoming batch, each row with a contributor and a time.

The features and labels are real; who sent a row and when is synthetic, by seed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from auditor.batch import Roles, TableBatch
from auditor.errors import Unavailable
from auditor.features import Encoder
from auditor.redteam.planting import Planted

Rows = npt.NDArray[np.int64]

CONTRIBUTORS: Final = 40
TRUSTED_ROWS: Final = 1_200
BATCH_ROWS: Final = 2_500
#: Regions of the feature space that contributors who differ prefer, and how strongly.
REGIONS: Final = 8
PREFERENCE: Final = 0.7
#: The share of the rows at most that drifted batches take: the more, the less they drift.
DRIFTED: Final = 0.6
START: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A trusted table and a clean batch of the same columns, disjoint rows of one data set.

    `further`: clean batches as large as `batch`, disjoint from it and from each other.
    """

    name: str
    trusted: pa.Table
    batch: pa.Table
    roles: Roles
    further: tuple[pa.Table, ...] = ()

    def as_batch(self, table: pa.Table) -> TableBatch:
        """A table of this case as a batch."""
        return TableBatch(table, self.roles)


def bundled() -> Iterator[tuple[str, pa.Table]]:
    """The tables that scikit-learn ships; the label column is `label`."""
    from sklearn import datasets

    for name in ("breast_cancer", "digits", "wine", "iris"):
        found = getattr(datasets, f"load_{name}")()
        features = [str(n) for n in getattr(found, "feature_names", range(found.data.shape[1]))]
        columns = {n: pa.array(found.data[:, i]) for i, n in enumerate(features)}
        if len(found.data) >= 500:
            yield name, pa.table(columns | {"label": pa.array(found.target.astype(np.int64))})


def from_folder(folder: Path) -> Iterator[tuple[str, pa.Table]]:
    """Every parquet file of a folder that has a `label` column, smallest first."""
    for path in sorted(folder.glob("*.parquet"), key=lambda p: p.stat().st_size):
        table = pq.read_table(path)
        if "label" in table.column_names:
            yield path.stem, table


def cut(
    name: str,
    table: pa.Table,
    *,
    seed: int,
    drift: bool = False,
    honest: Literal["alike", "different"] = "alike",
    zipf: bool = False,
    trusted_rows: int = TRUSTED_ROWS,
    batch_rows: int = BATCH_ROWS,
    batches: int = 1,
) -> Case:
    """A seeded cut: at most a third of the rows trusted, the rest the batch, both bounded.

    `drift`: rows in the upper half of one random direction are twice as likely in the batch.
    `honest`: contributors draw rows alike, or each prefers regions of the feature space.
    `zipf`: contributors send very different numbers of rows.
    `batches`: how many to cut where the rows suffice; the first is the same whatever it is.
    """
    rng = np.random.default_rng([seed, len(table)])
    features = tuple(c for c in table.column_names if c != "label")
    side = _direction(table, features, rng)
    order = rng.permutation(table.num_rows)
    count = min(trusted_rows, table.num_rows // 3)
    trusted, rest = order[:count], order[count:]
    weight = np.where(side > np.median(side), 2.0, 1.0) if drift else None
    chosen = _draw(rest, batch_rows, weight, rng)
    region = _regions(side)
    share = _shares(rng, zipf)
    taste = rng.dirichlet(np.full(CONTRIBUTORS, 0.3), size=REGIONS)
    pieces = [trusted, *_disjoint(rest, chosen, batches, weight, rng.spawn(1)[0])]
    parts = [
        _dress(
            table.take(pa.array(rows)),
            _senders(rng, region[rows], share, taste if honest == "different" else None),
            count + (number - 1) * len(chosen) if number else 0,
        )
        for number, rows in enumerate(pieces)
    ]
    roles = Roles(
        {
            "id": ("row_id",),
            "label": ("label",),
            "contributor": ("contributor",),
            "timestamp": ("collected_at",),
            "feature": features,
        }
    )
    return Case(name=name, trusted=parts[0], batch=parts[1], roles=roles, further=tuple(parts[2:]))


def seeped(case: Case, planted: Planted, count: int, seed: int) -> tuple[Case, Planted]:
    """The same with `count` poison rows among the trusted ones, in place of as many of these.

    They are taken from the batch, so that the poison that is trusted has the trigger and the
    senders of what is left there.

    Raises:
        Unavailable: the attack planted no more than `count` rows.
    """
    poison = np.flatnonzero(planted.mask.to_numpy(zero_copy_only=False))
    if count >= len(poison):
        raise Unavailable(f"{len(poison)} poison rows, {count} of them for the baseline")
    rng = np.random.default_rng([seed, 9])
    gone = rng.choice(poison, count, replace=False)
    left = pa.array(np.setdiff1d(np.arange(len(planted.mask)), gone))
    kept = np.sort(rng.permutation(case.trusted.num_rows)[count:])
    moved = planted.table.take(pa.array(gone)).cast(case.trusted.schema)
    trusted = pa.concat_tables([case.trusted.take(pa.array(kept)), moved])
    rest = replace(
        planted,
        table=planted.table.take(left),
        mask=planted.mask.take(left),
        origin=planted.origin.take(left),
    )
    return replace(case, trusted=trusted), rest


def _draw(
    rest: Rows, most: int, weight: npt.NDArray[np.float64] | None, rng: np.random.Generator
) -> Rows:
    """At most `most` of the rows that are left; of weighted ones so few that weights tell."""
    if weight is None:
        return rest[:most]
    own = weight[rest]
    wanted = min(most, int(DRIFTED * len(rest)))
    return rng.choice(rest, wanted, replace=False, p=own / own.sum())


def _disjoint(
    rest: Rows,
    first: Rows,
    batches: int,
    weight: npt.NDArray[np.float64] | None,
    rng: np.random.Generator,
) -> list[Rows]:
    """The first batch, and up to `batches - 1` others of its size from the rows it left."""
    found = [first]
    room = len(rest) if weight is None else int(DRIFTED * len(rest))
    for _ in range(min(batches, room // max(len(first), 1)) - 1):
        rest = rest[~np.isin(rest, found[-1])]
        found.append(_draw(rest, len(first), weight, rng))
    return found


def _direction(table: pa.Table, features: tuple[str, ...], rng: np.random.Generator) -> Rows:
    """Each row's rank along one random direction of the encoded features."""
    matrix = np.clip(Encoder.fit(table, features).transform(table), -5, 5)
    along = matrix @ rng.normal(size=matrix.shape[1])
    rank = np.empty(len(along), dtype=np.int64)
    rank[np.argsort(along, kind="stable")] = np.arange(len(along))
    return rank


def _regions(side: Rows) -> Rows:
    return (side * REGIONS // max(len(side), 1)).astype(np.int64)


def _shares(rng: np.random.Generator, zipf: bool) -> npt.NDArray[np.float64]:
    weight = 1.0 / np.arange(1, CONTRIBUTORS + 1) if zipf else np.ones(CONTRIBUTORS)
    return rng.permutation(weight / weight.sum())


def _senders(
    rng: np.random.Generator,
    region: Rows,
    share: npt.NDArray[np.float64],
    taste: npt.NDArray[np.float64] | None,
) -> list[str]:
    names = np.array([f"c{i:02d}" for i in range(CONTRIBUTORS)])
    if taste is None:
        return [str(n) for n in rng.choice(names, len(region), p=share)]
    mix = (1 - PREFERENCE) * share + PREFERENCE * taste
    return [str(rng.choice(names, p=mix[r])) for r in region.tolist()]


def _dress(rows: pa.Table, senders: list[str], first: int) -> pa.Table:
    """Ids, contributors and times in front of the features, the label last."""
    number = range(first, first + rows.num_rows)
    times = [START + dt.timedelta(minutes=i) for i in number]
    dressed = pa.table(
        {
            "row_id": pa.array([f"r-{i:06d}" for i in number]),
            "contributor": pa.array(senders),
            "collected_at": pa.array(times, pa.timestamp("us", "UTC")),
        }
    )
    for name in rows.column_names:
        dressed = dressed.append_column(name, rows.column(name).combine_chunks())
    return dressed
