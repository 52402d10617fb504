"""Evaluates one expectation at a time with Great Expectations, and believes no silence.

Traps this file owns: importing costs 5 to 11 s; a type that is not known is dropped from a suite
and an empty suite is a success (so: one expectation, one result, no suite); `exception_info`
means *could not evaluate*, not *unmet*; `in_type_list` never holds for the text type of pandas 3;
integers with nulls would turn into floats, where large ids collide.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

#: Types of expectation that look at the type of a column, never at its values.
TYPE_QUESTIONS: Final = frozenset(
    {
        "expect_column_type_to_be",
        "expect_column_values_to_be_in_type_list",
        "expect_column_values_to_be_of_type",
    }
)


_NUMPY_TYPES: Final = (pa.int64(), pa.uint64(), pa.float64(), pa.bool_())


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one expectation.

    `rows`: positions of the unexpected values, ascending; None where the expectation is about
    the column or table as a whole. `observed`: a number that was compared, where there is one.
    `error`: the name of the exception that kept it from being evaluated; then `met` is false.
    """

    met: bool
    rows: npt.NDArray[np.int64] | None = None
    observed: float | None = None
    error: str | None = None


class SuiteRunner:
    """An ephemeral context over one table in memory. Nothing is written, sent or printed."""

    def __init__(self, table: pa.Table) -> None:
        """Import Great Expectations and hold `table` as a data frame, whose index is the row."""
        self._schema = table.schema
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own imports are deprecated in places
            definition = _batch_definition()
        self._values = definition.get_batch({"dataframe": to_frame(table)})
        self._types = definition.get_batch({"dataframe": type_frame(table.schema)})

    def ask(self, expectation: Mapping[str, Any]) -> Answer:
        """Evaluate one expectation that `suites.judge` let pass; see `Answer`."""
        from great_expectations.exceptions.exceptions import GreatExpectationsError
        from great_expectations.expectations.expectation_configuration import (
            ExpectationConfiguration,
        )
        from pydantic.v1 import ValidationError

        kwargs = dict(expectation["kwargs"])
        kwargs.update(_moments(kwargs, self._schema))
        about_types = expectation["type"] in TYPE_QUESTIONS
        batch = self._types if about_types else self._values
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pandas guesses at date formats and says so
                asked = ExpectationConfiguration(type=expectation["type"], kwargs=kwargs)
                result = batch.validate(
                    asked.to_domain_obj(), result_format={"result_format": "COMPLETE"}
                )
        except (ValidationError, GreatExpectationsError) as error:
            return Answer(met=False, error=type(error).__name__)
        return _answer(result, with_rows=not about_types)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """The table as pandas columns: int64, float64, str, bool, datetime64; nulls stay nulls.

    Narrower numbers are widened and dictionaries decoded, so that a suite means the same
    whatever the width or encoding a file came in. Integers with nulls become `Int64`.
    """
    import pandas as pd

    plain = [_plain(column) for column in table.columns]
    whole = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}
    columns = {
        name: column.to_pandas(
            types_mapper=whole.get if column.null_count else None, date_as_object=False
        )
        for name, column in zip(table.column_names, plain, strict=True)
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows))


def type_frame(schema: pa.Schema) -> pd.DataFrame:
    """One row that has the types of the columns: what questions about types are put to.

    Texts are Python objects here, because Great Expectations does not find the text type of
    pandas 3 in a list of types. A column of nulls only has no type, so it meets every one.
    """
    import pandas as pd

    columns: dict[str, pd.Series[Any]] = {}
    for field in schema:
        kind = _plain(pa.chunked_array([], field.type)).type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            columns[field.name] = pd.Series([""], dtype=object)
        elif kind in _NUMPY_TYPES:
            columns[field.name] = pd.Series([0], dtype=kind.to_pandas_dtype())
        elif pa.types.is_temporal(kind):
            columns[field.name] = pd.Series([0]).astype("datetime64[us]")
        elif pa.types.is_null(kind):
            columns[field.name] = pd.Series([None], dtype=object)
        else:
            columns[field.name] = pd.Series([_Other()], dtype=object)
    return pd.DataFrame(columns, index=pd.RangeIndex(1))


class _Other:
    """Stands for lists, structs, bytes: of no type that an expectation can name."""


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Dictionaries decoded, numbers in 64 bits, decimals as floats."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.cast(kind.value_type))
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return column.cast(pa.int64())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.float64(), safe=False)
    return column


def _moments(kwargs: Mapping[str, Any], schema: pa.Schema) -> dict[str, str]:
    """Date bounds in the form that compares with the column: a time of day, a zone or none."""
    at = schema.get_field_index(str(kwargs.get("column", "")))
    kind = schema.types[at] if at >= 0 else pa.null()
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return {}
    zoned = pa.types.is_timestamp(kind) and kind.tz is not None
    bounds = {name: kwargs[name] for name in ("min_value", "max_value") if name in kwargs}
    return {name: _moment(b, zoned) for name, b in bounds.items() if isinstance(b, str)}


def _moment(text: str, zoned: bool) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text  # Great Expectations says what is wrong with it
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return (moment if zoned else moment.replace(tzinfo=None)).isoformat()


def _batch_definition() -> Any:
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    config = DataContextConfig(
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
    )
    context = gx.get_context(mode="ephemeral", project_config=config)
    asset = context.data_sources.add_pandas("batch").add_dataframe_asset("batch")
    return asset.add_batch_definition_whole_dataframe("batch")


def _answer(result: Any, *, with_rows: bool) -> Answer:
    error = _error(result.exception_info or {})
    if error is not None:
        return Answer(met=False, error=error)
    details = result.result or {}
    named = details.get("unexpected_index_list")
    rows = None
    if with_rows and named is not None:
        rows = np.unique(np.asarray(named, dtype=np.int64))
    if rows is not None and len(rows) != details.get("unexpected_count"):
        return Answer(met=False, error="rows named and rows counted differ")
    observed = details.get("observed_value")
    return Answer(met=bool(result.success), rows=rows, observed=_number(observed))


def _number(observed: object) -> float | None:
    """Aggregates that are numbers may be shown; anything else could be a value of the batch."""
    number = isinstance(observed, (int, float, np.number)) and not isinstance(observed, bool)
    return float(cast("float", observed)) if number else None


def _error(info: Mapping[str, Any]) -> str | None:
    """The exception of a result: there is one for the whole, or one for each metric."""
    for entry in (info, *info.values()):
        if isinstance(entry, Mapping) and entry.get("raised_exception"):
            lines = str(entry.get("exception_traceback") or "").strip().splitlines()
            name = lines[-1].split(":")[0].rsplit(".", 1)[-1] if lines else ""
            return name if name.isidentifier() else "an error"
    return None
