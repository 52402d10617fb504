"""The format of a frozen data set: what it reads back as, and what it refuses."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest

from auditor.provenance import frozen
from auditor.provenance.frozen import Parent
from auditor.provenance.refused import Refused

NOON = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
PARENTS = tuple(
    Parent(
        resource=f"vendor-a/reviews@{day}",
        attestation_sha256=f"{day}" * 32,
        published_sha256=f"{day + 50}" * 32,
        rows=day,
    )
    for day in (12, 11)
)


def test_it_reads_back_sorted() -> None:
    found = frozen.read(frozen.build("autumn", PARENTS, NOON))
    assert found.name == "autumn"
    assert found.parents == PARENTS[::-1]
    assert (found.rows, found.created_on) == (23, NOON)


def first(document: dict[str, Any]) -> Any:
    return document["predicate"]["parents"][0]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda d: first(d).update(rows=9), "SUBJECT_DIGEST"),
        (lambda d: first(d)["digest"].update(sha256="f" * 64), "SUBJECT_DIGEST"),
        (lambda d: d["predicate"]["parents"].pop(), "SUBJECT_DIGEST"),
        (lambda d: d["predicate"].update(parents=[]), "FILES_EMPTY"),
        (lambda d: d["predicate"].update(rows=24), "ROWS"),
        (lambda d: d["predicate"].update(extra=1), "FIELD_UNKNOWN"),
        (lambda d: d["predicate"]["parents"].append(first(d)), "FIELD_VALUE"),
        (lambda d: d["subject"][0].update(name="dataset:../x"), "FIELD_VALUE"),
        (lambda d: d["subject"][0].update(name="autumn"), "FIELD_VALUE"),
        (lambda d: d.update(predicateType="https://slsa.dev/x"), "PREDICATE_TYPE"),
        (lambda d: first(d)["digest"].update(sha256="F" * 64), "DIGEST_ALGORITHM"),
    ],
)
def test_what_is_changed_is_refused(change: Callable[[dict[str, Any]], Any], code: str) -> None:
    document = json.loads(frozen.build("autumn", PARENTS, NOON))
    change(document)
    with pytest.raises(Refused) as refused:
        frozen.read(json.dumps(document).encode())
    assert refused.value.code == code


def test_no_batch_is_no_data_set() -> None:
    with pytest.raises(Refused, match="FILES_EMPTY"):
        frozen.build("autumn", (), NOON)
