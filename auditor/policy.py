"""Outcomes in, verdict out: rule -> effect, the error budget, required rules, limits per sender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.batch import Batch
from auditor.coded import coded
from auditor.errors import ConfigError
from auditor.model import (
    STATISTICAL,
    Effect,
    Family,
    Finding,
    Outcome,
    Rule,
    Severity,
    Verdict,
    row_table,
)

SHARE_LIMIT: Final = Rule(
    id="AUD-G001",
    family=Family.POLICY,
    title="Too many rows of one sender are suspicious",
    severity=Severity.HIGH,
    effect=Effect.QUARANTINE,
    attacks=("injection", "label-flip"),
)
OVER_QUOTA: Final = Rule(
    id="AUD-G003",
    family=Family.POLICY,
    title="A sender has more rows than its quota",
    severity=Severity.MEDIUM,
    effect=Effect.QUARANTINE,
    attacks=("injection", "denial"),
    order_free=False,  # which rows are over the quota is drawn by position
)
RULES: Final = (SHARE_LIMIT, OVER_QUOTA)
#: Characters of a sender's name in a finding; a cell may hold megabytes.
NAME: Final = 200
#: Findings that are given as reasons where none of the rows is left.
WORST: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the site decided.

    `alpha`: family-wise error for a batch, split over the statistical families. `effects` override
    the rules' own. `required`: rules that must have run. Shares are fractions of 1 above which a
    contributor or source is set aside whole, or the batch is rejected; `minimum_group`: a sender
    with fewer rows is never set aside whole. `unmet`: reasons to hold that no
    finding names: demands on the power that the baseline does not meet, canaries that were missed.
    """

    alpha: float = 0.01
    effects: Mapping[str, Effect] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    contributor_share: float = 0.5
    source_share: float = 0.5
    batch_share: float = 0.5
    minimum_group: int = 10
    unmet: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decided:
    """A finding with what the policy made of it."""

    finding: Finding
    effect: Effect
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict, its reasons in order of weight, and every finding as decided."""

    verdict: Verdict
    reasons: tuple[str, ...]
    decided: tuple[Decided, ...]

    def having(self, effect: Effect) -> tuple[Finding, ...]:
        """The findings that got this effect."""
        return tuple(d.finding for d in self.decided if d.effect == effect)


@dataclass(frozen=True, slots=True)
class Senders:
    """Who sent each row, for one role: `names`, and int64[rows] positions in it (-1 unknown)."""

    role: str
    names: Sequence[str]
    codes: npt.NDArray[np.int64]


def senders_of(batch: Batch) -> tuple[Senders, ...]:
    """Who sent each row, by contributor and by source, where the batch says so."""
    found = []
    for role in ("contributor", "source"):
        column = batch.roles.first(role)
        if column is not None:
            known = coded(batch, column)
            found.append(Senders(role, known.names, known.codes))
    return tuple(found)


def contributors_of(batch: Batch) -> npt.NDArray[np.int64] | None:
    """Who sent each row, int64[rows] (-1 unknown); None without that role."""
    column = batch.roles.contributor
    return None if column is None else coded(batch, column).codes


def decide(
    outcomes: Sequence[Outcome],
    *,
    rules: Mapping[str, Rule],
    policy: Policy,
    rows: int | None,
    senders: Sequence[Senders] = (),
) -> Decision:
    """The verdict over all outcomes. Could not tell is not clean: HOLD.

    `rows` is None where the batch could not be read; an outcome says why.

    Raises:
        ConfigError: there is no outcome at all; a gate without rules would pass everything.
    """
    if not outcomes:
        raise ConfigError("no rule is enabled; a gate without rules would accept everything")
    level = _levels(rules, policy, {o.rule for o in outcomes if o.status == "ran"})
    decided = [
        _decide(finding, rules[finding.rule], policy, level)
        for outcome in outcomes
        for finding in outcome.findings
    ]
    for role in senders:
        decided += _whole_senders(decided, role, policy)
    return _verdict(outcomes, decided, rules, policy, rows, senders)


def _levels(rules: Mapping[str, Rule], policy: Policy, ran: set[str]) -> dict[str, float]:
    """The share of alpha that each statistical rule may spend: families first, then rules.

    Only families with a rule that ran count: one that is not looked for takes nothing away.
    """
    active = [r for r in rules.values() if r.id in ran and r.family in STATISTICAL]
    active = [r for r in active if policy.effects.get(r.id, r.effect) != Effect.NOTE]
    size = {family: sum(r.family == family for r in active) for family in STATISTICAL}
    families = sum(count > 0 for count in size.values())
    return {r.id: policy.alpha / families / size[r.family] for r in active}


def _decide(finding: Finding, rule: Rule, policy: Policy, levels: Mapping[str, float]) -> Decided:
    effect = policy.effects.get(rule.id, rule.effect)
    if finding.evidence.get("over_limit") is True and rule.id not in policy.effects:
        return Decided(finding, Effect.HOLD, "over the limit that the rule's settings state")
    if effect == Effect.NOTE:
        return Decided(finding, effect, "the policy notes this rule")
    if finding.evidence.get("waived") is True:
        return Decided(finding, Effect.NOTE, "waived by the people who released these rows")
    if said := finding.evidence.get("suppressed"):
        return Decided(finding, Effect.NOTE, f"suppressed {said}")
    if finding.evidence.get("set_aside") is True:
        return Decided(finding, Effect.NOTE, "the file was left out, as policy.broken_files says")
    if not finding.calibrated:
        return Decided(finding, Effect.NOTE, "no trusted rate to compare with")
    if finding.p_value is None:
        return Decided(finding, effect, "certain")
    if rule.family not in STATISTICAL:
        return Decided(finding, effect, "as the policy says; it has no part in the error budget")
    level = levels.get(rule.id, 0.0)
    if finding.p_value > level:
        return Decided(finding, Effect.NOTE, f"p = {finding.p_value:.2g} is over {level:.2g}")
    return Decided(finding, effect, f"p = {finding.p_value:.2g} is within {level:.2g}")


def _whole_senders(decided: Sequence[Decided], senders: Senders, policy: Policy) -> list[Decided]:
    """Set a sender aside whole where the suspicious share of its rows is over the limit."""
    limit = _limit(senders, policy)
    known = senders.codes >= 0
    bad = np.zeros(len(senders.codes), dtype=bool)
    # To send too much is no sign that the rows are bad.
    bad[_rows([d for d in decided if d.finding.rule != OVER_QUOTA.id])] = True
    total = np.bincount(senders.codes[known], minlength=len(senders.names))
    hit = np.bincount(senders.codes[known & bad], minlength=len(senders.names))
    over = (total >= policy.minimum_group) & (hit > limit * total) & (hit < total)
    order = np.argsort(senders.codes, kind="stable")
    ordered = senders.codes[order]
    found = []
    for code in np.flatnonzero(over).tolist():
        start, stop = np.searchsorted(ordered, (code, code + 1))
        found.append(_set_aside(senders, code, order[start:stop], bad, policy))
    return found


def _limit(senders: Senders, policy: Policy) -> float:
    return policy.contributor_share if senders.role == "contributor" else policy.source_share


def _set_aside(
    senders: Senders,
    code: int,
    rows: npt.NDArray[np.int64],
    bad: npt.NDArray[np.bool_],
    policy: Policy,
) -> Decided:
    limit = _limit(senders, policy)
    suspicion = np.where(bad[rows], 0.9, 0.5)
    name, hit = str(senders.names[code])[:NAME], int(bad[rows].sum())
    finding = Finding(
        rule=SHARE_LIMIT.id,
        severity=SHARE_LIMIT.severity,
        message=f"{senders.role} {name!r}: {hit} of {len(rows)} rows are suspicious, "
        f"over the limit of {limit:.0%}, so all {len(rows)} count as suspicious",
        evidence={senders.role: name, "suspicious": hit, "rows": len(rows), "limit": limit},
        rows=row_table(rows, suspicion),
    )
    effect = policy.effects.get(SHARE_LIMIT.id, SHARE_LIMIT.effect)
    return Decided(finding, effect, "over the share limit")


def _rows(decided: Sequence[Decided]) -> npt.NDArray[np.int64]:
    tables = [
        d.finding.rows.column("row").to_numpy()
        for d in decided
        if d.effect == Effect.QUARANTINE and d.finding.rows is not None
    ]
    return np.unique(np.concatenate(tables)) if tables else np.zeros(0, dtype=np.int64)


def _verdict(
    outcomes: Sequence[Outcome],
    decided: Sequence[Decided],
    rules: Mapping[str, Rule],
    policy: Policy,
    rows: int | None,
    senders: Sequence[Senders],
) -> Decision:
    quarantined = len(_rows(decided))
    rejecting = [d.finding.message for d in decided if d.effect == Effect.REJECT]
    rejecting += _too_much(decided, senders, policy, rows or 0)
    holding = [d.finding.message for d in decided if d.effect == Effect.HOLD]
    holding += [*policy.unmet, *_could_not_tell(outcomes, rules, policy, rows)]
    setting_aside = _worst_first(
        [d.finding for d in decided if d.effect == Effect.QUARANTINE and d.finding.rows]
    )
    # A quarantine claim about the whole batch names no row to set aside: the batch waits.
    whole = [
        d.finding.message
        for d in decided
        if d.effect == Effect.QUARANTINE and d.finding.rows is None
    ]
    if rejecting:
        return Decision(Verdict.REJECT, tuple(rejecting), tuple(decided))
    if holding or whole:
        return Decision(Verdict.HOLD, tuple(holding + whole), tuple(decided))
    if quarantined:
        return Decision(Verdict.QUARANTINE, tuple(setting_aside), tuple(decided))
    return Decision(
        Verdict.ACCEPT, ("no rule had a claim within its error budget",), tuple(decided)
    )


def _too_much(
    decided: Sequence[Decided], senders: Sequence[Senders], policy: Policy, rows: int
) -> list[str]:
    """Why too much of the batch is bad, if it is.

    Rows of senders that are set aside whole, or over their quota, count neither way: else one of
    them could have everybody's rows refused, every day.
    """
    aside = np.zeros(rows, dtype=bool)
    aside[_rows(decided)] = True
    apart = np.zeros(rows, dtype=bool)
    apart[_rows([d for d in decided if d.finding.rule == OVER_QUOTA.id])] = True
    for role in senders:
        apart |= _of_whole_senders(role, aside, policy.minimum_group)
    judged, bad = int((~apart).sum()), int((aside & ~apart).sum())
    if rows and not judged:
        worst = _worst_first([d.finding for d in decided if d.effect == Effect.QUARANTINE])
        return [f"no sender is left of {rows} rows: all are set aside", *worst[:WORST]]
    if bad <= policy.batch_share * judged:
        return []
    beside = f" beside {int(apart.sum())} of senders that are set aside" if apart.any() else ""
    return [
        f"{bad} of {judged} rows{beside} are suspicious, over the limit of "
        f"{policy.batch_share:.0%} of a batch"
    ]


def _of_whole_senders(
    senders: Senders, aside: npt.NDArray[np.bool_], minimum: int
) -> npt.NDArray[np.bool_]:
    """Rows of senders of whom every row is set aside: bool[rows]."""
    known = senders.codes >= 0
    total = np.bincount(senders.codes[known], minlength=len(senders.names))
    hit = np.bincount(senders.codes[known & aside], minlength=len(senders.names))
    whole = np.append((hit == total) & (total >= minimum), False)  # the last for code -1
    found: npt.NDArray[np.bool_] = whole[senders.codes]
    return found


def _worst_first(findings: Sequence[Finding]) -> list[str]:
    """The messages, by severity, then by the number of rows."""
    order = list(Severity)
    ranked = sorted(
        findings, key=lambda f: (-order.index(f.severity), -(f.rows.num_rows if f.rows else 0))
    )
    return [finding.message for finding in ranked]


def _could_not_tell(
    outcomes: Sequence[Outcome], rules: Mapping[str, Rule], policy: Policy, rows: int | None
) -> list[str]:
    """Reasons to hold: no rows, no rule that ran, a rule failed, or a required one did not run."""
    reasons = ["the batch has no rows"] if rows == 0 else []
    received = (Family.INTEGRITY, Family.PROVENANCE)  # they say nothing about what rows hold
    if all(o.skipped for o in outcomes if rules[o.rule].family not in received):
        reasons.append("every rule was skipped")
    reasons += [f"{o.rule} failed: {o.failed}" for o in outcomes if o.failed]
    reasons += [
        f"{o.rule} is required and was skipped: {o.skipped}"
        for o in outcomes
        if o.skipped and o.rule in policy.required
    ]
    absent = policy.required - {o.rule for o in outcomes}
    reasons += [f"{rule} is required and is not enabled" for rule in sorted(absent)]
    return reasons
