"""`auditor replay`: run an audit again from what was recorded, and say what differs.

It needs the bytes of the batch. The ledger and the published folders are not touched: everything
happens in a private folder that is removed. Not compared: seconds, plots, and what the audit
measured of itself, which goes by the processor's time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.afterwards.rerun import Recorded, Rerun, prepare, recorded
from auditor.config import Settings
from auditor.errors import ConfigError
from auditor.pipeline import audit
from auditor.publish import sha256_of
from auditor.readers import Source, resolve
from auditor.report_records import Report
from auditor.run import Progress, Result
from auditor.site import workspace
from auditor.site_ledger import ledger_of

#: What the report says to reproduce a run, in words; versions are named apart.
_DECIDES: Final = {
    "policy_sha256": "the policy digest",
    "trust_policy_sha256": "the trust policy",
    "baseline_sha256": "the baseline",
    "signatures_sha256": "the signature list",
    "suppressions_sha256": "the suppressions",
    "seed": "the seed",
}
_VERSIONS: Final = ("python", "pyarrow", "scikit-learn", "pyod", "great-expectations", "sandbox")
_OUTCOMES: Final = {
    "verdict": "the verdict",
    "reasons": "the reasons",
    "batch_digest": "the batch digest",
    "rows_in": "rows",
    "rows_published": "rows published",
    "rows_quarantined": "rows set aside",
    "set_digest": "the digest of the set",
    "published_digest": "the digest of what is published",
}
_FINDINGS: Final = "findings.parquet"
_NAMED: Final = ["finding", "rule", "effect", "file", "row"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was recorded."""

    what: str
    before: str
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of it. `lost`: what could not be had as it was; then nothing is proven.

    `bytes_differ`: these are other bytes, so nothing was run. `verdict`: that of the replay.
    """

    run: str
    verdict: str
    differences: tuple[Difference, ...]
    lost: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    bytes_differ: bool = False

    @property
    def same(self) -> bool:
        """Whether verdict, sets, findings and policy are those recorded, and nothing was lost."""
        return not self.differences and not self.lost


def replay(
    settings: Settings, prefix: str, data: Sequence[str] = (), progress: Progress | None = None
) -> Replay:
    """Run an audit again; `settings` say where the runs are, the run's own say how it judged.

    Raises:
        ConfigError: there is no such run, its data is not there, or it cannot be replayed.
        BatchError, BaselineError, TrustError: what it needs cannot be read.
        LedgerError: what is recorded cannot be believed.
    """
    roots, ledger = workspace(settings), ledger_of(settings)
    told = recorded(roots.find_run(prefix), ledger)
    sources = _sources(told, data)
    other = tuple(_other_bytes(told.report, sources))
    if other:
        return Replay(
            run=told.run, verdict=told.report.verdict, differences=other, bytes_differ=True
        )
    with tempfile.TemporaryDirectory(prefix="auditor-replay-") as folder:
        rerun = prepare(
            told,
            sources,
            today=settings,
            roots=roots,
            ledger=ledger,
            scratch=Path(folder),
            progress=progress,
        )
        return _compared(told, rerun, audit(rerun.job))


def _sources(told: Recorded, data: Sequence[str]) -> tuple[Source, ...]:
    given = tuple(data) or told.data
    if not given:
        raise ConfigError(
            f"{told.run}: where its data lay was not recorded; name it with --data PATH "
            "(a table in memory cannot be replayed)"
        )
    return resolve(given)


def _other_bytes(report: Report, sources: Sequence[Source]) -> Iterator[Difference]:
    """Files that are not those that were received, by name and digest.

    A run that broke off lists none; its batch digest is compared with the rest.
    """
    if not report.files:
        return
    before = {file.name: file.sha256 for file in report.files}
    now = {s.name: sha256_of(s.path) for s in sources if not s.skipped}
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name, "not in the batch"), now.get(name, "not there")
        if old != new:
            yield Difference(f"the file {name}", old, new)


def _compared(told: Recorded, rerun: Rerun, done: Result) -> Replay:
    before, now = told.report, done.report
    found = [*_reproduced(before, now), *_outcomes(before, now), *_rules(before, now)]
    found += [*_findings(before, now), *_rows(told.folder, done.folder)]
    versions = [
        f"{name} was {before.reproduce.get(name, 'not recorded')}, is {now.reproduce.get(name)}"
        for name in _VERSIONS
        if before.reproduce.get(name) != now.reproduce.get(name)
    ]
    if before.auditor != now.auditor:
        versions.insert(0, f"auditor was {before.auditor}, is {now.auditor}")
    return Replay(
        run=told.run,
        verdict=now.verdict,
        differences=tuple(found),
        lost=rerun.lost,
        notes=(*rerun.notes, *versions),
    )


def _reproduced(before: Report, now: Report) -> Iterator[Difference]:
    for name, words in _DECIDES.items():
        # A run from before there was such a thing had none of it.
        yield from _differ(
            words, before.reproduce.get(name, "none"), now.reproduce.get(name, "none")
        )


def _outcomes(before: Report, now: Report) -> Iterator[Difference]:
    for name, words in _OUTCOMES.items():
        yield from _differ(words, getattr(before, name), getattr(now, name))


def _rules(before: Report, now: Report) -> Iterator[Difference]:
    old, new = (
        {rule.id: (rule.status, rule.reason, rule.effect, rule.required) for rule in each.rules}
        for each in (before, now)
    )
    for rule in sorted(old.keys() | new.keys()):
        yield from _differ(f"rule {rule}", old.get(rule), new.get(rule))


def _findings(before: Report, now: Report) -> Iterator[Difference]:
    old, new = (
        {
            f.id: (f.rule, f.effect, f.severity, f.reason, f.message, f.p_value, f.rows)
            for f in each.findings
        }
        for each in (before, now)
    )
    for name in sorted(old.keys() | new.keys()):
        yield from _differ(f"finding {name}", old.get(name), new.get(name))


def _rows(before: Path, now: Path) -> Iterator[Difference]:
    """The rows that findings name, also of an audit, which sets nothing aside."""
    old, new = (_named_rows(folder) for folder in (before, now))
    if old != new:
        yield Difference("rows that findings name", _size(old), _size(new))


def _named_rows(folder: Path) -> list[Any] | None:
    path = folder / _FINDINGS
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path, columns=_NAMED, pre_buffer=False)
    except (pa.ArrowException, OSError):  # damaged since: never equal to what is found now
        return [("cannot be read",)]
    return sorted(zip(*(table.column(name).to_pylist() for name in _NAMED), strict=True))


def _size(rows: list[Any] | None) -> str:
    return "no such file" if rows is None else f"{len(rows)}"


def _differ(what: str, before: object, now: object) -> Iterator[Difference]:
    if before != now:
        yield Difference(what, _text(before), _text(now))


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return "; ".join(str(part) for part in value if part not in ("", None))
    return str(value)
