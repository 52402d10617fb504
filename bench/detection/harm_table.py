"""What models learnt from clean rows, from all rows and from what the gate published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from bench.detection.peer_table import mean

Record = Mapping[str, Any]

PARTS: Final = ("clean", "all", "gate")


def print_harm(records: Sequence[Record]) -> None:
    """One line an attack and size; nothing where harm was not measured."""
    measured = [r for r in records if "harm" in r]
    for condition in dict.fromkeys(r["condition"] for r in measured):
        print(f"\n## {condition}: a model trained on clean rows, all rows, what the gate published")
        print(f"{'':44}{'attack success':^30}  {'accuracy':^30}")
        columns = "".join(f" {part:>6}" for part in (*PARTS, "harm"))
        print(f"{'attack':26} {'size':>6} {'n':>3} {'nothing':>7}{columns:>30}  {columns:>30}")
        mine = [r for r in measured if r["condition"] == condition]
        for size, attack in sorted({(r["size"], r["attack"]) for r in mine}, key=lambda k: k[0]):
            of = [r for r in mine if (r["size"], r["attack"]) == (size, attack)]
            _line(attack, size, [r["harm"] for r in of if "unavailable" not in r["harm"]])
    if measured:
        print(
            "nothing: trials in which the gate published no row, so that no model came of it; they "
            "count in clean and all.\nharm: after the gate against clean, worse = positive, over "
            "the trials with a model."
        )
    for r in measured:
        if "unavailable" in r["harm"]:
            print(f"no harm measured: {r['attack']} on {r['set']}: {r['harm']['unavailable']}")


def _line(attack: str, size: float, found: Sequence[Mapping[str, Mapping[str, float]]]) -> None:
    nothing = sum(h["gate"]["accuracy"] != h["gate"]["accuracy"] for h in found)
    print(
        f"{attack:26} {size:>6g} {len(found):>3} {nothing:>7}"
        f"  {_cells(found, 'success', 1)}    {_cells(found, 'accuracy', -1)}"
    )


def _cells(
    found: Sequence[Mapping[str, Mapping[str, float]]],
    name: Literal["success", "accuracy"],
    sign: int,
) -> str:
    means = [mean([h[part][name] for h in found]) for part in PARTS]
    harm = mean([sign * (h["gate"][name] - h["clean"][name]) for h in found])
    return "".join(f" {m:>6.3f}" for m in means) + f" {harm:>+6.3f}"
