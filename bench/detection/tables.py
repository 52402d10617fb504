"""The records of the trials as tables: one line an attack and size, means over sets and seeds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from auditor.statistics import rate_upper
from bench.detection.paired import lower_bound
from bench.detection.peer_table import print_peers

Record = Mapping[str, Any]


def print_tables(records: Sequence[Record]) -> None:
    """Clean batches, then the gate and the ranking on planted ones, then the peers' ranking."""
    for condition in dict.fromkeys(r["condition"] for r in records):
        mine = [r for r in records if r["condition"] == condition and "unavailable" not in r]
        print(f"\n## {condition}")
        _clean([r for r in mine if r["attack"] == "clean"])
        _planted([r for r in mine if r["attack"] != "clean"])
        print_peers([r for r in mine if r["attack"] != "clean"])
    left_out = {(r["set"], r["attack"]) for r in records if "unavailable" in r}
    for name, attack in sorted(left_out):
        print(f"not applicable: {attack} on {name}")


def print_clean(records: Sequence[Record]) -> None:
    """The clean batches of all conditions together."""
    clean = [r for r in records if r["attack"] == "clean"]
    if len({r["condition"] for r in clean}) > 1:
        print("\n## all conditions")
        _clean(clean)


def _clean(records: Sequence[Record]) -> None:
    stopped = [r for r in records if r["verdict"] != "ACCEPT"]
    honest = sum(r["honest"] for r in records)
    aside = sum(r["honest_quarantined"] for r in records)
    cuts: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    for r in records:
        cuts[r["set"], r["seed"], r["condition"]].append(r["honest_quarantined"] / r["honest"])
    shares = np.array([np.mean(found) for found in cuts.values()])
    bound = f"; 95 % bound {-lower_bound(-shares):.2%}" if aside and len(shares) > 1 else ""
    print(
        f"clean: {len(stopped)} of {len(records)} batches not accepted "
        f"(95 % bound {rate_upper(len(stopped), len(records), 0.95):.1%}; {len(cuts)} baselines), "
        f"{aside} of {honest} rows set aside ({aside / max(honest, 1):.2%}{bound})"
    )
    for r in stopped:
        rules = ", ".join(r["rules"])
        where = f"{r['set']} seed {r['seed']} {r['condition']}"
        print(f"  {where}: {r['verdict']} {r['honest_quarantined']} rows, {rules}")


def _planted(records: Sequence[Record]) -> None:
    if not records:
        return
    print(
        f"{'attack':26} {'size':>6} {'n':>3} {'stopped':>8} {'poison':>7} {'honest':>7} "
        f"{'recall':>7} {'AUC':>6} {'s/100k':>7} {'cpu':>7} {'MB':>5}"
    )
    groups: dict[tuple[float, str], list[Record]] = defaultdict(list)
    for r in records:
        groups[(r["size"], r["attack"])].append(r)
    for (size, attack), found in sorted(groups.items(), key=lambda item: item[0][0]):
        print(_line(attack, f"{size:g}", found))
    for size in sorted({r["size"] for r in records}):
        print(_line("MEAN", f"{size:g}", [r for r in records if r["size"] == size]))
    fewest, most = min(r["rows"] for r in records), max(r["rows"] for r in records)
    print(
        f"s/100k, cpu: seconds for 100,000 rows at the rate of these batches of {fewest:,} to "
        f"{most:,} rows, extrapolated; fixed costs weigh more in small ones.\n"
        "MB: peak of the process, with its libraries and the baseline build."
    )


def _line(attack: str, size: str, found: Sequence[Record]) -> str:
    stopped = np.mean([r["verdict"] != "ACCEPT" for r in found])
    poison = _mean([r["poison_quarantined"] / r["poison"] for r in found if r["poison"]])
    honest = _mean([r["honest_quarantined"] / r["honest"] for r in found])
    wall, cpu = (
        _mean([100_000 * r[name] / r["rows"] for r in found if r["rows"]])
        for name in ("seconds", "cpu_seconds")
    )
    return (
        f"{attack:26} {size:>6} {len(found):>3} {stopped:>8.2f} {poison:>7.2f} {honest:>7.2%} "
        f"{_mean([r['recall'] for r in found]):>7.2f} {_mean([r['auc'] for r in found]):>6.2f} "
        f"{wall:>7.1f} {cpu:>7.1f} {max(r['peak_mb'] for r in found):>5.0f}"
    )


def _mean(values: Sequence[float]) -> float:
    real = [v for v in values if not math.isnan(v)]
    return float(np.mean(real)) if real else float("nan")
