"""How many rows a sender may have, and what is done with the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.batch import Roles, TableBatch
from auditor.model import Effect, Finding, Outcome, Severity, Verdict, row_table
from auditor.policy import OVER_QUOTA, SHARE_LIMIT, Policy, decide, senders_of
from auditor.quotas import Quotas, level, within_quotas
from auditor.site import all_rules

Counts = st.lists(st.integers(1, 10_000), min_size=1, max_size=40)


@given(Counts, st.floats(0.01, 1.0))
def test_nobody_has_more_than_the_share_of_what_stays(counts: list[int], share: float) -> None:
    most = level(np.array(counts), share)
    kept = [min(count, most) for count in counts]
    allowed = max(share, 1 / len(counts))
    assert max(kept) <= allowed * sum(kept) + 1.0, "whole rows: at most one more"
    assert most >= min(counts) or share < 1 / len(counts) or most >= 1


@given(Counts, st.floats(0.05, 1.0))
def test_it_is_the_largest_such_level(counts: list[int], share: float) -> None:
    most, allowed = level(np.array(counts), share), max(share, 1 / len(counts))
    if most >= max(counts):
        return
    more = [min(count, most + 1) for count in counts]
    assert max(more) > allowed * sum(more) - 1e-6


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([900, 50, 50], 0.5, 100),  # as much as the others together
        ([900, 50, 50], 0.9, 1000),  # within it: all stay, the level is no limit
        ([10, 10, 10], 0.1, 10),  # three cannot keep to a tenth each: they share alike
        ([700], 0.2, 700),  # there is nobody to outweigh
        ([600, 600, 100, 100], 0.3, 150),
    ],
)
def test_levels(counts: list[int], share: float, expected: int) -> None:
    found = level(np.array(counts), share)
    assert min(found, max(counts)) == min(expected, max(counts))


def batch(senders: list[str], labels: list[str] | None = None) -> Any:
    columns = {"who": senders, "x": list(range(len(senders)))}
    roles = {"contributor": ("who",)}
    if labels is not None:
        columns["y"] = labels
        roles["label"] = ("y",)
    return TableBatch(pa.table(columns), Roles(roles))


def test_what_is_over_is_set_aside_and_the_rest_flows() -> None:
    """One contributor floods the batch; the others' rows are published."""
    flooded = batch(["mallory"] * 800 + ["ann"] * 100 + ["bob"] * 100)
    outcome = within_quotas(flooded, Quotas(contributor=0.5), seed=7)
    (finding,) = outcome.findings
    assert finding.rows is not None
    rows = finding.rows.column("row").to_numpy()
    assert len(rows) == 600
    assert rows.max() < 800
    assert finding.evidence["contributor"] == "mallory"
    other = within_quotas(flooded, Quotas(contributor=0.5), seed=8).findings[0].rows
    assert other is not None
    assert other.column("row").to_pylist() != rows.tolist(), "nobody can choose which ones stay"
    decision = decide(
        [outcome], rules=all_rules(), policy=Policy(), rows=1000, senders=senders_of(flooded)
    )
    assert decision.verdict == Verdict.QUARANTINE, "not the whole batch, not the sender whole"


def test_the_quota_of_one_label() -> None:
    """A contributor sends nearly all rows of one label, and few in all."""
    senders = ["mallory"] * 60 + ["ann"] * 20 + ["bob"] * 20 + ["ann"] * 400 + ["bob"] * 400
    labels = ["spam"] * 100 + ["ham"] * 800
    sent = batch(senders, labels)
    assert within_quotas(sent, Quotas(contributor=0.5), seed=1).findings == ()
    (finding,) = within_quotas(sent, Quotas(contributor_label=0.5), seed=1).findings
    assert finding.rows is not None
    rows = finding.rows.column("row").to_numpy()
    assert len(rows) == 20
    assert rows.max() < 60


def test_rows_without_a_name_share_one_quota() -> None:
    table = pa.table({"who": [None] * 80 + ["a"] * 10 + ["b"] * 10, "x": list(range(100))})
    sent = TableBatch(table, Roles({"contributor": ("who",)}))
    (finding,) = within_quotas(sent, Quotas(contributor=0.5), seed=1).findings
    assert finding.rows is not None
    assert finding.rows.num_rows == 60


def claim(rule: str, rows: list[int]) -> Outcome:
    finding = Finding(
        rule=rule, severity=Severity.HIGH, message="bad rows", rows=row_table(rows, 0.9)
    )
    return Outcome(rule=rule, findings=(finding,))


def verdict_of(rows: list[int], senders: list[str]) -> Any:
    sent = batch(senders)
    return decide(
        [claim("AUD-D001", rows)],
        rules=all_rules(),
        policy=Policy(effects={"AUD-D001": Effect.QUARANTINE}),
        rows=len(senders),
        senders=senders_of(sent),
    )


def test_junk_of_one_sender_does_not_refuse_the_batch() -> None:
    """Denial: every day one contributor sends so much junk that the batch would be refused."""
    senders = ["mallory"] * 700 + ["ann"] * 300
    decision = verdict_of(list(range(650)), senders)
    assert decision.verdict == Verdict.QUARANTINE
    aside = [d.finding for d in decision.decided if d.finding.rule == SHARE_LIMIT.id]
    assert [f.evidence["contributor"] for f in aside] == ["mallory"]
    assert verdict_of(list(range(700)), senders).verdict == Verdict.QUARANTINE, "nothing but junk"


def test_junk_of_everybody_still_does() -> None:
    """The same amount spread over all: nobody is left."""
    senders = ["mallory", "ann"] * 500
    decision = verdict_of(list(range(650)), senders)
    assert decision.verdict == Verdict.REJECT
    assert "no sender is left" in decision.reasons[0]


def test_what_is_left_is_judged_by_itself() -> None:
    """One sender is set aside whole, and more than half of the others' rows are bad too."""
    senders = ["mallory"] * 100 + ["ann"] * 50 + [f"n{i}" for i in range(50)]
    decision = verdict_of([*range(100), *range(150, 200), 100], senders)
    assert decision.verdict == Verdict.REJECT
    assert "51 of 100 rows beside 100 of senders" in decision.reasons[0]
    assert OVER_QUOTA.id not in {d.finding.rule for d in decision.decided}
