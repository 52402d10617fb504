"""`python -m bench.detection`: recall, verdicts and false alarms, ours beside the peers'."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from auditor.redteam.variants import VARIANTS
from bench.detection.accused_table import print_accused
from bench.detection.figure import figure
from bench.detection.harm import MODELS
from bench.detection.harm_table import print_harm
from bench.detection.paired import print_paired
from bench.detection.peers import NEED_TRUSTED, PEERS
from bench.detection.short import SHORT, fallen
from bench.detection.tables import print_clean, print_tables
from bench.detection.trials import CONDITIONS, TEN, Work, run, tables


def main() -> None:
    """Parse arguments, run the trials on all cores, print the tables."""
    given = _arguments()
    work = [
        Work(
            folder=given.folder,
            set=name,
            seed=seed,
            condition=condition,
            attacks=tuple(given.attacks),
            rates=tuple(given.rates),
            counts=tuple(given.counts),
            peers=_peers(given),
            baseline=not given.no_baseline,
            harm=given.harm,
            clean=given.clean,
            baseline_poison=given.baseline_poison,
        )
        for name, _ in tables(given.folder)
        if not given.sets or name in given.sets
        for seed in range(given.first_seed, given.first_seed + given.seeds)
        for condition in given.conditions
    ]
    records = []
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    with ThreadPoolExecutor(given.workers) as pool:
        for done, found in enumerate(pool.map(_alone, work), 1):
            records += found
            print(f"\r{done} of {len(work)}", end="", file=sys.stderr, flush=True)
            if given.out:
                given.out.write_text("".join(json.dumps(r) + "\n" for r in records))
    print(file=sys.stderr)
    print_tables(records)
    print_clean(records)
    print_accused(records)
    print_harm(records)
    print_paired(records)
    if given.plot:
        given.plot.write_text(figure(records, _said(given, records)), encoding="utf-8")
    if given.short and (lines := fallen(records)):
        sys.exit("\n".join(("", "lines that do not hold:", *lines)))


def _said(given: argparse.Namespace, records: list[dict[str, Any]]) -> str:
    """What a picture is of, in one line."""
    sets = dict.fromkeys(r["set"] for r in records)
    seeds = f"seed {given.first_seed}" if given.seeds == 1 else f"{given.seeds} seeds"
    return (
        f"Mean over {len(sets)} sets, {seeds}, contributors {', '.join(given.conditions)}; "
        "batches of at most 2,500 rows; x: poison rows"
    )


def _alone(work: Work) -> list[dict[str, Any]]:
    """Run in a process of its own, started afresh.

    Peak memory is that of a process, and NumPy reads how many threads it may have when it is
    loaded. (`max_tasks_per_child` would do the same, but may deadlock: CPython issue 115634.)
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(run, work).result()


def _peers(given: argparse.Namespace) -> tuple[str, ...]:
    """The peers that were asked for; `all` leaves out those who see more than ours may."""
    if "all" in given.peers:
        return tuple(n for n in PEERS if not (given.no_baseline and n in NEED_TRUSTED))
    return tuple(given.peers)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.detection", description=__doc__)
    parser.add_argument("folder", nargs="?", default="", help="parquet files with a label column")
    parser.add_argument("--sets", nargs="*", default=[])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rates", type=float, nargs="*", default=[0.05])
    parser.add_argument("--counts", type=int, nargs="*", default=[])
    parser.add_argument("--conditions", nargs="*", default=["alike"], choices=list(CONDITIONS))
    parser.add_argument("--attacks", nargs="*", default=list(TEN), choices=list(VARIANTS))
    parser.add_argument("--peers", nargs="*", default=[], choices=["all", *PEERS])
    parser.add_argument("--no-baseline", action="store_true")
    parser.add_argument(
        "--harm",
        nargs="?",
        default="",
        const="boosting",
        choices=list(MODELS),
        help="train a model on clean, all and published rows (boosting, if no other is named)",
    )
    parser.add_argument("--clean", type=int, default=1, help="clean batches for each baseline")
    parser.add_argument(
        "--baseline-poison",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of the trusted rows, this share is poison of the attack that the batch has",
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--short",
        action="store_true",
        help="two bundled sets, three attacks, one seed; exit status 1 where a line does not hold",
    )
    parser.add_argument("--out", type=Path, help="write the records as JSON Lines")
    parser.add_argument("--plot", type=Path, help="write a picture (SVG): rates by number of rows")
    given = parser.parse_args()
    if given.short:
        vars(given).update(SHORT)
    if given.baseline_poison and (given.harm or given.no_baseline):
        parser.error("--baseline-poison needs a baseline, and harm is not measured with it")
    if given.no_baseline and (unfair := sorted(NEED_TRUSTED & set(given.peers))):
        parser.error(f"{', '.join(unfair)}: needs the trusted rows that --no-baseline leaves out")
    return given


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
