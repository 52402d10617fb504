"""No bit of what is given may be another: envelope, attestation, status, proof, published file."""

from __future__ import annotations

import base64
import datetime as dt
import random
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditor.provenance import dsse
from auditor.provenance.digests import BLOCK
from auditor.provenance.refused import Refused
from auditor.transparency.refused import LogRefused
from auditor.verify import Demands, NotVerified, Trust
from auditor.verify.seen import Memory
from auditor.verify.verification import Evidence, examine

_SETTINGS = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def flipped(content: bytes, place: int) -> bytes:
    """The bytes with one bit changed; `place` counts bits from anywhere."""
    changed = bytearray(content)
    at, bit = divmod(place % (len(content) * 8), 8)
    changed[at] ^= 1 << bit
    return bytes(changed)


@dataclass(frozen=True)
class Given:
    """Evidence of an honest world, judged again with a bit changed."""

    evidence: Evidence
    trust: Trust
    bare: Trust  # without ledger and status: signature and spelling alone protect the envelope
    now: dt.datetime

    def judge(self, trust: Trust, **changes: bytes | None) -> None:
        asked = Demands(resource="vendor-a/stones@2026-11-22")
        evidence = replace(self.evidence, **changes)
        examine(evidence, trust, asked, memory=Memory(), now=self.now)

    def refused(self, **changes: bytes) -> None:
        with pytest.raises((NotVerified, Refused, LogRefused)):
            self.judge(self.trust, **changes)

    def refused_without_a_ledger(self, attestation: bytes) -> None:
        with pytest.raises((NotVerified, Refused)):
            self.judge(self.bare, attestation=attestation, proof=None, status=None)


@pytest.fixture
def given_(world: Any) -> Given:
    proof = (world.published / "proof.tlog").read_bytes()
    made = Given(
        Evidence(attestation=world.envelope, proof=proof, status=world.status()),
        world.trust(),
        world.trust(ledger=None, status=None),
        world.now,
    )
    made.judge(made.trust)
    made.judge(made.bare, proof=None, status=None)
    return made


@_SETTINGS
@given(place=st.integers(0, 2**32))
def test_a_bit_of_the_envelope(given_: Given, place: int) -> None:
    changed = flipped(given_.evidence.attestation, place)
    given_.refused(attestation=changed)
    given_.refused_without_a_ledger(changed)


@_SETTINGS
@given(place=st.integers(0, 2**32))
def test_a_bit_of_the_attestation_inside(given_: Given, place: int) -> None:
    opened = dsse.parse(given_.evidence.attestation)
    changed = dsse.build(flipped(opened.payload, place), opened.payload_type, opened.signatures)
    given_.refused(attestation=changed)
    given_.refused_without_a_ledger(changed)


@_SETTINGS
@given(place=st.integers(0, 2**32))
def test_a_bit_of_the_status(given_: Given, place: int) -> None:
    assert given_.evidence.status is not None
    given_.refused(status=flipped(given_.evidence.status, place))


@_SETTINGS
@given(place=st.integers(0, 2**32))
def test_a_bit_of_the_proof(given_: Given, place: int) -> None:
    assert given_.evidence.proof is not None
    given_.refused(proof=flipped(given_.evidence.proof, place))


@pytest.mark.slow
def test_every_bit_that_no_signature_covers(given_: Given) -> None:
    """Not a sample: the whole proof, and the whole envelope around its payload."""
    proof, envelope = given_.evidence.proof, given_.evidence.attestation
    assert proof is not None
    for place in range(len(proof) * 8):
        given_.refused(proof=flipped(proof, place))
    payload = base64.b64encode(dsse.parse(envelope).payload)
    start = envelope.index(payload)
    for place in [*range(start * 8), *range((start + len(payload)) * 8, len(envelope) * 8)]:
        given_.refused_without_a_ledger(flipped(envelope, place))


@settings(_SETTINGS, max_examples=60)
@given(place=st.integers(0, 2**40))
def test_a_bit_of_a_published_file(world: Any, place: int) -> None:
    content = world.data.read_bytes()
    with world.verify() as verified:
        world.write(world.data.name, flipped(content, place))
        try:
            with pytest.raises(NotVerified):
                verified.table()
        finally:
            world.write(world.data.name, content)


@pytest.mark.parametrize("seed", range(12))
def test_a_bit_of_a_long_file_is_refused_wherever_it_is_read(
    world: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """The same where blocks are verified as they are touched, and every one of them is."""
    from auditor.verify import reading

    monkeypatch.setattr(reading, "BUFFERED", 0)
    content = long_file(world)
    place = random.Random(seed).randrange(len(content) * 8)
    world.write("long.parquet", flipped(content, place))
    with world.verify() as verified, verified.open("long.parquet") as file:
        block = place // 8 // BLOCK
        for number in range(-(-len(content) // BLOCK)):
            if number == block:
                with pytest.raises(NotVerified):
                    file.read_at(BLOCK, number * BLOCK)
            else:
                assert file.read_at(BLOCK, number * BLOCK) == content[number * BLOCK :][:BLOCK]


def long_file(world: Any) -> bytes:
    import pyarrow as pa

    noise = random.Random(1).randbytes(5 * BLOCK)
    values = pa.Array.from_buffers(pa.int64(), len(noise) // 8, [None, pa.py_buffer(noise)])
    world.of_files({"long.parquet": pa.table({"x": values})})
    return bytes((world.published / "long.parquet").read_bytes())
