"""The `auditor` command: one function a command, verdict -> exit code.

Nothing heavy is imported here; each command imports what it needs when it runs.
"""

from __future__ import annotations

import typer

from auditor.cli import (
    audits,
    baselines,
    ledger,
    manifests,
    quarantine,
    recalls,
    redteam,
    replays,
    runs,
    setup,
    signatures,
    suppressions,
    trust,
    verify,
)
from auditor.cli.common import Group

app = typer.Typer(
    name="auditor",
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Stops data poisoning before data reaches a training job.\n\n"
    "Start with `auditor demo`, then `auditor init DATA`, then `auditor audit DATA`.",
    epilog="Exit codes: 0 accepted, 10 quarantine, 11 reject, 12 hold, 13 not verified, "
    "1 internal error, 2 usage or configuration, 130 interrupted.",
)

audits.register(app)
setup.register(app)
baselines.register(app)
manifests.register(app)
signatures.register(app)
suppressions.register(app)
runs.register(app)
redteam.register(app)
quarantine.register(app)
recalls.register(app)
replays.register(app)
ledger.register(app)
trust.register(app)
verify.register(app)


def main() -> None:
    """Entry point of the console script."""
    app()
