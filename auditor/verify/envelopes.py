"""Opens the envelopes that a site's own services write: in one spelling, by keys that are known.

A supplier's envelope may be spelt in several ways. The gate's may not: so no bit of it can be
changed without being noticed, not even one that no signature covers.
"""

from __future__ import annotations

from datetime import datetime

from auditor.provenance import dsse
from auditor.trust import thresholds
from auditor.verify.refused import NotVerified
from auditor.verify.trust import Voices


def signed_payload(data: bytes, voices: Voices, at: datetime) -> bytes:
    """The payload of an in-toto envelope that enough of the keys signed.

    A signature counts under its own key's id only. `at`: when it was signed, by the ledger's word.

    Raises:
        Refused: a DSSE or JSON code, UNSIGNED, SIGNATURE_THRESHOLD, KEY_REVOKED, KEY_EXPIRED or
            KEY_NOT_YET_VALID.
        NotVerified: ENVELOPE_SPELLING.
    """
    envelope = dsse.parse(data)
    envelope.require_type(dsse.IN_TOTO)
    if dsse.build(envelope.payload, envelope.payload_type, envelope.signatures) != data:
        raise NotVerified("ENVELOPE_SPELLING", "The envelope was rewritten.")
    named = [
        key
        for key in voices.keys
        for one in envelope.signatures
        if one.keyid == key.keyid
        and key.public.verifies(one.sig, dsse.pae(envelope.payload_type, envelope.payload))
    ]
    thresholds.require(envelope, named, voices.threshold, at)
    return envelope.payload
