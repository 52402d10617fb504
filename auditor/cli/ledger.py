"""`auditor ledger`: the log, its proofs, its checkpoints. With the base install."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from auditor.cli.audits import Config
from auditor.cli.common import Exit, chosen_ledger, refuse_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditor.ledger import Ledger
    from auditor.ledger.verification import Verified
    from auditor.transparency.checkpoint import Seen
    from auditor.transparency.note import VerifierKey

Where = Annotated[
    Path | None,
    typer.Option("--ledger", help="A ledger file. Default: what the configuration names."),
]
Keys = Annotated[
    list[str] | None,
    typer.Option("--key", help="A verifier key of the log, as `show` prints it; may be repeated."),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write there instead of stdout.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    for command in (show, verify, prove, consistency, export, witness, rotate, renew):
        group.command()(command)
    app.add_typer(group, name="ledger", help="The log of decisions: its proofs, its checkpoints.")


def show(
    where: Where = None,
    config: Config = None,
    note: Annotated[
        bool, typer.Option("--note", help="Print only the newest checkpoint, to be kept as a pin.")
    ] = False,
) -> None:
    """Print the log's verifier key and its newest checkpoint, as it stands in the ledger."""
    import base64

    ledger = _ledger(where, config)
    newest = ledger.newest()
    if note:
        typer.echo(_required(newest, ledger).note.decode(), nl=False)
        return
    head = next(iter(ledger.entries(newest.size)), None) if newest else None
    more = sum(1 for _ in ledger.entries(head.idx)) if head else 0
    typer.echo(f"ledger      {ledger.where}")
    typer.echo(f"key         {ledger.key.public() if ledger.key.exists() else 'none yet'}")
    if newest is not None:
        typer.echo(f"checkpoint  {newest.size} entries, {more} more since")
        typer.echo(f"root        {base64.b64encode(newest.root).decode()}")


def verify(
    where: Where = None,
    config: Config = None,
    key: Keys = None,
    pin: Annotated[
        Path | None,
        typer.Option(
            help="The checkpoint seen last, kept away from the ledger; moved on when it verifies."
        ),
    ] = None,
    from_export: Annotated[
        Path | None, typer.Option(help="Verify an export by its files, without a database.")
    ] = None,
) -> None:
    """Hold the whole log against its hashes, its checkpoints and a pin. Exit 0, else 13."""
    from auditor.errors import ConfigError
    from auditor.ledger import LedgerTampered
    from auditor.ledger.pins import keep_fork, move_pin, read_pin
    from auditor.transparency.refused import LogForked, LogRefused

    if from_export is not None and not key:
        raise ConfigError("--from-export needs --key: whoever wrote the files could name a key too")
    try:
        ledger = None if from_export is not None else _ledger(where, config)
        known = _keys(key) or (_own_key(ledger) if ledger else [])
        seen = read_pin(pin, known) if pin else None
        verified = _verified(ledger, from_export, known, seen)
        moved = move_pin(pin, seen, verified.newest) if pin else False
    except LogForked as forked:
        if pin:
            _refuse(
                f"{forked}; {pin} and {keep_fork(pin, forked)} contradict each other, keep both"
            )
        _refuse(str(forked))
    except (LedgerTampered, LogRefused) as refused:
        _refuse(str(refused))
    size, signed = verified.newest.size, verified.checkpoints
    typer.echo(
        f"verified: {verified.entries} entries, {signed} checkpoint(s), the newest of {size}"
    )
    if verified.uncovered:
        typer.echo(f"not covered yet: {verified.uncovered} entries since the newest checkpoint")
    if pin is None:
        typer.echo("no pin: an old backup, or a history signed with a stolen key, looks the same")
    else:
        typer.echo(f"pin: {'now' if moved else 'still'} {pin}")


def prove(
    index: Annotated[int, typer.Argument(help="The number of an entry, from 0.", min=0)],
    where: Where = None,
    config: Config = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Prove it under this checkpoint, say one that witnesses cosigned."),
    ] = None,
    output: Output = None,
) -> None:
    """Write the proof that an entry is in the log (c2sp.org/tlog-proof)."""
    ledger = _ledger(where, config)
    under = _opened(checkpoint, ledger) if checkpoint else None
    with _refusals():
        proof = ledger.prove(index, under=under)
    _write(proof, output)


def consistency(
    old: Annotated[int, typer.Argument(help="The size of the checkpoint seen last.", min=0)],
    new: Annotated[
        int | None, typer.Argument(help="The size of a later checkpoint. Default: the newest.")
    ] = None,
    where: Where = None,
    config: Config = None,
    output: Output = None,
) -> None:
    """Write the proof that the log continues an older checkpoint: what a witness wants to see."""
    ledger = _ledger(where, config)
    with _refusals():
        proof = ledger.continuation(old, new)
    _write(proof, output)


def export(
    tiles: Annotated[Path, typer.Option(help="The folder to write to, or to continue.")],
    where: Where = None,
    config: Config = None,
) -> None:
    """Write the log as plain files (c2sp.org/tlog-tiles), under a checkpoint over all of it."""
    from auditor.ledger.tiles import export as write
    from auditor.transparency.refused import LogRefused

    refuse_target(str(tiles), tiles / "checkpoint") if tiles.exists() else None
    try:
        seen = write(_ledger(where, config), tiles)
    except LogRefused as refused:
        _refuse(f"{tiles}: {refused}")
    typer.echo(f"{tiles}  {seen.size} entries")


def witness(
    request: Annotated[Path, typer.Argument(help="What `auditor ledger consistency` wrote.")],
    key: Annotated[Path, typer.Option(help="The witness's private key file (PEM, 0600).")],
    name: Annotated[str, typer.Option(help="The witness's name, such as witness.example/w1.")],
    log: Annotated[
        list[str], typer.Option(help="A log to watch, by its verifier key; may be repeated.")
    ],
    state: Annotated[Path, typer.Option(help="The folder of what this witness saw.")],
    output: Output = None,
) -> None:
    """Cosign a checkpoint that continues what was seen before: prints a signature line, or 13.

    Run it as another person on another machine than the gate.
    """
    from auditor.errors import BatchError
    from auditor.ledger.key import LedgerKey
    from auditor.ledger.witness import NotCosigned, Witness

    try:
        asked = request.read_bytes()
    except OSError as error:
        raise BatchError(f"{request}: cannot be read ({error.strerror})") from error
    who = Witness(name, LedgerKey(key, name).private(), _keys(log), state)
    try:
        line = who.cosign(asked, int(time.time()))
    except NotCosigned as refused:
        if refused.size is not None:
            typer.echo(refused.size)
        _refuse(str(refused))
    _write(line, output)


def rotate(where: Where = None, config: Config = None) -> None:
    """Give the log a new key. The old one signs for it, and for nothing after that."""
    import datetime as dt

    ledger = _ledger(where, config)
    old = ledger.key.public()
    new = ledger.change_key(dt.datetime.now(dt.UTC), "cli")
    typer.echo(f"old key  {old}")
    typer.echo(f"new key  {new}")
    typer.echo(f"{ledger.key.path} is the new one; copy it to every host that writes to this log")
    typer.echo("put both into roles.ledger of the trust policy: the old one proves what it signed")


def renew(
    published: Annotated[Path, typer.Argument(help="The folder of what was published.")],
    where: Where = None,
    config: Config = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Prove all under this checkpoint, say one that witnesses cosigned."),
    ] = None,
) -> None:
    """Write the proofs of all that was published anew, say after `rotate`. Exit 13 if one is left.

    By default they are under the newest checkpoint. Attestations stay as they are.
    """
    from auditor.errors import ConfigError
    from auditor.renewing import renew as renewed

    if not published.is_dir():
        raise ConfigError(f"{published}: there is no such folder")
    ledger = _ledger(where, config)
    under = _opened(checkpoint, ledger) if checkpoint else None
    with _refusals():
        found = list(renewed(ledger, published, under))
    left = [one for one in found if one.left]
    for one in left:
        typer.echo(f"{one.path}: {one.left}", err=True)
    typer.echo(f"{len(found) - len(left)} proof(s) written")
    if left or not found:
        _refuse(f"{len(left)} proof(s) not written" if left else f"{published}: nothing published")


def _ledger(where: Path | None, config: Path | None) -> Ledger:
    from auditor.errors import ConfigError

    ledger = chosen_ledger(where, config)
    if not ledger.store.exists():
        raise ConfigError(f"{ledger.where}: no ledger yet; the first run makes it")
    return ledger


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """A ledger that contradicts itself is refused; asking for what it lacks is a mistake."""
    from auditor.errors import ConfigError, LedgerError
    from auditor.ledger import LedgerTampered

    try:
        yield
    except LedgerTampered as tampered:
        _refuse(str(tampered))
    except LedgerError as error:
        raise ConfigError(str(error)) from error


def _keys(given: Sequence[str] | None) -> list[VerifierKey]:
    from auditor.errors import ConfigError
    from auditor.transparency.note import parse_vkey
    from auditor.transparency.refused import LogRefused

    try:
        return [parse_vkey(text) for text in given or ()]
    except LogRefused as refused:
        raise ConfigError(f"not a verifier key: {refused}") from refused


def _own_key(ledger: Ledger) -> list[VerifierKey]:
    from auditor.errors import ConfigError

    if not ledger.key.exists():
        raise ConfigError(f"{ledger.key.path}: no such key; give the log's verifier key with --key")
    return ledger.key.known()


def _verified(
    ledger: Ledger | None, folder: Path | None, keys: Sequence[VerifierKey], pin: Seen | None
) -> Verified:
    from auditor.ledger.tiles import verify_export
    from auditor.ledger.verification import verify_store

    if ledger is not None:
        return verify_store(ledger.store, keys, pin)
    assert folder is not None
    return verify_export(folder, keys, pin)


def _opened(path: Path, ledger: Ledger) -> Seen:
    from auditor.errors import ConfigError
    from auditor.ledger.pins import read_pin

    seen = read_pin(path, ledger.key.known())
    if seen is None:
        raise ConfigError(f"{path}: no such checkpoint")
    return seen


def _required(seen: Seen | None, ledger: Ledger) -> Seen:
    from auditor.errors import ConfigError

    if seen is None:
        raise ConfigError(f"{ledger.where}: there is no checkpoint yet")
    return seen


def _write(content: bytes, output: Path | None) -> None:
    if output is None:
        typer.echo(content.decode(), nl=False)
    else:
        refuse_target(f"-o {output}", output)
        output.write_bytes(content)


def _refuse(message: str) -> NoReturn:
    from auditor.cli.common import fail

    fail(f"not verified: {message}", Exit.REFUSED)
