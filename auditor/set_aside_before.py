"""Looks rows of a batch up among those that earlier runs set aside. A release is not looked up."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.baseline import Baseline
from auditor.batch import Batch
from auditor.context import Context
from auditor.copies import Copies, content_columns
from auditor.detectors.known_rows import REPEATS, KnownRows
from auditor.errors import Unavailable
from auditor.history import Past
from auditor.ledger import Ledger
from auditor.model import Outcome
from auditor.replays import Natural
from auditor.resubmitted import RESUBMITTED, SetAside, compare
from auditor.rowhash import Words, scheme
from auditor.run import Run


def resubmission(run: Run, batch: Batch, context: Context) -> Outcome:
    """Claims about rows that were set aside before and are still out.

    Raises:
        LedgerError: what became of an earlier set cannot be told.
    """
    columns = batch.roles.content
    if run.history is None or not columns:
        return Outcome(rule=RESUBMITTED.id, skipped="the rows have no columns to compare")
    past = Past(run.history, batch.digest)
    named = scheme(batch.schema, columns, context.site_key)
    earlier = tuple(_still_out(run.ledger, past.set_aside(named)))
    if not earlier:
        return Outcome(rule=RESUBMITTED.id, skipped="no earlier batch left such rows set aside")
    keys = Copies(context.site_key, context.shared).keys(batch, columns)
    baseline = _comparable(batch, context.baseline)
    fine = past.earlier(named).keys.hold(keys)
    natural = Natural.seen(past.tallies(KnownRows.rule.id, REPEATS))
    if baseline is not None:
        known = baseline.key_index()
        fine |= known.counts(keys) > 0
        natural = natural.with_trusted(known.repeated, len(known), known.family_size)
    return compare(keys, fine, earlier, natural)


def _comparable(batch: Batch, baseline: Baseline | None) -> Baseline | None:
    """The baseline, if its rows are keyed as those of the batch."""
    try:
        content_columns(batch, baseline)
    except Unavailable:
        return None
    return baseline


def _still_out(ledger: Ledger, sets: tuple[tuple[int, Words], ...]) -> Iterator[SetAside]:
    """Those of the verdicts' sets that nobody released, or whose release was recalled."""
    for index, keys in sets:
        (verdict,) = ledger.entries(index, index + 1)
        run = str(verdict.event.run)
        created = ledger.find(run=run, event="quarantine.created")
        released = [
            entry.event.run
            for one in created
            for entry in ledger.find(subject=one.event.refs[0], event="released")
        ]
        if all(ledger.find(run=by, event="recall") for by in released):
            yield SetAside(run, keys)
