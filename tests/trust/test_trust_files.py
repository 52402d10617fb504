"""The policy's files and the ledger: what was in force here is known, whoever edits the files."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.compromise import recall_candidates
from auditor.errors import TrustError
from auditor.ledger import Ledger
from auditor.provenance import dsse
from auditor.provenance.digests import sha256
from auditor.provenance.refused import Refused
from auditor.trust import thresholds
from auditor.trust.chain import Seen
from auditor.trust_files import SUBJECT, Pinned, PolicyRefused, in_force, seen_in

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
NAME = "trust.dsse.json"


class Place:
    """A folder with policy files, and the ledger of a gate."""

    def __init__(self, folder: Path, realm: Any) -> None:
        self.folder, self.realm = folder, realm
        self.ledger = Ledger(folder / "ledger.db")
        self.pin = sha256(dsse.parse(self.put(realm.document())).payload)

    def put(self, document: dict[str, Any], name: str = NAME) -> bytes:
        envelope: bytes = self.realm.sign(document, "root-1", "root-3")
        (self.folder / name).write_bytes(envelope)
        return envelope

    def use(self, at: datetime = NOW) -> int:
        """The version in force."""
        pinned = Pinned(self.folder / NAME, self.pin)
        return in_force(pinned, self.ledger, at=at, via="gate").version

    def events(self, name: str) -> list[Any]:
        return [entry.event for entry in self.ledger.entries() if entry.name == name]


@pytest.fixture
def place(tmp_path: Path, realm: Any) -> Place:
    return Place(tmp_path, realm)


def advance(place: Place, **changes: Any) -> None:
    """Version 2 in force, version 1 beside it."""
    (place.folder / NAME).rename(place.folder / "trust.1.dsse.json")
    place.put(place.realm.document(version=2, **changes))


def test_each_version_is_logged_once(place: Place) -> None:
    assert seen_in(place.ledger) is None
    assert [place.use(), place.use()] == [1, 1]
    assert seen_in(place.ledger) == Seen(1, place.pin)
    advance(place)
    assert [place.use(), place.use()] == [2, 2]
    assert [event.detail["version"] for event in place.events("policy.changed")] == [1, 2]


def test_many_gates_log_one_change(place: Place) -> None:
    keys = place.realm.document()["keys"]
    keys[place.realm.keyid("ann")]["revoked_at"] = "2026-11-01T00:00:00Z"
    advance(place, keys=keys)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            assert place.use() == 2
        except BaseException as error:  # noqa: BLE001 - told to the main thread
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(place.events("policy.changed")) == 1
    assert len(place.events("key.revoked")) == 1


def test_what_is_refused_is_not_logged(place: Place) -> None:
    advance(place, expires="2026-01-01T00:00:00Z")
    with pytest.raises(PolicyRefused) as caught:
        place.use()
    assert caught.value.code == "POLICY_EXPIRED"
    assert place.events("policy.changed") == []


def test_another_document_of_the_same_version(place: Place) -> None:
    """Two policies of one version: the ledger knows which one was in force here."""
    place.use()
    place.pin = sha256(dsse.parse(place.put(place.realm.document(unsigned="note"))).payload)
    with pytest.raises(PolicyRefused) as caught:
        place.use()
    assert caught.value.code == "POLICY_EQUIVOCATION"


def test_a_key_that_is_compromised_later_is_logged_again(place: Place) -> None:
    keyid = place.realm.keyid("ann")
    keys = place.realm.document()["keys"]
    keys[keyid]["revoked_at"] = "2026-11-01T00:00:00Z"
    advance(place, keys=keys)
    place.use()
    (place.folder / NAME).rename(place.folder / "trust.2.dsse.json")
    keys[keyid]["compromised_since"] = "2026-10-01T00:00:00Z"
    place.put(place.realm.document(version=3, keys=keys))
    assert [place.use(), place.use()] == [3, 3]
    first, second = place.events("key.revoked")
    assert (first.subject, second.subject) == (keyid, keyid)
    assert set(second.detail) == {"revoked_at", "compromised_since"}


def test_a_change_without_a_version_is_no_ground_to_go_on(place: Place) -> None:
    place.ledger.append("policy.changed", at=NOW, via="cli", subject=SUBJECT)
    with pytest.raises(TrustError, match=r"policy\.changed without a version"):
        place.use()


@pytest.mark.parametrize("what", ["absent", "folder", "link"])
def test_a_file_that_is_none(place: Place, what: str) -> None:
    path = place.folder / NAME
    moved = path.rename(place.folder / "elsewhere")
    if what == "folder":
        path.mkdir()
    elif what == "link":
        path.symlink_to(moved)
    with pytest.raises(TrustError):
        place.use()


def verdict(place: Place, at: datetime, signers: str, **detail: Any) -> str:
    """A verdict in the ledger, as a gate writes it; the batch's digest."""
    subject = sha256(repr((at, signers, detail)).encode())
    said = {"verdict": "ACCEPT", "mode": "gate", "rows": 1, "signers": signers} | detail
    place.ledger.append("verdict", at=at, via="gate", subject=subject, refs=["0" * 64], detail=said)
    return subject


def test_case_40_exactly_the_batches_since(place: Place) -> None:
    """A key is found to be stolen: which published batches rest on its word since then?"""
    mine, other = "a" * 64, "b" * 64
    since = NOW
    second = timedelta(seconds=1)
    verdict(place, since - second, mine)
    expected = [
        verdict(place, since, mine),
        verdict(place, since + second, f"{other} {mine}"),
        verdict(place, since + second, mine, verdict="QUARANTINE"),
    ]
    verdict(place, since + second, other)
    verdict(place, since + second, "")
    verdict(place, since + second, mine, verdict="REJECT")
    verdict(place, since + second, mine, mode="observe")
    found = list(recall_candidates(place.ledger, mine, since))
    assert [one.batch for one in found] == expected
    assert list(recall_candidates(place.ledger, mine[:32], since)) == []


NAMES = ("root-1", "root-2", "vendor-a.1", "vendor-a.2", "vendor-b", "ann")


@given(
    signing=st.lists(st.sampled_from(NAMES), max_size=10),
    revoked=st.frozensets(st.sampled_from(NAMES), max_size=3),
    threshold=st.integers(1, 4),
)
def test_case_26_a_threshold_counts_people_whatever_is_signed(
    realm: Any, signing: list[str], revoked: frozenset[str], threshold: int
) -> None:
    """However signatures are repeated, ordered or mixed, only people in good standing count."""
    document = realm.document()
    for name in revoked:
        document["keys"][realm.keyid(name)]["revoked_at"] = "2026-01-01T00:00:00Z"
    keys = realm.parsed(document).keys
    envelope = dsse.parse(realm.sign({}, *signing))
    people = {name.split(".")[0] for name in set(signing) - revoked}
    offered = [keys[realm.keyid(name)] for name in NAMES]
    try:
        found = thresholds.require(envelope, offered, threshold, NOW)
    except Refused:
        assert len(people) < threshold
    else:
        assert len(people) >= threshold
        assert {key.principal for key in found} == people
