"""How this package says no inside itself, and how it quotes hostile text."""

from __future__ import annotations

from typing import Final

from auditor.errors import AuditorError, TrustError
from auditor.provenance.codes import CODES

#: Longest quote from a batch in a message: enough to recognise it, too short to flood a log.
QUOTE_LENGTH: Final = 120


class Refused(AuditorError):
    """Received bytes break a rule. Never leaves the package as an exception of `verify`.

    `code` is a key of `CODES`, `message` says what was seen; the caller adds what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        """Refuse a code that is not in the table, where the mistake is made."""
        if code not in CODES:
            raise ValueError(f"{code}: not a known code")
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class KeyRefused(TrustError):
    """One of our own keys cannot be used; carries a stable `code` and says what to do."""

    def __init__(self, code: str, message: str) -> None:
        """Put the remedy of the code behind the message."""
        super().__init__(f"{code}: {message} {CODES[code].remedy}")
        self.code = code
        self.message = message


def printable(text: str, limit: int = QUOTE_LENGTH) -> str:
    """Text from a batch, safe to show: no control, bidi or other invisible characters, bounded."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:limit])
    return shown + "…" if len(text) > limit else shown
