"""Checkpoints, proof files and continuations: what holds, and everything near it that does not."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from auditor.transparency import merkle, note, proof
from auditor.transparency.checkpoint import (
    Checkpoint,
    Seen,
    issue,
    open_checkpoint,
    require_continuation,
)
from auditor.transparency.refused import LogForked, LogRefused

KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
WITNESSES = [Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (2, 3)]
ORIGIN = "auditor.local/ledger"
VKEY = note.public_half(ORIGIN, KEY)
ATTESTATION = hashlib.sha256(b"attestation").hexdigest()
BODIES = [
    json.dumps({"event": "verdict", "refs": [{"sha256": ATTESTATION}], "n": n}).encode()
    for n in range(11)
]
TREE = merkle.levels(map(merkle.leaf_hash, BODIES))


def node(level: int, position: int) -> bytes:
    return TREE[level][position]


def signed(size: int, key: Ed25519PrivateKey = KEY, origin: str = ORIGIN) -> bytes:
    return issue(Checkpoint(origin, size, merkle.tree_root(size, node)), key)


def seen(size: int) -> Seen:
    return open_checkpoint(signed(size), [VKEY])


def proof_file(index: int, size: int) -> proof.InclusionProof:
    hashes = tuple(merkle.inclusion_proof(index, size, node))
    return proof.InclusionProof(index, hashes, signed(size), BODIES[index])


def continuation(old: int, new: int) -> bytes:
    hashes = tuple(merkle.consistency_proof(old, new, node)) if old else ()
    return proof.ConsistencyProof(old, hashes, signed(new)).to_bytes()


# ------------------------------------------------------------------------------------ checkpoints


def test_a_checkpoint_is_three_lines_and_a_signature() -> None:
    root = base64.b64encode(merkle.tree_root(3, node)).decode()
    assert signed(3).decode().startswith(f"{ORIGIN}\n3\n{root}\n\n— {ORIGIN} ")
    assert seen(3).checkpoint == Checkpoint(ORIGIN, 3, merkle.tree_root(3, node))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("\n3\n", "\n03\n"),
        lambda text: text.replace("\n3\n", "\n+3\n"),
        lambda text: text.replace("\n3\n", "\n3 \n"),
        lambda text: text.replace("\n3\n", "\n٣\n"),
        lambda text: text.replace("\n3\n", "\n9223372036854775808\n"),
        lambda text: text.replace("\n3\n", "\n\n"),
        lambda text: text + "an extension line\n",
        lambda text: text.removeprefix(ORIGIN),
        lambda text: text.rsplit("\n", 2)[0] + "\n",
        lambda text: text.rsplit("\n", 2)[0] + "\nAAAA\n",
        lambda text: text.rsplit("\n", 2)[0] + "\nnot base64\n",
    ],
)
def test_case_109_a_signed_text_that_is_no_checkpoint(spoil: Callable[[str], str]) -> None:
    """Leading zeroes, extension lines and the like, all with a good signature of the log's key."""
    text = spoil(seen(3).checkpoint.text)
    with pytest.raises(LogRefused, match="CHECKPOINT_FORMAT"):
        open_checkpoint(note.sign(text, ORIGIN, KEY), [VKEY])


def test_case_109_a_checkpoint_of_another_origin() -> None:
    """The log's own key name under a text of another log, and the reverse."""
    text = Checkpoint("elsewhere.example/log", 3, merkle.tree_root(3, node)).text
    with pytest.raises(LogRefused, match="CHECKPOINT_ORIGIN"):
        open_checkpoint(note.sign(text, ORIGIN, KEY), [VKEY])
    with pytest.raises(LogRefused, match="NOTE_UNKNOWN_KEY"):
        open_checkpoint(signed(3, origin="elsewhere.example/log"), [VKEY])


def test_witnesses_count_once_and_never_in_place_of_the_log() -> None:
    names = ("w1.example", "w2.example")
    pairs = list(zip(names, WITNESSES, strict=True))
    known = [note.public_half(name, key, note.COSIGNATURE) for name, key in pairs]
    read = note.parse(signed(3))
    lines = [note.cosign(read, name, key, 1_700_000_000) for name, key in pairs]
    for cosigned, quorum in [(signed(3) + lines[0] * 2, 1), (signed(3) + b"".join(lines), 2)]:
        assert open_checkpoint(cosigned, [VKEY], witnesses=known, quorum=quorum).size == 3
        with pytest.raises(LogRefused, match="NOTE_QUORUM"):
            open_checkpoint(cosigned, [VKEY], witnesses=known, quorum=quorum + 1)
    alone = f"{read.text}\n".encode() + b"".join(lines)
    with pytest.raises(LogRefused, match="NOTE_UNKNOWN_KEY"):
        open_checkpoint(alone, [VKEY], witnesses=known)


def test_one_witness_key_under_two_names_counts_once() -> None:
    known = [note.public_half(f"{n}.example", WITNESSES[0], note.COSIGNATURE) for n in "ab"]
    read = note.parse(signed(3))
    lines = [note.cosign(read, key.name, WITNESSES[0], 1_700_000_000) for key in known]
    with pytest.raises(LogRefused, match="NOTE_QUORUM: 1 of 2"):
        open_checkpoint(signed(3) + b"".join(lines), [VKEY], witnesses=known, quorum=2)


# ------------------------------------------------------------------------------------ proof files


def test_the_file_is_the_published_format() -> None:
    lines = proof_file(4, 7).to_bytes().decode().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "extra " + base64.b64encode(BODIES[4]).decode()
    assert lines[2] == "index 4"
    assert lines[3] == base64.b64encode(TREE[0][5]).decode()
    assert lines[6:8] == ["", ORIGIN]


@pytest.mark.parametrize("size", range(1, 12))
def test_every_entry_is_proven(size: int) -> None:
    for index in range(size):
        proven = proof.verify(proof_file(index, size).to_bytes(), [VKEY])
        assert (proven.index, proven.body, proven.seen.size) == (index, BODIES[index], size)
        proof.require_verdict(proven, ATTESTATION)


def test_case_110_the_inclusion_proof_of_another_index() -> None:
    """A good proof with the index, or with the entry, of another one."""
    right = proof_file(4, 7)
    for index in (0, 3, 5, 6, 7, 2**63 - 1):
        moved = proof.InclusionProof(index, right.hashes, right.note, right.extra)
        with pytest.raises(LogRefused, match="PROOF_INCLUSION"):
            proof.verify(moved.to_bytes(), [VKEY])
    other = proof.InclusionProof(4, right.hashes, right.note, BODIES[5])
    with pytest.raises(LogRefused, match="PROOF_INCLUSION"):
        proof.verify(other.to_bytes(), [VKEY])


@given(data=st.data(), size=st.integers(1, 11))
def test_any_bit_changed_in_a_proof_file_is_refused(data: st.DataObject, size: int) -> None:
    raw = bytearray(proof_file(data.draw(st.integers(0, size - 1)), size).to_bytes())
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(LogRefused):
        proof.verify(bytes(raw), [VKEY])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda f: f.replace(b"proof@v1", b"proof@v2"),
        lambda f: f.replace(b"index 4", b"index 04"),
        lambda f: f.replace(b"index 4", b"index  4"),
        lambda f: f.replace(b"index 4\n", b""),
        lambda f: f.replace(b"extra ", b"extra  "),
        lambda f: b"\n".join(f.split(b"\n")[:1] + f.split(b"\n")[2:]),  # without the entry
        lambda f: f.replace(b"\n", b"\r\n"),
        lambda f: f.replace(b"index 4\n", b"index 4\n" + b"A" * 43 + b"=\n" * 64),
        lambda f: f.replace(b"index 4\n", b"index 4\nAAAA\n"),
        lambda f: f.replace(b"index 4\n", b"index 4\n" + (b"A" * 43 + b"=\n") * 64),
        lambda f: f.replace(b"index 4\n", "index 4\nä\n".encode()),
        lambda f: b"x" * proof.MAX_BYTES + f,
    ],
)
def test_bytes_that_are_no_proof_file_are_refused(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(LogRefused, match="PROOF_FORMAT"):
        proof.verify(spoil(proof_file(4, 7).to_bytes()), [VKEY])


def test_a_proof_of_another_event_is_not_one_of_a_verdict() -> None:
    def proven(body: bytes) -> proof.Proven:
        return proof.Proven(0, body, seen(1))

    good = {"event": "verdict", "refs": [{"sha256": ATTESTATION}]}
    proof.require_verdict(proven(json.dumps(good).encode()), ATTESTATION)
    for change in (
        {"event": "batch.held"},
        {"refs": []},
        {"refs": None},
        {"refs": [ATTESTATION]},
        {"refs": [{"sha256": "0" * 64}]},
    ):
        with pytest.raises(LogRefused, match="PROOF_EVENT"):
            proof.require_verdict(proven(json.dumps({**good, **change}).encode()), ATTESTATION)
    for body in (b"\xff", b"[]", b"[" * 100_000):
        with pytest.raises(LogRefused, match="PROOF_EVENT"):
            proof.require_verdict(proven(body), ATTESTATION)


# ---------------------------------------------------------------------------------- continuations


def test_every_continuation_is_proven_from_where_it_was_seen() -> None:
    for old in range(1, 12):
        for new in range(old, 12):
            now = proof.verify_continuation(continuation(old, new), seen(old), [VKEY])
            assert now.size == new
            for other in {1, old - 1, old + 1} & set(range(1, 12)) - {old}:
                with pytest.raises(LogRefused, match="PROOF_CONSISTENCY"):
                    proof.verify_continuation(continuation(old, new), seen(other), [VKEY])


@given(data=st.data(), old=st.integers(1, 10))
def test_any_bit_changed_in_a_continuation_is_refused(data: st.DataObject, old: int) -> None:
    raw = bytearray(continuation(old, data.draw(st.integers(old + 1, 11))))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(LogRefused):
        proof.verify_continuation(bytes(raw), seen(old), [VKEY])


def test_case_111_two_checkpoints_of_one_size() -> None:
    """Two checkpoints of one size with different roots, both signed by the log's key."""
    other = issue(Checkpoint(ORIGIN, 7, b"\x07" * 32), KEY)
    forked = proof.ConsistencyProof(7, (), other).to_bytes()
    with pytest.raises(LogForked, match="LEDGER_FORK") as refused:
        proof.verify_continuation(forked, seen(7), [VKEY])
    assert (refused.value.seen, refused.value.given) == (signed(7), other)


def test_a_shorter_log_and_another_log_are_no_continuation() -> None:
    with pytest.raises(LogRefused, match="LEDGER_ROLLBACK"):
        require_continuation(seen(7), seen(6), [])
    elsewhere = Seen(Checkpoint("elsewhere.example/log", 7, seen(7).root), b"")
    with pytest.raises(LogRefused, match="CHECKPOINT_ORIGIN"):
        require_continuation(seen(7), elsewhere, [])


def test_anything_continues_the_empty_log_without_a_proof() -> None:
    assert proof.verify_continuation(continuation(0, 5), seen(0), [VKEY]).size == 5
    spoilt = proof.ConsistencyProof(0, (seen(5).root,), signed(5)).to_bytes()
    with pytest.raises(LogRefused, match="PROOF_CONSISTENCY"):
        proof.verify_continuation(spoilt, seen(0), [VKEY])


@pytest.mark.parametrize("spoil", [b"", b"\n\n", b"new 3\n\n", b"old 03\n\n", b"old -1\n\n"])
def test_bytes_that_are_no_continuation_are_refused(spoil: bytes) -> None:
    with pytest.raises(LogRefused, match="PROOF_FORMAT"):
        proof.verify_continuation(spoil + signed(3), seen(3), [VKEY])


def test_a_proof_is_verified_without_a_database() -> None:
    code = (
        "import sys; import auditor.transparency.proof; "
        "print([m for m in ('sqlite3', 'pyarrow', 'pg8000', 'rfc8785') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
