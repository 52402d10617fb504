"""`auditor recall`: takes published batches back, and names what was made from them. Shell.

Each batch is one event `recall`; the next status names it, and from then on no training job loads
it. A crash between two of them is finished by the same command again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from auditor.afterwards import freezing, logged_runs
from auditor.afterwards.desk import Desk, NotDecided, Person
from auditor.afterwards.logged_runs import LoggedRun, named_file
from auditor.errors import ConfigError, LedgerError
from auditor.ledger import Entry
from auditor.lifecycle import recalls
from auditor.lifecycle.recalls import Published, along_parents
from auditor.lifecycle.states import BATCH_EDGES, batch_state
from auditor.provenance.refused import Refused
from auditor.provenance.times import format_time
from auditor.signing import FileSigner, add_signature, unsigned_envelope
from auditor.workspace.durable import write_durably

#: Where the signed decisions are kept, below `runs`.
FOLDER: Final = "recalls"
By = Literal["key", "source", "contributor", "batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which batches: those of a key that vouched, a source, a contributor, or one batch.

    `batch` is a run id or its start, `source@batch`, or a digest. `since`: by the ledger's time.
    """

    by: By
    value: str
    since: dt.datetime | None = None

    def image(self) -> dict[str, str]:
        """As the signed statement has it."""
        since = {"since": format_time(self.since)} if self.since else {}
        return {self.by: self.value, **since}


@dataclass(slots=True)
class Recalled:
    """What a recall did and what it concerns.

    `batches` are all that it reached, `new` the runs among them that were not recalled before.
    `unknown` says what could not be looked into: it may be concerned as well.
    """

    batches: tuple[Published, ...]
    new: frozenset[str]
    datasets: tuple[str, ...] = ()
    trained: tuple[freezing.Consumed, ...] = ()
    unknown: tuple[str, ...] = ()
    decision: str | None = None


@dataclass(slots=True)
class _Site:
    """What the ledger and the run folders know."""

    runs: list[LoggedRun] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def recall(desk: Desk, selector: Selector, reason: str, person: Person | None = None) -> Recalled:
    """Recall the selected batches and whatever was made from them.

    Where a trust policy names releasers, `person` must be one; any of them may do it alone.
    Without one the decision is unsigned and the principal is `local`.

    Raises:
        ConfigError: nothing is selected, or a signature is needed and there is none.
        NotDecided: whoever signed is no releaser.
    """
    known = _known(desk)
    chosen = {run.run for run in known.runs if _selected(run, selector, desk, known)}
    if not chosen:
        what = f"no published batch is of {selector.by} {selector.value}"
        raise ConfigError("\n".join([what, *known.unknown]))
    return recall_runs(desk, chosen, selector.image(), reason, _signed(desk, person))


def recall_runs(
    desk: Desk,
    chosen: Collection[str],
    selector: Mapping[str, str],
    reason: str,
    seal: Callable[[bytes], tuple[bytes, str]],
) -> Recalled:
    """Recall these runs; `seal` makes an envelope of the statement and says whose it is."""
    known = _known(desk)
    reached = along_parents(chosen, [run.published() for run in known.runs])
    todo = [one for one in reached if _published(desk, one)]
    found = Recalled(batches=reached, new=frozenset(one.run for one in todo))
    if todo:
        try:
            payload = recalls.build(selector, reached, reason, desk.now)
        except Refused as refused:
            raise NotDecided(refused) from refused
        envelope, principal = seal(payload)
        found.decision = _keep(desk, envelope)
        for one in todo:
            _log(desk, one, found.decision, principal)
    _name_what_follows(desk, found)
    found.unknown = (*known.unknown, *found.unknown)
    return found


def unsigned(payload: bytes) -> tuple[bytes, str]:
    """The seal of a site without a trust policy, and of what a schedule does by itself."""
    return unsigned_envelope(payload), "local"


def _signed(desk: Desk, person: Person | None) -> Callable[[bytes], tuple[bytes, str]]:
    policy = desk.policy
    if policy is None or not policy.roles.releaser.principals:
        return unsigned
    if person is None:
        raise ConfigError("a recall needs --sign-with KEY: the key of a releaser; one is enough")

    def seal(payload: bytes) -> tuple[bytes, str]:
        signer = FileSigner(person.key, person.passphrase_env)
        envelope = add_signature(unsigned_envelope(payload), signer)
        try:
            return envelope, recalls.require_releaser(envelope, policy, desk.now).principal
        except Refused as refused:
            raise NotDecided(refused) from refused

    return seal


def _known(desk: Desk) -> _Site:
    known = _Site()
    for run in logged_runs.every(tuple(desk.ledger.entries()), desk.roots):
        known.unknown.append(str(run)) if isinstance(run, LedgerError) else known.runs.append(run)
    return known


def _selected(run: LoggedRun, selector: Selector, desk: Desk, known: _Site) -> bool:
    if selector.since is not None and run.entry.event.at < selector.since:
        return False
    if selector.by == "key":
        return selector.value in str(run.entry.event.detail.get("signers", "")).split()
    if selector.by == "source":
        return selector.value == run.report.provenance.get("source")
    if selector.by == "batch":
        one = run.published()
        names = {one.resource, *one.known_as}
        return selector.value in names or run.run.startswith(selector.value.upper())
    return _sent_by(run, selector.value, desk, known)


def _sent_by(run: LoggedRun, contributor: str, desk: Desk, known: _Site) -> bool:
    """Whether the published rows of a run name a contributor; what cannot be read is unknown."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    columns = [c for r in run.report.roles if r.role == "contributor" for c in r.columns]
    folder = desk.roots.publish_to / run.summary.sha256
    for file in run.summary.files:
        if any(part == f"{c}={contributor}" for part in Path(file.name).parts for c in columns):
            return True
        try:
            content = named_file(folder / file.name, {file.sha256})
            parquet = pq.ParquetFile(pa.BufferReader(content))
            wanted = [c for c in columns if c in parquet.schema_arrow.names]
            table = parquet.read(columns=wanted)
        except (pa.ArrowException, LedgerError) as error:
            known.unknown.append(f"who sent these rows is unknown: {error}")
            continue
        for column in wanted:
            texts = pc.cast(pc.unique(table.column(column)), pa.string())
            if contributor in texts.to_pylist():
                return True
    return False


def _published(desk: Desk, one: Published) -> bool:
    """Whether a recall of this batch is still to be logged."""
    state = batch_state(entry.event for entry in desk.ledger.find(run=one.run))
    return state is not None and (state, "recall") in BATCH_EDGES


def _keep(desk: Desk, envelope: bytes) -> str:
    folder = desk.roots.runs / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256(envelope).hexdigest()
    write_durably(folder / f"{digest}.dsse.json", envelope)
    return digest


def _log(desk: Desk, one: Published, decision: str, principal: str) -> None:
    # All three names: a training job may know the batch by any of them.
    desk.ledger.append(
        "recall",
        at=desk.now,
        via="cli",
        subject=one.batch_sha256,
        refs=[one.attestation_sha256, one.published_sha256, decision],
        run=one.run,
        principal=principal,
    )


def _name_what_follows(desk: Desk, found: Recalled) -> None:
    entries: tuple[Entry, ...] = tuple(desk.ledger.entries())
    attestations = {one.attestation_sha256 for one in found.batches}
    frozen, unknown = freezing.holding(desk, entries, attestations)
    found.datasets = tuple(sorted(frozen))
    found.trained = tuple(freezing.consumed(entries, attestations | set(frozen.values())))
    found.unknown = unknown
