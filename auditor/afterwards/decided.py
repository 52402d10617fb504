"""What was decided about a set, as lines for a person or a spreadsheet. Shell; texts are raw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from auditor.afterwards.desk import Desk
from auditor.afterwards.quarantined import Aside
from auditor.errors import LedgerError
from auditor.ledger import Entry
from auditor.lifecycle.decisions import read
from auditor.lifecycle.states import DECIDED
from auditor.provenance import dsse
from auditor.provenance.refused import Refused

COLUMNS: Final = ("at", "event", "principal", "code", "reason")
Line = tuple[str, str, str, str, str]


def lines(desk: Desk, prefix: str) -> list[Line]:
    """One line an event about the set, oldest first; escape them for where they are shown."""
    aside = desk.find(prefix)
    return list(_lines(desk, aside))


def _lines(desk: Desk, aside: Aside) -> Iterator[Line]:
    created = aside.created.event
    yield f"{created.at:%Y-%m-%dT%H:%M:%SZ}", "set aside", created.principal, "", aside.run
    for entry in desk.ledger.find(subject=aside.set_sha256):
        said = entry.event
        code, reason = _why(aside, entry)
        yield f"{said.at:%Y-%m-%dT%H:%M:%SZ}", entry.name, said.principal, code, reason


def _why(aside: Aside, entry: Entry) -> tuple[str, str]:
    if entry.name not in DECIDED:
        return str(entry.event.detail.get("void", "")), ""
    try:
        decision = read(dsse.parse(aside.decision(entry.event.refs[0])).payload)
    except (LedgerError, Refused) as error:
        return "?", str(error)
    return decision.reason_code, decision.reason
