"""`audit_batch`: one flow a batch; ingest, screen, decide, publish as its tasks.

A verdict is data: a rejected batch is a flow run that did its work, its state is named REJECT. The
flow fails only where there is no verdict at all.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from prefect import State, Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import TaskRun
from prefect.context import TaskRunContext
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run
from prefect.states import Completed

from auditor.ledger import Conflict
from auditor.pipeline import Steps, finish
from auditor_flows import artifacts, claims, events, kept
from auditor_flows.inbox import Delivery
from auditor_flows.site import open_site
from auditor_flows.underway import Underway, is_decided, outcome, start, untouched

#: Failures of a machine that may be gone a moment later. A full disk or a missing permission is
#: not among them, and neither is anything that a batch can cause.
TRANSIENT: Final = frozenset(
    {
        errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EIO, errno.ESTALE, errno.ETIMEDOUT,
        errno.ECONNRESET, errno.ECONNABORTED, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN,
        errno.ENETUNREACH, errno.EMFILE, errno.ENFILE,
    }
)  # fmt: skip

# Set by the watcher, in its own process: no parameter of a flow run can set it.
_ONLY_IF_DUE: ContextVar[bool] = ContextVar("only_if_due", default=False)


@contextmanager
def only_if_due() -> Iterator[None]:
    """Inside, `audit_batch` leaves alone what was decided, or held for a person to look at."""
    token = _ONLY_IF_DUE.set(True)
    try:
        yield
    finally:
        _ONLY_IF_DUE.reset(token)


@dataclass
class OfTheBytes(CachePolicy):
    """The cache key of an ingest: digest, names, limits, version. Paths have no part in it."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,  # noqa: ARG002 - Prefect's signature
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> str | None:
        """See `kept.key`."""
        underway: Underway = inputs["underway"]
        return f"auditor-ingest-{underway.key}"


def is_transient(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001
    """Whether to try again: only what a machine does, never what a batch does."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, OSError) and error.errno in TRANSIENT


@task(
    task_run_name="ingest {underway}",
    cache_policy=OfTheBytes(),
    persist_result=True,
    result_serializer="json",
    retries=3,
    retry_delay_seconds=[1, 5, 25],
    retry_condition_fn=is_transient,
)
def ingest(underway: Underway) -> dict[str, str]:
    """Copy, hash and parse the batch; the result says where the ingested batch is kept."""
    return underway.ingest()


@task(task_run_name="screen {underway}", cache_policy=NO_CACHE, persist_result=False)
def screen(underway: Underway) -> None:
    """Provenance and every enabled detector."""
    underway.screen()


@task(task_run_name="decide {underway}", cache_policy=NO_CACHE, persist_result=False)
def decide(underway: Underway) -> None:
    """One verdict."""
    underway.decide()


@task(task_run_name="publish {underway}", cache_policy=NO_CACHE, persist_result=False)
def publish(underway: Underway) -> None:
    """Evidence, attestation, ledger, and the clean split where the verdict allows it."""
    underway.publish()


@task(
    task_run_name="tell {underway}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=2,
)
def tell(underway: Underway) -> None:
    """Artifacts. The verdict stands without them."""
    if underway.result is not None:
        report = underway.result.folder / "report.html"
        artifacts.create(underway.delivery.name, underway.result.report, report)


@flow(
    name="audit_batch",
    flow_run_name="{name}",
    persist_result=True,
    result_serializer="json",
)
def audit_batch(name: str, digest: str = "") -> State[dict[str, Any]]:
    """Audit one batch of the inbox, publish what passes, and say what was decided.

    Args:
        name: the batch's name in the inbox: one file or folder, not a path.
        digest: the batch digest it has to have; what lies there now, if it is left out.

    Asking for a batch by hand is an explicit request: it is audited whether or not it was before,
    unless somebody is auditing it right now.
    """
    site = open_site()
    site.recover()
    delivered = site.delivery(name, digest)
    known = claims.standing(site.ledger, delivered)
    if _ONLY_IF_DUE.get() and not known.is_due():
        return _nothing_done(delivered, f"{known.stand} by run {known.run}")
    try:
        underway = start(site, delivered, known)
    except Conflict as conflict:
        return _nothing_done(delivered, str(conflict))
    return _audit(underway)


def _audit(underway: Underway) -> State[dict[str, Any]]:
    _rename(underway)
    underway.result = result = finish(underway.run, _steps(underway))
    if is_decided(result):
        kept.drop(underway.area)
    said = outcome(underway.delivery, result)
    events.emit(said)
    tell(underway, return_state=True)
    return Completed(name=said["verdict"], message=_message(said), data=said)


def _steps(underway: Underway) -> Steps:
    """The pipeline's steps, each as a task; what they give stays in this process."""

    def ingested(_: object) -> Any:
        said = ingest(underway)
        # A cache hit runs nothing: what was kept may be gone or changed since.
        if underway.ingested is None and not underway.adopt(said):
            ingest.with_options(refresh_cache=True)(underway)
        return underway.ingested

    def screened(*_: object) -> Any:
        screen(underway)
        return underway.screened

    def decided(*_: object) -> Any:
        decide(underway)
        return underway.decided

    def published(*_: object) -> Any:
        publish(underway)
        return underway.result

    return Steps(ingest=ingested, screen=screened, decide=decided, publish=published)


def _rename(underway: Underway) -> None:
    """The flow run is named after batch and run; the run's id is known only now."""
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(flow_run.id, name=str(underway))
    except (PrefectException, OSError) as error:
        get_run_logger().warning("the flow run keeps its name: %s", error)


def _message(said: dict[str, Any]) -> str:
    reasons = "; ".join(said["reasons"])
    return f"{said['rows_quarantined']} of {said['rows']} rows set aside; {reasons}"[:1000]


def _nothing_done(delivered: Delivery, why: str) -> State[dict[str, Any]]:
    said = untouched(delivered, why)
    return Completed(name="Not audited", message=why[:1000], data=said)
