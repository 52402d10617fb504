"""Holds a verified batch against the ledger: its place in the order of its source, its addresses.

There is no other state than the ledger: who deletes everything else changes nothing here. Shell.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auditor.errors import LedgerError
from auditor.ledger import NONE_YET, Entry, Ledger
from auditor.provenance.addresses import address_key, addresses, compare_addresses
from auditor.provenance.digests import sha256
from auditor.provenance.manifest import Manifest
from auditor.provenance.sequence import (
    Place,
    Taken,
    compare_clock,
    compare_order,
    content_digest,
    taken_of,
)
from auditor.provenance.times import format_time
from auditor.provenance.verification import Verification

SEEN = "uri.seen"


@dataclass(frozen=True, slots=True)
class Ordered:
    """The verification with what the ledger adds, and the place that the batch may take.

    There is none for a batch that nobody vouches for, or that is not the next one. `waits`: its
    rows are not to be judged, for whatever they are, it is not its turn or was decided before.
    """

    verification: Verification
    place: Place | None
    waits: bool = False


def hold_to_order(
    verification: Verification, ledger: Ledger, *, now: dt.datetime, strict: bool, mutable: bool
) -> Ordered:
    """Compare clock, place and addresses with what the ledger has.

    `strict` and `mutable` are the site's own; the terms of the source go before them.

    Raises:
        LedgerError: it cannot be read, or an entry that takes a place does not say which.
    """
    claims = list(compare_clock(ledger.latest(), now))
    declared, terms = verification.manifest, verification.terms
    if not verification.verified or declared is None:
        return Ordered(verification.refused_for(claims), None, waits=bool(claims))
    if terms.sequence is not None:
        strict = terms.sequence == "strict"
    entries = ledger.of_source(declared.source)
    claims += compare_order(declared, places(entries), strict=strict)
    if not (mutable if terms.mutable is None else terms.mutable):
        claims += compare_addresses(declared, seen_before(ledger, declared))
    place = None if claims else _place(declared, verification.envelope or b"", entries)
    return Ordered(verification.refused_for(claims), place, waits=bool(claims))


def places(entries: Sequence[Entry]) -> list[Taken]:
    """The places that entries of the ledger say are taken.

    Raises:
        LedgerError: one does not say which.
    """
    try:
        return [taken_of(entry.event.detail, entry.event.run) for entry in entries]
    except (KeyError, ValueError) as error:
        raise LedgerError(f"an entry takes a place and does not say which ({error})") from error


def seen_before(ledger: Ledger, declared: Manifest) -> Mapping[str, tuple[str, str]]:
    """`address_key` -> (first digest, when), of the manifest's addresses that were seen before."""
    seen = {}
    for uri, _ in addresses(declared):
        key = address_key(declared.source, uri)
        if found := ledger.find(subject=key, event=SEEN):
            seen[key] = (found[0].event.refs[0], format_time(found[0].event.at))
    return seen


def note_addresses(ledger: Ledger, declared: Manifest, *, at: dt.datetime, run: str) -> None:
    """Log each address of a verified manifest that is new to the ledger."""
    seen, own = seen_before(ledger, declared), dict[str, str]()
    for uri, digest in addresses(declared):
        key = address_key(declared.source, uri)
        if key not in seen:
            own.setdefault(key, digest)
    if own:
        with ledger.kept_open():
            for key, digest in own.items():
                ledger.append(SEEN, at=at, via="gate", subject=key, refs=[digest], run=run)


def _place(declared: Manifest, envelope: bytes, entries: Sequence[Entry]) -> Place:
    return Place(
        source=declared.source,
        batch_id=declared.batch_id,
        sequence=declared.sequence,
        sha256=declared.sha256,
        content=content_digest(declared),
        envelope=sha256(envelope),
        head=entries[-1].idx if entries else NONE_YET,
    )
