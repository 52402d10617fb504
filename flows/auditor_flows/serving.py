"""`auditor serve`: the flows as deployments of a real Prefect server, until Ctrl-C."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from auditor.config import Settings, load
from auditor.errors import ConfigError
from auditor_flows import server
from auditor_flows.quiet import be_quiet
from auditor_flows.site import CONFIG, site_of, training_of

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

#: Seconds between two looks at the inbox where neither interval nor cron is given.
INTERVAL: Final = 60
#: Seconds between two looks at rows that were set aside: emergencies end after 24 hours.
EXPIRY: Final = 3600
NAME: Final = "auditor"


def serve(*, config: Path, interval: int | None, cron: str | None) -> None:
    """Serve `watch_inbox` and `expire_quarantine` on a schedule, the other flows on request.

    Those are `audit_batch` and, with a training, `pre_retraining_gate`.

    Uses the server of `PREFECT_API_URL`; without it, one is started on loopback and ended again.
    Returns after Ctrl-C or SIGTERM.

    Raises:
        ConfigError, TrustError: settings, inbox, training or cron line cannot be used, or no
            Prefect server answers.
        ModuleNotFoundError: Prefect is not installed.
    """
    settings = load(config, os.environ, strict_permissions=True)
    site_of(settings, str(config))
    if settings.flows.training is not None:
        training_of(settings)
    os.environ[CONFIG] = str(config.resolve())
    home = settings.outputs.ledger.absolute().parent / "prefect"
    be_quiet(home)
    _require_prefect()
    # Ctrl-C is how a person ends this, whether the flows are served yet or the server is starting.
    with (
        contextlib.suppress(KeyboardInterrupt),
        server.running(Path(os.environ["PREFECT_HOME"])) as address,
    ):
        _serve(settings, address, interval, cron)


def _require_prefect() -> None:
    """Before the minute that a server may take: the command says which extra is missing."""
    if importlib.util.find_spec("prefect") is None:
        raise ModuleNotFoundError("No module named 'prefect'", name="prefect")


def _serve(settings: Settings, address: str, interval: int | None, cron: str | None) -> None:
    from prefect import serve as serve_deployments

    deployments = _deployments(settings, interval, cron)
    when = f"cron {cron} (UTC)" if cron else f"every {interval or INTERVAL} s"
    _say(f"Prefect at {address.removesuffix('/api')}, watching {settings.flows.inbox} {when}")
    _say(f"deployments: {', '.join(f'{d.flow_name}/{d.name}' for d in deployments)}; Ctrl-C ends")
    # On SIGTERM Prefect ends in the middle of a call of its own, which it then warns about.
    warnings.filterwarnings("ignore", "coroutine 'Runner.astop' was never awaited")
    # One at a time: an audit may take the memory that the limits allow.
    serve_deployments(*deployments, limit=1, print_starting_message=False)


def _deployments(
    settings: Settings, interval: int | None, cron: str | None
) -> list[RunnerDeployment]:
    """What is served; by module path, so that an installed wheel serves as well as a checkout."""
    from prefect.types.entrypoint import EntrypointType

    from auditor_flows.audit_batch import audit_batch
    from auditor_flows.expire_quarantine import expire_quarantine
    from auditor_flows.pre_retraining_gate import pre_retraining_gate
    from auditor_flows.watch_inbox import watch_inbox

    try:
        watch = watch_inbox.to_deployment(
            NAME,
            interval=None if cron else interval or INTERVAL,
            cron=cron,
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
    except ValueError as error:
        raise ConfigError(f"--cron {cron}: not a cron line") from error
    expire = expire_quarantine.to_deployment(
        NAME, interval=EXPIRY, entrypoint_type=EntrypointType.MODULE_PATH
    )
    on_request = [audit_batch]
    if settings.flows.training is not None:
        on_request.append(pre_retraining_gate)
    more = [
        flow.to_deployment(NAME, entrypoint_type=EntrypointType.MODULE_PATH) for flow in on_request
    ]
    # Called where no event loop runs, so these are deployments and not coroutines of them.
    return cast("list[RunnerDeployment]", [watch, expire, *more])


def _say(text: str) -> None:
    sys.stderr.write(f"auditor: {text}\n")
    sys.stderr.flush()
