"""A `Report` as text, JSON, HTML, Markdown, SARIF and JUnit.

Every format is a view of the same plain values and depends on nothing but `auditor.model` and
`auditor.report_records`. What a report quotes is hostile text: `escape` is the only place that
makes it safe.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from auditor.errors import ConfigError

if TYPE_CHECKING:
    # The escaping alone must stay light: it needs no pyarrow.
    from auditor.report_records import Report

#: Name of a format on the command line -> (module, file name in the run folder).
FORMATS: Final = {
    "text": ("auditor.formats.text", "report.txt"),
    "json": ("auditor.formats.report_json", "report.json"),
    "html": ("auditor.formats.html", "report.html"),
    "md": ("auditor.formats.markdown", "report.md"),
    "sarif": ("auditor.formats.sarif", "findings.sarif"),
    "junit": ("auditor.formats.junit", "junit.xml"),
    "github": ("auditor.formats.github", "annotations.txt"),
}


def render(report: Report, form: str, *, no_samples: bool = False) -> str:
    """Return the report in one of `FORMATS`; `no_samples` leaves the values of cells out.

    Raises:
        ConfigError: the format is not known.
    """
    if form not in FORMATS:
        raise ConfigError(f"unknown report format {form!r}; use one of {', '.join(FORMATS)}")
    from auditor.formats.samples import without_values

    module = import_module(FORMATS[form][0])
    return cast(str, module.render(without_values(report) if no_samples else report))
