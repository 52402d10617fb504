"""`auditor suppressions sign|show`: what people have said is no attack."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from auditor.cli.common import refuse_target

_List = Annotated[Path, typer.Argument(help="The list in YAML, or what was signed of it.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    group.command()(sign)
    group.command()(show)
    app.add_typer(group, name="suppressions", help="What people have said is no attack.")


def sign(
    path: _List,
    key: Annotated[Path, typer.Option(help="Your private key file; you are a releaser.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write it; else in place.")
    ] = None,
    passphrase_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds its passphrase.")
    ] = None,
) -> None:
    """Sign a list, so that a gate obeys it. Each further signature is added.

    An entry about a contributor needs two releasers, any other one; none lasts longer than 90 days.
    """
    from auditor.errors import ConfigError
    from auditor.lifecycle import suppressions
    from auditor.provenance import dsse
    from auditor.provenance.codes import CODES
    from auditor.provenance.refused import Refused
    from auditor.signing import FileSigner, add_signature, unsigned_envelope
    from auditor.site import all_rules
    from auditor.site_suppressions import is_envelope, parse, read_bytes
    from auditor.workspace.durable import write_durably

    content = read_bytes(path)
    if output is None and not is_envelope(content):
        raise ConfigError(f"{path}: written by hand; name the signed file with -o FILE")
    target = output or path
    refuse_target(str(target), target)
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    try:
        listed = parse(content, path, now)
        suppressions.require_allowed(listed.entries, all_rules(), ())
        if not is_envelope(content):
            content = unsigned_envelope(suppressions.build(listed.entries, now))
        signed = add_signature(content, FileSigner(key, passphrase_env))
        people = len(dsse.parse(signed).signatures)
    except Refused as refused:
        raise ConfigError(f"{path}: {refused} {CODES[refused.code].remedy}") from refused
    write_durably(target, signed)
    typer.echo(f"{target}  {len(listed.entries)} suppressions, {people} signatures")


def show(path: _List) -> None:
    """List the entries and when they end, whoever signed them."""
    from auditor.errors import ConfigError
    from auditor.formats.escape import terminal
    from auditor.provenance.codes import CODES
    from auditor.provenance.refused import Refused
    from auditor.site_suppressions import parse, read_bytes

    now = dt.datetime.now(dt.UTC)
    try:
        listed = parse(read_bytes(path), path, now)
    except Refused as refused:
        raise ConfigError(f"{path}: {refused} {CODES[refused.code].remedy}") from refused
    for one in listed.entries:
        ended = "ended  " if one.expires_on <= now else ""
        typer.echo(terminal(f"{ended}{one.rule} {one.words}", 500))
    typer.echo(f"digest {listed.sha256}")
