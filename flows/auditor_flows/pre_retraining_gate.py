"""`pre_retraining_gate`: audits a batch, then starts the training on what was published of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from prefect import State, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from auditor_flows.audit_batch import audit_batch
from auditor_flows.site import may_train, open_site, training_of


@task(task_run_name="train on {digest}", cache_policy=NO_CACHE, persist_result=False, retries=0)
def train(published: str, digest: str) -> None:
    """Call the function that the deployment's settings name; it comes from nowhere else."""
    training_of(open_site().settings)(Path(published), digest)


@flow(
    name="pre_retraining_gate",
    flow_run_name="{name}",
    persist_result=True,
    result_serializer="json",
)
def pre_retraining_gate(name: str, digest: str = "") -> State[dict[str, Any]]:
    """Audit a batch; train on ACCEPT, or on QUARANTINE with `gate.fail_on: reject`; never else.

    Args:
        name: the batch's name in the inbox: one file or folder, not a path.
        digest: the batch digest it has to have; what lies there now, if it is left out.
    """
    settings = open_site().settings
    # A training that cannot be found is a mistake to learn of before the audit, not after it.
    training_of(settings)
    said = cast(dict[str, Any], audit_batch(name, digest, return_state=True).result())
    verdict, published = said["verdict"], said["published"]
    if published is None or not may_train(verdict, settings):
        message = f"not trained: {'; '.join(said['reasons'])}"[:1000]
        name_of = f"{verdict or 'Not audited'}, not trained"
        return Completed(name=name_of, message=message, data={**said, "trained": False})
    train(published, said["published_digest"])
    message = f"trained on {said['published_digest']}"
    return Completed(name=f"{verdict}, trained", message=message, data={**said, "trained": True})
