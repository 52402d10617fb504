"""Adds accepted runs to a baseline as parts, and drops parts. Every change is a new version. Shell.

The ledger says what will be trusted before anything trusts it (`baseline.promoted`,
`baseline.part_dropped`).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from auditor import baseline_files, calibration
from auditor.baseline import CONTROL, FIT, Baseline, Piece, key_id
from auditor.baseline_parts import without
from auditor.baseline_versions import add_version, changing, known_digests, reason_sha256
from auditor.config import Settings
from auditor.errors import BaselineError, BatchError, ConfigError
from auditor.model import Scalar
from auditor.promotion import Accepted, accepted, due, refuse_twice
from auditor.readers import StagedBatch, ingest, resolve
from auditor.site import utc_now, workspace
from auditor.site_ledger import ledger_of
from auditor.trusting import origin_of, plan_of

Progress = Callable[[str], None]
Clock = Callable[[], dt.datetime]
Selector = Literal["part", "source", "contributor"]

#: Characters of a name in the ledger.
_NAME: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Who decided, and why; `reviewer` is None where the settings decided (`automatic`)."""

    reviewer: str | None
    reason: str | None

    @property
    def detail(self) -> dict[str, Scalar]:
        """What the ledger says of it: no free text."""
        if self.reviewer is None or self.reason is None:
            return {"by": "automatic"}
        return {"reviewed_by": self.reviewer, "reason_sha256": reason_sha256(self.reason)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A new version: what it was before, what it is, where it lies, and what came or went.

    `rows` counts rows per part that were added or taken out.
    """

    old: Baseline
    new: Baseline
    folder: Path
    rows: Mapping[str, int]


def promote(
    prefix: str,
    settings: Settings,
    folder: Path,
    review: Review,
    *,
    control: bool = False,
    progress: Progress | None = None,
    clock: Clock = utc_now,
) -> Change:
    """Add the rows that a run published to the baseline in `folder`, after a person looked.

    Raises:
        ConfigError: the settings say `promotion.allow: never`.
        BaselineError: the run, its files or its columns do not allow it.
    """
    if settings.promotion.allow == "never":
        raise ConfigError("promotion.allow is never: this site adds nothing to its baseline")
    roots = workspace(settings)
    with changing(folder):
        old = _ours(folder, roots.key())
        cooling = settings.promotion.cooling_off_days
        one = accepted(prefix, roots, ledger_of(settings), clock(), cooling)
        return _promoted(one, old, settings, folder, review, control, progress, clock())


def promote_due(
    settings: Settings,
    folder: Path,
    *,
    progress: Progress | None = None,
    clock: Clock = utc_now,
) -> Iterator[Change | BaselineError]:
    """Add every run that is due, oldest first; a run that cannot be added is an error, not the end.

    Raises:
        ConfigError: the settings do not say `promotion.allow: automatic`.
    """
    if settings.promotion.allow != "automatic":
        raise ConfigError(
            f"promotion.allow is {settings.promotion.allow}: --due needs automatic; "
            "promote a run with --reviewed-by NAME and --reason TEXT"
        )
    roots = workspace(settings)
    review = Review(reviewer=None, reason=None)
    with changing(folder):
        old = _ours(folder, roots.key())
        cooling = settings.promotion.cooling_off_days
        known, log = known_digests(folder), ledger_of(settings)
        found = list(due(roots, log, old, known, clock(), cooling))
        for one in found:
            if isinstance(one, BaselineError):
                yield one
                continue
            try:
                change = _promoted(one, old, settings, folder, review, False, progress, clock())
            except (BaselineError, BatchError) as error:
                yield BaselineError(f"{one.run}: {error}")
                continue
            old = change.new
            yield change


def drop(
    selector: Selector,
    name: str,
    settings: Settings,
    folder: Path,
    review: Review,
    *,
    progress: Progress | None = None,
    clock: Clock = utc_now,
) -> Change:
    """Take a part, the parts of a source, or the rows of a contributor out of the baseline.

    Raises:
        BaselineError: nothing of that name is in it, or too little would be left.
    """
    roots = workspace(settings)
    key = roots.key()
    with changing(folder):
        old = _ours(folder, key)
        left = _left(old, selector, name)
        gone = _gone(old, left)
        if not gone:
            raise BaselineError(f"no trusted row of {selector} {name[:80]!r}; see `baseline show`")
        new = calibration.reduced(old, left, plan_of(settings, key, clock()), progress)
        detail = {"what": selector, "name": _logged(selector, name, key), **review.detail}
        runs = {part.name: part.run for part in old.parts}
        kept = {part.name for part in new.parts}
        ledger = ledger_of(settings)

        def record() -> None:
            for part, rows in gone.items():
                ledger.append(
                    "baseline.part_dropped",
                    at=clock(),
                    via="cli",
                    subject=new.digest,
                    refs=[old.digest],
                    # A part that lost only some rows is still in: its run is not said to be gone.
                    run=runs[part] if part not in kept else None,
                    detail={**detail, "part": part[:_NAME], "rows": rows},
                )

        target = add_version(folder, new, review.reason, record)
        return Change(old=old, new=new, folder=target, rows=gone)


def _promoted(
    one: Accepted,
    old: Baseline,
    settings: Settings,
    folder: Path,
    review: Review,
    control: bool,
    progress: Progress | None,
    now: dt.datetime,
) -> Change:
    refuse_twice(one, old)
    roots = workspace(settings)
    origin = replace(
        origin_of(one, one.run, now, review.reviewer), role=CONTROL if control else FIT
    )
    plan = plan_of(settings, roots.key(), now, origin)
    staging = Path(tempfile.mkdtemp(prefix="auditor-baseline-"))
    try:
        batch = _published_batch(one, old, settings, staging, progress)
        new = calibration.extended(old, batch, plan, progress)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    rows = {part.name: part.rows for part in new.parts if part.run == one.run}
    detail: dict[str, Scalar] = {
        "from": "run",
        "role": origin.role,
        "rows": sum(rows.values()),
        **review.detail,
    }

    def record() -> None:
        ledger_of(settings).append(
            "baseline.promoted",
            at=now,
            via="cli",
            subject=new.digest,
            refs=[one.published, old.digest],
            run=one.run,
            detail=detail,
        )

    target = add_version(folder, new, review.reason, record)
    return Change(old=old, new=new, folder=target, rows=rows)


def _published_batch(
    one: Accepted,
    baseline: Baseline,
    settings: Settings,
    staging: Path,
    progress: Progress | None,
) -> StagedBatch:
    """The published rows under the baseline's roles, if what was read is what was attested."""
    limits = settings.limits.as_limits()
    found = ingest(resolve(list(one.paths)), staging=staging, limits=limits, progress=progress)
    if found.batch is None or found.findings:
        raise BatchError(found.findings[0].message if found.findings else "no rows could be read")
    if sorted(f.sha256 for f in found.files) != sorted(f.sha256 for f in one.files):
        raise BaselineError(f"{one.run}: the published files were changed while they were read")
    missing = [
        name
        for names in baseline.roles.assigned.values()
        for name in names
        if name in baseline.schema.names and name not in found.batch.schema.names
    ]
    if missing:
        raise BaselineError(
            f"{one.run}: column {missing[0][:80]!r} of the baseline is missing; "
            "build a new baseline from rows with the new columns"
        )
    return found.batch.with_roles(baseline.roles)


def _ours(folder: Path, key: bytes) -> Baseline:
    found = baseline_files.read(folder)
    if found.key_id != key_id(key):
        raise BaselineError(f"{folder}: was built with another site key; restore that key")
    return found


def _left(old: Baseline, selector: Selector, name: str) -> Sequence[Piece]:
    """The parts without what is dropped; a part without rows is none."""
    pieces = old.pieces
    if selector == "part":
        return [piece for piece in pieces if piece.part.name != name]
    if selector == "source":
        pieces = tuple(piece for piece in pieces if piece.part.source != name)
    kept = (without(piece, selector, name, old.frame) for piece in pieces)
    return [piece for piece in kept if piece.part.rows]


def _gone(old: Baseline, left: Sequence[Piece]) -> dict[str, int]:
    """Part -> rows that it loses."""
    rows = {piece.part.name: piece.part.rows for piece in left}
    lost = {part.name: part.rows - rows.get(part.name, 0) for part in old.parts}
    return {name: count for name, count in lost.items() if count}


def _logged(selector: Selector, name: str, key: bytes) -> str:
    """A contributor may be a person: a log that cannot forget gets a keyed digest of the name."""
    if selector != "contributor":
        return name[:_NAME]
    return hashlib.blake2b(name.encode(), key=key[:64], digest_size=16).hexdigest()
