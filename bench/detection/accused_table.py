"""Who was named, and what framing cost the framed: two tables for each condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from auditor.statistics import rate_upper
from bench.detection.peer_table import mean

Record = Mapping[str, Any]

#: Poison of more contributors than this is everybody's: there is nobody to name.
FEW: Final = 5
#: What framing may cost: the share of the victim's honest rows that is set aside.
FRAMED_LIMIT: Final = 0.01


def print_accused(records: Sequence[Record]) -> None:
    """Nothing where no poison came from a few contributors and nobody was framed."""
    for condition in dict.fromkeys(r["condition"] for r in records):
        mine = [r for r in records if r["condition"] == condition]
        _named(condition, [r for r in mine if 0 < len(r.get("senders", ())) <= FEW])
        _framed(condition, [r for r in mine if "framed" in r])


def _named(condition: str, records: Sequence[Record]) -> None:
    if not records:
        return
    print(f"\n## {condition}: contributors that a finding with an effect names")
    print(f"{'attack':26} {'size':>6} {'runs':>4} {'senders':>7} {'all':>5} {'bound':>6}", end="")
    print(f" {'no honest':>9} {'bound':>6}")
    for attack, size, found in _groups(records):
        cells = [_share(sum(of(r) for r in found), len(found)) for of in (_all, _no_honest)]
        senders = mean([len(r["senders"]) for r in found])
        print(
            f"{attack:26} {size:>6g} {len(found):>4} {senders:>7.1f} {cells[0][0]:>5.2f} "
            f"{cells[0][1]:>6.2f} {cells[1][0]:>9.2f} {cells[1][1]:>6.2f}"
        )
    print("bound: 95 % lower bound of the share of runs (Clopper, Pearson).")
    for r in records:
        if not (_all(r) and _no_honest(r)):
            print(f"  {r['attack']} {r['size']:g}, {r['set']} seed {r['seed']}: {_told(r)}")


def _all(record: Record) -> bool:
    """Whether everybody who sent poison is named."""
    return set(record["senders"]) <= set(record["named"])


def _no_honest(record: Record) -> bool:
    return set(record["named"]) <= set(record["senders"])


def _told(record: Record) -> str:
    missed = [
        f"{name} not named ({bad} of {rows} rows poison)"
        for name, (rows, bad) in record["senders"].items()
        if name not in record["named"]
    ]
    honest = [
        f"honest {name} named by {', '.join(rules)}"
        for name, rules in record["named"].items()
        if name not in record["senders"]
    ]
    return "; ".join((*missed, *honest))


def _framed(condition: str, records: Sequence[Record]) -> None:
    if not records:
        return
    print(f"\n## {condition}: honest rows of the framed contributor")
    print(
        f"{'attack':26} {'size':>6} {'runs':>4} {'rows':>5} {'aside':>7} {'harmed':>6} "
        f"{'bound':>6} {'named':>6}  rules (their rows set aside)"
    )
    for attack, size, found in _groups(records):
        framed = [r["framed"] for r in found]
        harmed = [f["aside"] > FRAMED_LIMIT * f["rows"] for f in framed]
        named = [f["victim"] in r["named"] for f, r in zip(framed, found, strict=True)]
        print(
            f"{attack:26} {size:>6g} {len(found):>4} {mean([f['rows'] for f in framed]):>5.0f} "
            f"{mean([f['aside'] / max(f['rows'], 1) for f in framed]):>7.2%} "
            f"{mean(harmed):>6.2f} {rate_upper(sum(harmed), len(harmed), 0.95):>6.2f} "
            f"{mean(named):>6.2f}  {_rules(framed)}"
        )
    print(
        f"aside: mean over runs. harmed: runs with more than {FRAMED_LIMIT:.0%} of these rows set "
        "aside; bound: its 95 % upper bound."
    )


def _rules(framed: Sequence[Mapping[str, Any]]) -> str:
    total: dict[str, int] = {}
    for one in framed:
        for rule, rows in one["rules"].items():
            total[rule] = total.get(rule, 0) + rows
    return ", ".join(f"{rule} {rows}" for rule, rows in sorted(total.items())) or "none"


def _groups(records: Sequence[Record]) -> Iterator[tuple[str, float, list[Record]]]:
    for size, attack in dict.fromkeys((r["size"], r["attack"]) for r in records):
        yield attack, size, [r for r in records if (r["size"], r["attack"]) == (size, attack)]


def _share(hits: int, runs: int) -> tuple[float, float]:
    """The share, and its lower bound."""
    return hits / runs, 1.0 - rate_upper(runs - hits, runs, 0.95)
