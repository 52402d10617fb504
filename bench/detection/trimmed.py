"""`python -m bench.detection.trimmed FOLDER`: what the sample weights do to a model's accuracy.

As in `harm`: a fifth of the clean batch is held out, the attack is planted in the rest, the gate
publishes what it publishes. Then the same model is fitted to the published rows, once without
weights and once for each share of rows that get weight 0 because their labels are expected least.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from auditor.drill import Gate, quarantined
from auditor.errors import Unavailable
from auditor.model import Outcome
from auditor.redteam.variants import VARIANTS
from auditor.trimmed_loss import weigh
from bench.detection.cases import Case, cut
from bench.detection.harm import MODELS, Mask, Weights, hold_out, trained
from bench.detection.peer_table import mean
from bench.detection.trials import CONDITIONS, gate_for, tables

CLEAN: Final = "clean"
ATTACKS: Final = (CLEAN, "targeted-flip", "boundary-flip", "random-flip-spread")
SHARES: Final = (0.02, 0.05, 0.1)
RATE: Final = 0.05


def main() -> None:
    """Parse arguments, print one line a trial as JSON, then the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.detection.trimmed", description=__doc__)
    parser.add_argument("folder", nargs="?", default="", help="parquet files with a label column")
    parser.add_argument("--sets", nargs="*", default=[])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--condition", default="alike", choices=list(CONDITIONS))
    parser.add_argument("--attacks", nargs="*", default=list(ATTACKS))
    given = parser.parse_args()
    records = []
    for record in _records(given):
        records.append(record)
        print(json.dumps(record), file=sys.stderr, flush=True)
    print_table(records)


def _records(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for name, table in tables(given.folder):
        for seed in given.seeds if not given.sets or name in given.sets else ():
            case = cut(name, table, seed=seed, **CONDITIONS[given.condition])
            gate = gate_for(case)
            for attack in given.attacks:
                try:
                    found = measure(case, attack, gate, seed)
                except Unavailable as reason:
                    found = [{"unavailable": str(reason)}]
                yield from ({"set": name, "seed": seed, "attack": attack, **one} for one in found)


def measure(case: Case, attack: str, gate: Gate, seed: int) -> list[dict[str, Any]]:
    """One record a model: accuracy on held-out rows, fitted to clean, published, weighted rows.

    Where the gate stops the batch nothing would be trained; then the record is about all rows, as
    if it had set none aside, and `stopped` says so.
    """
    kept, held = hold_out(case.batch, seed)
    table, poison = kept, np.zeros(kept.num_rows, dtype=bool)
    if attack != CLEAN:
        rows = round(RATE * kept.num_rows)
        planted = VARIANTS[attack](kept, case.roles, rows=rows, seed=seed, trusted=case.trusted)
        table, poison = planted.table, planted.mask.to_numpy(zero_copy_only=False)
    batch = case.as_batch(table)
    outcomes = gate.outcomes(batch)
    aside = quarantined(gate.decide(batch, outcomes), batch.rows)
    stopped = bool(aside.all())
    aside &= not stopped
    weights = {share: _weights(outcomes, share, aside) for share in SHARES}
    said: dict[str, Any] = {"stopped": stopped, "poison": int((poison & ~aside).sum())}
    for share, own in weights.items():
        zero = ~aside & (own == 0)
        said |= {f"zero {share:g}": int(zero.sum()), f"hit {share:g}": int((zero & poison).sum())}
    return [
        {"model": model, **said, **_accuracies(case, table, poison, aside, held, weights, model)}
        for model in MODELS
    ]


def _accuracies(
    case: Case,
    table: pa.Table,
    poison: Mask,
    aside: Mask,
    held: pa.Table,
    weights: Mapping[float, Weights],
    model: str,
) -> dict[str, float]:
    found = {
        "clean": trained(case, table, ~poison, held, model),
        "published": trained(case, table, ~aside, held, model),
    }
    for share, own in weights.items():
        found[f"trimmed {share:g}"] = trained(case, table, ~aside, held, model, weights=own)
    return {name: harm.accuracy for name, harm in found.items()}


def _weights(outcomes: Sequence[Outcome], share: float, aside: Mask) -> Weights:
    found = weigh(outcomes, {outcome.rule for outcome in outcomes}, share, aside)
    if found is None:
        raise Unavailable("no loss of the rows is known")
    return found.values


def print_table(records: Sequence[Mapping[str, Any]]) -> None:
    """Accuracy; what each share adds to it, in points with its standard error; better/same/worse.

    Means over sets and seeds. `held`: batches that the gate stops, measured as if it had not.
    """
    whole = [r for r in records if "unavailable" not in r]
    print(
        f"{'attack':20} {'model':9} {'n':>3} {'held':>4} {'clean':>6} {'publ.':>6}"
        + "".join(f" {f'trimmed {s:.0%}':>13} {'+/=/-':>8}" for s in SHARES)
    )
    for attack, model in dict.fromkeys((r["attack"], r["model"]) for r in whole):
        of = [r for r in whole if (r["attack"], r["model"]) == (attack, model)]
        print(
            f"{attack:20} {model:9} {len(of):>3} {sum(r['stopped'] for r in of):>4}"
            f" {mean([r['clean'] for r in of]):>6.3f} {mean([r['published'] for r in of]):>6.3f}"
            + "".join(_cells([r[f"trimmed {s:g}"] - r["published"] for r in of]) for s in SHARES)
        )
    for r in records:
        if "unavailable" in r:
            print(f"not planted: {r['attack']} on {r['set']}: {r['unavailable']}")


def _cells(gains: Sequence[float]) -> str:
    points = 100 * np.array(gains)
    counts = ((points > 0).sum(), (points == 0).sum(), (points < 0).sum())
    error = points.std(ddof=1) / np.sqrt(len(points)) if len(points) > 1 else math.nan
    return f" {points.mean():>+6.2f} ±{error:>5.2f} {'/'.join(map(str, counts)):>8}"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
