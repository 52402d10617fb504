"""Times in manifests and attestations: UTC, whole seconds, one spelling."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from auditor.provenance.refused import Refused, printable

#: How far two honest clocks may be apart.
SKEW: Final = timedelta(minutes=5)

_FORM: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z", re.ASCII
)


def parse_time(text: str) -> datetime:
    """Read exactly `YYYY-MM-DDTHH:MM:SSZ`; no leap second, no 24:00, no fraction, no offset.

    Raises:
        Refused: TIME_FORMAT.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise Refused("TIME_FORMAT", f'"{printable(text, 40)}" has another form.')
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise Refused("TIME_FORMAT", f'"{text}" does not exist.') from error


def format_time(moment: datetime) -> str:
    """The one spelling of a moment; fractions of a second are cut off.

    Raises:
        ValueError: for a moment without a time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a time needs its zone; use datetime.now(UTC)")
    # Not strftime: it does not pad years below 1000.
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
