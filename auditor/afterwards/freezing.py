"""`auditor dataset freeze` and `auditor consumed`: what is trained on, and what was. Shell."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auditor.afterwards import logged_runs
from auditor.afterwards.desk import Desk, NotDecided
from auditor.afterwards.logged_runs import LoggedRun, named_file
from auditor.errors import ConfigError, LedgerError
from auditor.ledger import NONE_YET, Entry
from auditor.provenance import dsse, frozen
from auditor.provenance.digests import is_sha256
from auditor.provenance.frozen import Frozen, Parent
from auditor.provenance.refused import Refused
from auditor.readers import read_plain
from auditor.signing import add_signature, unsigned_envelope
from auditor.site_signer import signer_of
from auditor.workspace.durable import move, write_durably
from auditor.workspace.layout import ATTESTATION, PROOF

#: Where frozen data sets lie, below `publish_to`.
FOLDER: Final = "frozen"
_SUFFIX: Final = ".dsse.json"
_LONGEST: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumed:
    """A training run that verified something (`used`, a digest), and the model that came of it."""

    run: str
    model_sha256: str
    used: str


def freeze(desk: Desk, name: str, patterns: Sequence[str]) -> tuple[Path, Frozen]:
    """Sign one list of the published batches whose `source@batch` matches one of the patterns.

    Raises:
        ConfigError: nothing matches, there is no key to sign with, or the name is taken.
        NotDecided: PARENT_RECALLED, or a rule of the format.
        LedgerError: a batch is not what the ledger says it is.
    """
    path = _path(desk, name)
    if _taken(desk, name, path):
        raise ConfigError(f"{path}: a frozen data set is never changed; take another name")
    signer = signer_of(desk.settings)
    if signer is None:
        raise ConfigError("signing.key is not set: nobody could verify what is frozen")
    try:
        payload = frozen.build(name, _parents(desk, patterns), desk.now)
        envelope = add_signature(unsigned_envelope(payload), signer)
    except Refused as refused:
        raise NotDecided(refused) from refused
    found = frozen.read(payload)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(envelope).hexdigest()
    write_durably(_staged(path, digest), envelope)
    index = desk.ledger.append(
        "dataset.frozen",
        at=desk.now,
        via="cli",
        subject=digest,
        refs=[found.sha256],
        detail={
            "name": name,
            "batches": len(found.parents),
            "rows": found.rows,
            "signed_by": dsse.signed_by(envelope),
        },
        source=_order(name),
        expect=NONE_YET,
    )
    _show(desk, path, digest, index)
    return path, found


def consume(desk: Desk, used: str, run: str, model_sha256: str) -> None:
    """Log that a training run verified an attestation or a frozen data set.

    `used` is the file, or the digest of its bytes.

    Raises:
        ConfigError: the ledger knows nothing of that digest, or the model's is none.
    """
    if not is_sha256(model_sha256):
        raise ConfigError(f"--model {model_sha256}: give the sha256 of the model, 64 hex digits")
    digest = used if is_sha256(used) else _digest_of(Path(used))
    known = desk.ledger.names(digest) or desk.ledger.find(subject=digest, event="dataset.frozen")
    if not known:
        raise ConfigError(f"{used}: the ledger has no attestation or data set of this digest")
    desk.ledger.append(
        "consumed",
        at=desk.now,
        via="cli",
        subject=digest,
        refs=[model_sha256],
        detail={"training_run": run},
    )


def holding(
    desk: Desk, entries: Iterable[Entry], attestations: Collection[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Frozen data sets that hold one of these batches: name -> digest; and which are unreadable."""
    found: dict[str, str] = {}
    unknown: list[str] = []
    for entry in entries:
        if entry.name != "dataset.frozen":
            continue
        name, digest = str(entry.event.detail.get("name")), str(entry.subject)
        try:
            parents = parents_of(desk, entry)
        except LedgerError as error:
            unknown.append(str(error))
            continue
        if any(parent.attestation_sha256 in attestations for parent in parents):
            found[name] = digest
    return found, tuple(unknown)


def parents_of(desk: Desk, entry: Entry) -> tuple[Parent, ...]:
    """The batches of a frozen data set; raises `LedgerError` where they cannot be told."""
    name = str(entry.event.detail.get("name"))
    try:
        envelope = named_file(_path(desk, name), {str(entry.subject)})
        return tuple(frozen.read(dsse.parse(envelope).payload).parents)
    except (LedgerError, ConfigError, Refused) as error:
        raise LedgerError(f"data set {name}: what it holds is unknown ({error})") from error


def consumed(entries: Iterable[Entry], digests: Collection[str]) -> Iterator[Consumed]:
    """The training runs that used one of these."""
    for entry in entries:
        used = entry.subject
        if entry.name == "consumed" and used is not None and used in digests:
            run = str(entry.event.detail.get("training_run"))
            yield Consumed(run=run, model_sha256=entry.event.refs[0], used=used)


def _parents(desk: Desk, patterns: Sequence[str]) -> list[Parent]:
    entries = tuple(desk.ledger.entries())
    recalled = {
        digest
        for entry in entries
        if entry.name == "recall"
        for digest in (entry.event.subject, *entry.event.refs)
    }
    found: dict[str, Parent] = {}
    for run in logged_runs.every(entries, desk.roots):
        if isinstance(run, LedgerError):
            raise run
        if not any(fnmatch.fnmatchcase(run.resource, pattern) for pattern in patterns):
            continue
        one = run.published()
        if (one.known_as | one.made_from) & recalled:
            raise Refused("PARENT_RECALLED", f"{one.resource} of run {run.run} was recalled.")
        if _visible(desk, run) == run.attestation_sha256:
            found[one.published_sha256] = Parent(
                resource=run.resource,
                attestation_sha256=run.attestation_sha256,
                published_sha256=one.published_sha256,
                rows=run.summary.rows.out,
            )
    if not found:
        raise ConfigError(f"no published batch matches {' '.join(patterns)}")
    return list(found.values())


def _visible(desk: Desk, run: LoggedRun) -> str:
    """Digest of the attestation that lies beside the published files: the one to be verified."""
    return _digest_of(desk.roots.publish_to / run.summary.sha256 / ATTESTATION)


def _taken(desk: Desk, name: str, path: Path) -> bool:
    """Whether there is one of this name; what a crash left behind its event is shown now."""
    for entry in desk.ledger.of_source(_order(name)):
        _show(desk, path, str(entry.subject), entry.idx)
        return True
    return path.exists()


def _show(desk: Desk, path: Path, digest: str, index: int) -> None:
    """Make a logged list visible, its proof first; remove what others left under this name."""
    write_durably(
        path.with_name(f"{path.name.removesuffix(_SUFFIX)}.{PROOF}"), desk.ledger.prove(index)
    )
    if (staged := _staged(path, digest)).exists():
        move(staged, path)
    for left in (*path.parent.glob(f".{path.name}.*"), *path.parent.glob(f"..{path.name}.*")):
        left.unlink(missing_ok=True)


def _order(name: str) -> str:
    """A name is given once: it is an order of its own in the ledger, with one place."""
    return f"dataset:{name}"


def _path(desk: Desk, name: str) -> Path:
    if not frozen.is_name(name):
        raise ConfigError(f"{name}: a name has letters, digits and _.@+- only")
    return desk.roots.publish_to / FOLDER / f"{name}{_SUFFIX}"


def _staged(path: Path, digest: str) -> Path:
    return path.with_name(f".{path.name}.{digest}")


def _digest_of(path: Path) -> str:
    try:
        return hashlib.sha256(read_plain(path, _LONGEST)).hexdigest()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
