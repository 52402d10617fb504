"""`load_verified` beside an unchecked read of the same files: `python -m bench.trust.training`.

Writes files of several kinds of a gigabyte each, as a gate publishes them, reads each several times
in turn in one process, and prints the medians and their ratio: in the page cache, not in it, and of
one column. CPU seconds are of all threads; where they meet the clock on all cores, nothing waits.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.provenance.digests import BLOCK
from auditor.verify import load_verified
from bench.trust.published import KINDS, published

#: The bar: how much longer than an unchecked read a verified one may take.
BAR = 1.5


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds by the clock, and of all processors together."""

    wall: float
    cpu: float


def main() -> int:
    """Measure, print, and fail where a kind that a gate writes is above the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    speeds = ", ".join(f"{threads} thread(s) {sha256_speed(threads):.2f}" for threads in (1, 2))
    print(f"sha256, GB/s: {speeds}; {pa.cpu_count()} processors")
    over = False
    names = list(KINDS)
    for files, kind in [*((1, kind) for kind in names), (8, names[-1]), (24, names[0])]:
        with published(KINDS[kind], given.megabytes * 1_000_000, files) as (folder, options):
            ratio = compare(folder, options, given.rounds, f"{kind}, {files} file(s)")
        over |= ratio > BAR and "gate" in kind
    return int(over)


def compare(folder: Path, options: dict[str, Any], rounds: int, kind: str) -> float:
    """Both ways in turn; the ratio for all columns in the page cache."""
    files = sorted(folder.glob("*.parquet"))
    size = sum(file.stat().st_size for file in files)
    paths = list(map(str, files))
    table = pq.read_table(paths)
    print(f"{kind}: {size / 1e9:.2f} GB, {table.nbytes / 1e9:.2f} GB in memory")
    last = table.column_names[-1]
    del table
    ratios = []
    for what, columns, cold in (
        ("all columns", None, False),
        ("not in the cache", None, True),
        (f"only {last}", [last], False),
    ):
        plain = partial(pq.read_table, paths, columns=columns)
        checked = partial(load_verified, folder, columns=columns, **options)
        # In turn, so that what else the machine does meets both.
        costs = [(_cost(plain, paths, cold), _cost(checked, paths, cold)) for _ in range(rounds)]
        ratios.append(_show(what, *map(_median, zip(*costs, strict=True))))
    return ratios[0]


def _show(what: str, plain: Cost, checked: Cost) -> float:
    ratio = checked.wall / plain.wall
    print(
        f"  {what:17} unchecked {plain.wall:.2f} s ({plain.cpu:.2f} CPU)  "
        f"verified {checked.wall:.2f} s ({checked.cpu:.2f} CPU)  "
        f"{ratio:.2f}x, CPU {checked.cpu / plain.cpu:.2f}x",
        flush=True,
    )
    return ratio


def _median(costs: tuple[Cost, ...]) -> Cost:
    return Cost(median(one.wall for one in costs), median(one.cpu for one in costs))


def _cost(action: Callable[[], pa.Table], paths: list[str], cold: bool) -> Cost:
    if cold:
        _forget(paths)
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def _forget(paths: list[str]) -> None:
    """Put the files out of the page cache; they must be on the disk for that."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def sha256_speed(threads: int, blocks: int = 512) -> float:
    """GB/s of `hashlib` over blocks of a mebibyte: what no verification can be faster than."""
    block = bytes(BLOCK)

    def hash_blocks(_: int) -> None:
        for _ in range(blocks):
            hashlib.sha256(block).digest()

    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        list(pool.map(hash_blocks, range(threads)))
        return threads * blocks * BLOCK / (time.perf_counter() - start) / 1e9


if __name__ == "__main__":
    raise SystemExit(main())
