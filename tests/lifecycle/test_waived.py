"""What is waived, and what is not: by finding and row, and for nothing else."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from auditor.afterwards.waived import Joined, Waived
from auditor.batch import BatchKind, Roles, TableBatch, read_columns
from auditor.model import Effect, Finding, Outcome, Severity, Tally, ranking_table, row_table
from auditor.policy import Policy, decide
from auditor.site import all_rules

RULE, OTHER = "AUD-D001", "AUD-D003"


def finding(rows: list[int], rule: str = RULE) -> Finding:
    return Finding(rule=rule, severity=Severity.HIGH, message="said", rows=row_table(rows, 0.9))


def rows(one: Finding) -> list[int]:
    assert one.rows is not None
    found: list[int] = one.rows.column("row").to_pylist()
    return found


def test_rows_that_were_published_are_no_part_of_a_release() -> None:
    outcome = Outcome(
        rule=RULE,
        findings=(finding([0, 9, 10, 12]), finding([3])),
        ranking=ranking_table([2, 11], [0.1, 0.2]),
        updates=(Tally(name="t", rows=pa.array([10]), exposure=1.0),),
    )
    found = Waived({}).narrowed(outcome, 10)
    assert [rows(one) for one in found.findings] == [[0, 2]]
    assert found.ranking is not None
    assert found.ranking.column("row").to_pylist() == [1]
    assert found.updates == ()


def test_only_the_named_rows_of_the_named_rule_are_waived() -> None:
    waived = Waived({RULE: np.array([True, False, True])})
    outcome = Outcome(rule=RULE, findings=(finding([10, 11, 12]),))
    marked, rest = waived.narrowed(outcome, 10).findings
    assert (rows(marked), marked.evidence) == ([0, 2], {"waived": True})
    assert (rows(rest), rest.evidence) == ([1], {})
    (other,) = waived.narrowed(Outcome(rule=OTHER, findings=(finding([10], OTHER),)), 10).findings
    assert other.evidence == {}


def test_a_claim_about_the_whole_batch_is_never_waived() -> None:
    whole = Finding(rule=RULE, severity=Severity.HIGH, message="all of it")
    waived = Waived({RULE: np.array([True])})
    assert waived.narrowed(Outcome(rule=RULE, findings=(whole,)), 10).findings == (whole,)


def test_the_policy_notes_what_is_waived_and_nothing_else() -> None:
    waived = Waived({RULE: np.array([True, False])})
    outcome = waived.narrowed(Outcome(rule=RULE, findings=(finding([0, 1]),)), 0)
    decision = decide([outcome], rules=all_rules(), policy=Policy(batch_share=0.9), rows=2)
    assert [(one.effect, rows(one.finding)) for one in decision.decided] == [
        (Effect.NOTE, [0]),
        (Effect.QUARANTINE, [1]),
    ]


def test_two_batches_after_each_other() -> None:
    roles = Roles({})
    first, second = (
        TableBatch(pa.table({"x": values}), roles, chunk_rows=2) for values in ([1, 2, 3], [4, 5])
    )
    joined = Joined(first, second, "0" * 64, roles, BatchKind.TRAINING)
    assert joined.rows == 5
    assert read_columns(joined, ["x"]).column("x").to_pylist() == [1, 2, 3, 4, 5]
    assert [chunk.start for chunk in joined.chunks(["x"])] == [0, 2, 3]
