"""What recalled batches left in the baseline, and what was judged by comparing with it since.

Shell; reads only.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from auditor.afterwards.desk import Desk
from auditor.afterwards.logged_runs import LoggedRun
from auditor.baseline import Part
from auditor.baseline_files import current, parts_of
from auditor.baseline_versions import versions
from auditor.errors import BaselineError
from auditor.lifecycle.recalls import Published


@dataclass(frozen=True, slots=True)
class Judged:
    """A published batch that was compared with rows that are recalled now.

    `data`: what to audit again: the files as they came, else what was published of them.
    """

    run: str
    resource: str
    data: tuple[str, ...]

    @property
    def command(self) -> str:
        """What audits it again."""
        return shlex.join(["auditor", "audit", *self.data])


@dataclass(frozen=True, slots=True)
class Left:
    """`parts` of the baseline in force, `judged` by any version that held one, oldest first."""

    parts: tuple[str, ...] = ()
    judged: tuple[Judged, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def commands(self) -> tuple[str, ...]:
        """What takes the parts out of the baseline."""
        who = ("--reviewed-by", "NAME", "--reason", "TEXT")
        return tuple(
            shlex.join(["auditor", "baseline", "drop", "--part", part, *who]) for part in self.parts
        )


def left_behind(desk: Desk, batches: Sequence[Published], runs: Sequence[LoggedRun]) -> Left:
    """What these batches left; runs among `runs` that are recalled themselves are not named."""
    folder = desk.settings.baseline
    recalled = {one.run for one in batches}
    if folder is None or not recalled:
        return Left()
    try:
        held = {digest: parts_of(path) for path, digest in versions(folder)}
        parts = parts_of(current(folder))
    except BaselineError as error:
        return Left(unknown=(f"what they left in the baseline is unknown: {error}",))
    files = {digest for one in batches for digest in (one.published_sha256, one.batch_sha256)}
    first = min(run.entry.idx for run in runs if run.run in recalled)
    after = [run for run in runs if run.run not in recalled and run.entry.idx > first]
    tainted = {digest for digest, each in held.items() if _of(each, recalled, files)}
    return Left(
        parts=_of(parts, recalled, files),
        judged=tuple(_judged(desk, run) for run in after if _baseline(run) in tainted),
        unknown=tuple(_lost(after, held)),
    )


def _of(
    parts: Sequence[Part], runs: Collection[str | None], files: Collection[str | None]
) -> tuple[str, ...]:
    return tuple(p.name for p in parts if p.run in runs or {p.published, p.digest} & set(files))


def _baseline(run: LoggedRun) -> str:
    return str(run.report.reproduce.get("baseline_sha256", "none"))


def _lost(after: Sequence[LoggedRun], held: Mapping[str, object]) -> list[str]:
    """Baselines of later runs that are not among the versions that are kept."""
    gone = sorted({_baseline(run) for run in after} - {"none", *held})
    return [f"the baseline {digest[:16]} is not kept: it may have held them" for digest in gone]


def _judged(desk: Desk, run: LoggedRun) -> Judged:
    data = tuple(str(path) for path in json.loads(str(run.report.reproduce.get("data", "[]"))))
    if not data or not all(Path(path).exists() for path in data):
        folder = desk.roots.publish_to / run.summary.sha256
        data = tuple(str(folder / file.name) for file in run.summary.files)
    return Judged(run=run.run, resource=run.resource, data=data)
