"""Signed notes (c2sp.org/signed-note): a text, a blank line, signature lines.

Verifier keys are `name+hash+base64(type || public key)`. Type 1 is Ed25519 over the text; type 4 is
a witness's cosignature (c2sp.org/tlog-cosignature), Ed25519 over a time and the text. Another type
is a key that we do not know.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from auditor.transparency.points import is_weak
from auditor.transparency.refused import LogRefused

ED25519: Final = 1
COSIGNATURE: Final = 4
#: Longest note that is read, and the most signatures in it. The format asks for at least 16.
MAX_BYTES: Final = 64 * 1024
MAX_SIGNATURES: Final = 32

_KEY_ID_BYTES: Final = 4
_TIME_BYTES: Final = 8
_DASH: Final = "\N{EM DASH} "
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NAME: Final = re.compile(r"[^\s+]{1,256}")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key that may vouch for notes: its name, its type and 32 raw bytes."""

    name: str
    raw: bytes
    kind: int = ED25519

    @property
    def key_id(self) -> bytes:
        """The four bytes by which a signature line names this key."""
        named = self.name.encode() + b"\n" + bytes([self.kind]) + self.raw
        return hashlib.sha256(named).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        """The vkey, as people pass it on."""
        encoded = base64.b64encode(bytes([self.kind]) + self.raw).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: who says to have signed, by which key, and the bytes."""

    name: str
    key_id: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note that was read; nobody vouches for its text before `verified_by`."""

    text: str
    signatures: tuple[Signature, ...]


def parse_vkey(text: str) -> VerifierKey:
    """Read a vkey; raises `LogRefused` VKEY_FORMAT or VKEY_WEAK."""
    name, _, rest = text.strip().partition("+")
    claimed, _, encoded = rest.partition("+")
    material = from_base64(encoded, "VKEY_FORMAT")
    known = material[:1] in (bytes([ED25519]), bytes([COSIGNATURE]))
    if not _NAME.fullmatch(name) or not known or len(material) != 33:
        raise LogRefused("VKEY_FORMAT", "The verifier key is not name+hash+key of Ed25519.")
    key = VerifierKey(name, material[1:], material[0])
    if claimed != key.key_id.hex():
        raise LogRefused("VKEY_FORMAT", "The hash in the verifier key is not that of its key.")
    if is_weak(key.raw):
        raise LogRefused("VKEY_WEAK", f"The key of {name} is a point of small order.")
    return key


def public_half(name: str, key: Ed25519PrivateKey, kind: int = ED25519) -> VerifierKey:
    """The verifier key of a private one; raises `LogRefused` VKEY_FORMAT for a bad name."""
    if not _NAME.fullmatch(name):
        raise LogRefused("VKEY_FORMAT", "A key name has no spaces and no plus sign.")
    return VerifierKey(name, key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), kind)


def parse(note: bytes) -> Note:
    """Read a note; raises `LogRefused` NOTE_FORMAT."""
    if len(note) > MAX_BYTES:
        raise LogRefused("NOTE_FORMAT", f"The note is longer than {MAX_BYTES} bytes.")
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LogRefused("NOTE_FORMAT", "The note is not UTF-8.") from error
    text, separator, lines = whole.rpartition("\n\n")
    if not separator or not text or not lines.endswith("\n") or _CONTROL.search(whole):
        raise LogRefused("NOTE_FORMAT", "The note is not a text, a blank line and signatures.")
    signed = lines[:-1].split("\n")
    if len(signed) > MAX_SIGNATURES:
        raise LogRefused("NOTE_FORMAT", f"The note has more than {MAX_SIGNATURES} signatures.")
    return Note(text + "\n", tuple(_signature(line) for line in signed))


def verified_by(note: Note, keys: Sequence[VerifierKey]) -> tuple[VerifierKey, ...]:
    """The known keys that signed, each once; signatures of other keys are ignored.

    Raises `LogRefused`: NOTE_SIGNATURE where a line of a known key does not verify, which rejects
    the whole note, NOTE_UNKNOWN_KEY where there is no line of a known key.
    """
    known = {(key.name, key.key_id): key for key in keys}
    found: dict[VerifierKey, None] = {}
    for line in note.signatures:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        _verify(key, line.value, note.text)
        found[key] = None
    if not found:
        raise LogRefused("NOTE_UNKNOWN_KEY", "No known key signed the note.")
    return tuple(found)


def sign(text: str, name: str, *keys: Ed25519PrivateKey) -> bytes:
    """The text with the signatures of these keys, in their order; `text` ends in a newline."""
    if not text.endswith("\n") or _CONTROL.search(text):
        raise ValueError("the text of a note ends in a newline and has no control characters")
    lines = (_line(public_half(name, key), key.sign(text.encode())) for key in keys)
    return f"{text}\n{''.join(lines)}".encode()


def last_signer(note: bytes, name: str) -> bytes | None:
    """The id of the key that is named last under a name; its signature is not verified here."""
    named = [line.key_id for line in parse(note).signatures if line.name == name]
    return named[-1] if named else None


def cosign(note: Note, name: str, key: Ed25519PrivateKey, at: int) -> bytes:
    """The signature line of a witness who saw this checkpoint at `at` (POSIX seconds)."""
    value = at.to_bytes(_TIME_BYTES, "big") + key.sign(_cosigned(at, note.text))
    return _line(public_half(name, key, COSIGNATURE), value).encode()


def from_base64(text: str, code: str) -> bytes:
    """Standard base64 with padding, in its one canonical form; raises `LogRefused` with `code`."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise LogRefused(code, "A field is not base64.") from error
    if base64.b64encode(raw).decode() != text:
        raise LogRefused(code, "A field is not base64 in its canonical form.")
    return raw


def _verify(key: VerifierKey, value: bytes, text: str) -> None:
    message = text.encode()
    if key.kind == COSIGNATURE:
        message = _cosigned(int.from_bytes(value[:_TIME_BYTES], "big"), text)
        value = value[_TIME_BYTES:]
    try:
        Ed25519PublicKey.from_public_bytes(key.raw).verify(value, message)
    except InvalidSignature as error:
        raise LogRefused("NOTE_SIGNATURE", f"The signature of {key.name} is wrong.") from error


def _cosigned(at: int, text: str) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def _line(key: VerifierKey, value: bytes) -> str:
    return f"{_DASH}{key.name} {base64.b64encode(key.key_id + value).decode()}\n"


def _signature(line: str) -> Signature:
    name, separator, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not separator or not _NAME.fullmatch(name):
        raise LogRefused("NOTE_FORMAT", "A signature line is not: dash, name, base64.")
    raw = from_base64(encoded, "NOTE_FORMAT")
    if len(raw) <= _KEY_ID_BYTES:
        raise LogRefused("NOTE_FORMAT", "A signature is too short.")
    return Signature(name, raw[:_KEY_ID_BYTES], raw[_KEY_ID_BYTES:])
