"""How the training side says no: one exception, one stable code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from auditor.errors import AuditorError
from auditor.provenance.codes import CODES as PROVENANCE
from auditor.provenance.refused import KeyRefused, Refused
from auditor.transparency.refused import LogRefused

_AGAIN: Final = "Audit the batch again, and train on what that run publishes."
_NOT_THIS: Final = "Do not train on it. Find out who changed it since it was published."
_STATUS: Final = "Fetch the newest status; `auditor status issue` has to run at least once a day."

#: Codes of this package -> (what it means, what to do). Those of manifests, policies and proofs
#: keep their meaning.
CODES: Final[Mapping[str, tuple[str, str]]] = {
    "ATTESTATION_MISSING": (
        "There is no attestation, so nothing was published here.",
        "Name the folder below `published` that a gate run wrote.",
    ),
    "ENVELOPE_SPELLING": (
        "The envelope is not written in the one form that the gate writes.",
        "Copy it again from where the gate published it; nothing may rewrite it on the way.",
    ),
    "VERIFIER_MISMATCH": (
        "The attestation is of another gate than the key may sign for.",
        "Compare `signing.verifier` of the gate with the verifiers you trust.",
    ),
    "RESOURCE_MISMATCH": (
        "The attestation is of another dataset than was asked for.",
        "Name the dataset as the attestation does: dataset:SOURCE@BATCH.",
    ),
    "VERDICT_FAILED": ("The gate refused this batch.", "Read the report of its run."),
    "NOT_ENFORCED": (
        "The run only observed: nothing was enforced.",
        "Run `auditor gate` without `--observe`.",
    ),
    "LEVEL_MISSING": (
        "The gate did not verify everything that is asked for.",
        "Give the gate what it lacked (a signed manifest, a baseline), or ask for less.",
    ),
    "BREAK_GLASS": (
        "The batch was let in by an emergency release that one person signed.",
        "Wait until it is ratified, or say that you accept it.",
    ),
    "POLICY_NAME": ("The gate ran under another policy.", "Compare the names of the policies."),
    "POLICY_VERSION": ("The gate ran under an older version of the policy.", _AGAIN),
    "ATTESTATION_EXPIRED": ("The attestation is no longer valid.", _AGAIN),
    "STATUS_MISSING": ("A status is required and none was given.", _STATUS),
    "STATUS_STALE": ("The status is more than a day old.", _STATUS),
    "STATUS_ROLLBACK": ("A newer status was seen here before.", _STATUS),
    "RECALLED": (
        "The batch, or something it was made from, was recalled.",
        "Do not train on it, and look at the models that were.",
    ),
    "PROOF_MISSING": (
        "There is no proof that the ledger holds this verdict, or this frozen data set.",
        "Copy the proof along with the attestation: proof.tlog, or NAME.proof.tlog beside "
        "NAME.dsse.json. `auditor ledger renew` writes both anew.",
    ),
    "CONSISTENCY_MISSING": (
        "Nothing proves that the log continues the one that was seen here before.",
        "Pass what `auditor ledger consistency OLD NEW` writes, or a newer status.",
    ),
    "ROLLBACK_UNPROTECTED": (
        "Protection against a rolled back ledger is required, and there is none.",
        "Name a durable `seen` store, or trust witnesses.",
    ),
    "SEEN_INVALID": (
        "The record of what was seen before cannot be read.",
        "Restore it. Without it an older state of the ledger cannot be told from the newest.",
    ),
    "FILE_TYPE": ("A file is no regular file.", _NOT_THIS),
    "FILE_UNREADABLE": ("A file cannot be read.", "See that this user may read it."),
    "FILE_FORMAT": ("A file is not of the format it should have.", _NOT_THIS),
    "CHANGED_MEANWHILE": (
        "The files that a command was given were changed while it ran.",
        "Throw away what the command made, and find out which program of this user did it.",
    ),
    "FILE_UNKNOWN": (
        "The attestation lists no such file.",
        "Open one of its files; what else lies in the folder was not audited.",
    ),
}


class NotVerified(AuditorError):
    """What was published is not, or no longer, what may be trained on. `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        """Refuse a code that is in no table, where the mistake is made."""
        if code not in CODES and code not in PROVENANCE:
            raise ValueError(f"{code}: not a known code")
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    def remedy(self) -> str:
        """What to do next; empty where the message says it."""
        if self.code in CODES:
            return CODES[self.code][1]
        return ""

    @classmethod
    def of(cls, refused: Refused | LogRefused | KeyRefused) -> NotVerified:
        """The same refusal, from a package below."""
        found = cls.__new__(cls)
        AuditorError.__init__(found, f"{refused.code}: {refused.message}")
        found.code, found.message = refused.code, refused.message
        return found


@contextmanager
def refusing() -> Iterator[None]:
    """Turn the refusals of the packages below into `NotVerified`."""
    try:
        yield
    except (Refused, LogRefused, KeyRefused) as refused:
        raise NotVerified.of(refused) from refused
