"""Signed notes and verifier keys, against the examples of others and against what is bad."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from auditor.transparency import note
from auditor.transparency.refused import CODES, LogRefused

KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
NAME = "auditor.local/ledger"
VKEY = note.public_half(NAME, KEY)
TEXT = "one line\n\nand another\n"

# Published with Go's implementation (golang.org/x/mod/sumdb/note).
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = """\
If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6\
KE6RyyBwJnAM=
"""


def test_a_note_of_another_implementation_verifies() -> None:
    key = note.parse_vkey(GO_VKEY)
    assert str(key) == GO_VKEY
    read = note.parse(GO_NOTE.encode())
    assert note.verified_by(read, [key]) == (key,)
    assert read.text.startswith("If you think cryptography")


def test_what_is_signed_verifies_and_the_key_survives_its_text_form() -> None:
    read = note.parse(note.sign(TEXT, NAME, KEY))
    assert read.text == TEXT
    assert note.verified_by(read, [note.parse_vkey(str(VKEY))]) == (VKEY,)


def test_case_109_signatures_of_strangers_are_ignored() -> None:
    """A note with extra signatures of unknown keys, and of a known name with another key."""
    signed = note.sign(TEXT, NAME, KEY)
    garbage = base64.b64encode(b"\0" * 68).decode()
    lines = f"— {NAME} {garbage}\n— stranger.example {garbage}\n".encode()
    assert note.verified_by(note.parse(signed + lines), [VKEY]) == (VKEY,)
    with pytest.raises(LogRefused, match="NOTE_UNKNOWN_KEY"):
        note.verified_by(note.parse(signed), [note.public_half("another.name", KEY)])


def test_case_109_a_bad_signature_of_a_known_key_rejects_the_note() -> None:
    """A good signature beside a bad one that claims the same key or another known key."""
    signed = note.sign(TEXT, NAME, KEY)
    for key in (VKEY, note.public_half("witness.example", OTHER)):
        bad = base64.b64encode(key.key_id + b"\0" * 64).decode()
        both = note.parse(signed + f"— {key.name} {bad}\n".encode())
        with pytest.raises(LogRefused, match="NOTE_SIGNATURE"):
            note.verified_by(both, [VKEY, key])


@given(bit=st.integers(0, len(note.sign(TEXT, NAME, KEY)) * 8 - 1))
def test_any_bit_changed_in_a_note_is_refused(bit: int) -> None:
    raw = bytearray(note.sign(TEXT, NAME, KEY))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(LogRefused):
        note.verified_by(note.parse(bytes(raw)), [VKEY])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda n: n[:-1],
        lambda n: n.replace(b"\n\n", b"\n"),
        lambda n: n.replace(b"one", b"o\x00e"),
        lambda n: n.replace(b"one", b"o\re"),
        lambda n: n.replace(b"one", b"o\xffe"),
        lambda n: n.replace("— ".encode(), b"- "),
        lambda n: n.replace(b"auditor.local", b"auditor local"),
        lambda n: n.replace(b"auditor.local", b"auditor+local"),
        lambda n: n + b"\n",
        lambda n: n + b"trailing\n",
        lambda n: n.replace(b"=\n", b"\n"),
        lambda n: n + n.split(b"\n\n")[-1] * 32,
        lambda n: b"x" * note.MAX_BYTES + n,
        lambda n: n.split("— ".encode())[0] + "— a AAAA\n".encode(),
    ],
)
def test_bytes_that_are_no_note_are_refused(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(LogRefused, match="NOTE_FORMAT"):
        note.parse(spoil(note.sign(TEXT, NAME, KEY)))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "VKEY_FORMAT"),
        (GO_VKEY.replace("c74f20a3", "c74f20a4"), "VKEY_FORMAT"),
        (GO_VKEY.replace("PeterNeumann", "Peter Neumann"), "VKEY_FORMAT"),
        (GO_VKEY.replace("+AR", "+Ah"), "VKEY_FORMAT"),
        (GO_VKEY[:-4], "VKEY_FORMAT"),
        (GO_VKEY + "!", "VKEY_FORMAT"),
        (str(note.VerifierKey("weak", b"\x01" + b"\0" * 31)), "VKEY_WEAK"),
        (str(note.VerifierKey("weak", b"\xee" + b"\xff" * 30 + b"\x7f")), "VKEY_WEAK"),
        (str(note.VerifierKey("other", b"\x05" * 32, 2)), "VKEY_FORMAT"),
    ],
)
def test_keys_that_cannot_vouch_are_refused(text: str, code: str) -> None:
    with pytest.raises(LogRefused) as refused:
        note.parse_vkey(text)
    assert refused.value.code == code


def test_a_cosignature_is_over_its_time_too() -> None:
    read = note.parse(note.sign(TEXT, NAME, KEY))
    line = note.cosign(read, "witness.example", OTHER, 1_679_315_147)
    witness = note.public_half("witness.example", OTHER, note.COSIGNATURE)
    assert note.parse_vkey(str(witness)) == witness
    signed = note.sign(TEXT, NAME, KEY) + line
    assert note.verified_by(note.parse(signed), [VKEY, witness]) == (VKEY, witness)
    name, _, encoded = line.decode().removesuffix("\n").rpartition(" ")
    raw = bytearray(base64.b64decode(encoded))
    raw[11] ^= 1  # the last byte of the time
    later = f"{name} {base64.b64encode(raw).decode()}\n".encode()
    with pytest.raises(LogRefused, match="NOTE_SIGNATURE"):
        note.verified_by(note.parse(note.sign(TEXT, NAME, KEY) + later), [VKEY, witness])
    short = base64.b64encode(witness.key_id + b"\0" * 3).decode()
    spoilt = note.sign(TEXT, NAME, KEY) + f"— witness.example {short}\n".encode()
    with pytest.raises(LogRefused, match="NOTE_SIGNATURE"):
        note.verified_by(note.parse(spoilt), [VKEY, witness])


def test_only_whole_lines_are_signed_under_names_without_spaces() -> None:
    with pytest.raises(ValueError, match="newline"):
        note.sign("no newline", NAME, KEY)
    with pytest.raises(LogRefused, match="VKEY_FORMAT"):
        note.sign(TEXT, "two words", KEY)


def test_codes_that_nobody_knows_cannot_be_raised() -> None:
    with pytest.raises(ValueError, match="not a known code"):
        LogRefused("NOTE_FORMATT", "")


def test_the_reference_shows_every_code() -> None:
    reference = Path(__file__).parents[2] / "docs" / "reference" / "codes.md"
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*) \|$", reference.read_text(), re.MULTILINE))
    shown = {code: f"{meaning} | {remedy}" for code, (meaning, remedy) in CODES.items()}
    assert {code: rows.get(code) for code in CODES} == shown
