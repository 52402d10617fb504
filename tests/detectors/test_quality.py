from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor import samples, suites
from auditor.batch import Roles, TableBatch
from auditor.context import Context
from auditor.detectors.quality import Quality
from auditor.errors import ConfigError, Unavailable
from auditor.model import Outcome, Severity
from auditor.redteam import ATTACKS_BY_NAME

ROLES = Roles(
    {
        "id": ("row_id",),
        "feature": ("carat", "cut", "color", "clarity", "depth", "table", "x", "y", "z"),
        "label": ("price_band",),
        "contributor": ("contributor",),
        "timestamp": ("collected_at",),
    }
)
VALUES = "expect_column_values_to_"


def expect(kind: str, severity: str = "warning", **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "severity": severity}


def scan(table: pa.Table, *expectations: dict[str, Any], chunk_rows: int = 1000) -> Outcome:
    detector = Quality.load(Context(expectations=expectations))
    return detector.scan(TableBatch(table, ROLES, chunk_rows=chunk_rows))


def only(outcome: Outcome) -> Any:
    assert outcome.failed is None
    (finding,) = outcome.findings
    return finding


def named(outcome: Outcome) -> list[int]:
    rows = only(outcome).rows
    assert rows is not None
    assert set(rows["suspicion"].to_pylist()) <= {1.0}
    found: list[int] = rows["row"].to_pylist()
    return found


# --- the drill ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", samples.incoming(), ids=lambda path: path.stem)
def test_clean_sample_batches_meet_the_shipped_suite(path: Path) -> None:
    suite = suites.load(samples.expectations_dir() / "diamonds.json")
    outcome = scan(pq.read_table(path), *suite)
    assert outcome.status == "ran"
    assert outcome.findings == ()


def test_planted_rows_are_found_and_no_others() -> None:
    suite = suites.load(samples.expectations_dir() / "diamonds.json")
    clean = pq.read_table(samples.incoming()[0])
    planted = ATTACKS_BY_NAME["out-of-range"](clean, ROLES, rows=25, seed=7)
    outcome = scan(planted.table, *suite)
    found = {r for f in outcome.findings if f.rows for r in f.rows["row"].to_pylist()}
    assert found == set(np.flatnonzero(planted.mask.to_numpy(zero_copy_only=False)).tolist())


# --- the same as by hand --------------------------------------------------------------------------


def mixed_table() -> pa.Table:
    rng = np.random.default_rng(5)
    numbers = np.where(rng.random(400) < 0.1, np.nan, rng.normal(0, 3, 400))
    numbers[7], numbers[8] = np.inf, -np.inf
    words = rng.choice(["red", "green", "blau", "x9", ""], 400).tolist()
    return pa.table(
        {
            "number": pa.array([None if i % 17 == 0 else v for i, v in enumerate(numbers)]),
            "whole": pa.array([None if v == 5 else int(v) for v in rng.integers(0, 300, 400)]),
            "word": pa.array([None if i % 13 == 0 else w for i, w in enumerate(words)]),
        }
    )


@pytest.mark.parametrize("encoded", [False, True], ids=["plain", "dictionary"])
def test_rows_are_those_that_pandas_names(encoded: bool) -> None:
    table = mixed_table()
    frame = pd.DataFrame({name: table[name].to_pylist() for name in table.column_names})
    number = pd.to_numeric(frame["number"])
    word, whole = frame["word"], pd.to_numeric(frame["whole"])
    pattern = re.compile("^[a-z]+$")
    pairs = [
        (
            expect(VALUES + "be_between", column="number", min_value=-2, max_value=2.5),
            (number < -2) | (number > 2.5),
        ),
        (
            expect(VALUES + "be_between", column="whole", max_value=200, strict_max=True),
            whole >= 200,
        ),
        (
            expect(VALUES + "be_in_set", column="word", value_set=["red", "green"]),
            word.notna() & ~word.isin(["red", "green"]),
        ),
        (
            expect(VALUES + "not_be_in_set", column="word", value_set=["x9"]),
            word == "x9",
        ),
        (expect(VALUES + "not_be_null", column="word"), word.isna()),
        (expect(VALUES + "not_be_null", column="number"), number.isna()),
        (
            expect(VALUES + "be_unique", column="whole"),
            whole.notna() & whole.duplicated(keep=False),
        ),
        (
            expect(VALUES + "match_regex", column="word", regex="^[a-z]+$"),
            word.map(lambda w: isinstance(w, str) and not pattern.match(w)),
        ),
    ]
    if encoded:
        table = table.set_column(2, "word", table["word"].dictionary_encode())
    for expectation, unmet in pairs:
        rows = np.flatnonzero(unmet.to_numpy(dtype=bool)).tolist()
        assert rows, "the example must have something to find"
        outcome = scan(table, expectation, chunk_rows=37)
        assert named(outcome) == rows, expectation
        evidence = only(outcome).evidence
        assert evidence["unexpected"] == len(rows)
        assert evidence["share"] == pytest.approx(len(rows) / 400, abs=1e-6)


def test_mostly_met_is_silent_and_unmet_names_all_rows() -> None:
    table = pa.table({"a": [1.0] * 95 + [9.0] * 5})
    loose = expect(VALUES + "be_between", column="a", max_value=2, mostly=0.95)
    tight = expect(VALUES + "be_between", column="a", max_value=2, mostly=0.96)
    assert scan(table, loose).findings == ()
    assert named(scan(table, tight)) == [95, 96, 97, 98, 99]


def test_large_ids_with_a_null_do_not_collide() -> None:
    table = pa.table({"a": pa.array([2**60, 2**60 + 1, None])})
    assert scan(table, expect(VALUES + "be_unique", column="a")).findings == ()


def test_aggregates_are_about_the_whole_batch() -> None:
    table = pa.table({"a": [1.0, 2.0, 3.0]})
    for expectation in (
        expect("expect_column_mean_to_be_between", column="a", min_value=5),
        expect("expect_table_row_count_to_be_between", min_value=10),
        expect("expect_column_unique_value_count_to_be_between", column="a", max_value=2),
        expect("expect_table_columns_to_match_set", column_set=["a", "b"]),
        expect(VALUES + "be_of_type", column="a", type_="int64"),
    ):
        finding = only(scan(table, expectation))
        assert finding.rows is None
        assert finding.p_value is None
    assert only(scan(table, expect("expect_column_mean_to_be_between", column="a", min_value=5)))


def test_a_row_count_alone_counts_all_rows() -> None:
    table = pa.table({"a": [1.0, 2.0, 3.0]})
    assert scan(table, expect("expect_table_row_count_to_equal", value=3)).findings == ()
    assert only(scan(table, expect("expect_table_row_count_to_equal", value=4)))


@pytest.mark.parametrize(
    ("given", "severity"),
    [("critical", Severity.CRITICAL), ("warning", Severity.MEDIUM), ("info", Severity.LOW)],
)
def test_severity_is_the_suites(given: str, severity: Severity) -> None:
    table = pa.table({"a": [None, 1]})
    assert only(scan(table, expect(VALUES + "not_be_null", given, column="a"))).severity == severity


# --- types ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "arguments", "met"),
    [
        (pa.int64(), {"type_": "int64"}, True),
        (pa.int8(), {"type_": "int64"}, True),
        (pa.float32(), {"type_": "float64"}, True),
        (pa.float64(), {"type_list": ["int64", "float64"]}, True),
        (pa.int32(), {"type_list": ["int64", "float64"]}, True),
        (pa.string(), {"type_list": ["int64", "float64"]}, False),
        (pa.string(), {"type_list": ["str"]}, True),
        (pa.string(), {"type_": "str"}, True),
        (pa.large_string(), {"type_": "str"}, True),
        (pa.dictionary(pa.int8(), pa.string()), {"type_": "str"}, True),
        (pa.int64(), {"type_": "str"}, False),
        (pa.float64(), {"type_": "int64"}, False),
        (pa.bool_(), {"type_": "bool"}, True),
        (pa.bool_(), {"type_": "int64"}, False),
        (pa.timestamp("ns", tz="UTC"), {"type_": "datetime64"}, True),
        (pa.list_(pa.int64()), {"type_": "int64"}, False),
        (pa.binary(), {"type_": "str"}, False),
        (pa.null(), {"type_": "int64"}, True),
    ],
    ids=str,
)
def test_types_do_not_depend_on_width_encoding_or_nulls(
    kind: pa.DataType, arguments: dict[str, Any], met: bool
) -> None:
    what = "be_of_type" if "type_" in arguments else "be_in_type_list"
    expectation = expect(VALUES + what, column="a", **arguments)
    outcome = scan(pa.table({"a": pa.array([None, None], kind)}), expectation)
    assert outcome.failed is None
    assert (outcome.findings == ()) is met


def test_texts_where_numbers_are_expected_are_named() -> None:
    table = pa.table({"a": ["1.5", "2", None, "n/a", "1e3", "<b>"]})
    outcome = scan(
        table,
        expect(VALUES + "be_between", column="a", max_value=3),
        expect("expect_column_mean_to_be_between", column="a", max_value=3),
    )
    assert named(outcome) == [3, 5]
    evidence = only(outcome).evidence
    assert evidence["code"] == "COLUMN_TYPE"
    assert evidence["expectations"] == 2


def test_numbers_written_as_texts_are_a_finding_about_the_column() -> None:
    outcome = scan(
        pa.table({"a": ["1", "2"]}), expect(VALUES + "be_between", column="a", max_value=3)
    )
    assert only(outcome).rows is None


def test_moments_compare_with_dates_zones_and_none() -> None:
    moments = [datetime(2020, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC), None]
    for kind in (pa.timestamp("us", tz="UTC"), pa.timestamp("ms"), pa.date32()):
        for bound in ("2022-01-01", "2022-01-01T00:00:00", "2022-01-01T00:00:00Z"):
            table = pa.table({"a": pa.array(moments, pa.timestamp("us", tz="UTC")).cast(kind)})
            expectation = expect(VALUES + "be_between", column="a", min_value=bound)
            assert named(scan(table, expectation)) == [0], (kind, bound)


# --- what is not there ----------------------------------------------------------------------------


def test_missing_column_is_one_finding_with_a_code() -> None:
    table = pa.table({"b": [1]})
    outcome = scan(
        table,
        expect(VALUES + "not_be_null", "info", column="a"),
        expect(VALUES + "be_between", "critical", column="a", max_value=3),
        expect("expect_column_to_exist", column="a"),
        expect("expect_column_pair_values_to_be_equal", column_A="a", column_B="b"),
    )
    finding = only(outcome)
    assert finding.rows is None
    assert finding.severity == Severity.CRITICAL
    assert finding.evidence["code"] == "COLUMN_MISSING"
    assert finding.evidence["expectations"] == 4


def test_column_of_nulls() -> None:
    for kind in (pa.null(), pa.string(), pa.float64(), pa.int64()):
        table = pa.table({"a": pa.nulls(5, kind)})
        assert named(scan(table, expect(VALUES + "not_be_null", column="a"))) == [0, 1, 2, 3, 4]
        for expectation in (
            expect(VALUES + "be_unique", column="a"),
            expect(VALUES + "be_in_set", column="a", value_set=["x"]),
        ):
            outcome = scan(table, expectation)
            assert outcome.failed is None
            assert outcome.findings == ()


def test_no_suite_is_unavailable_and_an_empty_one_an_error() -> None:
    with pytest.raises(Unavailable, match="no expectations suite"):
        Quality.load(Context())
    with pytest.raises(ConfigError, match="empty"):
        Quality.load(Context(expectations=()))


def test_unknown_type_is_an_error_not_silence() -> None:
    with pytest.raises(ConfigError, match="did you mean expect_column_values_to_be_in_set"):
        Quality.load(Context(expectations=(expect(VALUES + "be_in_sett", column="a"),)))


# --- could not evaluate ---------------------------------------------------------------------------


def test_exception_is_failed_names_the_expectation_and_keeps_the_findings() -> None:
    table = pa.table({"a": [1, 2, None], "b": ["secret", "{", "3"]})
    outcome = scan(
        table,
        expect(VALUES + "match_json_schema", column="b", json_schema={"type": "number"}),
        expect(VALUES + "not_be_null", column="a"),
    )
    assert outcome.status == "failed"
    assert outcome.failed is not None
    assert f"{VALUES}match_json_schema of b" in outcome.failed
    assert "secret" not in outcome.failed
    assert [finding.evidence["column"] for finding in outcome.findings] == ["a"]


def test_arguments_that_only_the_library_refuses_are_failed() -> None:
    outcome = scan(
        pa.table({"a": [1, 2]}), expect(VALUES + "be_between", column="a", min_value="soon")
    )
    assert outcome.failed is not None
    assert VALUES + "be_between of a" in outcome.failed


# --- the contract ---------------------------------------------------------------------------------

CONTRACT = (
    expect(VALUES + "be_between", column="number", min_value=-1, max_value=1),
    expect(VALUES + "not_be_null", column="word"),
    expect("expect_column_mean_to_be_between", column="whole", min_value=0, max_value=10),
    expect("expect_table_row_count_to_be_between", max_value=10),
)


def plain(outcome: Outcome) -> list[Any]:
    return [(f.message, dict(f.evidence), f.rows and f.rows.to_pydict()) for f in outcome.findings]


def test_same_outcome_under_any_chunking_and_nothing_changed() -> None:
    table = mixed_table()
    before = str(table.to_pydict())
    whole = plain(scan(table, *CONTRACT, chunk_rows=10_000))
    assert len(whole) == 4
    assert all(plain(scan(table, *CONTRACT, chunk_rows=n)) == whole for n in (1, 7, 399))
    assert str(table.to_pydict()) == before


def test_empty_batch_and_one_row() -> None:
    table = mixed_table()
    empty = scan(table.slice(0, 0), *CONTRACT)
    assert (empty.status, empty.findings) == ("ran", ())
    one = scan(table.slice(1, 1), *CONTRACT)
    assert one.failed is None


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    scan(mixed_table(), *CONTRACT)
    assert capfd.readouterr() == ("", "")


def test_evidence_holds_no_values_of_the_batch() -> None:
    table = pa.table({"a": ["ok", "secret-value"]})
    finding = only(scan(table, expect(VALUES + "be_in_set", column="a", value_set=["ok"])))
    assert "secret-value" not in finding.message + json.dumps(dict(finding.evidence))
