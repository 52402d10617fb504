"""`auditor signatures create|sign|verify`: the list of what is known to be bad."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from auditor.cli.common import Exit, refuse_target

_Lines = Annotated[Path | None, typer.Option(help="A text file, one entry a line.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    signatures = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    for command in (create, sign, verify):
        signatures.command()(command)
    app.add_typer(
        signatures, name="signatures", help="The signed list of known-bad tokens, domains, files."
    )


def create(
    output: Annotated[Path, typer.Argument(help="Where to write it, such as bad.dsse.json.")],
    tokens: _Lines = None,
    domains: _Lines = None,
    digests: _Lines = None,
    name: Annotated[str, typer.Option(help="What the list is called in findings.")] = "known-bad",
    version: Annotated[int, typer.Option(min=1, help="Number it upwards.")] = 1,
    valid_days: Annotated[int, typer.Option(min=1, help="Days until the list expires.")] = 90,
) -> None:
    """Write an unsigned list of tokens, domains and sha256 digests of files."""
    from auditor.errors import ConfigError
    from auditor.provenance.refused import Refused
    from auditor.provenance.signatures import build, read
    from auditor.signing import unsigned_envelope

    refuse_target(str(output), output)
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    try:
        payload = build(
            name,
            version=version,
            created_on=now,
            expires_on=now + dt.timedelta(days=valid_days),
            tokens=_entries(tokens),
            domains=_entries(domains),
            files=_entries(digests),
        )
    except (ValueError, Refused) as error:
        raise ConfigError(f"signatures create: {error}") from error
    output.write_bytes(unsigned_envelope(payload))
    found = read(payload)
    counts = f"{len(found.tokens)} tokens, {len(found.domains)} domains, {len(found.files)} files"
    typer.echo(f"{output}  {counts}; not signed yet: auditor signatures sign {output} --key KEY")


def sign(
    signatures: Annotated[Path, typer.Argument(help="A list, signed or not.")],
    key: Annotated[Path, typer.Option(help="The private key file.")],
    passphrase_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds its passphrase.")
    ] = None,
) -> None:
    """Sign a list in place. The key is read by a process that parses no data."""
    from auditor.errors import ConfigError
    from auditor.provenance import dsse
    from auditor.provenance.refused import Refused
    from auditor.provenance.signatures import read
    from auditor.signing import sign as make

    try:
        payload = dsse.parse(_bytes(signatures)).payload
        listed = read(payload)
    except Refused as error:
        raise ConfigError(f"{signatures}: not a signature list: {error}") from error
    signed = make(payload, key=key, passphrase_env=passphrase_env)
    new = signatures.with_name(signatures.name + ".new")
    new.write_bytes(signed)
    new.replace(signatures)
    typer.echo(f"{signatures}  signed, version {listed.version}")


def verify(
    signatures: Annotated[Path, typer.Argument(help="A signed list.")],
    key: Annotated[list[Path], typer.Option("--key", help="A public key (.pub); may be repeated.")],
    threshold: Annotated[int, typer.Option(min=1, help="Keys that must have signed.")] = 1,
) -> None:
    """Show a list if it is signed and in force. Exit 0, else 11."""
    from auditor.errors import ConfigError
    from auditor.formats.escape import terminal
    from auditor.provenance import signatures as lists
    from auditor.provenance.keys import public_key
    from auditor.provenance.refused import Refused

    missing = next((path for path in key if not path.is_file()), None)
    if missing is not None:
        raise ConfigError(f"{missing}: no such key file")
    keys = [public_key(path.read_bytes()) for path in key]
    now = dt.datetime.now(dt.UTC)
    try:
        found = lists.verify(_bytes(signatures), keys=keys, threshold=threshold, now=now)
    except Refused as error:
        typer.echo(terminal(str(error), 500))
        typer.echo("auditor: not verified", err=True)
        raise typer.Exit(Exit.REJECT) from error
    typer.echo(f"verified: {terminal(found.name)} version {found.version}")
    typer.echo(f"expires on {found.expires_on:%Y-%m-%d}, digest {found.digest}")
    for kind in lists.KINDS:
        for entry in sorted(getattr(found, kind)):
            typer.echo(f"{kind.removesuffix('s')} {terminal(entry, 200)}")


def _entries(path: Path | None) -> list[str]:
    """The lines of a file that are not blank."""
    from auditor.errors import ConfigError

    if path is None:
        return []
    try:
        lines = _bytes(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8") from error
    return [line for line in lines if line.strip()]


def _bytes(path: Path) -> bytes:
    from auditor.errors import ConfigError

    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
