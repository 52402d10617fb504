from __future__ import annotations

import subprocess
import sys

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from auditor.errors import BatchError
from auditor.readers import to_arrow

ROWS = {"a": [1, 2], "b": ["x", None]}


class Streamed:
    """Something of a library we do not know."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return pa.table(ROWS).__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "frame",
    [
        pa.table(ROWS),
        pa.record_batch(ROWS),
        pa.table(ROWS).to_reader(),
        pd.DataFrame(ROWS),
        pl.DataFrame(ROWS),
        Streamed(),
    ],
    ids=lambda frame: type(frame).__name__,
)
def test_frames(frame: object) -> None:
    assert to_arrow(frame).select(["a", "b"]).to_pydict() == ROWS


def test_a_pandas_index_with_meaning_is_kept() -> None:
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["k1", "k2"], name="key"))
    assert to_arrow(frame).to_pydict() == {"a": [1, 2], "key": ["k1", "k2"]}
    assert to_arrow(pd.DataFrame({"a": [1]})).column_names == ["a"]


def test_a_mixed_object_column_is_named() -> None:
    frame = pd.DataFrame({"fine": [1, 2], "mixed": pd.Series([1, "x"], dtype=object)})
    with pytest.raises(BatchError, match="mixed"):
        to_arrow(frame)


@pytest.mark.parametrize("thing", [None, [1, 2], "a.csv", {"a": [1]}])
def test_what_is_no_table(thing: object) -> None:
    with pytest.raises(BatchError, match="pass a DataFrame"):
        to_arrow(thing)


def test_reading_does_not_import_pandas() -> None:
    code = (
        "import sys, auditor.readers, auditor.roles\n"
        "heavy = {'pandas', 'polars', 'scipy', 'sklearn', 'prefect', 'duckdb'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
