"""From a decided run to the record that later runs are judged with. Shell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.batch import Batch
from auditor.coded import coded
from auditor.context import subject_of
from auditor.copies import Copies, take_rows
from auditor.detectors.reputation import Reputation
from auditor.history import HistoryStore, Record, catch_up, write
from auditor.model import Effect, Evidence, Finding, Outcome, Tally
from auditor.policy import OVER_QUOTA, SHARE_LIMIT
from auditor.provenance.verification import Verification
from auditor.quarantine import collect
from auditor.rowhash import KeyIndex, Words, scheme
from auditor.run import Decided, Run
from auditor.workspace.layout import STAGING

Mask = npt.NDArray[np.bool_]

#: Contributors that are remembered of one batch: those with the most rows.
MOST: Final = 10_000
#: Published rows of one batch that are kept as they are.
SAMPLED: Final = 5_000
SAMPLED_BYTES: Final = 16 * 2**20
#: Rules whose findings say nothing about the rows themselves.
_NO_OWN_FAULT: Final = frozenset({Reputation.rule.id, SHARE_LIMIT.id, OVER_QUOTA.id})


def history_of(run: Run) -> HistoryStore:
    """The history that lies beside the ledger, as far as the ledger goes.

    Raises:
        LedgerError: it cannot be used, or a run folder is not what the ledger says.
    """
    outputs = run.job.settings.outputs
    runs, store = outputs.runs, HistoryStore(outputs.ledger.with_name("history.db"))
    places = lambda name: (runs / name, runs / STAGING / name / "evidence")  # noqa: E731
    for name in catch_up(store, run.ledger, places):
        run.job.say(f"the history lacks run {name}: its folder is not there")
    return store


def remember(run: Run, decided: Decided) -> str:
    """Write the record of a batch that is to be published; the digest for the ledger."""
    batch = decided.screened.ingest.batch
    assert batch is not None
    kept = np.ones(batch.rows, dtype=bool)
    kept[decided.rows.rows] = False
    named, whole, partly, aside = _keys(batch, kept, Copies(run.trusted.site_key, run.shared))
    outcomes = decided.screened.outcomes
    return write(
        run.stage.evidence,
        Record(
            batch=batch.digest,
            verdict=decided.decision.verdict.value,
            vouched=vouched(decided.screened.verification),
            rows=int(kept.sum()),
            scheme=named,
            keys=whole,
            features=partly,
            aside=aside,
            tallies=tuple(_tallies(outcomes, kept)),
            sample=_sample(batch, kept, run.seed(batch.digest)),
            subjects=(*_sent(batch, decided), *_evidence(outcomes, _caught(batch, kept))),
        ),
    )


def _sample(batch: Batch, kept: Mask, seed: int) -> pa.Table:
    """Some of the published rows in a random order: what slow attacks are searched in.

    Features, label and contributor; fewer rows where cells are long.
    """
    if not batch.roles.features:
        return pa.table({})
    order = np.random.default_rng([seed, 17]).permutation(np.flatnonzero(kept))[:SAMPLED]
    found = take_rows(batch, batch.roles.learned.named, np.sort(order))
    found = found.take(pa.array(np.argsort(np.argsort(order, kind="stable"), kind="stable")))
    while found.nbytes > SAMPLED_BYTES and found.num_rows:
        found = found.take(pa.array(range(found.num_rows // 2)))
    return found


def vouched(verification: Verification) -> bool:
    """Whether a signed roll names the contributors of this batch."""
    declared = verification.manifest
    return verification.verified and declared is not None and declared.roll is not None


def _keys(batch: Batch, kept: Mask, copies: Copies) -> tuple[str, Words, Words, Words]:
    """Scheme, keys of the published rows with and without the label, of those set aside.

    The keys are uint64[k, 2] each. Those of rows set aside are with the label.
    """
    label = batch.roles.label
    rest = [column for column in batch.roles.content if column != label]
    if not rest:
        none = np.zeros((0, 2), dtype=np.uint64)
        return "", none, none, none
    partly, whole = copies.keys(batch, rest), copies.keys(batch, batch.roles.content)
    named = scheme(batch.schema, batch.roles.content, copies.site_key)
    return named, whole[kept], partly[kept], _aside(whole, kept)


def _aside(keys: Words, kept: Mask) -> Words:
    """Keys of the rows that were set aside; where one copy of a row was published, it is fine."""
    out = keys[~kept]
    start, stop = KeyIndex(keys[kept]).spans(out)
    left: Words = out[start == stop]
    return left


def _tallies(outcomes: Sequence[Outcome], kept: Mask) -> Iterator[tuple[str, str, float, float]]:
    for outcome in outcomes:
        for update in outcome.updates:
            if isinstance(update, Tally):
                counted = float(kept[update.rows.to_numpy()].sum())
                yield outcome.rule, update.name, counted, update.exposure


def _caught(batch: Batch, kept: Mask) -> frozenset[str]:
    """Contributors of whom rows were set aside.

    What was caught is not held against later rows again: they may be honest, and what was caught
    may have been sent in another's name.
    """
    column = batch.roles.contributor
    if column is None:
        return frozenset()
    known = coded(batch, column)
    places = np.unique(known.codes[~kept & (known.codes >= 0)])
    return frozenset(known.names[place] for place in places.tolist())


def _evidence(
    outcomes: Sequence[Outcome], caught: frozenset[str]
) -> Iterator[tuple[str, str, str, tuple[float, ...]]]:
    for outcome in outcomes:
        for update in outcome.updates:
            if isinstance(update, Evidence) and update.subject not in caught:
                yield outcome.rule, subject_of(update.subject), update.name, update.values


def _sent(batch: Batch, decided: Decided) -> Iterator[tuple[str, str, str, tuple[float, ...]]]:
    """Rows, suspicious, quarantined and certainly bad rows of each contributor."""
    column = batch.roles.contributor
    if column is None:
        return
    known = coded(batch, column)
    # What follows from standing must not change it, and neither must what others did.
    said = [d for d in decided.decision.decided if d.finding.rule not in _NO_OWN_FAULT]
    aside = [d for d in said if d.effect == Effect.QUARANTINE]
    certain = [d for d in aside if d.finding.p_value is None]
    masks = [_mask(batch, [d.finding for d in each]) for each in (said, aside, certain)]
    counts = [known.counts]
    for mask in masks:
        own = known.codes[mask & (known.codes >= 0)]
        counts.append(np.bincount(own, minlength=len(known.names)))
    for place in np.argsort(-known.counts, kind="stable")[:MOST].tolist():
        values = tuple(float(count[place]) for count in counts)
        yield "", subject_of(known.names[place]), "", values


def _mask(batch: Batch, named: Sequence[Finding]) -> Mask:
    mask = np.zeros(batch.rows, dtype=bool)
    mask[collect(named).rows] = True
    return mask
