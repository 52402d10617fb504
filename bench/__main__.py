"""`python -m bench`: seconds, peak memory, recall at 1 % false positives; ratios to ours."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.contenders import CONTENDERS
from bench.rows import Rows, generate

#: Seconds after which a contender is stopped.
TIMEOUT = 600
SIZES = {"10k": (10_000, 30), "1m": (1_000_000, 20)}
CONFIG = """\
name: bench
roles: {{label: [label], contributor: [contributor], feature: [{features}]}}
{baseline}manifest: {{unsigned: note}}
"""


def main() -> None:
    """Parse arguments, run each size, print one table each."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("sizes", nargs="*", default=list(SIZES), help="10k, 1m")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each contender (median)")
    parser.add_argument("--only", help="part of a contender's name")
    given = parser.parse_args()
    unknown = [size for size in given.sizes if size not in SIZES]
    if unknown:
        parser.error(f"no size {unknown[0]}; there are {', '.join(SIZES)}")
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    for size in given.sizes:
        _size(size, given.repeat if size != "1m" else 1, given.only)


def _size(size: str, repeat: int, only: str | None) -> None:
    rows, columns = SIZES[size]
    print(f"\n{rows:,} rows x {columns} columns, median of {repeat}")
    head = f"{'wall s':>8} {'cpu s':>8} {'peak MB':>8} {'flips':>7} {'outliers':>9}"
    print(f"{'':32} {head}  wall ratio")
    with tempfile.TemporaryDirectory(prefix="auditor-bench-") as name:
        folder = Path(name)
        made = generate(folder, rows, columns)
        _baseline(folder, made)
        first = None
        for contender in CONTENDERS:
            if only and only not in contender:
                continue
            found = [_run(contender, folder, made.columns) for _ in range(repeat)]
            if isinstance(found[0], str):
                print(f"{contender:32} {found[0]}")
                continue
            first = _line(contender, found, made, first)


def _baseline(folder: Path, made: Rows) -> None:
    """What a site has before the batch comes; its cost is not part of the audit."""
    features = ", ".join(made.columns)
    config = folder / "auditor.yaml"
    config.write_text(CONFIG.format(features=features, baseline=""))
    command = [sys.executable, "-m", "auditor", "baseline", "build", str(made.trusted)]
    command += ["--config", str(config), "-o", str(folder / "baseline"), "-q", "--power", "skip"]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    config.write_text(CONFIG.format(features=features, baseline="baseline: baseline\n"))


def _run(contender: str, folder: Path, columns: list[str]) -> dict | str:
    if contender.startswith("cleanlab") and not importlib.util.find_spec("datasets"):
        return "not run: Datalab needs the package `datasets` (pip install datasets)"
    code = (
        "import sys, json; from pathlib import Path; from bench.contenders import run; "
        "run(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, contender, str(folder), json.dumps(columns)],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return f"stopped after {TIMEOUT} s"
    if done.returncode:
        return f"failed: {done.stderr.strip().splitlines()[-1][:120]}"
    with np.load(folder / "result.npz") as result:
        return dict(result)


def _line(contender: str, found: list[dict], made: Rows, first: float | None) -> float:
    wall = statistics.median(float(one["seconds"]) for one in found)
    cpu = statistics.median(float(one["cpu"]) for one in found)
    peak = statistics.median(float(one["peak"]) for one in found)
    clean = ~(made.flips | made.outliers)
    flips = _recall(found[0]["flips"], made.flips, clean)
    outliers = _recall(found[0]["outliers"], made.outliers, clean)
    ratio = "1.0 (ours)" if first is None else f"{wall / first:.1f}x ours"
    print(
        f"{contender:32} {wall:8.1f} {cpu:8.1f} {peak:8.0f} {flips:7.2f} {outliers:9.2f}  {ratio}"
    )
    return wall if first is None else first


def _recall(scores: np.ndarray, planted: np.ndarray, clean: np.ndarray) -> float:
    """Share of planted rows above the score that 1 % of the clean rows exceed."""
    line = np.quantile(scores[clean], 0.99)
    return float(np.mean(scores[planted] > line))


if __name__ == "__main__":
    main()
