"""Where rows say that they are from, against what the manifest declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from auditor.provenance.refused import Refused

PROVENANCE = {"contributorId": "contributor_id", "sourceId": "x", "rowKey": "label"}


@dataclass
class Columns:
    """Columns as value -> rows; "" counts the missing ones."""

    known: Mapping[str, Mapping[str, int]]

    def missing(self, column: str) -> int:
        return self.known[column].get("", 0)

    def values(self, column: str) -> Mapping[str, int]:
        return {name: rows for name, rows in self.known[column].items() if name}

    def __contains__(self, column: object) -> bool:
        return column in self.known


GOOD = {
    "contributor_id": {"ann": 3, "bob": 1},
    "x": {"vendor-a/reviews": 3, "vendor-a/reviews/eu": 1},
    "label": {"1": 4},
}
CASES = [
    ({}, []),
    ({"contributor_id": {"ann": 3, "": 1}}, ["ROW_PROVENANCE"]),
    ({"label": {"1": 2, "": 2}}, ["ROW_PROVENANCE"]),
    ({"x": {"vendor-a/reviews": 3, "": 1}}, ["ROW_PROVENANCE"]),
    ({"x": {"vendor-b/reviews": 4}}, ["ROW_SOURCE"]),
    ({"x": {"vendor-a/reviewsx": 1, "vendor-a": 3}}, ["ROW_SOURCE", "ROW_SOURCE"]),
]


@pytest.mark.parametrize(("changes", "expected"), CASES)
def test_case_88_89_row_origin(
    world: Any, codes_of: Any, changes: dict[str, dict[str, int]], expected: list[str]
) -> None:
    """Rows without contributor, source or key; rows of a source outside the manifest's."""
    envelope = world.sign(world.payload(row_provenance=PROVENANCE))
    verification = world.verify(envelope, columns=Columns({**GOOD, **changes}))
    assert codes_of(verification) == expected
    assert verification.verified == (not expected)


def test_case_88_a_column_of_another_kind(world: Any, codes_of: Any) -> None:
    """The declared column holds no texts at all."""

    class Broken(Columns):
        def missing(self, column: str) -> int:
            raise Refused("ROW_PROVENANCE", f"{column} holds no texts.")

    envelope = world.sign(world.payload(row_provenance=PROVENANCE))
    assert codes_of(world.verify(envelope, columns=Broken(GOOD))) == ["ROW_PROVENANCE"]


def test_a_batch_that_could_not_be_read_makes_no_further_claims(world: Any, codes_of: Any) -> None:
    bad = Columns({**GOOD, "x": {"vendor-b/reviews": 4}})
    files = world.received_but("part-0.parquet", rows=None)
    envelope = world.sign(world.payload(row_provenance=PROVENANCE))
    assert codes_of(world.verify(envelope, columns=bad, files=files)) == ["NOT_COMPARED"]
