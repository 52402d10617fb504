"""`auditor verify` and `auditor status issue`: the training side, and what it needs once a day."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from auditor.cli.common import Exit, chosen_ledger, fail, load_settings, refuse_target

if TYPE_CHECKING:
    from auditor.ledger import Ledger
    from auditor.trust.policy import TrustPolicy
    from auditor.verify import NotVerified, Trust, Verified

#: Where a command that `--exec` runs finds the verified files.
VARIABLE: Final = "AUDITOR_VERIFIED"
#: Batches of a frozen data set that are listed one by one.
_SHOWN: Final = 20


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(verify)
    status = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    status.command()(issue)
    status.callback()(_status)
    app.add_typer(
        status, name="status", help="What is recalled and how long the ledger is, signed."
    )


def _status() -> None:
    """What is recalled now, signed."""


def verify(
    root: Annotated[str, typer.Argument(help="A published folder, or its URI.")],
    command: Annotated[
        list[str] | None,
        typer.Argument(help="With --exec, after `--`; {} or --data={} becomes the folder."),
    ] = None,
    resource: Annotated[str, typer.Option(help="The dataset that is wanted: SOURCE@BATCH.")] = "",
    attestation: Annotated[
        str, typer.Option(help="Its name; frozen/NAME.dsse.json of a frozen data set.")
    ] = "attestation.dsse.json",
    trust: Annotated[Path | None, typer.Option(help="The trust policy, trust.dsse.json.")] = None,
    trust_sha256: Annotated[
        str | None, typer.Option(help="Digest of one of its versions, from another place.")
    ] = None,
    gate_key: Annotated[
        list[Path] | None,
        typer.Option(help="Without a trust policy: public key of the gate; may be repeated."),
    ] = None,
    verifier: Annotated[str | None, typer.Option(help="The id that the gate signs as.")] = None,
    ledger_key: Annotated[
        str | None, typer.Option(help="The log's verifier key, name+hash+key.")
    ] = None,
    status_key: Annotated[Path | None, typer.Option(help="Public key of the status.")] = None,
    status: Annotated[str | None, typer.Option(help="The newest status, a path or URI.")] = None,
    seen: Annotated[
        str | None, typer.Option(help="Folder that remembers what was seen before.")
    ] = None,
    consistency: Annotated[
        Path | None, typer.Option(help="What `auditor ledger consistency` wrote.")
    ] = None,
    require_rollback_protection: Annotated[
        bool, typer.Option("--require-rollback-protection", help="Refuse without --seen.")
    ] = False,
    policy_name: Annotated[str | None, typer.Option(help="The gate's policy must be this.")] = None,
    minimum_version: Annotated[int | None, typer.Option(help="And at least this version.")] = None,
    level: Annotated[
        list[str] | None, typer.Option(help="What must have been verified; may be repeated.")
    ] = None,
    break_glass: Annotated[
        bool, typer.Option("--break-glass", help="Accept an emergency release.")
    ] = False,
    execute: Annotated[
        bool, typer.Option("--exec", help="Run a command on the verified files, sealed in memory.")
    ] = False,
) -> None:
    """Is what I load what was audited? Exit 0 if so, 13 if not; with --exec the command's code."""
    import warnings

    from auditor.errors import ConfigError
    from auditor.verify import LEVELS, NotVerified, RollbackUnprotected
    from auditor.verify import verify as verified

    if not resource:
        raise ConfigError("--resource SOURCE@BATCH: say which dataset is wanted")
    if execute != bool(command):
        raise ConfigError("--exec and a command belong together: --exec -- python train.py {}")
    trusted = _trust(trust, trust_sha256, gate_key or [], verifier, ledger_key, status_key)
    warnings.simplefilter("ignore", RollbackUnprotected)  # the result says it, in a line of its own
    try:
        with verified(
            root,
            policy=trusted,
            resource=resource,
            attestation=attestation,
            status=status,
            seen=seen,
            consistency=consistency,
            rollback="require" if require_rollback_protection else "warn",
            levels=level or LEVELS,
            policy_name=policy_name,
            minimum_version=minimum_version,
            break_glass=break_glass,
        ) as found:
            code = _execute(found, command) if command else _read_through(found)
    except NotVerified as refused:
        _refuse(refused)
    raise typer.Exit(code)


def issue(
    output: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("status.dsse.json"),
    key: Annotated[Path, typer.Option(help="The private key of the status role.")] = Path(
        "status.key"
    ),
    passphrase_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds its passphrase.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="auditor.yaml.")] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="The ledger's file, in place of the one in auditor.yaml.")
    ] = None,
    policy_version: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Version of the trust policy. Default: of that in auditor.yaml; 0 with --ledger.",
        ),
    ] = None,
) -> None:
    """Sign what is recalled and how long the ledger is; valid 24 hours. Run it by a schedule."""
    import os

    from auditor.issuing import statement
    from auditor.signing import sign

    refuse_target(str(output), output)
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    log = chosen_ledger(ledger, config)
    told = policy_version is not None or (ledger and not config)
    policy = None if told else _policy(config, log, now)
    version = policy_version or (policy.version if policy else 0)
    payload = statement(log, now=now, policy_version=version)
    envelope = sign(payload, key=key, passphrase_env=passphrase_env)
    _warn_of_other_key(envelope, policy)
    fresh = output.with_name(f"{output.name}.new")
    with fresh.open("wb") as file:
        file.write(envelope)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(output)
    typer.echo(f"{output}  valid until {now + dt.timedelta(hours=24):%Y-%m-%d %H:%M} UTC")


def _policy(config: Path | None, ledger: Ledger, now: dt.datetime) -> TrustPolicy | None:
    from auditor.issuing import policy_in_force

    return policy_in_force(load_settings(config, files_must_exist=False), ledger, now)


def _warn_of_other_key(envelope: bytes, policy: TrustPolicy | None) -> None:
    from auditor.provenance import dsse

    signers = {one.keyid for one in dsse.parse(envelope).signatures}
    if policy is not None and not signers & set(policy.roles.status.keyids):
        said = f"{', '.join(sorted(signers))} is not in roles.status of the trust policy"
        typer.echo(f"auditor: {said}: no training job will believe this status", err=True)


def _trust(
    policy: Path | None,
    sha256: str | None,
    gate: list[Path],
    verifier: str | None,
    ledger: str | None,
    status: Path | None,
) -> Trust:
    """A pinned trust policy or a few keys: one of them, and said in full."""
    from auditor.errors import ConfigError
    from auditor.verify import Trust

    if policy is not None:
        if sha256 is None or gate or verifier or ledger or status:
            raise ConfigError("--trust needs --trust-sha256, and says by itself whose keys count")
        return Trust.pinned(policy, sha256=sha256)
    if not gate or verifier is None or sha256 is not None:
        raise ConfigError(
            "say whom to trust: --trust and --trust-sha256, or --gate-key, --verifier"
        )
    return Trust.keys(gate=gate, verifier=verifier, ledger=ledger, status=status)


def _read_through(found: Verified) -> int:
    size = found.read_through()
    _show(found)
    typer.echo(f"verified: {len(found.files)} file(s), {size:,} bytes")
    return int(Exit.OK)


def _show(found: Verified) -> None:
    """What was verified, for people; on stderr where a command's own output follows."""
    from auditor.formats.escape import terminal
    from auditor.provenance.times import format_time

    rows = sum(said.rows.out for said in found.summaries)
    aside = sum(said.rows.quarantined for said in found.summaries)
    lines = [
        f"{found.resource}  {len(found.summaries)} batch(es), {rows:,} rows, {aside:,} set aside"
    ]
    lines += [
        f"{said.resource}  gate {said.verifier}, policy {said.policy} version "
        f"{said.policy_version}, {format_time(said.verified_at)}, {', '.join(sorted(said.levels))}"
        for said in found.summaries[:_SHOWN]
    ]
    lines.append(f"rollback_protection: {found.rollback_protection}")
    typer.echo("\n".join(terminal(line, 500) for line in lines), err=True)


def _execute(found: Verified, command: list[str]) -> int:
    """Run the command on files that stay as verified; its exit code, or 128 and its signal."""
    from auditor.verify.materialise import materialised

    with materialised(found) as folder:
        _show(found)
        typer.echo(_handed_over(len(found.files), folder.on_disk), err=True)
        where = str(folder.path)
        code = _run([_with(part, where) for part in command], where)
        folder.require_unchanged()
    return code if code >= 0 else 128 - code


def _handed_over(files: int, on_disk: str) -> str:
    if not on_disk:
        return f"handed over: {files} file(s), sealed in memory"
    return (
        f"handed over: {files} file(s), as a private copy on disk ({on_disk}); "
        "they are verified again when the command has ended"
    )


def _with(part: str, folder: str) -> str:
    """`{}` and `--data={}` become the folder; braces inside other text (a program) stay."""
    return part.removesuffix("{}") + folder if part == "{}" or part.endswith("={}") else part


def _run(command: list[str], folder: str) -> int:
    import os
    import signal
    import subprocess

    try:
        child = subprocess.Popen(command, env={**os.environ, VARIABLE: folder})
    except OSError as error:
        fail(f"--exec {command[0]}: cannot be run ({error.strerror})", Exit.USAGE)
    # The copy has to be removed whatever ends us: what asks us to stop is passed on and waited for.
    before = signal.signal(signal.SIGTERM, lambda number, _: child.send_signal(number))
    try:
        return child.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
        if child.poll() is None:
            child.kill()
            child.wait()


def _refuse(refused: NotVerified) -> None:
    fail(f"not verified: {refused} {refused.remedy}", Exit.REFUSED)
