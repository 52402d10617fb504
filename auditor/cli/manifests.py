"""`auditor keys generate`, `auditor manifest create|sign|verify`. Works with the base install."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.common import Exit, refuse_target

if TYPE_CHECKING:
    from auditor.readers import Ingest

Data = Annotated[list[str], typer.Argument(help="The batch: files or one folder.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    keys = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    keys.command()(generate)
    keys.callback()(_keys)
    app.add_typer(keys, name="keys", help="Key pairs for manifests and attestations.")
    manifest = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    for command in (create, sign, verify):
        manifest.command()(command)
    app.add_typer(manifest, name="manifest", help="Say what a batch holds, sign it, hold it to it.")


def _keys() -> None:
    """Key pairs for manifests and attestations."""


def generate(
    path: Annotated[Path, typer.Argument(help="Writes PATH.key (0600) and PATH.pub.")],
    passphrase_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds a passphrase.")
    ] = None,
) -> None:
    """Make an Ed25519 key pair. Keep the .key file where no data is parsed."""
    import os

    from auditor.errors import ConfigError
    from auditor.signing import generate as make

    if passphrase_env is not None and passphrase_env not in os.environ:
        raise ConfigError(f"the variable {passphrase_env} is not set")
    passphrase = os.environ[passphrase_env].encode() if passphrase_env else None
    public = make(path, passphrase=passphrase)
    typer.echo(f"{path}.key  keep it secret\n{path}.pub  key id {public.keyid}")


def create(
    data: Data,
    source: Annotated[str, typer.Option(help="Who sends it, such as vendor-a/reviews.")],
    batch_id: Annotated[str, typer.Option(help="Unique within the source, such as 2026-11-22.")],
    sequence: Annotated[int, typer.Option(help="Number of this batch within the source.")] = 1,
    label: Annotated[str | None, typer.Option(help="The label column.")] = None,
    contributor: Annotated[
        str | None, typer.Option(help="The column that says who sent a row; writes the roll.")
    ] = None,
    previous: Annotated[
        str | None, typer.Option(help="Subject digest of the batch before.")
    ] = None,
    valid_days: Annotated[int, typer.Option(help="Days until the manifest expires.", min=1)] = 7,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: beside DATA.")
    ] = None,
) -> None:
    """Write an unsigned manifest for a batch (and the contributor roll beside it)."""
    from auditor.errors import BatchError
    from auditor.provenance.digests import contributor_roll
    from auditor.signing import unsigned_envelope

    path = output or _beside(Path(data[0]))
    refuse_target(str(path), path)
    staging = Path(tempfile.mkdtemp(prefix="auditor-manifest-"))
    try:
        ingested = _ingest(data, staging)
        if ingested.batch is None or ingested.findings:
            raise BatchError(ingested.findings[0].message if ingested.findings else "no rows")
        counts = _counts(ingested, contributor) if contributor else None
        payload = _payload(
            ingested, source, batch_id, sequence, label, contributor, counts, previous, valid_days
        )
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    path.write_bytes(unsigned_envelope(payload))
    typer.echo(f"{path}  not signed yet: auditor manifest sign {path} --key KEY")
    if counts is not None:
        from auditor.manifests import roll_beside

        roll_beside(path).write_bytes(contributor_roll(counts))
        typer.echo(f"{roll_beside(path)}  {len(counts)} contributors")


def sign(
    manifest: Annotated[Path, typer.Argument(help="A manifest, signed or not.")],
    key: Annotated[Path, typer.Option(help="The private key file.")],
    passphrase_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds its passphrase.")
    ] = None,
) -> None:
    """Sign a manifest in place. The key is read by a process that parses no data."""
    from auditor.errors import BatchError
    from auditor.provenance import dsse
    from auditor.provenance import manifest as manifests
    from auditor.provenance.refused import Refused
    from auditor.signing import sign as make

    try:
        envelope = manifest.read_bytes()
    except OSError as error:
        raise BatchError(f"{manifest}: cannot be read ({error.strerror})") from error
    try:
        declared = manifests.parse(envelope)
        payload = dsse.parse(envelope).payload
    except Refused as error:
        raise BatchError(f"{manifest}: not a manifest: {error}") from error
    signed = make(payload, key=key, passphrase_env=passphrase_env)
    new = manifest.with_name(manifest.name + ".new")
    new.write_bytes(signed)
    new.replace(manifest)
    typer.echo(f"{manifest}  signed for {declared.source}@{declared.batch_id}")


def verify(
    data: Data,
    key: Annotated[list[Path], typer.Option("--key", help="A public key (.pub); may be repeated.")],
    source: Annotated[str, typer.Option(help="The source that the keys may speak for.")],
    manifest: Annotated[
        Path | None, typer.Option(help="Default: NAME.manifest.dsse.json beside DATA.")
    ] = None,
    threshold: Annotated[int, typer.Option(min=1, help="Keys that must have signed.")] = 1,
    contributor: Annotated[
        str | None, typer.Option(help="The contributor column, to hold it against the roll.")
    ] = None,
) -> None:
    """Hold a batch against its signed manifest. Exit 0 if it is what was declared, else 11."""
    from auditor.errors import ConfigError
    from auditor.formats.escape import terminal
    from auditor.manifests import manifest_beside, verify_batch
    from auditor.provenance.keys import public_key
    from auditor.readers import resolve

    missing = next((path for path in key if not path.is_file()), None)
    if missing is not None:
        raise ConfigError(f"{missing}: no such key file")
    path = manifest or manifest_beside(resolve(data))
    staging = Path(tempfile.mkdtemp(prefix="auditor-manifest-"))
    try:
        ingested = _ingest(data, staging)
        counts = _counts(ingested, contributor) if contributor and ingested.batch else None
        verification = verify_batch(
            ingested,
            path,
            keys={source: tuple(public_key(file.read_bytes()) for file in key)},
            threshold=threshold,
            contributors=counts,
            now=dt.datetime.now(dt.UTC),
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


def _ingest(data: list[str], staging: Path) -> Ingest:
    from auditor.readers import ingest, resolve

    return ingest(resolve(data), staging=staging)


def _counts(ingested: Ingest, column: str) -> Counter[str]:
    from auditor.batch import texts
    from auditor.errors import ConfigError

    batch = ingested.batch
    if batch is None or column not in batch.schema.names:
        raise ConfigError(f"--contributor {column}: no such column")
    return Counter(value or "" for value in texts(batch, column))


def _payload(
    ingested: Ingest,
    source: str,
    batch_id: str,
    sequence: int,
    label: str | None,
    contributor: str | None,
    counts: Counter[str] | None,
    previous: str | None,
    valid_days: int,
) -> bytes:
    from auditor.manifests import partitions, schema_fields
    from auditor.provenance.declare import create as declare
    from auditor.provenance.manifest import FileEntry

    assert ingested.batch is not None
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    return declare(
        [FileEntry(name=f.name, sha256=f.sha256, size=f.size, rows=f.rows) for f in ingested.files],
        source=source,
        batch_id=batch_id,
        sequence=sequence,
        schema_fields=schema_fields(ingested.batch.schema),
        created_on=now,
        expires_on=now + dt.timedelta(days=valid_days),
        label=label,
        contributors=counts,
        previous=previous,
        partitioning=partitions(ingested),
        row_provenance={"contributorId": contributor} if contributor else None,
    )


def _beside(data: Path) -> Path:
    from auditor.errors import ConfigError
    from auditor.manifests import SUFFIX

    # `.` and `..` have a name only once they are written out.
    data = data if data.name not in ("", "..") else data.resolve()
    if not data.name:
        raise ConfigError(f"{data}: nothing lies beside it; say where with --output")
    return data.with_name(f"{data.name}{SUFFIX}")
