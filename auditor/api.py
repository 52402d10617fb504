"""The Python API: `auditor.audit(table_or_path, ...) -> Audit`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from auditor.config import Settings, load
from auditor.errors import AuditorError, ConfigError
from auditor.formats import render
from auditor.model import Mode, Verdict
from auditor.pipeline import audit as run_audit
from auditor.readers import resolve, takeable, to_arrow
from auditor.report_records import FindingRecord, Report, RuleRecord
from auditor.roles import meant
from auditor.run import Job, Result


class RejectedError(AuditorError):
    """The verdict was not ACCEPT; the message names the reasons and the report."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found. `result` has the paths; `table` is set for input in memory."""

    result: Result
    table: pa.Table | None

    @property
    def report(self) -> Report:
        """Everything that was found and decided, as plain values."""
        return self.result.report

    @property
    def verdict(self) -> Verdict:
        """ACCEPT, QUARANTINE, REJECT or HOLD."""
        return self.result.verdict

    @property
    def findings(self) -> tuple[FindingRecord, ...]:
        """Every claim with what the policy made of it."""
        return self.report.findings

    @property
    def outcomes(self) -> tuple[RuleRecord, ...]:
        """What became of every rule: ran, skipped, failed."""
        return self.report.rules

    def quarantined(self) -> pa.Table:
        """The rows that are set aside (input in memory only).

        Raises:
            ValueError: the input was files; read the run folder instead.
        """
        return self._in_memory().take(pa.array(self.result.rows.rows))

    def published(self) -> pa.Table:
        """The rows that passed; none where the verdict is REJECT or HOLD (input in memory only).

        Raises:
            ValueError: the input was files; read the run folder instead.
        """
        table = self._in_memory()
        if self.verdict not in (Verdict.ACCEPT, Verdict.QUARANTINE):
            return table.slice(0, 0)
        keep = np.ones(table.num_rows, dtype=bool)
        keep[self.result.rows.rows] = False
        return table.filter(pa.array(keep))

    def to_html(self) -> str:
        """The report as one self-contained HTML page."""
        return render(self.report, "html")

    def raise_for_verdict(self) -> None:
        """Do nothing on ACCEPT.

        Raises:
            RejectedError: any other verdict.
        """
        if self.verdict != Verdict.ACCEPT:
            reasons = "; ".join(self.report.reasons[:3])
            raise RejectedError(f"{self.verdict}: {reasons} (report: {self.result.folder})")

    def _in_memory(self) -> pa.Table:
        if self.table is None:
            raise ValueError(f"the input was files; see {self.result.folder}")
        return self.table


def audit(
    data: Any,
    *,
    label: str | None = None,
    roles: Mapping[str, str | Sequence[str]] | None = None,
    baseline: Path | str | None = None,
    config: Path | str | None = None,
) -> Audit:
    """Audit a table in memory, or files.

    Args:
        data: pandas, polars, pyarrow or anything with `__arrow_c_stream__`; or a path, or several.
        label: the label column; inferred where it is not given.
        roles: role -> column(s), overriding what is inferred.
        baseline: folder of a baseline.
        config: an `auditor.yaml`; else the safe defaults, writing below `.auditor`.

    Raises:
        ConfigError, BaselineError, TrustError: the set-up cannot be used.
        BatchError: the input cannot be opened.
    """
    settings = _settings(config, label, roles, baseline)
    if isinstance(data, str | Path) or (
        isinstance(data, list | tuple) and all(isinstance(x, str | Path) for x in data)
    ):
        paths = [str(data)] if isinstance(data, str | Path) else [str(x) for x in data]
        job = Job(settings=settings, mode=Mode.AUDIT, sources=resolve(paths), name=paths[0])
        return Audit(run_audit(job), None)
    table = takeable(to_arrow(data))
    return Audit(
        run_audit(Job(settings=settings, mode=Mode.AUDIT, table=table, name="table")), table
    )


def _settings(
    config: Path | str | None,
    label: str | None,
    roles: Mapping[str, str | Sequence[str]] | None,
    baseline: Path | str | None,
) -> Settings:
    settings = load(Path(config) if config else None, os.environ, strict_permissions=False)
    changes: dict[str, Any] = {}
    given = dict(roles or {}) | ({"label": label} if label else {})
    for role in given:
        if near := meant(role):
            raise ConfigError(f"roles: no rule reads {role!r}; did you mean {near}?")
    if given:
        changes["roles"] = dict(settings.roles) | given
    if baseline:
        changes["baseline"] = Path(baseline)
    return settings.model_copy(update=changes)
