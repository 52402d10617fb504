"""The words and numbers that all formats share, so that no two of them differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from auditor.model import ATTACKS, Effect, Family, Mode, Scalar, Verdict
from auditor.report_records import (
    CanaryRecord,
    ControlRecord,
    FindingRecord,
    Report,
    SelfMeasurement,
    SuppressionRecord,
)
from auditor.sample_weight import SampleWeight

Ranked = tuple[int, FindingRecord]

#: What the verdict means for the rows.
MEANING: Final = {
    Verdict.ACCEPT: "Every row is published.",
    Verdict.QUARANTINE: "Some rows are set aside, the rest is published.",
    Verdict.REJECT: "Nothing is published.",
    Verdict.HOLD: "The audit is incomplete. Nothing is published.",
}
#: The same for a run that only looked (`audit`, `gate --observe`).
_OUTLOOK: Final = {
    Verdict.ACCEPT: "A gate would publish every row. This run only looked: it published nothing.",
    Verdict.QUARANTINE: "A gate would set some rows aside and publish the rest. "
    "This run only looked: it published nothing.",
    Verdict.REJECT: "A gate would publish nothing, and neither did this run.",
    Verdict.HOLD: "The audit is incomplete. Nothing is published.",
}
FAMILIES: Final = {
    Family.INTEGRITY: "Integrity: can the files be used as they are?",
    Family.PROVENANCE: "Provenance: does the batch come from whom it says?",
    Family.QUALITY: "Quality: does it meet the agreed expectations?",
    Family.DUPLICATION: "Duplication: is weight added by repeating rows?",
    Family.LABEL: "Labels: do they fit the features?",
    Family.FEATURE: "Features: do values lie outside what is known?",
    Family.TRIGGER: "Triggers: do values come together that never did, with one label?",
    Family.CONTRIBUTOR: "Contributors: do some send other rows than the rest?",
    Family.INFLUENCE: "Influence: do some rows change what a model learns for the worse?",
    Family.DRIFT: "Drift: has the batch moved away from what is known?",
    Family.POLICY: "Policy: are limits of sources and contributors kept?",
}
_WEIGHT: Final[Mapping[str, int]] = {
    Effect.REJECT: 0,
    Effect.HOLD: 1,
    Effect.QUARANTINE: 2,
    Effect.NOTE: 3,
}
#: Attacks under `Report.not_judged`.
UNJUDGED: Final = "Looked for, but not judged without a baseline"
_CODES: Final = 10  # names set as code in one sentence
_SEVERITY: Final[Mapping[str, int]] = {"critical": 0, "high": 1, "medium": 2, "low": 3}


def percent(part: float, whole: float) -> str:
    """Return `2.14 %`; nothing of nothing is 0 %."""
    return f"{100 * part / whole if whole else 0.0:.2f} %"


def plural(count: int, noun: str) -> str:
    """Return `1 row`, `2 rows`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def number(value: float) -> str:
    """Return a float with four significant digits, or its name where it is not finite."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "-Infinity" if value < 0 else "Infinity"
    return f"{value:.4g}"


def scalar(value: Scalar) -> str:
    """Return a value of a cell or of the evidence as a person reads it; still hostile text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    return str(value)


def _float(value: float) -> str:
    if not math.isfinite(value):
        return number(value)
    # Seven digits tell neighbouring float32 values apart; a reviewer compares near copies.
    return repr(value) if len(repr(value)) <= 12 else f"{value:.7g}"


def probability(value: float | None) -> str:
    """Return `certain`, `p = 0.0031` or `p < 1e-300`."""
    if value is None:
        return "certain"
    return "p < 1e-300" if value < 1e-300 else f"p = {value:.2g}"


def key(name: str) -> str:
    """Return `manifest_digest` as `manifest digest`."""
    return name.replace("_", " ")


def size(count: int) -> str:
    """Return bytes with a decimal unit."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def verdict(report: Report) -> Verdict:
    """Return the verdict; a word that is not known counts as HOLD."""
    return Verdict(report.verdict) if report.verdict in set(Verdict) else Verdict.HOLD


def acted(report: Report) -> list[str]:
    """Return the sorted ids of the rules whose findings had an effect other than a note."""
    return sorted({found.rule for found in report.findings if found.effect != Effect.NOTE})


def ordered(findings: Iterable[FindingRecord]) -> list[FindingRecord]:
    """Return findings worst first: by effect, severity, rows; then as they came."""
    return sorted(findings, key=_rank)


def _rank(found: FindingRecord) -> tuple[int, int, int]:
    # A word that is not known ranks as the worst.
    effect = _WEIGHT.get(found.effect, 0)
    return effect, _SEVERITY.get(found.severity, 0), -(found.rows or 0)


def by_family(findings: Iterable[FindingRecord]) -> list[tuple[str, list[Ranked]]]:
    """Return (heading, [(rank, finding)]), the worst first, the family with the worst one first.

    The rank is the place among the findings of all families, from 0.
    """
    groups: dict[str, list[Ranked]] = {}
    for ranked in enumerate(ordered(findings)):
        groups.setdefault(ranked[1].family, []).append(ranked)
    titles: dict[str, str] = {str(family): text for family, text in FAMILIES.items()}
    return [(titles.get(name, key(name)), group) for name, group in groups.items()]


def attack(name: str) -> str:
    """Return what is done to the data in an attack, in one line."""
    return ATTACKS.get(name, "not described in this version")


def covered(report: Report) -> list[str]:
    """Return the attacks that some rule which ran could judge, in the order of `ATTACKS`."""
    seen = {name for rule in report.rules if rule.status == "ran" for name in rule.attacks}
    return [name for name in ATTACKS if name in seen - set(report.not_judged)]


def segments(text: str) -> list[tuple[str, bool]]:
    """Split a sentence of ours at its backticks into (text, is it code).

    Unbalanced backticks, and more than a sentence of ours has, stay as they are.
    """
    parts = text.split("`", 2 * _CODES + 1)
    if len(parts) % 2 == 0 or len(parts) > 2 * _CODES:
        return [(text, False)]
    return [(part, at % 2 == 1) for at, part in enumerate(parts) if part]


def meaning(report: Report) -> str:
    """Return what the verdict means for the rows, in this mode."""
    known = MEANING if report.mode == Mode.GATE else _OUTLOOK
    return known[verdict(report)]


def rows_line(report: Report) -> str:
    """Return what became of the rows in one sentence."""
    total = plural(report.rows_in, "row")
    share = percent(report.rows_quarantined, report.rows_in)
    if report.mode != Mode.GATE:
        return (
            f"{report.rows_quarantined} of {total} would be set aside ({share}); "
            f"`{report.mode}` publishes nothing."
        )
    line = (
        f"{report.rows_quarantined} of {total} set aside ({share}), "
        f"{report.rows_published} published."
    )
    return line if report.sample_weight is None else f"{line} {weighed(report.sample_weight)}"


def weighed(said: SampleWeight) -> str:
    """What the column of sample weights holds."""
    if not said.rule:
        return "All have weight 1: people let them go."
    return (
        f"{plural(said.rows, 'published row')} got weight 0: the least expected labels by "
        f"{said.rule}, at most {percent(round(said.share * 10_000), 10_000)} of the batch."
    )


def measured(own: SelfMeasurement) -> str:
    """Return what the audit says of itself, and what that took."""
    if not own.canaries:
        return own.said
    cost = f"{own.seconds:.2f} s, {percent(own.share, 1)} of the audit's processor time"
    return f"{own.said} Copies of {plural(own.rows, 'row')}; {cost}."


def recall(one: CanaryRecord) -> tuple[str, str]:
    """Return how much of a canary was seen, and the 95 % interval or why it was not planted."""
    if one.reason:
        return "not planted", one.reason
    if one.family == "integrity" and one.planted == one.seeds:  # a column, not rows
        return f"{one.found} of {one.planted}", "certain" if one.found else "missed"
    interval = f"{100 * one.low:.0f} to {100 * one.high:.0f} %"
    return f"{one.found} of {one.planted}", f"{interval}, MISSED" if one.missed else interval


def control(one: ControlRecord) -> str:
    """Return what the newest trusted rows showed of false alarms."""
    if one.reason:
        return f"none: {one.reason}."
    interval = f"{100 * one.low:.2f} to {100 * one.high:.2f} %"
    return (
        f"{one.set_aside} of {plural(one.rows, 'row')} of {one.part} would be set aside "
        f"(95 % interval {interval}), by rules of: {', '.join(one.families)}."
    )


def suppression(one: SuppressionRecord) -> str:
    """An entry of the suppressions, and what it excused in this run."""
    scope = f"{one.rule} for {one.scope} {one.value}"
    who = f"approved by {one.approver}"
    who += f", signed by {', '.join(one.signers)}" if one.signers else ", not signed"
    if one.expired:
        return f"{scope}: ended on {one.expires[:10]}, so its findings count again ({who})"
    excused = f"{plural(one.findings, 'finding')}, {plural(one.rows, 'row')}"
    return f"{scope} until {one.expires[:10]}: {excused} noted only; {one.reason} ({who})"
