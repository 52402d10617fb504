"""`auditor manifest export`. Works with the base install."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auditor.cli.common import refuse_target


def export(
    manifest: Annotated[Path, typer.Argument(help="A manifest, signed or not.")],
    to: Annotated[str, typer.Option(help="croissant, openlineage or cyclonedx.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: stdout.")] = None,
) -> None:
    """Write a manifest in the form of another tool. Signatures are neither verified nor taken over.

    Croissant 1.0, an OpenLineage run event, or a CycloneDX 1.6 bill of materials.
    """
    import json

    from auditor.declaring import read_bytes, read_manifest
    from auditor.errors import BatchError, ConfigError
    from auditor.provenance.digests import sha256
    from auditor.provenance.exports import FORMS, exported
    from auditor.provenance.refused import Refused

    if to not in FORMS:
        raise ConfigError(f"--to {to}: one of {', '.join(FORMS)}")
    declared = read_manifest(manifest)
    try:
        document = exported(declared, sha256(read_bytes(manifest)), to)
    except Refused as error:
        raise BatchError(f"{manifest}: {error}") from error
    # ASCII only: what a supplier wrote reaches no terminal as it is.
    text = json.dumps(document, indent=2)
    if output is None:
        typer.echo(text)
        return
    refuse_target(str(output), output)
    output.write_text(text + "\n", encoding="utf-8")
