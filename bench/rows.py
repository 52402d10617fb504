"""The rows that every contender gets: generated, with planted flips and outliers.

Generated because no real set of a million rows may be shipped; what is found on real data is
measured elsewhere. Half of the columns carry signal, 5 % of the labels are noise to begin with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FLIPS = 0.02
OUTLIERS = 0.01
CONTRIBUTORS = 40


@dataclass(frozen=True)
class Rows:
    """Files and masks: `trusted` is clean, `batch` has the planted rows."""

    trusted: Path
    batch: Path
    flips: np.ndarray
    outliers: np.ndarray
    columns: list[str]


def generate(folder: Path, rows: int, columns: int, seed: int = 0) -> Rows:
    """Write trusted.parquet (20,000 rows) and batch.parquet (`rows` rows) to `folder`."""
    from sklearn.datasets import make_classification

    trusted = 20_000
    features, labels = make_classification(
        n_samples=rows + trusted,
        n_features=columns,
        n_informative=columns // 2,
        n_redundant=columns // 5,
        n_classes=3,
        flip_y=0.05,
        class_sep=1.5,
        random_state=seed,
    )
    rng = np.random.default_rng(seed)
    batch, given = features[trusted:].copy(), labels[trusted:].copy()
    flips, outliers = np.zeros(rows, bool), np.zeros(rows, bool)
    chosen = rng.permutation(rows)
    flips[chosen[: int(FLIPS * rows)]] = True
    outliers[chosen[int(FLIPS * rows) : int((FLIPS + OUTLIERS) * rows)]] = True
    given[flips] = (given[flips] + rng.integers(1, 3, flips.sum())) % 3
    # Beyond the range in a fifth of the columns: five standard deviations, either side.
    where = rng.permutation(columns)[: max(1, columns // 5)]
    batch[np.ix_(outliers, where)] += (
        rng.choice([-5, 5], (outliers.sum(), len(where))) * features.std()
    )
    names = [f"x{i:02d}" for i in range(columns)]
    return Rows(
        trusted=_write(
            folder / "trusted.parquet", features[:trusted], labels[:trusted], names, rng
        ),
        batch=_write(folder / "batch.parquet", batch, given, names, rng),
        flips=flips,
        outliers=outliers,
        columns=names,
    )


def _write(
    path: Path, features: np.ndarray, labels: np.ndarray, names: list[str], rng: np.random.Generator
) -> Path:
    data = {name: features[:, i].round(4) for i, name in enumerate(names)}
    senders = rng.integers(0, CONTRIBUTORS, len(labels))
    data["contributor"] = np.array([f"c{i:02d}" for i in range(CONTRIBUTORS)])[senders]
    data["label"] = np.array(["a", "b", "c"])[labels]
    pq.write_table(pa.table(data), path, compression="zstd")
    return path
