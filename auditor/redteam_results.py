"""What a red team measured: as facts, as sentences that must not be missed, as JSON, as files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from auditor.curves import Rate
from auditor.formats import html_redteam
from auditor.labels.chance import Predictable
from auditor.redteaming import Measured
from auditor.site import own_version

VERSION: Final = 1
#: Share of clean batches above which an alarm says little about an attack.
OFTEN: Final = 0.1


def facts(measured: Measured) -> list[tuple[str, str]]:
    """What was tried on what, as name and text."""
    sizes = sorted({p.rows for curve in measured.summary.curves for p in curve.points})
    return [
        ("trusted", f"{measured.trusted_rows} rows, {measured.baseline}"),
        ("planted in", f"windows of {measured.window} of {measured.clean_rows} later rows"),
        ("poison rows", ", ".join(map(str, sizes)) or "none"),
        (
            "trials",
            f"{measured.summary.trials}, {measured.summary.seconds:.0f} s of processor time",
        ),
    ]


def notes(measured: Measured) -> list[str]:
    """Sentences that a reader must not miss, the weightiest first."""
    found = []
    if not measured.complete:
        found.append("Interrupted: this is what was measured so far. The same call goes on.")
    if measured.summary.broken:
        said = "; ".join(measured.summary.broken[:3])
        found.append(f"Rules broke, and the trials in which they did are left out: {said}")
    alarms = measured.summary.clean_batches
    if alarms.trials and alarms.value > OFTEN:
        found.append(
            f"{alarms.hits} of {alarms.trials} clean batches are not accepted either: a batch that "
            "is not accepted may be such an alarm. Look at the poison rows set aside. Are rows of "
            "DATA in the baseline, or from another time?"
        )
    if measured.label is not None:
        found += _predictability(measured.label, measured.contributors)
    else:
        found.append("Whether the label can be predicted was not asked: there are no classes.")
    if measured.skipped_counts:
        counts = ", ".join(map(str, measured.skipped_counts))
        found.append(f"Too many poison rows for a window of {measured.window}: {counts}.")
    found.append(
        "Windows share rows, so the intervals are a little too narrow. Provenance and "
        "expectations take no part. Attackers who know the rules may do better than these."
    )
    return found


def _predictability(label: Predictable, contributors: bool) -> list[str]:
    if not label.at_chance:
        return [f"The label can be predicted from the features (best area {label.auc:.2f})."]
    who = "the contributor column" if contributors else "a contributor column (there is none here)"
    return [
        "The label cannot be predicted from the features better than by chance (best area "
        f"{label.auc:.2f}). Content alone cannot see a wrong label in this data, whatever the "
        f"rules: only {who}, signed manifests and a second annotation can. An attack on labels "
        "that shows here shows by its form, not by its labels."
    ]


def as_json(measured: Measured) -> dict[str, Any]:
    """Everything as plain values."""
    summary = measured.summary
    return {
        "version": VERSION,
        "name": measured.name,
        "complete": measured.complete,
        "trusted_rows": measured.trusted_rows,
        "clean_rows": measured.clean_rows,
        "window": measured.window,
        "label": asdict(measured.label) if measured.label else None,
        "clean": {"batches": _plain(summary.clean_batches), "rows": _plain(summary.clean_rows)},
        "attacks": {
            curve.attack: [
                {
                    "rows": point.rows,
                    "not_accepted": _plain(point.stopped),
                    "poison_set_aside": _plain(point.poison),
                    "honest_set_aside": _plain(point.honest),
                    "recall": point.recall,
                }
                for point in curve.points
            ]
            for curve in summary.curves
        },
        "not_applicable": dict(summary.left_out),
        "broken": list(summary.broken),
        "notes": notes(measured),
    }


def _plain(rate: Rate) -> dict[str, float | int]:
    low, high = rate.interval
    return {"hits": rate.hits, "trials": rate.trials, "low": low, "high": high}


def write(measured: Measured) -> Path:
    """Write redteam.json and redteam.html beside the trials; the page's path."""
    shown = html_redteam.render(
        measured.summary,
        name=measured.name,
        said=facts(measured),
        notes=notes(measured),
        made_by=f"auditor {own_version()}",
    )
    text = json.dumps(as_json(measured), indent=2, allow_nan=False) + "\n"
    (measured.out / "redteam.json").write_text(text, encoding="utf-8")
    page = measured.out / "redteam.html"
    page.write_text(shown, encoding="utf-8")
    return page
