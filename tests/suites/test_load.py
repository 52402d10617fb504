from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from auditor import samples, suites
from auditor.errors import ConfigError
from auditor.suites.known import KNOWN

VALUES = "expect_column_values_to_"


def write(tmp_path: Path, *expectations: Any, **suite: Any) -> Path:
    path = tmp_path / "suite.json"
    path.write_text(json.dumps({"name": "s", "expectations": list(expectations), **suite}))
    return path


def expect(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "severity": "warning"}


def test_known_types_are_those_of_the_installed_version() -> None:
    import great_expectations.expectations as _  # noqa: F401 - fills the registry
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    general = {"id", "description", "batch_id", "rendered_content", "windows", "result_format"}
    general |= {"severity", "notes", "meta", "catch_exceptions", "library_metadata"}
    general |= {"row_condition", "condition_parser"}
    installed = {}
    for kind in sorted(list_registered_expectation_implementations()):
        fields = get_expectation_impl(kind).__fields__
        names = [name for name in fields if name not in general]
        installed[kind] = (
            tuple(name for name in names if fields[name].required),
            tuple(name for name in names if not fields[name].required),
        )
    assert dict(KNOWN) == installed
    assert list(suites.KNOWN_TYPES) == sorted(suites.KNOWN_TYPES)


def test_the_shipped_suite_loads_and_survives_writing(tmp_path: Path) -> None:
    found = suites.load(samples.expectations_dir() / "diamonds.json")
    copy = tmp_path / "copy.json"
    copy.write_text(suites.to_json("diamonds", found), encoding="utf-8")
    assert suites.load(copy) == found
    assert suites.digest(suites.load(copy)) == suites.digest(found)


def test_digest_sees_content_and_not_the_order_of_keys(tmp_path: Path) -> None:
    one = {"type": VALUES + "be_unique", "kwargs": {"column": "a", "mostly": 0.5}}
    turned = {"kwargs": {"mostly": 0.5, "column": "a"}, "type": VALUES + "be_unique"}
    other = {"type": VALUES + "be_unique", "kwargs": {"column": "a", "mostly": 0.6}}
    digests = [suites.digest(suites.load(write(tmp_path, e))) for e in (one, turned, other)]
    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) == 64


def test_severity_defaults_to_that_of_great_expectations(tmp_path: Path) -> None:
    path = write(tmp_path, {"type": VALUES + "be_unique", "kwargs": {"column": "a"}})
    assert suites.load(path)[0]["severity"] == "critical"


def test_what_great_expectations_writes_is_read(tmp_path: Path) -> None:
    saved = {**expect(VALUES + "be_unique", column="a"), "id": "x", "meta": {}, "notes": None}
    path = write(tmp_path, saved, id="y", meta={"great_expectations_version": "1.24"}, notes=None)
    assert len(suites.load(path)) == 1


@pytest.mark.parametrize(
    ("expectation", "message"),
    [
        (expect(VALUES + "be_in_sett", column="a"), "did you mean expect_column_values_to_be_in_s"),
        (expect("nonsense"), "not a known expectation"),
        ({"kwargs": {}}, "not a known expectation"),
        ({"type": ["x"], "kwargs": {}}, "not a known expectation"),
        (["x"], "an object with type and kwargs"),
        ({"type": VALUES + "be_unique"}, "kwargs: an object"),
        ({**expect(VALUES + "be_unique", column="a"), "severty": "x"}, "did you mean severity"),
        ({**expect(VALUES + "be_unique", column="a"), "severity": "high"}, "none of critical"),
        (expect(VALUES + "be_unique"), "needs column"),
        (expect(VALUES + "be_unique", column=""), "name of a column"),
        (expect(VALUES + "be_unique", column=3), "name of a column"),
        (expect(VALUES + "be_unique", colum="a"), "did you mean column"),
        (expect(VALUES + "be_unique", column="a", row_condition="b > 3"), "row_condition"),
        (expect(VALUES + "be_unique", column="a", result_format="BASIC"), "the audit sets it"),
        (expect(VALUES + "be_unique", column="a", catch_exceptions=False), "the audit sets it"),
        (expect(VALUES + "be_unique", column="a", mostly=0), "a share above 0"),
        (expect(VALUES + "be_unique", column="a", mostly=1.5), "a share above 0"),
        (expect(VALUES + "be_unique", column="a", mostly=True), "a share above 0"),
        (expect(VALUES + "be_between", column="a"), "always met"),
        (expect(VALUES + "be_between", column="a", min_value=None), "always met"),
        (expect(VALUES + "be_between", column="a", min_value=True), "a number or a date"),
        (expect(VALUES + "be_between", column="a", min_value=3, max_value=2), "is above"),
        (expect(VALUES + "be_between", column="a", max_value={"$PARAMETER": "m"}), "a number"),
        (expect(VALUES + "be_in_set", column="a", value_set=[]), "something in it"),
        (expect(VALUES + "be_in_set", column="a", value_set={"$PARAMETER": "m"}), "parameters"),
        (expect(VALUES + "match_regex", column="a"), "needs regex"),
        (expect(VALUES + "match_regex", column="a", regex="(["), "not a regular expression"),
        (expect(VALUES + "match_regex_list", column="a", regex_list=["a", 3]), "not a regular"),
        (expect(VALUES + "match_like_pattern", column="a", like_pattern="%"), "use a regex"),
        (expect("unexpected_rows_expectation", unexpected_rows_query="SELECT 1"), "a query"),
        (expect("expect_table_columns_to_match_set"), "needs column_set"),
        (
            expect(VALUES + "match_json_schema", column="a", json_schema={"$ref": "http://x"}),
            "into the same schema",
        ),
    ],
)
def test_refused_with_file_and_place(tmp_path: Path, expectation: object, message: str) -> None:
    path = write(tmp_path, expect(VALUES + "be_unique", column="a"), expectation)
    with pytest.raises(ConfigError) as caught:
        suites.load(path)
    assert str(caught.value).startswith(f"{path}: expectations[1]")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1:1: not JSON"),
        ('{"name": "s",\n  "expectations": [}', ":2:20: not JSON"),
        ('{"name": "s", "name": "t", "expectations": []}', "'name' is there twice"),
        ('{"name": "s", "expectations": [], "x": NaN}', "NaN is not JSON"),
        ('{"name": "s", "expectations": [{"type": "a", "kwargs": {"b": 1e999}}]}', "known"),
        ("[]", "an object with name"),
        ('{"expectations": []}', "a suite has a name"),
        ('{"name": "s"}', "a list is needed"),
        ('{"name": "s", "expectations": []}', "the suite is empty"),
        ('{"name": "s", "expectatons": []}', "did you mean expectations"),
        ("[" * 100_000, "not a suite"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "suite.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        suites.load(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_infinite_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "suite.json"
    one = f'{{"type": "{VALUES}be_between", "kwargs": {{"column": "a", "max_value": 1e999}}}}'
    path.write_text(f'{{"name": "s", "expectations": [{one}]}}')
    with pytest.raises(ConfigError, match="not a usable number"):
        suites.load(path)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.json: cannot be read"):
        suites.load(tmp_path / "gone.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        suites.load(tmp_path)
    latin = tmp_path / "latin.json"
    latin.write_bytes(b'{"name": "\xe9"}')
    with pytest.raises(ConfigError, match="not UTF-8 at byte 10"):
        suites.load(latin)
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (5 << 20))
    with pytest.raises(ConfigError, match="not a suite"):
        suites.load(large)


def test_loading_does_not_import_great_expectations() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from auditor import suites, samples;"
        "suites.load(samples.expectations_dir() / 'diamonds.json');"
        "import auditor.detectors.quality;"
        "sys.exit(bool({'great_expectations', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
