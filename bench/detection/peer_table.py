"""The ranking of ours and of each peer: one line each, one column an attack."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Record = Mapping[str, Any]


def print_peers(records: Sequence[Record]) -> None:
    """Recall at 1 % false positives, mean over the trials in which the peer did not fail."""
    for size in sorted({r["size"] for r in records if r.get("peers")}):
        found = [r for r in records if r["size"] == size and r.get("peers")]
        attacks = list(dict.fromkeys(r["attack"] for r in found))
        names = list(dict.fromkeys(name for r in found for name in r["peers"]))
        width = [max(len(attack), 6) for attack in attacks]
        head = "".join(f" {a:>{w}}" for a, w in zip(attacks, width, strict=True))
        print(
            f"\nrecall, size {size:g}{'':{24 - len(f'recall, size {size:g}')}}{head}   MEAN failed"
        )
        _line("ours", [[r["recall"] for r in found if r["attack"] == a] for a in attacks], width)
        for name in names:
            of = [[r["peers"][name]["recall"] for r in found if r["attack"] == a] for a in attacks]
            _line(name, of, width, sum("failed" in r["peers"][name] for r in found))
        _failures(found, names)


def _line(
    name: str, recalls: Sequence[Sequence[float]], width: Sequence[int], failed: int = 0
) -> None:
    means = [mean(values) for values in recalls]
    cells = "".join(f" {m:>{w}.2f}" for m, w in zip(means, width, strict=True))
    every = mean([value for values in recalls for value in values])
    print(f"{name:24}{cells} {every:>6.2f} {failed:>6}")


def _failures(records: Sequence[Record], names: Sequence[str]) -> None:
    """The first reason of each peer that failed."""
    for name in names:
        failed = [r for r in records if "failed" in r["peers"][name]]
        if failed:
            first = failed[0]
            where = f"{first['attack']} on {first['set']} seed {first['seed']}"
            reason = str(first["peers"][name]["failed"]).splitlines()[0][:120]
            print(
                f"failed: {name}, {len(failed)} of {len(records)} trials, first {where}: {reason}"
            )


def mean(values: Sequence[float]) -> float:
    """The mean of those that are numbers; NaN without any."""
    real = [v for v in values if not math.isnan(v)]
    return float(np.mean(real)) if real else math.nan
