"""`expire_quarantine`: what time does to rows that were set aside. Never releases anything."""

from __future__ import annotations

from typing import Any

from prefect import State, flow
from prefect.states import Completed, Failed

from auditor.afterwards.desk import Desk
from auditor.afterwards.expiring import due
from auditor.site import utc_now
from auditor_flows.site import open_site


@flow(name="expire_quarantine", persist_result=True, result_serializer="json")
def expire_quarantine() -> State[dict[str, Any]]:
    """Expire sets that nobody decided about, purge old ones, recall emergencies nobody ratified.

    Fails where a set cannot be believed, after it has dealt with the others.
    """
    site = open_site()
    site.recover()
    done = list(due(Desk.of(site.settings, utc_now())))
    failed = [one.what for one in done if not one.believed]
    lines = [f"{one.run}: {one.what}" for one in done if one.believed]
    said = {"done": lines, "failed": failed}
    message = "; ".join([*failed, *lines])[:1000] or "nothing is due"
    if failed:
        return Failed(name="Some failed", message=message, data=said)
    return Completed(name="Done" if done else "Nothing due", message=message, data=said)
