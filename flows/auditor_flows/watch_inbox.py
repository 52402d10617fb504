"""`watch_inbox`: audits each complete batch of the inbox once. Moves nothing."""

from __future__ import annotations

import time
from typing import Any, cast

from prefect import State, flow, get_run_logger
from prefect.states import Completed

from auditor_flows import claims, kept, sightings
from auditor_flows.audit_batch import audit_batch, only_if_due
from auditor_flows.inbox import Delivery
from auditor_flows.sightings import Memory
from auditor_flows.site import Site, open_site


@flow(name="watch_inbox", persist_result=True, result_serializer="json")
def watch_inbox() -> State[dict[str, Any]]:
    """Look at the inbox once and audit what is complete and was not audited yet.

    A schedule runs it again and again. Several may run at once: a claim in the ledger decides.
    """
    site = open_site()
    site.recover()
    kept.sweep(site.roots.runs)
    found = sightings.look(
        site.inbox,
        Memory(site.roots.runs, site.inbox),
        site.limits,
        settle=site.settings.flows.settle_seconds,
        now=time.time(),
    )
    outcomes = [_audit(delivered) for delivered in _due(site, found.complete)]
    said = {
        "audited": [one for one in outcomes if one["verdict"] is not None],
        "failed": [one["batch"] for one in outcomes if one["verdict"] is None and one["failed"]],
        "waiting": len(found.waiting),
        "refused": dict(found.refused),
    }
    return Completed(name=_name(said), message=_message(said), data=said)


def _due(site: Site, complete: tuple[Delivery, ...]) -> list[Delivery]:
    """What no one claimed yet; what broke off an audit before comes after what never did."""
    known = [(claims.standing(site.ledger, one), one) for one in complete]
    due = [(standing.attempts, one) for standing, one in known if standing.is_due()]
    due.sort(key=lambda pair: pair[0])
    return [one for _, one in due]


def _audit(delivered: Delivery) -> dict[str, Any]:
    """One batch, whatever happens to it: the others have their turn."""
    with only_if_due():
        state = audit_batch(delivered.name, delivered.digest, return_state=True)
    if not state.is_completed():
        get_run_logger().error("%s: no verdict: %s", delivered.name, state.message)
        return {"batch": delivered.name, "verdict": None, "failed": True}
    said = cast(dict[str, Any], state.result())
    return {**said, "failed": False}


def _name(said: dict[str, Any]) -> str:
    if said["failed"]:
        return "Some failed"
    return "Audited" if said["audited"] else "Nothing new"


def _message(said: dict[str, Any]) -> str:
    verdicts = [f"{one['batch']}: {one['verdict']}" for one in said["audited"]]
    failed = [f"{name}: no verdict" for name in said["failed"]]
    refused = [f"{len(said['refused'])} entries cannot be batches"] if said["refused"] else []
    waiting = [f"{said['waiting']} waiting"] if said["waiting"] else []
    return "; ".join([*verdicts, *failed, *refused, *waiting])[:1000] or "nothing new"
