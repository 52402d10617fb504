"""One trial = one data set, seed, condition, attack and rate: ours and peers on the same rows."""

from __future__ import annotations

import datetime as dt
import math
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.calibration import Plan, build
from auditor.context import Context
from auditor.detectors import DETECTORS
from auditor.drill import Gate, compare, recall_at
from auditor.errors import Unavailable
from auditor.redteam.planting import Planted
from auditor.redteam.variants import VARIANTS
from auditor.statistics import auc
from bench.detection import harm
from bench.detection.accused import accused
from bench.detection.cases import Case, bundled, cut, from_folder, seeped
from bench.detection.peers import PEERS, Peer

NOW: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SITE_KEY: Final = b"bench" * 8
#: The ten attacks of the public table.
TEN: Final = (
    "random-flip",
    "targeted-flip",
    "boundary-flip",
    "sybil",
    "near-copy",
    "backdoor",
    "backdoor-jittered",
    "clean-label",
    "perturbation",
    "out-of-distribution",
)
CONDITIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "alike": {},
    "different": {"honest": "different", "zipf": True},
    "drift": {"drift": True},
    "drift-different": {"drift": True, "honest": "different"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What to run: one data set at one seed in one condition, all attacks at all rates.

    `clean`: how many clean batches are audited against the one baseline, where the rows suffice.
    `baseline_poison`: share of the trusted rows that are poison of the attack too.
    """

    folder: str
    set: str
    seed: int
    condition: str
    attacks: tuple[str, ...]
    rates: tuple[float, ...]
    counts: tuple[int, ...] = ()
    peers: tuple[str, ...] = ()
    baseline: bool = True
    #: A model of `harm.MODELS`; "" leaves the harm out.
    harm: str = ""
    clean: int = 1
    baseline_poison: float = 0.0


def tables(folder: str) -> Iterator[tuple[str, pa.Table]]:
    """The data sets of a folder, or scikit-learn's own where none is given."""
    return from_folder(Path(folder)) if folder else bundled()


def run(work: Work) -> list[dict[str, Any]]:
    """One record for each clean batch and one for each attack and size; plain values."""
    table = next(t for name, t in tables(work.folder) if name == work.set)
    case = cut(work.set, table, seed=work.seed, batches=work.clean, **CONDITIONS[work.condition])
    gate = gate_for(case, work.baseline)
    records = [
        _record(work, "clean", 0.0, _ours(gate, case, batch))
        for batch in (case.batch, *case.further)
    ]
    planted_ones = []
    for attack in work.attacks:
        for size, rows in _sizes(work, case.batch.num_rows):
            try:
                seen, planted = plant(work, case, attack, rows)
            except Unavailable as reason:
                records.append(_record(work, attack, size, {"unavailable": str(reason)}))
                continue
            own = gate if seen is case else gate_for(seen, work.baseline)
            found = _ours(own, seen, planted.table, planted)
            records.append(_record(work, attack, size, found))
            planted_ones.append((records[-1], seen, planted))
    # Only now: what the peers and the models need must not count as our peak memory.
    for record, seen, planted in planted_ones:
        record["peers"] = {name: _peer(PEERS[name], seen, planted) for name in work.peers}
        if work.harm:
            record["harm"] = _harm(work, case, record, gate)
    return records


def plant(work: Work, case: Case, attack: str, rows: int) -> tuple[Case, Planted]:
    """The attack in the batch, and in the trusted rows where the work asks for it."""
    trusted = round(work.baseline_poison * case.trusted.num_rows)
    planted = VARIANTS[attack](
        case.batch, case.roles, rows=rows + trusted, seed=work.seed, trusted=case.trusted
    )
    return seeped(case, planted, trusted, work.seed) if trusted else (case, planted)


def gate_for(case: Case, with_baseline: bool = True) -> Gate:
    """The shipped detectors and policy, with a baseline of the case's trusted rows or without."""
    baseline = None
    if with_baseline:
        plan = Plan(name=case.name, site_key=SITE_KEY, now=NOW, options={}, resamples=0)
        baseline = build(case.as_batch(case.trusted), plan)
    return Gate.of(DETECTORS, Context(seed=1, site_key=SITE_KEY, baseline=baseline))


def _sizes(work: Work, rows: int) -> list[tuple[float, int]]:
    rates = [(rate, _share(rate, rows)) for rate in work.rates]
    return rates + [(float(count), count) for count in work.counts if count < rows // 2]


def _share(rate: float, rows: int) -> int:
    return max(1, round(rate * rows))


def _ours(
    gate: Gate, case: Case, table: pa.Table, planted: Planted | None = None
) -> dict[str, Any]:
    started, cpu = time.perf_counter(), time.process_time()
    batch = case.as_batch(table)
    outcomes = gate.outcomes(batch)
    decision = gate.decide(batch, outcomes)
    mask = _mask(planted) if planted else np.zeros(batch.rows, dtype=bool)
    found = compare(batch, outcomes, decision, mask, time.perf_counter() - started)
    return {
        **asdict(found),
        **accused(batch, decision, mask, planted),
        "rows": batch.rows,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": peak_mb(),
    }


def _mask(planted: Planted) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = planted.mask.to_numpy(zero_copy_only=False)
    return mask


def peak_mb() -> float:
    """The most memory this process ever held, in MiB: libraries, baseline build and audits."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def _peer(peer: Peer, case: Case, planted: Planted) -> dict[str, float | str]:
    """Recall, area under the curve, seconds; NaN and `failed` with the reason where it raised."""
    started = time.perf_counter()
    try:
        scores = peer(case, planted.table)
    except Exception as error:  # noqa: BLE001 - other people's code: any failure is a result
        failed = f"{type(error).__name__}: {error}"
        return {"recall": math.nan, "auc": math.nan, "seconds": math.nan, "failed": failed}
    seconds, mask = time.perf_counter() - started, _mask(planted)
    return {"recall": recall_at(scores, mask), "auc": auc(scores, mask), "seconds": seconds}


def _harm(work: Work, case: Case, record: Mapping[str, Any], gate: Gate) -> dict[str, Any]:
    size = record["size"]
    try:
        return harm.measure(
            case,
            VARIANTS[record["attack"]],
            rows=lambda rows: int(size) if size >= 1 else _share(size, rows),
            seed=work.seed,
            gate=gate,
            model=work.harm,
        )
    except Unavailable as reason:
        return {"unavailable": str(reason)}


def _record(work: Work, attack: str, size: float, found: dict[str, Any]) -> dict[str, Any]:
    return {
        "set": work.set,
        "seed": work.seed,
        "condition": work.condition,
        "attack": attack,
        "size": size,
        **found,
    }
