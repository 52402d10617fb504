"""DSSE envelopes: signatures over typed bytes (Dead Simple Signing Envelope v1.0.2).

The signature covers the payload type and the payload's bytes as they are, so nothing has to be
parsed, or written again in one spelling, before it is verified.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from auditor.provenance import strict_json
from auditor.provenance.keys import PublicKey
from auditor.provenance.refused import Refused, printable
from auditor.provenance.strict_json import Json

#: in-toto statements: manifests and attestations alike.
IN_TOTO: Final = "application/vnd.in-toto+json"
MAX_SIGNATURES: Final = 16


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature; `keyid` is a hint and proves nothing."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A parsed envelope. Nothing in it is trusted until `signers` has said who signed."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]

    def require_type(self, payload_type: str) -> None:
        """Raise `Refused` (DSSE_PAYLOAD_TYPE) for any other type."""
        if self.payload_type != payload_type:
            found = printable(self.payload_type)
            raise Refused("DSSE_PAYLOAD_TYPE", f'The payload type is "{found}".')


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def build(payload: bytes, payload_type: str, signatures: Iterable[Signature]) -> bytes:
    """An envelope as JSON with a final newline; no signatures make an unsigned one."""
    document = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [
            {"keyid": one.keyid, "sig": base64.b64encode(one.sig).decode()} for one in signatures
        ],
    }
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def parse(data: bytes) -> Envelope:
    """Read an envelope. Unknown fields are ignored, as DSSE demands.

    Raises:
        Refused: DSSE_FORMAT, DSSE_BASE64, DSSE_TOO_MANY_SIGS or a JSON code.
    """
    document = strict_json.loads(data)
    if not isinstance(document, dict):
        raise Refused("DSSE_FORMAT", "The top level is not an object.")
    payload, kind, listed = (document.get(k) for k in ("payload", "payloadType", "signatures"))
    if not isinstance(payload, str) or not isinstance(kind, str) or not isinstance(listed, list):
        raise Refused("DSSE_FORMAT", "It needs payload, payloadType and signatures.")
    if len(listed) > MAX_SIGNATURES:
        raise Refused("DSSE_TOO_MANY_SIGS", f"There are {len(listed)} signatures.")
    return Envelope(_decode(payload, "payload"), kind, tuple(_signature(one) for one in listed))


def signers(envelope: Envelope, keys: Sequence[PublicKey]) -> tuple[str, ...]:
    """The ids of those of `keys` that signed this envelope: each key once, sorted.

    Which key made a signature is found by trying all of them: the keyid is the sender's word.
    """
    message = pae(envelope.payload_type, envelope.payload)
    found = {
        key.keyid
        for key in set(keys)
        if any(key.verifies(one.sig, message) for one in envelope.signatures)
    }
    return tuple(sorted(found))


def signed_by(envelope: bytes) -> str:
    """The ids of the keys in an envelope that was made here, as the ledger has them: one text."""
    return " ".join(one.keyid for one in parse(envelope).signatures)


def verify(
    envelope: Envelope, *, keys: Sequence[PublicKey], threshold: int, payload_type: str
) -> tuple[str, ...]:
    """Demand that at least `threshold` distinct keys signed; return the ids of those that did.

    Raises:
        Refused: DSSE_PAYLOAD_TYPE, UNSIGNED or SIGNATURE_THRESHOLD.
        ValueError: for a threshold below 1, which would accept anything.
    """
    if threshold < 1:
        raise ValueError(f"a threshold must be at least 1, not {threshold}")
    envelope.require_type(payload_type)
    if not envelope.signatures:
        raise Refused("UNSIGNED", "The envelope has no signatures.")
    found = signers(envelope, keys)
    if len(found) < threshold:
        need = f"{len(found)} of {threshold} required keys signed"
        raise Refused("SIGNATURE_THRESHOLD", f"{need}; {len(set(keys))} keys are configured.")
    return found


def _signature(value: Json) -> Signature:
    if not isinstance(value, dict):
        raise Refused("DSSE_FORMAT", "A signature is not an object.")
    keyid, sig = value.get("keyid", ""), value.get("sig")
    if not isinstance(keyid, str | None) or not isinstance(sig, str):
        raise Refused("DSSE_FORMAT", "A signature needs sig, and keyid must be a string.")
    return Signature(keyid or "", _decode(sig, "a signature"))


def _decode(text: str, where: str) -> bytes:
    standard = text.replace("-", "+").replace("_", "/")  # the URL-safe alphabet is allowed too
    try:
        content = base64.b64decode(standard, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("DSSE_BASE64", f"{where} cannot be decoded.") from error
    if base64.b64encode(content).decode() != standard:
        raise Refused("DSSE_BASE64", f"{where} is not in its one canonical spelling.")
    return content
