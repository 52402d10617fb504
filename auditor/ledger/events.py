"""Events and their bytes: what may be written, how it is encoded, how it is read back.

A body is canonical JSON (RFC 8785), and a leaf of the Merkle tree over all of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

import rfc8785

from auditor.errors import LedgerError
from auditor.model import Scalar
from auditor.transparency.merkle import leaf_hash as leaf_hash
from auditor.ulid import is_ulid

Via = Literal["gate", "cli"]

#: Every event there is. Another word in the log would be a claim that nobody can interpret.
EVENTS: Final = frozenset(
    {
        "batch.received",
        "batch.screening",
        "verdict",
        "batch.held",
        "quarantine.created",
        "review.opened",
        "release.requested",
        "release.approved",
        "release.denied",
        "released",
        "ratified",
        "expired",
        "purged",
        "recall",
        "consumed",
        "baseline.promoted",
        "baseline.part_dropped",
        "policy.changed",
        "key.revoked",
        "dataset.frozen",
        "checkpoint.anchored",
        "ledger.key_changed",
        "uri.seen",
        "error",
    }
)
#: The log gets another key. `detail.key` is its verifier key; both keys sign the checkpoint of it.
KEY_CHANGED: Final = "ledger.key_changed"
#: Longest body in bytes: the limit of tile-based logs (C2SP tlog-tiles, 16-bit length).
MAX_BODY: Final = 65_535

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_PRINCIPAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@/+-]{0,127}")
_DETAIL_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What is said. Digests are lowercase hex sha256, `run` is a ULID, `at` has a zone.

    `detail` holds small facts that are nobody's personal data (a log cannot forget): verdict,
    mode, counts. Large or personal things are named by digest in `refs`.
    """

    name: str
    at: datetime
    via: Via
    subject: str | None = None
    refs: tuple[str, ...] = ()
    run: str | None = None
    principal: str = "local"
    detail: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An event to be written, if what its writer knows is still the newest.

    `expect` is the index of the newest entry about the event's subject that is known, -1 for none,
    None where it does not matter. With `source` the entry takes the next place in the order of that
    source, and `expect` is the newest place in it.
    """

    event: Event
    expect: int | None = None
    source: str | None = None

    def body(self) -> bytes:
        """What is written; raises `LedgerError` for what may not be."""
        if self.expect is not None and self.event.subject is None and self.source is None:
            raise LedgerError(f"{self.event.name}: expect needs a subject")
        if self.source is None:
            return encode(self.event)
        return encode(replace(self.event, detail={**self.event.detail, "order_of": self.source}))


def time_text(at: datetime) -> str:
    """UTC to the second, `YYYY-MM-DDTHH:MM:SSZ`; raises `LedgerError` for a time without zone."""
    if at.tzinfo is None:
        raise LedgerError(f"a ledger time needs a zone: {at.isoformat()}")
    return at.astimezone(UTC).strftime(_TIME)


def encode(event: Event) -> bytes:
    """The body of an event; raises `LedgerError` for what may not be written."""
    _refuse_bad(event)
    said: dict[str, Any] = {
        "v": 1,
        "event": event.name,
        "at": time_text(event.at),
        "actor": {"principal": event.principal, "via": event.via},
        "refs": [{"sha256": ref} for ref in event.refs],
    }
    if event.subject is not None:
        said["subject"] = {"sha256": event.subject}
    if event.run is not None:
        said["run"] = event.run
    if event.detail:
        said["detail"] = dict(event.detail)
    try:
        body = rfc8785.dumps(said)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise LedgerError(f"{event.name}: not possible as canonical JSON: {error}") from error
    if len(body) > MAX_BODY:
        raise LedgerError(
            f"{event.name}: an entry of {len(body)} bytes is over the limit of {MAX_BODY}; "
            "keep the large part in a file and name it by digest"
        )
    return body


def decode(body: bytes) -> Event:
    """The event of a body; raises ValueError for bytes that `encode` cannot have written."""
    try:
        said = json.loads(body)
        event = Event(
            name=said["event"],
            at=datetime.strptime(said["at"], _TIME).replace(tzinfo=UTC),
            via=said["actor"]["via"],
            principal=said["actor"]["principal"],
            subject=said["subject"]["sha256"] if "subject" in said else None,
            refs=tuple(ref["sha256"] for ref in said["refs"]),
            run=said.get("run"),
            detail=said.get("detail", {}),
        )
        same = encode(event) == body
    except (KeyError, TypeError, AttributeError, RecursionError, LedgerError) as error:
        raise ValueError(f"not an event: {error}") from error
    if not same:
        raise ValueError("not an event in canonical form")
    return event


def _refuse_bad(event: Event) -> None:
    for digest in (event.subject, *event.refs):
        if digest is not None and not _SHA256.fullmatch(digest):
            raise LedgerError(f"{event.name}: not a lowercase hex sha256: {digest!r}")
    if event.name not in EVENTS:
        raise LedgerError(f"not a ledger event: {event.name!r}; one of {', '.join(sorted(EVENTS))}")
    if event.run is not None and not is_ulid(event.run):
        raise LedgerError(f"{event.name}: not a run id: {event.run!r}")
    if not _PRINCIPAL.fullmatch(event.principal):
        raise LedgerError(f"{event.name}: not a principal's id: {event.principal!r}")
    if event.via not in get_args(Via):
        raise LedgerError(f"{event.name}: via must be gate or cli, not {event.via!r}")
    _refuse_bad_detail(event.name, event.detail)


def _refuse_bad_detail(name: str, detail: Mapping[str, Scalar]) -> None:
    for key, value in detail.items():
        if not _DETAIL_KEY.fullmatch(key):
            raise LedgerError(f"{name}: not a name for a detail: {key!r}")
        if value is not None and not isinstance(value, str | int | float):
            raise LedgerError(f"{name}: detail {key} must be one plain value, not {value!r}")
        # Canonical JSON writes 2.0**53 as an integer that no reader may trust (RFC 7493 §2.2).
        if isinstance(value, float) and abs(value) >= 2**53:
            raise LedgerError(f"{name}: detail {key} is too large for JSON: {value!r}")
