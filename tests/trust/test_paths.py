"""Which names a manifest may list."""

from __future__ import annotations

import posixpath
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.provenance.paths import hive_keys, require_distinct, require_safe
from auditor.provenance.refused import Refused

PART = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,20}\Z").filter(
    lambda part: part.casefold() not in {"_metadata", "_common_metadata"}
)


@given(st.lists(PART, min_size=1, max_size=8).map("/".join))
def test_plain_names_are_safe(name: str) -> None:
    require_safe(name)


@given(st.text("aA/\\.=_\0\n é:~", max_size=12) | st.text(max_size=12))
def test_a_safe_name_stays_inside_and_visible(name: str) -> None:
    try:
        require_safe(name)
    except Refused:
        return
    assert posixpath.normpath(posixpath.join("/root", name)) == f"/root/{name}"
    assert not any(part.startswith(".") for part in name.split("/"))
    assert unicodedata.normalize("NFC", name) == name
    assert name.isprintable()
    assert "=" not in name


@pytest.mark.parametrize(
    ("name", "declared", "safe"),
    [
        ("label=1/x", ("label",), True),
        ("label=1/x", (), False),
        ("label=1/label=0/x", ("label",), False),
        ("year=1/label=0/x", ("label", "year"), True),
        ("=1/x", ("",), False),
        ("a" * 128, (), True),
        ("a" * 129, (), False),
        ("", (), False),
        ("_delta", (), True),
        ("_Metadata", (), False),
        ("x\n", (), False),
    ],
)
def test_edges(name: str, declared: tuple[str, ...], safe: bool) -> None:
    if safe:
        require_safe(name, declared)
    else:
        with pytest.raises(Refused, match="PATH_UNSAFE"):
            require_safe(name, declared)


def test_case_67_names_that_a_file_system_would_merge() -> None:
    require_distinct(["a", "b", "a/b"])
    for pair in (["a", "a"], ["a/B", "A/b"]):
        with pytest.raises(Refused, match="PATH_UNSAFE"):
            require_distinct(pair)


def test_hive_keys_in_order() -> None:
    assert hive_keys("b=1/a=2/x.parquet") == ("b", "a")
