"""A verified batch held against a ledger, by the terms of its source; no files are read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from auditor.errors import LedgerError
from auditor.ledger import Ledger
from auditor.provenance.authority import Terms
from auditor.provenance.verification import Verification
from auditor.source_order import Ordered, hold_to_order, note_addresses
from auditor.trust.authority import PolicyAuthority

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.db")


def held(
    verification: Verification, ledger: Ledger, now: Any, *, strict: bool = True, **terms: Any
) -> Ordered:
    told = replace(verification, terms=Terms(**terms))
    return hold_to_order(told, ledger, now=now, strict=strict, mutable=False)


def decide(ledger: Ledger, ordered: Ordered, now: Any, verdict: str = "ACCEPT") -> None:
    assert ordered.place is not None
    ledger.append(
        "verdict",
        at=now,
        via="gate",
        run=RUN,
        detail={"verdict": verdict, **ordered.place.detail},
        source=ordered.place.source,
        expect=ordered.place.head,
    )


def codes(ordered: Ordered) -> list[str]:
    return [str(finding.evidence["code"]) for finding in ordered.verification.findings]


def test_a_verified_batch_gets_the_next_place(world: Any, ledger: Ledger) -> None:
    one = world.verify(world.sign(world.payload(previous=None, sequence=1)))
    first = held(one, ledger, NOW)
    assert (first.waits, codes(first)) == (False, [])
    decide(ledger, first, NOW)
    again = held(one, ledger, NOW)
    assert (again.waits, again.place, codes(again)) == (True, None, ["REPLAY"])
    assert not again.verification.verified
    assert again.verification.summary["status"] == "refused"


def test_an_unverified_batch_gets_no_place(world: Any, ledger: Ledger) -> None:
    unsigned = world.verify(None)
    assert held(unsigned, ledger, NOW) == Ordered(replace(unsigned, terms=Terms()), None)
    damaged = world.verify(world.sign(world.payload()), files=[])
    assert held(damaged, ledger, NOW).place is None


@pytest.mark.parametrize(
    ("strict", "terms", "expected"),
    [
        (True, {}, ["SEQUENCE_GAP"]),
        (False, {}, []),
        (False, {"sequence": "strict"}, ["SEQUENCE_GAP"]),
        (True, {"sequence": "monotonic"}, []),
    ],
)
def test_the_terms_of_the_source_go_before_the_settings(
    world: Any, ledger: Ledger, strict: bool, terms: dict[str, str], expected: list[str]
) -> None:
    first = world.verify(world.sign(world.payload(previous=None, sequence=1, batch_id="b1")))
    decide(ledger, held(first, ledger, NOW), NOW)
    other = replace(world, contents=(("part-0.parquet", b"new", 3), ("x.parquet", b"more", 1)))
    verification = other.verify(other.sign(other.payload(sequence=3, batch_id="b3")))
    assert codes(held(verification, ledger, NOW, strict=strict, **terms)) == expected


def test_case_94_a_source_that_may_change(world: Any, ledger: Ledger) -> None:
    """An address with another digest: held, unless the source is mutable."""

    def collected(digest: str) -> Verification:
        uris = [{"uri": "https://x.example/y", "digest": {"sha256": digest * 64}}]
        payload = world.payload(details={"collection": {"uris": uris}}, previous=None)
        found: Verification = world.verify(world.sign(payload))
        return found

    seen, new = collected("1"), collected("2")
    assert seen.manifest is not None
    note_addresses(ledger, seen.manifest, at=NOW, run=RUN)
    note_addresses(ledger, seen.manifest, at=NOW, run=RUN)
    assert [entry.name for entry in ledger.entries()] == ["uri.seen"], "once"
    assert codes(held(seen, ledger, NOW)) == []
    assert codes(held(new, ledger, NOW)) == ["URI_DIGEST_CHANGED"]
    assert codes(held(new, ledger, NOW, mutable=True)) == []


def test_case_45_the_clock_counts_for_unsigned_batches_too(world: Any, ledger: Ledger) -> None:
    """The latest entry counts, not the newest: one run with a wrong clock changes nothing."""
    ledger.append("error", at=NOW + timedelta(hours=1), via="cli")
    ledger.append("error", at=NOW, via="cli")
    for verification in (world.verify(None), world.verify(world.sign(world.payload()))):
        ordered = held(verification, ledger, NOW)
        assert codes(ordered)[-1] == "CLOCK_ROLLBACK"
        assert ordered.waits


def test_an_entry_that_takes_an_unsaid_place_stops_everything(world: Any, ledger: Ledger) -> None:
    ledger.append("verdict", at=NOW, via="gate", source="vendor-a/reviews", expect=-1)
    with pytest.raises(LedgerError, match="does not say which"):
        held(world.verify(world.sign(world.payload())), ledger, NOW)


def test_the_trust_policy_gives_the_terms(world: Any, realm: Any) -> None:
    document = realm.document()
    document["sources"]["vendor-a/reviews"] |= {
        "sequence": "monotonic",
        "mutable": True,
        "row_provenance": "required",
    }
    signer = realm.keys["vendor-a.1"]
    authority = PolicyAuthority(realm.policy(document), NOW)
    verification = world.verify(world.sign(world.payload(), signer), authority=authority)
    assert verification.terms == Terms(sequence="monotonic", mutable=True, rows_named=True)
