"""One order for the review queue; row sets with their digest."""

from __future__ import annotations

import hashlib
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.fusion import fuse
from auditor.model import Finding, Outcome, Severity, ranking_table, row_table
from auditor.quarantine import SUSPECTS, collect, set_digest


def claim(rows: list[int], suspicion: float, rule: str = "AUD-A001", text: str = "why") -> Finding:
    table = row_table(rows, suspicion)
    return Finding(rule=rule, severity=Severity.LOW, message=text, rows=table)


def outcome(rule: str = "AUD-A001", *findings: Finding, ranking: pa.Table | None = None) -> Outcome:
    return Outcome(rule=rule, findings=findings, ranking=ranking)


def test_fused_scores_by_hand() -> None:
    one = outcome("a", claim([0, 1], 0.8))
    two = outcome("b", ranking=ranking_table([1, 2], [1e-3, 1e-30]))
    three = outcome("c", claim([1], 0.2))
    four = outcome("d", claim([1], 0.1))
    found = fuse([one, two, three, four], 4)
    best = (0.8 + 0.5 * 0.5 + 0.25 * 0.2) / 1.75
    assert found == pytest.approx([0.8 / 1.75, best, 1.0 / 1.75, 0.0], abs=1e-6)


def test_the_worse_of_finding_and_ranking_counts_once() -> None:
    both = outcome("a", claim([0], 0.9), claim([0], 0.3), ranking=ranking_table([0], [1e-3]))
    assert fuse([both], 1) == pytest.approx([0.9 / 1.75], abs=1e-6)


def test_rules_that_say_nothing_change_nothing() -> None:
    loud = outcome("a", claim([0, 2], 0.7))
    silent = [outcome(name) for name in "bcdef"]
    assert fuse([loud, *silent], 3).tolist() == fuse([loud], 3).tolist()
    assert fuse([], 3).tolist() == [0.0, 0.0, 0.0]
    assert fuse([Outcome(rule="a", skipped="no label role")], 2).tolist() == [0.0, 0.0]


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 9), unique=True), st.floats(0, 1, width=32)), max_size=6
    )
)
def test_fused_scores_are_in_the_unit_interval_in_any_order(claims: list) -> None:
    outcomes = [outcome(str(i), claim(rows, score)) for i, (rows, score) in enumerate(claims)]
    found = fuse(outcomes, 10)
    assert ((found >= 0) & (found <= 1 + 1e-9)).all()
    assert found == pytest.approx(fuse(outcomes[::-1], 10))


# --- quarantine ----------------------------------------------------------------------------


def test_rows_of_several_findings_are_joined() -> None:
    found = collect(
        [
            claim([5, 1], 0.5, "AUD-B001", "first"),
            claim([1], 0.9, "AUD-A001", "worse"),
            Finding(rule="AUD-C001", severity=Severity.LOW, message="about the whole batch"),
            claim([], 0.5),
        ]
    )
    assert found.table.schema == SUSPECTS
    assert found.rows.tolist() == [1, 5]
    assert len(found) == 2
    assert found.table["suspicion"].to_pylist() == pytest.approx([0.9, 0.5])
    assert found.table["rules"].to_pylist() == ["AUD-A001,AUD-B001", "AUD-B001"]
    assert found.table["reason"].to_pylist() == ["worse", "first"]


def test_no_findings_no_rows() -> None:
    assert len(collect([])) == 0
    assert collect([]).table.schema == SUSPECTS


@given(st.lists(st.lists(st.integers(0, 50), max_size=20, unique=True), max_size=5))
def test_the_row_set_is_the_sorted_union(parts: list[list[int]]) -> None:
    found = collect([claim(rows, 0.5) for rows in parts])
    assert found.rows.tolist() == sorted({row for rows in parts for row in rows})


def test_the_digest_of_a_row_set_is_what_is_documented() -> None:
    expected = "7dd14c59a952425d91fc5b278928b69ad9a6f0596e4773ada2cd69278e4c61f3"
    assert hashlib.sha256(b"digest\n0\n5\n").hexdigest() == expected
    assert set_digest("digest", np.array([0, 5])) == expected
    nothing = hashlib.sha256(b"digest\n").hexdigest()
    assert set_digest("digest", np.array([], dtype=np.int64)) == nothing


def test_the_digest_of_many_rows_does_not_depend_on_its_blocks() -> None:
    rows = np.arange(0, 200_000, 2)
    text = "d\n" + "".join(f"{row}\n" for row in rows)
    assert set_digest("d", rows) == hashlib.sha256(text.encode()).hexdigest()


def test_the_digest_names_the_batch() -> None:
    assert set_digest("one", np.array([1])) != set_digest("two", np.array([1]))


def test_fusing_many_rules_keeps_no_copy_of_all_scores() -> None:
    """Ten million rows: three best scores a row and what one rule adds, whatever the rules."""
    rows = 100_000
    rng = np.random.default_rng(0)
    tails = [rng.random(rows) for _ in range(6)]
    outcomes = [
        Outcome(rule=f"r{i}", ranking=ranking_table(np.arange(rows), tail))
        for i, tail in enumerate(tails)
    ]
    tracemalloc.start()
    try:
        fused = fuse(outcomes, rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 9 * 8 * rows
    best = np.sort(-np.log10(np.maximum(tails, 1e-6)) / 6, axis=0)[::-1][:3]
    assert np.allclose(fused, np.array([1.0, 0.5, 0.25]) @ best / 1.75)


def test_a_claim_counts_as_far_as_its_p_value_goes() -> None:
    def with_p(p: float, *, calibrated: bool = True) -> float:
        rows = row_table([0], 1.0)
        found = Finding(
            rule="a",
            severity=Severity.LOW,
            message="m",
            rows=rows,
            p_value=p,
            calibrated=calibrated,
        )
        return float(fuse([outcome("a", found)], 2)[0])

    assert with_p(1e-9) > with_p(1e-3) > with_p(0.04) > with_p(1.0)
    assert with_p(1e-9, calibrated=False) == pytest.approx(with_p(1e-9) / 2)


def test_rows_of_a_contributor_that_is_worse_than_the_others_come_first() -> None:
    rng = np.random.default_rng(1)
    senders = np.repeat(np.arange(20), 30)
    tails = rng.random(600)
    tails[:30] = rng.random(30) ** 6
    ranked = outcome("a", ranking=ranking_table(np.arange(600), tails))
    plain, lifted = fuse([ranked], 600), fuse([ranked], 600, senders)
    bad = np.arange(600) < 30
    assert np.sum(np.argsort(-lifted)[:30] < 30) > np.sum(np.argsort(-plain)[:30] < 30)
    assert lifted[bad].mean() > 3 * lifted[~bad].mean()
    # Among its own rows, and among all others, the order stays.
    assert (np.argsort(-lifted[bad]) == np.argsort(-plain[bad])).all()
    assert (np.argsort(-lifted[~bad]) == np.argsort(-plain[~bad])).all()


def test_contributors_who_are_alike_hardly_change_the_order() -> None:
    rng = np.random.default_rng(2)
    ranked = outcome("a", ranking=ranking_table(np.arange(400), rng.random(400)))
    plain = fuse([ranked], 400)
    lifted = fuse([ranked], 400, rng.integers(-1, 10, 400))
    assert np.abs(1.3 * lifted - plain).max() < 0.1
