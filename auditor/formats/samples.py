"""Leaves the values of cells out of a report."""

from __future__ import annotations

from dataclasses import replace

from auditor.report_records import FindingRecord, Report, Sample


def without_values(report: Report) -> Report:
    """Return the report without cell values, neighbours and the user's row ids.

    Positions (file, row) and suspicion stay, so the rows can still be found. Names of groups
    (contributor, column, label) stay too: they say what a finding is about.
    """
    return replace(report, findings=tuple(_bare(finding) for finding in report.findings))


def _bare(finding: FindingRecord) -> FindingRecord:
    return replace(finding, samples=tuple(_position(sample) for sample in finding.samples))


def _position(sample: Sample) -> Sample:
    return replace(sample, id="", values={}, neighbours=())
