"""Clean batches stay within the stated false-alarm rates.

The policy spends alpha = 1 % a batch, and clean batches may lose at most 0.1 % of their rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from auditor import calibration
from auditor.batch import Roles, TableBatch
from auditor.context import Context, Detector
from auditor.detectors import DETECTORS
from auditor.errors import Unavailable
from auditor.model import STATISTICAL, Effect, Outcome, Verdict
from auditor.policy import Policy, decide
from auditor.statistics import binomial_tail, rate_upper

RULES = {d.rule.id: d.rule for d in DETECTORS if d.rule.family in STATISTICAL}
ALPHA = 0.01
ROW_RATE = 0.001
KEY = bytes(range(32))


def load_all(context: Context) -> dict[str, Detector]:
    loaded = {}
    for detector in (d for d in DETECTORS if d.rule.id in RULES):
        try:
            loaded[detector.rule.id] = detector.load(context)
        except Unavailable:
            continue
    return loaded


def judge(loaded: dict[str, Detector], batch: TableBatch) -> tuple[bool, int]:
    """Whether the default policy does not accept the batch, and the rows that it sets aside."""
    outcomes = [_scan(rule, detector, batch) for rule, detector in loaded.items()]
    decision = decide(outcomes, rules=RULES, policy=Policy(alpha=ALPHA), rows=batch.rows)
    named = [f.rows for f in decision.having(Effect.QUARANTINE) if f.rows is not None]
    rows = {row for table in named for row in table.column("row").to_pylist()}
    return decision.verdict != Verdict.ACCEPT, len(rows)


def _scan(rule: str, detector: Detector, batch: TableBatch) -> Outcome:
    try:
        return detector.scan(batch)
    except Unavailable as reason:
        return Outcome(rule=rule, skipped=str(reason))


def windows(table: pa.Table, rows: int, count: int, seed: int) -> Iterator[pa.Table]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield table.take(pa.array(np.sort(rng.choice(table.num_rows, rows, replace=False))))


def assert_within(alarms: int, batches: int, lost: int, rows: int) -> None:
    said = f"{alarms} of {batches} clean batches not accepted, {lost} of {rows} rows set aside"
    assert binomial_tail(alarms, batches, ALPHA) > 1e-3, said
    assert lost <= ROW_RATE * rows, said


@pytest.mark.slow
def test_a_few_clean_batches_are_accepted(
    diamonds_context: Context, diamonds_clean: pa.Table, diamonds_roles: Roles
) -> None:
    loaded = load_all(diamonds_context)
    assert set(loaded) == set(RULES)
    found = [
        judge(loaded, TableBatch(table, diamonds_roles))
        for rows in (100, 400, 1500)
        for table in windows(diamonds_clean, rows, 4, rows)
    ]
    lost = sum(n for _, n in found)
    assert_within(sum(a for a, _ in found), len(found), lost, 4 * (100 + 400 + 1500))


def bundled(name: str) -> tuple[pa.Table, Roles]:
    import sklearn.datasets

    loaded = getattr(sklearn.datasets, f"load_{name}")()
    columns = {f"f{i:02d}": loaded.data[:, i] for i in range(loaded.data.shape[1])}
    roles = Roles({"feature": tuple(columns), "label": ("label",)})
    return pa.table(columns | {"label": loaded.target}), roles


@pytest.mark.slow
def test_resampled_batches_of_real_data_are_accepted(
    diamonds_trusted: pa.Table, diamonds_clean: pa.Table, diamonds_roles: Roles
) -> None:
    """Three splits of each set, batches from the half that the baseline did not see."""
    sets = [bundled(name) for name in ("breast_cancer", "digits", "wine")]
    sets.append(
        (pa.concat_tables([diamonds_trusted, diamonds_clean.slice(0, 3000)]), diamonds_roles)
    )
    alarms = batches = lost = rows = 0
    for table, roles in sets:
        for split in range(3):
            order = np.random.default_rng(split).permutation(table.num_rows)
            cut = (6 * table.num_rows) // 10
            context = calibrated(table.take(pa.array(order[:cut])), roles, split)
            loaded = load_all(context)
            rest = table.take(pa.array(order[cut:]))
            count = 4 if table.num_columns > 50 else 10  # 64 columns are a lot of pairs
            for part in windows(rest, rest.num_rows // 2, count, split):
                alarm, gone = judge(loaded, TableBatch(part, roles))
                alarms, batches = alarms + alarm, batches + 1
                lost, rows = lost + gone, rows + part.num_rows
    assert_within(alarms, batches, lost, rows)
    assert rate_upper(alarms, batches, 0.95) < 0.05


def calibrated(table: pa.Table, roles: Roles, seed: int) -> Context:
    plan = calibration.Plan(
        name=f"split {seed}",
        site_key=KEY,
        now=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        options={},
        resamples=0,
    )
    baseline = calibration.build(TableBatch(table, roles), plan)
    return Context(seed=seed, site_key=KEY, baseline=baseline)
