"""YAML text to values: every value has a place, hostile text ends as a ConfigError."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.config.complaint import Place
from auditor.config.yaml import MAX_DEPTH, read
from auditor.errors import ConfigError


def value(text: str) -> Any:
    return read(text, "f.yaml").value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("# only a remark\n", None),
        ("a: 1", {"a": 1}),
        ("a: -12", {"a": -12}),
        ("a: 0x1F", {"a": 31}),
        ("a: 0o17", {"a": 15}),
        ("a: 017", {"a": 17}),
        ("a: 1_000", {"a": "1_000"}),
        ("a: 1.5e3", {"a": 1500.0}),
        ("a: .5", {"a": 0.5}),
        ("a: true", {"a": True}),
        ("a: yes", {"a": "yes"}),
        ("on: off", {"on": "off"}),
        ("a: 2026-11-22", {"a": "2026-11-22"}),
        ("a: 12:30:00", {"a": "12:30:00"}),
        ("a: '1'", {"a": "1"}),
        ('a: "\\u00e9"', {"a": "é"}),
        ("a: ~\nb:", {"a": None, "b": None}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("a: [1, {b: c}]", {"a": [1, {"b": "c"}]}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("--- \na: 1\n...\n", {"a": 1}),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_values(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    if isinstance(found, dict) and "a" in found:
        assert type(found["a"]) is type(expected["a"])  # type: ignore[index]


def test_places() -> None:
    document = read("gate:\n  fail_on: reject\nroles: {label: [x, 'y']}\n", "f.yaml")
    assert document.names["gate", "fail_on"] == Place(2, 3)
    assert document.values["gate", "fail_on"] == Place(2, 12)
    assert document.names["roles", "label"] == Place(3, 9)
    assert document.values["roles", "label", 1] == Place(3, 20)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\tb", "f.yaml:1:3: not valid YAML: a tab; YAML is indented with spaces\na: b\n  ^"),
        ("a:\n\tb: 1", "f.yaml:2:1: not valid YAML: a tab; YAML is indented with spaces\n b: 1\n^"),
        (
            "gate:\n  a: 1\ngate: 2",
            "f.yaml:3:1: gate: written twice, first in line 1\ngate: 2\n^",
        ),
        ("a: {b: 1, b: 2}", "f.yaml:1:11: b: written twice, first in line 1\na: {b: 1, b: 2}\n"),
        ("a: b: c", "f.yaml:1:5: not valid YAML: mapping values are not allowed here\na: b: c\n"),
        ("a: [1", "f.yaml:1:6: not valid YAML: expected ',' or ']'"),
        ("a: 'x", "f.yaml:1:6: not valid YAML: found unexpected end of stream"),
        ("a: 1\nb: \x07", "f.yaml:2:4: a character that YAML does not allow\nb:\n   ^"),
        ('a: "\\ud800"', "f.yaml:1:"),
        ("a: !!python/object:os.system x", "f.yaml:1:4: tags are not supported"),
        ("a: !!str 1", "f.yaml:1:4: tags are not supported"),
        ("a: !x [1]", "f.yaml:1:4: tags are not supported"),
        ("%YAML 1.1\n---\na: yes", "f.yaml:2:1: directives are not supported"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: a second document"),
        ("a: *x", "f.yaml:1:4: no value is named &x before this"),
        ("a: &a [*a]", "f.yaml:1:8: no value is named &a before this"),
        ("b: &b {x: 1}\na:\n  <<: *b", "f.yaml:3:3: merging with << is not supported"),
        ("1: x", "f.yaml:1:1: the name of a setting must be text; write '1' in quotes"),
        ("~: x", "f.yaml:1:1: the name of a setting must be text"),
        ("? [a]\n: b", "f.yaml:1:3: the name of a setting must be text"),
        ("a: .inf", "f.yaml:1:4: a number must be finite"),
        ("a: -.INF", "f.yaml:1:4: a number must be finite"),
        ("a: .nan", "f.yaml:1:4: a number must be finite"),
        ("a: 1e999", "f.yaml:1:4: a number must be finite"),
        ("a: " + "9" * 5000, "f.yaml:1:4: "),
        ("a: " + "[" * 100, f"f.yaml:1:{MAX_DEPTH + 4}: nested deeper than 32 levels"),
    ],
)
def test_text_that_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(text, "f.yaml")
    assert str(refused.value).startswith(said)


def test_aliases_of_aliases_are_bounded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match=r"^f.yaml:\d+:\d+: more than 20000 values"):
        read("\n".join(lines), "f.yaml")


def test_an_alias_is_a_copy() -> None:
    found = value("a: &x {b: 1}\nc: *x")
    assert found["a"] == found["c"]
    assert found["a"] is not found["c"]


@pytest.mark.parametrize("text", ["[" * 500_000, "a: " * 300_000, "- " * 500_000, "{" * 500_000])
def test_deep_nesting_ends_early(text: str) -> None:
    with pytest.raises(ConfigError):
        read(text, "f.yaml")


def test_long_lines_are_cut_around_the_place() -> None:
    with pytest.raises(ConfigError) as refused:
        read(f"a: {'x' * 5000} : y", "f.yaml")
    head, line, caret = str(refused.value).split("\n")
    assert len(line) <= 100
    assert len(caret) <= 100
    assert line[caret.index("^")] == ":"
    assert head.startswith("f.yaml:1:5005:")


def test_escape_sequences_in_the_source_are_not_printed() -> None:
    with pytest.raises(ConfigError) as refused:
        read("a: 'x\u009b31m\u202e'\na: 2", "f.yaml")
    assert all(c.isprintable() or c == "\n" for c in str(refused.value))


@settings(max_examples=300)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = value(text)
    except ConfigError as refused:
        found, said = None, str(refused)
    else:
        said = "f.yaml"
    assert said.startswith("f.yaml")
    assert_plain(found)


@settings(max_examples=300)
@given(st.text("ab:-[]{}#&*!|>'\"%@? \n\t0.,~<", max_size=40))
def test_any_text_of_signs_is_read_or_refused(text: str) -> None:
    test_any_text_is_read_or_refused.hypothesis.inner_test(text)  # type: ignore[attr-defined]


def assert_plain(found: object) -> None:
    if isinstance(found, dict):
        assert all(isinstance(name, str) for name in found)
        for each in found.values():
            assert_plain(each)
    elif isinstance(found, list):
        for each in found:
            assert_plain(each)
    else:
        assert found is None or isinstance(found, str | int | float)
        assert not isinstance(found, float) or math.isfinite(found)


plain: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="ascii", min_codepoint=32), max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), plain, max_size=5))
def test_what_json_writes_is_read_back(said: dict[str, Any]) -> None:
    assert value(json.dumps(said)) == said


def test_a_file_of_nearly_the_largest_size_is_read() -> None:
    assert value("name: x\n" + "# remark\n" * 100_000) == {"name": "x"}
