"""`auditor keys generate`, `auditor manifest create|sign|verify`. Works with the base install."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.common import Exit
from auditor.cli.declaring import (
    After,
    Data,
    GateConfig,
    LedgerFile,
    Previous,
    Sequence,
    create,
    gate_ledger,
    rows_of_each,
    take_in,
)
from auditor.cli.exporting import export

if TYPE_CHECKING:
    from auditor.declaring import Link
    from auditor.provenance.authority import Authority


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    keys = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    keys.command()(generate)
    keys.callback()(_keys)
    app.add_typer(keys, name="keys", help="Key pairs for manifests and attestations.")
    manifest = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    for command in (create, sign, verify, export):
        manifest.command()(command)
    app.add_typer(manifest, name="manifest", help="Say what a batch holds, sign it, hold it to it.")


def _keys() -> None:
    """Key pairs for manifests and attestations."""


def generate(
    path: Annotated[Path, typer.Argument(help="Writes PATH.key (0600) and PATH.pub.")],
    kind: Annotated[
        str, typer.Option("--type", help="ed25519, or ecdsa-p256 where only that is allowed.")
    ] = "ed25519",
    passphrase_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds a passphrase.")
    ] = None,
) -> None:
    """Make a key pair. Keep the .key file where no data is parsed."""
    import os

    from auditor.errors import ConfigError
    from auditor.provenance.keys import KINDS
    from auditor.signing import generate as make

    if passphrase_env is not None and passphrase_env not in os.environ:
        raise ConfigError(f"the variable {passphrase_env} is not set")
    passphrase = os.environ[passphrase_env].encode() if passphrase_env else None
    known = next((one for one in KINDS if one == kind), None)
    if known is None:
        raise ConfigError(f"--type {kind}: one of {', '.join(KINDS)}")
    public = make(path, kind=known, passphrase=passphrase)
    typer.echo(f"{path}.key  keep it secret\n{path}.pub  key id {public.keyid}")


def sign(
    manifest: Annotated[Path, typer.Argument(help="A manifest, signed or not.")],
    key: Annotated[Path, typer.Option(help="The private key file.")],
    passphrase_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds its passphrase.")
    ] = None,
    sequence: Sequence = None,
    previous: Previous = None,
    after: After = None,
    ledger: LedgerFile = None,
    config: GateConfig = None,
) -> None:
    """Add a signature to a manifest. The key is read by a process that parses no data.

    A manifest that nobody signed yet can be given its number and predecessor here.
    """
    from auditor.errors import BatchError
    from auditor.provenance import manifest as manifests
    from auditor.provenance.refused import Refused
    from auditor.signing import FileSigner, add_signature

    try:
        envelope = manifest.read_bytes()
    except OSError as error:
        raise BatchError(f"{manifest}: cannot be read ({error.strerror})") from error
    try:
        declared = manifests.parse(envelope)
    except Refused as error:
        raise BatchError(f"{manifest}: not a manifest: {error}") from error
    if any(given is not None for given in (sequence, previous, after, ledger, config)):
        from auditor.declaring import link

        log = gate_ledger(ledger, config)
        following = link(
            declared.source, sequence=sequence, previous=previous, after=after, ledger=log
        )
        envelope = _renumbered(manifest, envelope, following)
    signed = add_signature(envelope, FileSigner(key, passphrase_env))
    new = manifest.with_name(manifest.name + ".new")
    new.write_bytes(signed)
    new.replace(manifest)
    typer.echo(f"{manifest}  signed for {declared.source}@{declared.batch_id}")


def _renumbered(path: Path, envelope: bytes, following: Link) -> bytes:
    from auditor.errors import BatchError
    from auditor.provenance import dsse
    from auditor.provenance.declare import renumbered
    from auditor.signing import unsigned_envelope

    opened = dsse.parse(envelope)
    if opened.signatures:
        raise BatchError(f"{path}: signed already; its number cannot change any more")
    return unsigned_envelope(renumbered(opened.payload, following.sequence, following.previous))


def verify(
    data: Data,
    source: Annotated[str, typer.Option(help="The source that must have signed.")],
    key: Annotated[
        list[Path] | None, typer.Option("--key", help="A public key (.pub); may be repeated.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="In place of keys: the trust policy, with --sha256.")
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="The pinned digest of the policy.")] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="Default: NAME.manifest.dsse.json beside DATA.")
    ] = None,
    threshold: Annotated[int, typer.Option(min=1, help="Keys that must have signed.")] = 1,
    contributor: Annotated[
        str | None, typer.Option(help="The contributor column, to hold it against the roll.")
    ] = None,
) -> None:
    """Hold a batch against its signed manifest. Exit 0 if it is what was declared, else 11."""
    from auditor.formats.escape import terminal
    from auditor.manifests import manifest_beside, verify_batch
    from auditor.readers import resolve

    now = dt.datetime.now(dt.UTC)
    authority = _authority(source, key, threshold, policy, sha256, now)
    path = manifest or manifest_beside(resolve(data))
    staging = Path(tempfile.mkdtemp(prefix="auditor-manifest-"))
    try:
        ingested = take_in(data, staging)
        counts = rows_of_each(ingested, contributor) if contributor and ingested.batch else None
        verification = verify_batch(
            ingested,
            path,
            authority=authority,
            contributors=counts,
            now=now,
            source=source,
            roles={"contributor": contributor} if contributor else None,
        )
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    for finding in (*ingested.findings, *verification.findings):
        code = finding.evidence.get("code", finding.rule)
        typer.echo(f"{terminal(str(code))}: {terminal(finding.message, 500)}")
    if ingested.findings or not verification.verified:
        typer.echo("auditor: not verified", err=True)
        raise typer.Exit(Exit.REJECT)
    typer.echo(f"verified: {len(ingested.files)} file(s), {verification.summary['rows']} rows")


def _authority(
    source: str,
    keys: list[Path] | None,
    threshold: int,
    policy: Path | None,
    sha256: str | None,
    now: dt.datetime,
) -> Authority:
    from auditor.errors import ConfigError
    from auditor.provenance.authority import ConfiguredKeys
    from auditor.provenance.keys import public_key
    from auditor.trust.authority import PolicyAuthority
    from auditor.trust_files import Pinned

    if (policy is None) != (sha256 is None) or (policy is None) == (not keys):
        raise ConfigError("give --key, or --policy with --sha256")
    if policy is not None and sha256 is not None:
        return PolicyAuthority(Pinned(policy, sha256).load(now), now)
    missing = next((path for path in keys or () if not path.is_file()), None)
    if missing is not None:
        raise ConfigError(f"{missing}: no such key file")
    known = tuple(public_key(file.read_bytes()) for file in keys or ())
    return ConfiguredKeys({source: known}, threshold)
