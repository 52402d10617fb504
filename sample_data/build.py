"""Rebuild the sample data from the diamonds table of plotnine (MIT).

    python -m venv /path/to/throwaway && /path/to/throwaway/bin/pip install plotnine==0.15.9 pyarrow
    /path/to/throwaway/bin/python sample_data/build.py

plotnine is needed here only; `auditor` never imports it. The same input gives the same rows.
"""

from __future__ import annotations

import importlib.metadata
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
SEED = 20240701
CONTRIBUTORS = 25
TRUSTED = ("trusted.parquet", 6000, datetime(2024, 1, 1, tzinfo=UTC), 180)
INCOMING = (
    ("incoming/2024-07-01.parquet", 1800, datetime(2024, 6, 30, tzinfo=UTC), 1),
    ("incoming/2024-07-08.parquet", 1600, datetime(2024, 7, 7, tzinfo=UTC), 1),
    ("incoming/2024-07-15.parquet", 2000, datetime(2024, 7, 14, tzinfo=UTC), 1),
    ("incoming/2024-07-22.parquet", 1700, datetime(2024, 7, 21, tzinfo=UTC), 1),
)
FEATURES = ("carat", "cut", "color", "clarity", "depth", "table", "x", "y", "z")
BANDS = ("low", "medium", "high", "top")
PRICE_QUARTILES = (950, 2401, 5324)  # US dollars, of all 53,940 stones


def main() -> None:
    """Write the trusted part and the four incoming batches next to this file."""
    rng = np.random.default_rng(SEED)
    stones = prepare(read_source())
    order = rng.permutation(stones.num_rows)
    weights = rng.dirichlet(np.full(CONTRIBUTORS, 6.0))
    start = 0
    (HERE / "incoming").mkdir(exist_ok=True)
    for name, rows, begin, days in (TRUSTED, *INCOMING):
        part = stones.take(pa.array(order[start : start + rows]))
        part = with_origin(part, start, begin, days, weights, rng)
        pq.write_table(part, HERE / name, compression="zstd", compression_level=19)
        start += rows


def read_source() -> pa.Table:
    """The CSV file inside the installed plotnine package, without importing the package."""
    files = importlib.metadata.files("plotnine") or ()
    (source,) = (file for file in files if file.as_posix() == "plotnine/data/diamonds.csv")
    return pa.csv.read_csv(str(source.locate()))


def prepare(table: pa.Table) -> pa.Table:
    """Drop known recording faults and repeats; replace the price by its quartile band."""
    possible = [pc.and_(pc.greater(table[c], 0), pc.less(table[c], 20)) for c in ("x", "y", "z")]
    table = table.filter(pc.and_(pc.and_(possible[0], possible[1]), possible[2]))
    table = table.append_column("position", pa.array(np.arange(table.num_rows)))
    first = table.group_by(list(FEATURES)).aggregate([("position", "min")])["position_min"]
    table = table.take(first.take(pc.sort_indices(first)))
    band = np.searchsorted(PRICE_QUARTILES, table["price"].to_numpy(), side="left")
    label = pa.array(np.array(BANDS)[band])
    return table.select(FEATURES).append_column("price_band", label)


def with_origin(
    table: pa.Table,
    start: int,
    begin: datetime,
    days: int,
    weights: np.ndarray,
    rng: np.random.Generator,
) -> pa.Table:
    """Add the synthetic columns: id, contributor and time, in order of time."""
    rows = table.num_rows
    seconds = np.sort(rng.integers(0, days * 86_400, rows))
    times = [begin + timedelta(seconds=int(second)) for second in seconds]
    names = rng.choice([f"lab-{i:02d}" for i in range(1, CONTRIBUTORS + 1)], rows, p=weights)
    ids = [f"stone-{i:06d}" for i in range(start, start + rows)]
    table = table.add_column(0, "row_id", pa.array(ids))
    table = table.append_column("contributor", pa.array(names))
    return table.append_column("collected_at", pa.array(times, pa.timestamp("us", tz="UTC")))


if __name__ == "__main__":
    main()
