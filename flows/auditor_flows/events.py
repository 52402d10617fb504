"""Events for automations: what was decided about a batch. The ledger is the record, not these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from prefect.events import emit_event

NAMES: Final = {
    "ACCEPT": "auditor.batch.accepted",
    "QUARANTINE": "auditor.batch.quarantined",
    "REJECT": "auditor.batch.rejected",
    "HOLD": "auditor.batch.held",
}
_PAYLOAD: Final = ("batch", "run", "verdict", "rows", "rows_quarantined", "published_digest")


def emit(outcome: Mapping[str, Any]) -> None:
    """Emit the event of a verdict. Counts, digests and names of ours only; nothing of a row."""
    emit_event(
        event=NAMES[outcome["verdict"]],
        resource={
            "prefect.resource.id": f"auditor.batch.{outcome['digest']}",
            "prefect.resource.name": outcome["batch"],
        },
        payload={name: outcome[name] for name in _PAYLOAD},
    )
