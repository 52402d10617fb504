"""AUD-Q001: rows that do not meet the expectations that the site wrote down.

Sees values outside ranges and sets, missing values, repeated ids, columns gone or of another
type: out-of-range noise, unit changes, broken feeds. Misses everything that is plausible cell by
cell: flips among known labels, copies under new ids, triggers made of ordinary values.

Language and evaluation: Great Expectations (https://docs.greatexpectations.io, 1.24).
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor import suites
from auditor.batch import Batch, read_columns
from auditor.context import Context
from auditor.errors import Unavailable
from auditor.model import Effect, Family, Finding, Outcome, Rule, Scalar, Severity, row_table
from auditor.suites.runner import TYPE_QUESTIONS, Answer, SuiteRunner

_SEVERITY: Final = {
    "critical": Severity.CRITICAL,
    "warning": Severity.MEDIUM,
    "info": Severity.LOW,
}
#: Expectations that only make sense for numbers, whatever their arguments.
_NUMERIC: Final = frozenset(
    {
        "expect_column_mean_to_be_between",
        "expect_column_median_to_be_between",
        "expect_column_stdev_to_be_between",
        "expect_column_sum_to_be_between",
        "expect_column_value_z_scores_to_be_less_than",
        "expect_column_values_to_not_be_outliers",
    }
)
#: Expectations that compare values with bounds, which may be numbers or moments.
_BOUNDED: Final = frozenset(
    {
        "expect_column_max_to_be_between",
        "expect_column_min_to_be_between",
        "expect_column_values_to_be_between",
    }
)
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Options:
    """No settings: what is expected stands in the suite."""


class Quality:
    """Evaluates the suite of the context over the whole batch."""

    rule: ClassVar[Rule] = Rule(
        id="AUD-Q001",
        family=Family.QUALITY,
        title="Expectation not met",
        severity=Severity.HIGH,
        effect=Effect.QUARANTINE,
        attacks=("out-of-range",),
        references=("https://docs.greatexpectations.io/docs/core/introduction/",),
    )
    options: ClassVar[type] = Options

    def __init__(self, expectations: Sequence[Mapping[str, Any]]) -> None:
        """`expectations`: as `suites.load` or `suites.judge` give them."""
        self._expectations = tuple(expectations)

    @classmethod
    def load(cls, context: Context) -> Quality:
        """Raise `Unavailable` without a suite or its library, `ConfigError` for a bad suite."""
        if context.expectations is None:
            raise Unavailable("no expectations suite")
        expectations = suites.judge(context.expectations, "expectations")
        if importlib.util.find_spec("great_expectations") is None:
            raise Unavailable("needs Great Expectations: pip install 'auditor[audit]'")
        return cls(expectations)

    def scan(self, batch: Batch) -> Outcome:
        """One finding an unmet expectation, a missing column, or a number column of texts.

        `failed` names the expectations that could not be evaluated; what was found stays.
        """
        there = set(batch.schema.names)
        missing = [e for e in self._expectations if not there.issuperset(suites.columns_of(e))]
        present = [e for e in self._expectations if e not in missing]
        findings = list(_missing_columns(missing, there))
        table = read_columns(batch, _columns_to_read(present, batch.schema.names))
        mistyped = [(e, _mistyped(e, table.schema)) for e in present]
        findings.extend(_mistyped_columns([(e, c) for e, c in mistyped if c], table))
        found, failed = _evaluate([e for e, column in mistyped if not column], table)
        return Outcome(
            rule=self.rule.id,
            findings=(*findings, *found),
            failed="could not evaluate " + "; ".join(failed) if failed else None,
        )


def _columns_to_read(expectations: Sequence[Mapping[str, Any]], names: list[str]) -> list[str]:
    """Columns in use; all of them where an expectation is about the table's columns."""
    if any(str(e["type"]).startswith("expect_table_column") for e in expectations):
        return names
    used = {column for e in expectations for column in suites.columns_of(e)}
    # A table without columns forgets how many rows it has, and row counts may be expected.
    return [name for name in names if name in used] or names[:1]


def _evaluate(
    expectations: Sequence[Mapping[str, Any]], table: pa.Table
) -> tuple[list[Finding], list[str]]:
    if table.num_rows == 0:
        expectations = [e for e in expectations if _asks_nothing_of_rows(e)]
    if not expectations:
        return [], []
    runner = SuiteRunner(table)
    answers = [runner.ask(expectation) for expectation in expectations]
    pairs = list(zip(expectations, answers, strict=True))  # as many answers as questions
    found = [_unmet(e, a, table.num_rows) for e, a in pairs if not a.met and a.error is None]
    return found, [f"{_place(e)}: {a.error}" for e, a in pairs if a.error is not None]


def _asks_nothing_of_rows(expectation: Mapping[str, Any]) -> bool:
    """Without rows, no value can be unexpected and no mean can be taken."""
    kind = str(expectation["type"])
    return kind.startswith("expect_table_") or kind in TYPE_QUESTIONS


def _unmet(expectation: Mapping[str, Any], answer: Answer, total: int) -> Finding:
    kind, where = str(expectation["type"]), ", ".join(suites.columns_of(expectation)) or "table"
    expected = _short(expectation["kwargs"])
    evidence: dict[str, Scalar] = {"expectation": kind, "column": where, "expected": expected}
    if answer.rows is None:
        if answer.observed is not None:
            evidence["observed"] = answer.observed
        return _finding(expectation, f"{where}: expected {_words(kind)} {expected}", evidence)
    count = len(answer.rows)
    evidence |= {"unexpected": count, "share": round(count / total, 6)}
    message = f"{where}: expected {_words(kind)} {expected}; not so in {count} of {total} rows"
    return _finding(expectation, message, evidence, answer.rows)


def _missing_columns(
    expectations: Sequence[Mapping[str, Any]], there: set[str]
) -> Iterator[Finding]:
    """One finding a column, of the worst severity among the expectations that need it."""
    needed: dict[str, list[Mapping[str, Any]]] = {}
    for expectation in expectations:
        for column in suites.columns_of(expectation):
            if column not in there:
                needed.setdefault(column, []).append(expectation)
    for column, by in needed.items():
        worst = min(by, key=lambda e: suites.SEVERITIES.index(e["severity"]))
        evidence: dict[str, Scalar] = {
            "code": "COLUMN_MISSING",
            "column": column,
            "expectations": len(by),
        }
        yield _finding(worst, f"{column}: the column is missing ({len(by)} unmet)", evidence)


def _mistyped(expectation: Mapping[str, Any], schema: pa.Schema) -> str | None:
    """The column that holds no numbers where numbers are expected, or None."""
    kind, kwargs = expectation["type"], expectation["kwargs"]
    bounds = [kwargs.get("min_value"), kwargs.get("max_value")]
    numeric = kind in _BOUNDED and any(isinstance(bound, (int, float)) for bound in bounds)
    if not (numeric or kind in _NUMERIC):
        return None
    column = str(kwargs["column"])
    return None if _holds_numbers(schema.field(column).type) else column


def _holds_numbers(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _holds_numbers(kind.value_type)
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    # A column of nulls holds nothing that is not a number; null rates are another expectation.
    return any(test(kind) for test in (*tests, pa.types.is_boolean, pa.types.is_null))


def _mistyped_columns(
    pairs: Sequence[tuple[Mapping[str, Any], str]], table: pa.Table
) -> Iterator[Finding]:
    """One finding a column, with the rows whose texts are no numbers where they can be told."""
    for column in dict.fromkeys(column for _, column in pairs):
        by = [e for e, c in pairs if c == column]
        worst = min(by, key=lambda e: suites.SEVERITIES.index(e["severity"]))
        kind = str(table.schema.field(column).type)
        evidence: dict[str, Scalar] = {
            "code": "COLUMN_TYPE",
            "column": column,
            "expected": "numbers",
            "type": kind,
            "expectations": len(by),
        }
        rows = _texts_that_are_no_numbers(table[column])
        message = f"{column}: numbers are expected, the column holds {kind}"
        if rows is not None:
            evidence["unexpected"] = len(rows)
            message += f"; {len(rows)} cells are no numbers"
        yield _finding(worst, message, evidence, rows if rows is not None and len(rows) else None)


def _texts_that_are_no_numbers(values: pa.ChunkedArray) -> npt.NDArray[np.int64] | None:
    """Rows whose text does not parse as a number; None where the column holds no texts."""
    import pandas as pd

    plain = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
    if not (pa.types.is_string(plain.type) or pa.types.is_large_string(plain.type)):
        return None
    texts = plain.to_pandas()
    odd = pd.to_numeric(texts, errors="coerce").isna() & texts.notna()
    return np.flatnonzero(odd.to_numpy()).astype(np.int64)


def _finding(
    expectation: Mapping[str, Any],
    message: str,
    evidence: Mapping[str, Scalar],
    rows: npt.NDArray[np.int64] | None = None,
) -> Finding:
    return Finding(
        rule=Quality.rule.id,
        severity=_SEVERITY[expectation["severity"]],
        message=message,
        evidence=evidence,
        rows=None if rows is None else row_table(rows, 1.0),
    )


def _short(kwargs: Mapping[str, Any]) -> str:
    """The arguments besides the columns, cut to what fits a line of a report."""
    rest = {k: v for k, v in kwargs.items() if k not in ("column", "column_A", "column_B")}
    text = ", ".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in rest.items())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _words(kind: str) -> str:
    return kind.removeprefix("expect_").removeprefix("column_").replace("_", " ")


def _place(expectation: Mapping[str, Any]) -> str:
    columns = ", ".join(suites.columns_of(expectation)) or "table"
    return f"{expectation['type']} of {columns}"
