"""Outcomes in, verdict out: precedence, the error budget, limits per sender."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from auditor.errors import ConfigError
from auditor.model import (
    Effect,
    Family,
    Finding,
    Outcome,
    Rule,
    Severity,
    Verdict,
    row_table,
)
from auditor.policy import SHARE_LIMIT, Decision, Policy, Senders, decide

ROWS = 1000


def rule(name: str, effect: Effect = Effect.QUARANTINE, family: Family = Family.QUALITY) -> Rule:
    return Rule(id=name, family=family, title=name, severity=Severity.HIGH, effect=effect)


RULES = {
    r.id: r
    for r in (
        rule("note", Effect.NOTE),
        rule("quarantine"),
        rule("reject", Effect.REJECT),
        rule("hold", Effect.HOLD),
        rule("label", family=Family.LABEL),
        rule("copies", family=Family.DUPLICATION),
        rule("conflicts", family=Family.DUPLICATION),
        rule("shared", Effect.NOTE, family=Family.DUPLICATION),
    )
}


def found(name: str, rows: list[int] | None, p: float | None = None, **more: object) -> Outcome:
    table = None if rows is None else row_table(rows, 0.9)
    claim = Finding(
        rule=name, severity=Severity.HIGH, message=f"{name} found", p_value=p, rows=table, **more
    )
    return Outcome(rule=name, findings=(claim,))


def verdict(*outcomes: Outcome, rows: int = ROWS, senders: tuple = (), **policy) -> Decision:
    return decide(outcomes, rules=RULES, policy=Policy(**policy), rows=rows, senders=senders)


def test_nothing_found_is_accepted() -> None:
    decision = verdict(Outcome(rule="label"), Outcome(rule="reject"))
    assert decision.verdict == Verdict.ACCEPT
    assert decision.reasons
    assert decision.decided == ()


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        (("note",), Verdict.ACCEPT),
        (("quarantine",), Verdict.QUARANTINE),
        (("hold",), Verdict.HOLD),
        (("reject",), Verdict.REJECT),
    ],
)
def test_effects_one_by_one(effects: tuple[str, ...], expected: Verdict) -> None:
    assert verdict(*(found(e, [1]) for e in effects)).verdict == expected


def test_precedence_is_reject_hold_quarantine_accept() -> None:
    order = ["note", "quarantine", "hold", "reject"]
    expected = [Verdict.ACCEPT, Verdict.QUARANTINE, Verdict.HOLD, Verdict.REJECT]
    for size in (2, 3, 4):
        for some in itertools.permutations(order, size):
            worst = max(order.index(e) for e in some)
            assert verdict(*(found(e, [1]) for e in some)).verdict == expected[worst]


def test_no_outcome_at_all_is_a_mistake_in_the_set_up() -> None:
    with pytest.raises(ConfigError, match="no rule"):
        verdict()


# --- could not tell is not clean -----------------------------------------------------------


def test_a_batch_without_rows_is_held() -> None:
    decision = verdict(Outcome(rule="label"), rows=0)
    assert decision.verdict == Verdict.HOLD
    assert decision.reasons == ("the batch has no rows",)


def test_a_batch_without_rows_may_still_be_rejected() -> None:
    assert verdict(found("reject", None), rows=0).verdict == Verdict.REJECT


def test_a_batch_that_every_rule_skipped_is_held() -> None:
    decision = verdict(
        Outcome(rule="label", skipped="no label"), Outcome(rule="copies", skipped="x")
    )
    assert decision.verdict == Verdict.HOLD
    assert verdict(Outcome(rule="label", skipped="no label"), Outcome(rule="copies")).verdict == (
        Verdict.ACCEPT
    )


def test_a_failed_rule_holds_the_batch() -> None:
    decision = verdict(Outcome(rule="label", failed="ValueError: x"), found("quarantine", [1]))
    assert decision.verdict == Verdict.HOLD
    assert decision.reasons == ("label failed: ValueError: x",)


def test_what_a_failed_rule_found_before_counts() -> None:
    half = Outcome(rule="reject", failed="broke", findings=found("reject", [1]).findings)
    assert verdict(half).verdict == Verdict.REJECT


def test_a_required_rule_must_have_run() -> None:
    skipped, clean = Outcome(rule="label", skipped="no label role"), Outcome(rule="copies")
    assert verdict(skipped, clean).verdict == Verdict.ACCEPT
    decision = verdict(skipped, clean, required=frozenset({"label"}))
    assert decision.verdict == Verdict.HOLD
    assert "no label role" in decision.reasons[0]
    absent = verdict(clean, required=frozenset({"label"}))
    assert (absent.verdict, "not enabled" in absent.reasons[0]) == (Verdict.HOLD, True)


def test_a_claim_about_the_whole_batch_holds_it() -> None:
    decision = verdict(found("quarantine", None))
    assert decision.verdict == Verdict.HOLD
    assert decision.reasons == ("quarantine found",)


# --- the error budget ----------------------------------------------------------------------


def effect(decision: Decision) -> Effect:
    (only,) = decision.decided
    return only.effect


def test_alpha_is_split_over_families_and_then_over_rules() -> None:
    # Half for each of two families; two of the three duplication rules may act.
    others = [Outcome(rule=n) for n in ("conflicts", "shared", "label")]
    half, quarter = 0.01 / 2, 0.01 / 4
    copies = Outcome(rule="copies")
    assert effect(verdict(found("label", [1], half * 0.999), copies)) == Effect.QUARANTINE
    assert effect(verdict(found("label", [1], half * 1.001), copies)) == Effect.NOTE
    assert effect(verdict(found("copies", [1], quarter * 0.999), *others)) == Effect.QUARANTINE
    assert effect(verdict(found("copies", [1], quarter * 1.001), *others)) == Effect.NOTE


def test_a_family_of_which_no_rule_ran_takes_nothing_away() -> None:
    """Nor does a rule that only notes, nor one outside the error budget."""
    idle = [Outcome(rule="conflicts", skipped="no label role"), Outcome(rule="shared")]
    idle += [Outcome(rule="copies", failed="broke"), Outcome(rule="quarantine")]
    for p, expected in ((0.01 * 0.999, Effect.QUARANTINE), (0.01 * 1.001, Effect.NOTE)):
        assert effect(verdict(found("label", [1], p), *idle)) == expected
    with_copies = verdict(found("label", [1], 0.01 * 0.999), Outcome(rule="copies"))
    assert effect(with_copies) == Effect.NOTE


def test_alpha_is_the_sites() -> None:
    assert effect(verdict(found("label", [1], 0.02))) == Effect.NOTE
    assert effect(verdict(found("label", [1], 0.02), alpha=0.3)) == Effect.QUARANTINE


def test_a_certain_claim_needs_no_budget() -> None:
    assert effect(verdict(found("quarantine", [1], None), alpha=0.0)) == Effect.QUARANTINE


def test_a_claim_without_a_trusted_rate_is_noted() -> None:
    for name in ("label", "reject", "hold", "quarantine"):
        decision = verdict(found(name, [1], 1e-9, calibrated=False))
        assert (effect(decision), decision.verdict) == (Effect.NOTE, Verdict.ACCEPT)


def test_the_site_may_change_what_a_rule_does() -> None:
    to = {"label": Effect.HOLD}
    assert verdict(found("label", [1], 1e-9), effects=to).verdict == Verdict.HOLD
    to = {"reject": Effect.NOTE}
    assert verdict(found("reject", [1]), effects=to).verdict == Verdict.ACCEPT
    # A rule that is promoted from a note gets a share of the budget.
    to = {"shared": Effect.QUARANTINE}
    assert effect(verdict(found("shared", [1], 0.003), effects=to)) == Effect.QUARANTINE


# --- shares --------------------------------------------------------------------------------


def senders(counts: dict[str, int], role: str = "contributor", unknown: int = 0) -> Senders:
    codes = np.repeat(np.arange(len(counts)), list(counts.values()))
    codes = np.r_[codes, np.full(unknown, -1)].astype(np.int64)
    return Senders(role, list(counts), codes)


def set_aside(decision: Decision) -> list[str]:
    return [
        str(d.finding.evidence.get("contributor") or d.finding.evidence.get("source"))
        for d in decision.decided
        if d.finding.rule == SHARE_LIMIT.id
    ]


def test_a_contributor_over_the_limit_is_set_aside_whole() -> None:
    who = senders({"a": 40, "b": 60})
    over = verdict(found("quarantine", list(range(21))), rows=100, senders=(who,))
    assert set_aside(over) == ["a"]
    (share,) = [d.finding for d in over.decided if d.finding.rule == SHARE_LIMIT.id]
    assert share.rows is not None
    assert share.rows["row"].to_pylist() == list(range(40))
    assert (over.verdict, share.evidence["suspicious"]) == (Verdict.QUARANTINE, 21)
    at = verdict(found("quarantine", list(range(20))), rows=100, senders=(who,))
    assert set_aside(at) == []


def test_a_small_contributor_is_never_set_aside_whole() -> None:
    who = senders({"a": 9, "b": 91})
    rows = list(range(8))
    assert set_aside(verdict(found("quarantine", rows), rows=100, senders=(who,))) == []
    small = verdict(found("quarantine", rows), rows=100, senders=(who,), minimum_group=9)
    assert set_aside(small) == ["a"]


def test_rows_of_nobody_belong_to_nobody() -> None:
    who = senders({"a": 20}, unknown=80)
    rows = list(range(20, 70))
    assert set_aside(verdict(found("quarantine", rows), rows=100, senders=(who,))) == []


def test_notes_do_not_count_for_a_limit() -> None:
    who = senders({"a": 40, "b": 60})
    assert set_aside(verdict(found("note", list(range(40))), rows=100, senders=(who,))) == []


def test_a_source_has_a_limit_of_its_own() -> None:
    who = senders({"feed": 40, "other": 60}, "source")
    rows = list(range(15))
    assert set_aside(verdict(found("quarantine", rows), rows=100, senders=(who,))) == []
    over = verdict(found("quarantine", rows), rows=100, senders=(who,), source_share=0.3)
    assert set_aside(over) == ["feed"]


def test_too_much_of_a_batch_rejects_it() -> None:
    assert verdict(found("quarantine", list(range(50))), rows=100).verdict == Verdict.QUARANTINE
    over = verdict(found("quarantine", list(range(51))), rows=100)
    assert over.verdict == Verdict.REJECT
    assert "51 of 100" in over.reasons[0]
    # Rows that several rules name count once.
    twice = [found("quarantine", list(range(30))), found("copies", list(range(30)), 1e-9)]
    assert verdict(*twice, rows=100).verdict == Verdict.QUARANTINE


def test_a_contributor_set_aside_whole_does_not_refuse_the_others() -> None:
    """Denial: junk of one contributor is most of the batch."""
    who = senders({"a": 60, "b": 40})
    over = verdict(found("quarantine", list(range(31))), rows=100, senders=(who,))
    assert set_aside(over) == ["a"]
    assert over.verdict == Verdict.QUARANTINE
    assert verdict(found("quarantine", list(range(31))), rows=60).verdict == Verdict.REJECT
