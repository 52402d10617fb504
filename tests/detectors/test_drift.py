"""AUD-R001 on small, empty and odd columns, and what the policy makes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from auditor.baseline import Baseline, Part
from auditor.batch import Roles, TableBatch
from auditor.context import Context
from auditor.detectors.drift import Drift, Options
from auditor.errors import Unavailable
from auditor.model import (
    Effect,
    Family,
    Finding,
    Outcome,
    Rule,
    Severity,
    Verdict,
)
from auditor.policy import Decision, Policy, decide

ROLES = Roles({"feature": ("size", "kind", "flag"), "label": ("label",)})
LABEL = Rule(
    id="AUD-L900",
    family=Family.LABEL,
    title="a statistical rule",
    severity=Severity.HIGH,
    effect=Effect.HOLD,
)


def table(rows: int, seed: int, *, size: float = 0.0, kind: str = "ab") -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "size": rng.normal(size, 1.0, rows),
            "kind": [kind[i] for i in rng.integers(0, len(kind), rows)],
            "flag": rng.integers(0, 2, rows),
            "label": rng.integers(0, 2, rows),
        }
    )


def baseline(trusted: pa.Table) -> Baseline:
    return Baseline(
        digest="",
        created_at="",
        key_id="",
        seed=1,
        roles=ROLES,
        schema=trusted.schema,
        parts=(),
        sample=trusted,
        keys=trusted,
        edges={},
    )


def detector(trusted: pa.Table | None = None, options: Options | None = None) -> Drift:
    known = baseline(table(600, 1) if trusted is None else trusted)
    settings = {"AUD-R001": options} if options else {}
    return Drift.load(Context(seed=3, baseline=known, settings=settings))


def scan(batch: pa.Table, own: Drift | None = None) -> dict[object, Finding]:
    outcome = (own or detector()).scan(TableBatch(batch, ROLES))
    return {f.evidence["scope"]: f for f in outcome.findings}


def put(rows: pa.Table, column: str, values: pa.Array) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(column), column, values)


def test_a_batch_like_the_baseline_is_steady() -> None:
    assert scan(table(500, 2)) == {}


def test_without_a_baseline_there_is_no_drift() -> None:
    with pytest.raises(Unavailable, match="needs a baseline"):
        Drift.load(Context())


def test_thirty_rows_are_too_few() -> None:
    with pytest.raises(Unavailable, match="needs at least 50 rows, has 30"):
        detector().scan(TableBatch(table(30, 2), ROLES))


def test_a_category_that_is_new_is_told() -> None:
    claim = scan(table(500, 2, kind="abz"))["column"]
    assert claim.evidence["columns"] == "kind"
    assert "other values 0.0% -> 3" in claim.message


@pytest.mark.parametrize("kind", [pa.float64(), pa.null()])
def test_a_column_that_is_empty_is_told(kind: pa.DataType) -> None:
    claim = scan(put(table(500, 2), "size", pa.nulls(500, kind)))["column"]
    assert claim.evidence["columns"] == "size"
    assert "missing 0.0% -> 100.0%" in claim.message


def test_a_column_that_was_empty_is_told_when_it_is_not() -> None:
    own = detector(put(table(600, 1), "size", pa.nulls(600, pa.float64())))
    assert "missing 100.0% -> 0.0%" in scan(table(500, 2), own)["column"].message


def test_a_switch_that_flips_more_often_is_told() -> None:
    rng = np.random.default_rng(4)
    claim = scan(put(table(500, 2), "flag", pa.array((rng.random(500) < 0.9).astype(int))))
    assert claim["column"].evidence["columns"] == "flag"


def test_constant_columns_are_steady_and_told_when_they_change() -> None:
    one, two = (pa.array(np.full(n, 7)) for n in (600, 500))
    own = detector(put(table(600, 1), "flag", one))
    assert scan(put(table(500, 2), "flag", two), own) == {}
    moved = scan(put(table(500, 2), "flag", pa.array(np.full(500, 8))), own)
    assert "median 7 -> 8" in moved["column"].message


def test_text_where_numbers_were_is_left_to_other_rules() -> None:
    assert scan(put(table(500, 2), "size", pa.array(["x"] * 500))) == {}


def test_other_label_shares_are_told() -> None:
    labels = (np.random.default_rng(5).random(500) < 0.9).astype(int)
    claim = scan(put(table(500, 2), "label", pa.array(labels)))["label"]
    assert "label '0' 50.7% -> 9.4%" in claim.message
    assert claim.p_value is not None
    assert claim.p_value < 1e-9


def test_a_shift_within_one_label_is_told_where_the_column_is_steady() -> None:
    rows = table(4000, 2)
    sign = np.where(rows["label"].to_numpy() == 1, 1.0, -1.0)
    own = detector(table(4000, 1))
    claims = scan(put(rows, "size", pa.array(rows["size"].to_numpy() + 0.7 * sign)), own)
    assert claims["column by label"].evidence["moved"] == 2


def test_the_order_and_the_chunks_do_not_matter() -> None:
    rows = table(500, 2, size=0.6, kind="abz")
    order = np.random.default_rng(6).permutation(500)
    one = scan(rows)
    for other in (rows.take(pa.array(order)),):
        assert [unplaced(f) for f in scan(other).values()] == [unplaced(f) for f in one.values()]
    parts = detector().scan(TableBatch(rows, ROLES, chunk_rows=37))
    assert list(parts.findings) == list(one.values())


def unplaced(finding: Finding) -> tuple[str, object]:
    """What a finding says, but for the positions of rows."""
    return finding.message, dict(finding.evidence) | {"rows_least_like_trusted": None}


def test_the_trusted_sample_counts_for_the_rows_behind_it() -> None:
    """A sample that keeps more of a rare label does not look like other label shares."""
    kept = table(600, 1)  # half of it with label 1, which was 10 % of all trusted rows
    known = baseline(kept)
    part = Part(name="t", digest="", rows=6000, histograms={}, labels={"0": 5400, "1": 600})
    own = replace(detector(kept), baseline=replace(known, parts=(part,)))
    rare = (np.random.default_rng(7).random(500) < 0.1).astype(int)
    assert "label" not in scan(put(table(500, 2), "label", pa.array(rare)), own)
    assert "label" in scan(table(500, 2), own)


def judged(options: Options | None, effects: dict[str, Effect], *others: Finding) -> Decision:
    outcome = detector(options=options).scan(TableBatch(table(500, 2, size=1.5), ROLES))
    assert outcome.findings
    rules = {Drift.rule.id: Drift.rule, LABEL.id: LABEL}
    return decide(
        [outcome, Outcome(rule=LABEL.id, findings=others)],
        rules=rules,
        policy=Policy(alpha=0.01, effects=effects),
        rows=500,
    )


def test_drift_is_noted() -> None:
    assert judged(None, {}).verdict == Verdict.ACCEPT


def test_drift_above_the_limit_holds() -> None:
    assert judged(Options(hold_above=0.5), {}).verdict == Verdict.HOLD
    assert judged(Options(hold_above=50.0), {}).verdict == Verdict.ACCEPT


def test_the_policy_has_the_last_word() -> None:
    noted = judged(Options(hold_above=0.5), {"AUD-R001": Effect.NOTE})
    assert noted.verdict == Verdict.ACCEPT
    assert judged(None, {"AUD-R001": Effect.HOLD}).verdict == Verdict.HOLD


@pytest.mark.parametrize("effects", [{}, {"AUD-R001": Effect.QUARANTINE}])
def test_drift_has_no_part_in_the_error_budget(effects: dict[str, Effect]) -> None:
    """A statistical rule spends its whole family's share, whatever drift says."""
    share = 0.01  # the label family is the only one that ran
    for p, expected in ((0.99 * share, Effect.HOLD), (1.01 * share, Effect.NOTE)):
        other = Finding(rule=LABEL.id, severity=Severity.HIGH, message="m", p_value=p)
        decided = judged(None, effects, other).decided
        (ours,) = [d for d in decided if d.finding.rule == LABEL.id]
        assert ours.effect == expected


def test_the_model_names_the_rows_least_like_trusted_ones(
    diamonds_context: Context, diamonds_clean: pa.Table, diamonds_roles: Roles
) -> None:
    table = diamonds_clean.slice(0, 600)
    moved = np.arange(0, 600, 6)
    for name in ("carat", "x", "z"):
        values = table[name].to_numpy().copy()
        values[moved] *= 3.0
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(values))
    found = Drift.load(diamonds_context).scan(TableBatch(table, diamonds_roles))
    told = next(f for f in found.findings if f.evidence["scope"] == "domain")
    named = [int(row) for row in str(told.evidence["rows_least_like_trusted"]).split(", ")]
    assert len(named) == 20
    assert np.isin(named, moved).mean() > 0.9
    assert float(str(told.evidence["highest_ratio"])) > 1.5
