"""The order of a source: which batch may come next, as earlier decisions fix it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.provenance import dsse, statement
from auditor.provenance.manifest import PREDICATE_TYPE, Manifest, read
from auditor.provenance.rules import findings
from auditor.provenance.sequence import (
    Place,
    Taken,
    compare_clock,
    compare_order,
    content_digest,
    taken_of,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def declared(world: Any, **changes: Any) -> Manifest:
    envelope = dsse.parse(world.sign(world.payload(**changes)))
    return read(statement.read(envelope.payload, PREDICATE_TYPE))


def taken(number: int, **changes: Any) -> Taken:
    told: dict[str, Any] = {
        "batch_id": f"b{number}",
        "sequence": number,
        "sha256": f"{number:064x}",
        "content": f"{number + 1000:064x}",
        "envelope": "e" * 64,
        "run": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "verdict": "ACCEPT",
    }
    return Taken(**(told | changes))


def codes(manifest: Manifest, *before: Taken, strict: bool = True) -> list[str]:
    return [claim.code for claim in compare_order(manifest, before, strict=strict)]


CASES: list[tuple[str, dict[str, Any], list[Any], list[str]]] = [
    ("first of its source", {"sequence": 42, "previous": None}, [], []),
    ("first, naming one that nobody knows", {"sequence": 42}, [], []),
    ("next", {"sequence": 3, "previous": f"{2:064x}"}, [1, 2], []),
    ("49 the same number", {"sequence": 2, "previous": f"{1:064x}"}, [1, 2], ["SEQUENCE_BACK"]),
    ("49 back", {"sequence": 0, "previous": None}, [1, 2], ["SEQUENCE_BACK"]),
    ("50 gap", {"sequence": 4, "previous": f"{2:064x}"}, [1, 2], ["SEQUENCE_GAP"]),
    ("51 another before", {"sequence": 3, "previous": f"{1:064x}"}, [1, 2], ["CHAIN"]),
    ("51 none before", {"sequence": 3, "previous": None}, [1, 2], ["CHAIN"]),
]


@pytest.mark.parametrize(
    ("changes", "numbers", "expected"), [pytest.param(*c[1:], id=c[0]) for c in CASES]
)
def test_order(world: Any, changes: Any, numbers: list[int], expected: list[str]) -> None:
    before = [taken(number) for number in numbers]
    assert codes(declared(world, **changes), *before) == expected


def test_case_46_replay(world: Any) -> None:
    """The same id and digest again, whatever the verdict was."""
    batch = declared(world, sequence=1, previous=None)
    for verdict in ("ACCEPT", "QUARANTINE", "REJECT"):
        same = taken(1, batch_id=batch.batch_id, sha256=batch.sha256, verdict=verdict)
        (claim,) = compare_order(batch, [same, taken(2)], strict=True)
        assert claim.code == "REPLAY"
        assert verdict in claim.message
        assert claim.evidence["run"] == same.run


def test_case_47_equivocation_goes_before_everything(world: Any) -> None:
    """The same id with another content, long ago."""
    batch = declared(world, sequence=1, previous=None)
    other = taken(1, batch_id=batch.batch_id)
    assert codes(batch, other, taken(2)) == ["BATCH_EQUIVOCATION"]


def test_case_48_same_bytes_under_other_names(world: Any) -> None:
    """New id and new file names, so another subject digest: the bytes give it away."""
    batch = declared(world, sequence=2, batch_id="new", previous=f"{1:064x}")
    assert codes(batch, taken(1, content=content_digest(batch))) == ["REPLAY"]


def test_monotonic_needs_no_chain_and_allows_gaps(world: Any) -> None:
    for number, previous in ((3, None), (9, None), (9, "0" * 64)):
        batch = declared(world, sequence=number, previous=previous)
        assert codes(batch, taken(1), taken(2), strict=False) == []
    wrong = declared(world, sequence=3, previous="0" * 64)
    assert codes(wrong, taken(2), strict=False) == ["CHAIN"], "what is named must be right"
    assert codes(declared(world, sequence=2), taken(2), strict=False) == ["SEQUENCE_BACK"]


def test_a_place_comes_back_from_the_entry_that_takes_it() -> None:
    place = Place(
        source="v/a", batch_id="b7", sequence=7, sha256="1" * 64, content="2" * 64,
        envelope="3" * 64, head=4,
    )  # fmt: skip
    back = taken_of({**place.detail, "verdict": "REJECT"}, "R")
    assert (back.batch_id, back.sequence, back.sha256) == ("b7", 7, "1" * 64)
    assert (back.content, back.envelope, back.run, back.verdict) == (
        "2" * 64, "3" * 64, "R", "REJECT",
    )  # fmt: skip
    with pytest.raises(KeyError):
        taken_of({"verdict": "REJECT"}, "R")


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        (timedelta(minutes=5), []),
        (timedelta(minutes=5, seconds=1), ["CLOCK_ROLLBACK"]),
        (-timedelta(days=9), []),
    ],
)
def test_case_45_clock(behind: timedelta, expected: list[str]) -> None:
    """The machine's clock is behind the newest entry of the ledger."""
    assert [claim.code for claim in compare_clock(NOW + behind, NOW)] == expected
    assert list(compare_clock(None, NOW)) == []


def test_what_contradicts_is_refused_and_what_may_wait_is_held(world: Any) -> None:
    batch = declared(world, sequence=4, previous=None)
    gap = findings(compare_order(batch, [taken(2)], strict=True))
    back = findings(compare_order(batch, [taken(4)], strict=True))
    assert [each.rule for each in (*gap, *back)] == ["AUD-P004", "AUD-P003"]
