"""SARIF 2.1.0 (OASIS, errata 01) for code scanning: one result a finding, never one a row.

Consumers stop at 25,000 results and 10 MB, and tell old results from new by fingerprint: it is
made of the rule and the names of the group, so it stays the same from batch to batch.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from auditor.formats import wording
from auditor.formats.escape import sarif as message
from auditor.formats.escape import visible
from auditor.model import Effect, Scalar, Verdict
from auditor.report_records import FindingRecord, Report, RuleRecord

SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
LARGEST: Final = 10_000_000
RESULTS: Final = 25_000
FINGERPRINT: Final = "auditorGroup/v1"
_FILES: Final = 1000  # artifacts listed in a run
_PLACES: Final = 10  # files named in one result
_TAGS: Final = 20
_LEVEL: Final[Mapping[str, str]] = {
    Effect.REJECT: "error",
    Effect.HOLD: "error",
    Effect.NOTE: "note",
}
# What code scanning calls security-severity, a number on the scale of CVSS.
_SEVERITY: Final[Mapping[str, str]] = {
    "low": "3.0",
    "medium": "5.5",
    "high": "8.0",
    "critical": "9.5",
}
# Evidence that names rows or digests changes with every batch and identifies nothing.
_FLEETING: Final = frozenset(
    (
        "row",
        "rows",
        "example",
        "sample",
        "digest",
        "sha256",
        "hash",
        "path",
        "file",
        "files",
        "run",
        "time",
        "date",
        "start",
        "end",
        "id",
        "ids",
    )
)
_HEX: Final = re.compile(r"^[0-9a-f]{16,}$")


def render(report: Report) -> str:
    """Return the log; the least severe results are left out where it would grow too large."""
    count = RESULTS
    while True:
        text = json.dumps(_log(report, count), indent=1, allow_nan=False) + "\n"
        if len(text) <= LARGEST or count == 0:
            return text
        # ASCII only, so characters are bytes; aim below the bound by the share that is too much.
        count = min(count, len(report.findings)) * LARGEST // len(text) * 9 // 10


def _log(report: Report, count: int) -> dict[str, Any]:
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(report, count)]}


def _run(report: Report, count: int) -> dict[str, Any]:
    rules = _rules(report)
    position = {rule["id"]: at for at, rule in enumerate(rules)}
    shown = wording.ordered(report.findings)[:count]
    driver = {"name": "auditor", "version": visible(report.auditor), "rules": rules}
    return {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"auditor/{_uri(report.batch_name)}/{_uri(report.run)}"},
        "invocations": [_invocation(report)],
        "artifacts": [_artifact(report, at) for at in range(min(len(report.files), _FILES))],
        "results": _results(report, shown, position),
        "columnKind": "unicodeCodePoints",
        "properties": _properties(report, len(report.findings) - len(shown)),
    }


def _uri(text: str) -> str:
    """Return a relative URI reference (RFC 3986): percent-encoded, no scheme, no authority."""
    path = text[:1000].replace("\\", "/").lstrip("/")
    return quote(path, safe="/", errors="surrogatepass") or "-"


def _properties(report: Report, left_out: int) -> dict[str, Any]:
    return {
        "verdict": report.verdict,
        "rowsIn": report.rows_in,
        "rowsPublished": report.rows_published,
        "rowsQuarantined": report.rows_quarantined,
        "batchDigest": visible(report.batch_digest),
        "notCovered": [visible(name) for name in report.not_covered[:100]],
        "notJudged": [visible(name) for name in report.not_judged[:100]],
        "resultsLeftOut": left_out,
    }


def _rules(report: Report) -> list[dict[str, Any]]:
    """Return metadata of every rule of the run, and of rules that only a finding names."""
    known = {rule.id: _rule(rule) for rule in report.rules}
    for found in report.findings:
        if found.rule not in known:
            known[found.rule] = _descriptor(found.rule, found.title, found.family, found.severity)
    worst = {found.rule: found.severity for found in reversed(wording.ordered(report.findings))}
    for name, severity in worst.items():
        known[name]["properties"]["security-severity"] = _SEVERITY.get(severity, "9.5")
    return list(known.values())


def _rule(rule: RuleRecord) -> dict[str, Any]:
    record = _descriptor(rule.id, rule.title, rule.family, "medium")
    record["defaultConfiguration"] = {"level": _LEVEL.get(rule.effect, "warning")}
    record["help"] = {"text": message(_help(rule), 4000)}
    tags = [rule.family, *(f"attack/{name}" for name in rule.attacks)]
    record["properties"]["tags"] = [visible(tag) for tag in dict.fromkeys(tags)][:_TAGS]
    return record


def _descriptor(name: str, title: str, family: str, severity: str) -> dict[str, Any]:
    return {
        "id": visible(name),
        "name": visible(name),
        "shortDescription": {"text": message(title) or "-"},
        "fullDescription": {"text": message(title) or "-"},
        "help": {"text": message(title) or "-"},
        "properties": {
            "tags": [visible(family)],
            "security-severity": _SEVERITY.get(severity, "9.5"),
        },
    }


def _help(rule: RuleRecord) -> str:
    parts = [f"{rule.title}."]
    if rule.attacks:
        seen = "; ".join(f"{name} ({wording.attack(name)})" for name in rule.attacks)
        parts.append(f"Built to see: {seen}.")
    if rule.references:
        parts.append(f"References: {'; '.join(rule.references)}.")
    parts.append(f"Run `auditor explain {rule.id}` for what to do.")
    return " ".join(parts)


def _artifact(report: Report, at: int) -> dict[str, Any]:
    record = report.files[at]
    return {
        "location": {"uri": _uri(record.name)},
        "roles": ["analysisTarget"],
        "length": record.size,
        "hashes": {"sha-256": visible(record.sha256)},
    }


def _invocation(report: Report) -> dict[str, Any]:
    failed = [rule for rule in report.rules if rule.status == "failed"]
    notes = [_notification(rule) for rule in report.rules if rule.status != "ran"]
    return {
        "executionSuccessful": not failed and wording.verdict(report) != Verdict.HOLD,
        "startTimeUtc": visible(report.created_at),
        "toolExecutionNotifications": notes[:1000],
    }


def _notification(rule: RuleRecord) -> dict[str, Any]:
    text = message(f"{rule.id} {rule.status}: {rule.reason}")
    level = "error" if rule.status == "failed" else "warning" if rule.required else "note"
    return {"level": level, "message": {"text": text}, "associatedRule": {"id": visible(rule.id)}}


def _results(
    report: Report, shown: list[FindingRecord], position: Mapping[str, int]
) -> list[dict[str, Any]]:
    places = {record.name: at for at, record in enumerate(report.files[:_FILES])}
    seen: dict[str, int] = {}
    results = []
    for found in shown:
        mark = _fingerprint(found)
        seen[mark] = seen.get(mark, 0) + 1
        # Two groups of one name: the second must not be taken for the first.
        unique = mark if seen[mark] == 1 else f"{mark}:{seen[mark]}"
        results.append(_result(found, position[visible(found.rule)], unique, places))
    return results


def _result(found: FindingRecord, at: int, mark: str, places: Mapping[str, int]) -> dict[str, Any]:
    return {
        "ruleId": visible(found.rule),
        "ruleIndex": at,
        "level": _level(found),
        "message": {"text": message(found.message) or "-"},
        "locations": _locations(found, places),
        "partialFingerprints": {FINGERPRINT: mark},
        "properties": {
            "effect": found.effect,
            "severity": found.severity,
            "rows": found.rows,
            "certainty": wording.probability(found.p_value),
        },
    }


def _level(found: FindingRecord) -> str:
    if found.effect == Effect.QUARANTINE:
        return "error" if found.severity in ("high", "critical") else "warning"
    return _LEVEL.get(found.effect, "error")


def _locations(found: FindingRecord, places: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the files of the rows shown, else the first files of the batch.

    Consumers want a line; a finding is about a file as a whole, so it is the first one.
    """
    named = [sample.file for sample in found.samples if sample.file in places]
    names = list(dict.fromkeys(named or places))[:_PLACES]
    return [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": _uri(name), "index": places[name]},
                "region": {"startLine": 1},
            }
        }
        for name in names
    ]


def _fingerprint(found: FindingRecord) -> str:
    """Return a digest of the rule and of the words in the evidence that name its group."""
    words = {name: value for name, value in found.evidence.items() if _names(name, value)}
    body = json.dumps([found.rule, sorted(words.items())], ensure_ascii=True)
    return hashlib.sha256(body.encode()).hexdigest()[:32]


def _names(name: str, value: Scalar) -> bool:
    """Say whether evidence names a group: words do, measures, row numbers and digests do not."""
    fleeting = not _FLEETING.isdisjoint(name.lower().split("_"))
    if fleeting or not isinstance(value, str) or _HEX.match(value):
        return False
    return any(char.isalpha() for char in value) and len(value) <= 500
