"""How this package says no. Codes are a contract: they are added, never renamed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from auditor.errors import AuditorError


class Code(NamedTuple):
    """What a code means, and the next step for the person who reads it."""

    meaning: str
    remedy: str


_VKEY: Final = "Copy the key again from `auditor ledger show`, on the gate's own machine."
_FILE: Final = "Copy the file again from where it was made; it may have been edited or cut off."
_KEY: Final = "Compare the key with the one that the gate's owner announced. Do not use the data."
_KEEP: Final = (
    "Keep both checkpoints and the ledger as evidence, and find out who can write to the ledger or "
    "has its key. Do not train until that is known."
)

#: Every stable code of this package -> what it means and what to do.
CODES: Final[Mapping[str, Code]] = {
    "VKEY_FORMAT": Code(
        "A verifier key is not `name+hash+base64`, or its hash is not that of the key.", _VKEY
    ),
    "VKEY_WEAK": Code(
        "A verifier key is a point of small order: anybody can forge its signatures.", _KEY
    ),
    "NOTE_FORMAT": Code("The bytes are not a signed note.", _FILE),
    "NOTE_SIGNATURE": Code("A signature of a known key does not fit the text.", _FILE),
    "NOTE_UNKNOWN_KEY": Code("No known key signed the checkpoint.", _KEY),
    "NOTE_QUORUM": Code(
        "Too few of the known witnesses cosigned the checkpoint.",
        "Have the witnesses cosign it, and make the proof again under what they signed.",
    ),
    "CHECKPOINT_FORMAT": Code(
        "The signed text is not a checkpoint: origin, size and root, one a line.", _FILE
    ),
    "CHECKPOINT_ORIGIN": Code("The checkpoint is of another log than its key.", _KEY),
    "PROOF_FORMAT": Code("The bytes are not a proof file.", _FILE),
    "PROOF_INCLUSION": Code(
        "The entry is not at this place of the log that was signed.", f"{_FILE} Else: {_KEEP}"
    ),
    "PROOF_CONSISTENCY": Code("The newer log is not a continuation of the older one.", _KEEP),
    "PROOF_EVENT": Code(
        "The entry that was proven does not say what is claimed, say that it is this verdict.",
        "Take the proof and the attestation from the same folder.",
    ),
    "LEDGER_FORK": Code(
        "Two signed checkpoints contradict each other: the log has two histories.", _KEEP
    ),
    "LEDGER_ROLLBACK": Code(
        "The log is shorter than it was when it was seen before.",
        f"An old backup may have been put back: put the newest one back. {_KEEP}",
    ),
}


class LogRefused(AuditorError):
    """What was given does not prove what it should; `code` is a key of `CODES`."""

    def __init__(self, code: str, message: str) -> None:
        """Refuse a code that is not in the table, where the mistake is made."""
        if code not in CODES:
            raise ValueError(f"{code}: not a known code")
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class LogForked(LogRefused):
    """Two notes that contradict each other. Keep both: together they convict the log's key."""

    def __init__(self, message: str, seen: bytes, given: bytes) -> None:
        """Carry both notes, the one seen before and the one given now."""
        super().__init__("LEDGER_FORK", message)
        self.seen = seen
        self.given = given
