"""`auditor trust init|show|verify|update|sign`. Works with the base install."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli import trust_options
from auditor.cli.audits import Config
from auditor.cli.common import Exit, chosen_ledger, refuse_target

if TYPE_CHECKING:
    from auditor.ledger import Ledger

Policy = Annotated[Path, typer.Argument(help="The trust policy, such as trust.dsse.json.")]
Keys = Annotated[
    list[Path] | None, typer.Option("--key", help="A private root key to sign with; repeatable.")
]
Passphrase = Annotated[
    str | None, typer.Option(help="Environment variable that holds the keys' passphrase.")
]
ValidDays = Annotated[int, typer.Option(min=1, help="Days until this version expires.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    trust = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    for command in (init, show, verify, update, sign):
        trust.command()(command)
    app.add_typer(trust, name="trust", help="The signed policy of whose keys count for what.")


def init(
    output: Annotated[Path, typer.Argument(help="Where to write it: trust.dsse.json.")],
    public: Annotated[
        list[str], typer.Option(help="PRINCIPAL=FILE.pub, a person or service and its key.")
    ],
    root: Annotated[list[str], typer.Option(help="A principal who may change the policy.")],
    source: Annotated[list[str], typer.Option(help="SOURCE=PRINCIPAL, who may sign for it.")],
    root_threshold: Annotated[
        int | None, typer.Option(min=1, help="Principals who must agree. Default: 2 if there are.")
    ] = None,
    gate: Annotated[list[str] | None, typer.Option(help="A principal that signs verdicts.")] = None,
    verifier: Annotated[
        list[str] | None, typer.Option(help="The URI of a gate, as `signing.verifier` has it.")
    ] = None,
    status: Annotated[
        list[str] | None, typer.Option(help="A principal that signs the daily status.")
    ] = None,
    releaser: Annotated[
        list[str] | None, typer.Option(help="A person who may release quarantined rows.")
    ] = None,
    ledger: Annotated[
        list[str] | None,
        typer.Option(help="ORIGIN=FILE.pub, the gate's log and its key; then proofs are required."),
    ] = None,
    unsigned: Annotated[
        str, typer.Option(help="What becomes of batches nobody signed: note, hold or reject.")
    ] = "hold",
    valid_days: ValidDays = 180,
    key_days: Annotated[int, typer.Option(min=1, help="Days until the keys expire.")] = 730,
    key: Keys = None,
    passphrase_env: Passphrase = None,
) -> None:
    """Write version 1 from keys and sources, and say the digest to pin. The root signs it next."""
    from auditor import trust_drafts
    from auditor.provenance.refused import Refused
    from auditor.trust.editing import Beginning, first
    from auditor.trust_files import PolicyRefused

    refuse_target(str(output), output)
    now = _now()
    beginning = Beginning(
        keys=[trust_options.public(text) for text in public],
        root=root,
        root_threshold=root_threshold or min(2, len(root)),
        sources=trust_options.sources(source),
        gate=gate or (),
        verifiers=verifier or (),
        status=status or (),
        releasers=releaser or (),
        ledger=[trust_options.ledger(text) for text in ledger or ()],
        unsigned=unsigned,
    )
    until = now + dt.timedelta(days=key_days)
    try:
        document = first(
            beginning, now=now, expires=now + dt.timedelta(days=valid_days), keys_until=until
        )
    except Refused as refused:
        raise PolicyRefused(output, refused) from refused
    policy = trust_drafts.write(output, document)
    typer.echo(f"{output}  version 1\npin it: trust.sha256: {policy.sha256}")
    if policy.root.threshold == 1:
        typer.echo("one person alone may change this policy; name more with --root", err=True)
    if not policy.roles.ledger:
        typer.echo("no log is named, so jobs refuse every proof; name it with --ledger", err=True)
    _sign(output, key, passphrase_env)


def show(
    policy: Policy,
    json: Annotated[
        bool, typer.Option("--json", help="The document itself, to edit for `update --from`.")
    ] = False,
) -> None:
    """Show what a policy says. Nothing is verified: `auditor trust verify` does that."""
    from auditor import trust_drafts
    from auditor.cli.trust_tables import lines
    from auditor.formats.escape import terminal

    envelope, found = trust_drafts.opened(policy)
    if json:
        typer.echo(trust_options.indented(envelope.payload))
        return
    for line in lines(found, _now()):
        typer.echo(terminal(line, 300))
    _say_missing(policy)


def verify(
    policy: Policy,
    sha256: Annotated[
        str, typer.Option(help="The pinned digest, of version 1 or of any later version.")
    ],
) -> None:
    """Walk from the pinned version to the newest. Exit 0 if that one is in force, else 11."""
    from auditor.formats.escape import terminal
    from auditor.trust_files import Pinned, PolicyRefused

    try:
        found = Pinned(policy, sha256).load(_now())
    except PolicyRefused as refused:
        typer.echo(terminal(str(refused), 500))
        typer.echo("auditor: not verified", err=True)
        raise typer.Exit(Exit.REJECT) from refused
    typer.echo(f"verified: version {found.version}, expires on {found.expires:%Y-%m-%d}")
    typer.echo(f"digest {found.sha256}")


def update(
    policy: Policy,
    from_: Annotated[
        Path | None, typer.Option("--from", help="The edited document, see `show --json`.")
    ] = None,
    revoke: Annotated[
        str | None, typer.Option(help="A key id: what it signs from now on does not count.")
    ] = None,
    compromised: Annotated[
        str | None, typer.Option(help="A key id that somebody else may hold; needs --since.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Since when: YYYY-MM-DDTHH:MM:SSZ; lists what it let in.")
    ] = None,
    approve: Annotated[
        str | None, typer.Option(help="NAME=VERSION:DIGEST, settings that the gate may use.")
    ] = None,
    install: Annotated[
        Path | None, typer.Option(help="Put this signed draft in force, and change nothing else.")
    ] = None,
    ledger: Annotated[
        Path | None,
        typer.Option(help="A ledger file, in place of the one that the configuration names."),
    ] = None,
    config: Config = None,
    valid_days: ValidDays = 180,
    key: Keys = None,
    passphrase_env: Passphrase = None,
) -> None:
    """Write the next version as a draft beside the policy; or put a signed draft in force."""
    from auditor import trust_drafts
    from auditor.errors import ConfigError
    from auditor.trust.editing import successor

    if (compromised is None) != (since is None):
        raise ConfigError("--compromised and --since belong together")
    if install is not None:
        new = trust_drafts.install(policy, install, _now())
        typer.echo(f"{policy}  version {new.version} is in force, digest {new.sha256}")
        return
    log = chosen_ledger(ledger, config) if compromised is not None else None
    envelope, old = trust_drafts.opened(policy)
    asked = trust_options.Asked(
        now=_now(), revoke=revoke, compromised=compromised, since=since, approve=approve
    )
    document = trust_options.edited(from_, envelope.payload, asked)
    draft = trust_drafts.draft_of(policy, old.version + 1)
    document = successor(document, old, expires=_now() + dt.timedelta(days=valid_days))
    written = trust_drafts.write(draft, document)
    typer.echo(f"{draft}  version {written.version}, digest {written.sha256}")
    _sign(draft, key, passphrase_env)
    if log is not None and compromised is not None and since is not None:
        _list_candidates(log, compromised, since)


def sign(
    policy: Annotated[Path, typer.Argument(help="A draft, or a first version.")],
    key: Annotated[Path, typer.Option(help="Your private root key.")],
    passphrase_env: Passphrase = None,
) -> None:
    """Add your signature, and say how many are still missing. Read it first: `trust show`."""
    _sign(policy, [key], passphrase_env)


def _sign(path: Path, keys: list[Path] | None, passphrase_env: str | None) -> None:
    from auditor import trust_drafts
    from auditor.signing import FileSigner

    for key in keys or ():
        trust_drafts.sign(path, FileSigner(key, passphrase_env))
        typer.echo(f"{path}  signed with {key}")
    _say_missing(path)


def _say_missing(path: Path) -> None:
    from auditor import trust_drafts

    needed = {name: count for name, count in trust_drafts.missing(path).items() if count}
    if needed:
        people = ", ".join(f"{count} of its {name} root" for name, count in needed.items())
        people = people.replace("its old", "the old")
        typer.echo(f"signatures missing: {people}; auditor trust sign {path} --key KEY")
    elif (base := trust_drafts.base_of(path)) is not None:
        typer.echo(f"signed; put it in force: auditor trust update {base} --install {path}")


def _list_candidates(ledger: Ledger, keyid: str, since: str) -> None:
    """What the key let in, for `auditor recall`."""
    from auditor.compromise import recall_candidates, signed_with
    from auditor.formats.escape import terminal
    from auditor.provenance.times import format_time, parse_time

    if not ledger.store.exists():
        typer.echo(f"{ledger.where}: no such ledger; name it with --ledger or --config")
        return
    found = list(recall_candidates(ledger, keyid, parse_time(since)))
    typer.echo(f"let in because of this key since {since}: {len(found)}")
    for one in found:
        line = f"entry {one.idx}  {format_time(one.at)}  {one.batch}  run={one.run}"
        typer.echo(f"{line}  {one.why}")
    if found:
        more = "--reason TEXT --sign-with KEY"
        typer.echo(f"take them back: auditor recall --key {keyid} --since {since} {more}")
    signed = list(signed_with(ledger, keyid, parse_time(since)))
    typer.echo(f"signed with this key since {since}: {len(signed)}")
    for entry in signed:
        named = entry.event.detail.get("name") or entry.event.detail.get("verdict") or ""
        line = f"signed {entry.idx}  {format_time(entry.event.at)}  {entry.name} {named}"
        typer.echo(f"{terminal(line.rstrip(), 300)}  {entry.subject}")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)
