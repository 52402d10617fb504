"""`verify` and `load_verified`: gathers the evidence, judges it, hands out the files."""

from __future__ import annotations

import datetime as dt
import os
import warnings
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, TypedDict, Unpack, overload

import pyarrow as pa
from pyarrow import fs

from auditor.plain_file import read_plain
from auditor.provenance.digests import sha256
from auditor.provenance.refused import printable
from auditor.provenance.strict_json import MAX_BYTES
from auditor.verify.demands import LEVELS, Demands
from auditor.verify.frozen_sets import examine_set, files_of, is_frozen
from auditor.verify.refused import NotVerified, refusing
from auditor.verify.roots import Root, root_at
from auditor.verify.seen import Memory, remembering
from auditor.verify.trust import Trust
from auditor.verify.verification import Accepted, Evidence, Protection, examine
from auditor.verify.verified import Verified, VerifiedFile

ATTESTATION: Final = "attestation.dsse.json"
PROOF: Final = "proof.tlog"
_ENVELOPE: Final = ".dsse.json"

#: A small file: its path, its URI, or its bytes.
Given = bytes | str | os.PathLike[str]


class RollbackUnprotected(UserWarning):
    """Nothing here would show that the ledger was rolled back to an older state."""


class Options(TypedDict, total=False):
    """What `load_verified` takes besides its own arguments; see `verify`."""

    filesystem: fs.FileSystem | None
    attestation: bytes | str
    proof: bytes | str | None
    status: Given | None
    consistency: Given | None
    seen: str | os.PathLike[str] | None
    rollback: Literal["warn", "require"]
    levels: Collection[str]
    policy_name: str | None
    minimum_version: int | None
    break_glass: bool
    now: dt.datetime | None


def verify(
    root: str | os.PathLike[str],
    *,
    policy: Trust,
    resource: str,
    filesystem: fs.FileSystem | None = None,
    attestation: bytes | str = ATTESTATION,
    proof: bytes | str | None = None,
    status: Given | None = None,
    consistency: Given | None = None,
    seen: str | os.PathLike[str] | None = None,
    rollback: Literal["warn", "require"] = "warn",
    levels: Collection[str] = LEVELS,
    policy_name: str | None = None,
    minimum_version: int | None = None,
    break_glass: bool = False,
    now: dt.datetime | None = None,
) -> Verified:
    """Verify everything about a published folder but its files; those follow while they are read.

    Args:
        root: the folder, a URI that `pyarrow.fs` knows, or a path of `filesystem`.
        policy: whom to trust, see `Trust`.
        resource: the dataset that is wanted, `SOURCE@BATCH` with or without `dataset:`.
        filesystem: where `root` is, if it is not a local path or a URI.
        attestation: its name in `root`, or its bytes. That of a frozen data set, such as
            `frozen/NAME.dsse.json` with `root` the folder of all published batches, gives the rows
            of all its batches; `resource` is then its name.
        proof: the same for the proof that the ledger holds the verdict, or the list of a frozen
            data set. By default it is looked for beside the attestation: `proof.tlog`, or
            `frozen/NAME.proof.tlog`.
        status: path, URI or bytes of the site's status. Required where `policy` has its keys.
        consistency: the same for a proof that the log continues an older checkpoint.
        seen: folder (path or file:// URI) that remembers what was seen before. Give it to every
            job, on a disk that the publisher cannot write to.
        rollback: `require` refuses to go on with neither `seen` nor witnesses.
        levels: what must have been verified.
        policy_name: name of the settings that the gate must have used.
        minimum_version: their least version.
        break_glass: accept an emergency release that one person signed.
        now: the time, for tests.

    Raises:
        NotVerified: `code` says what is not as it should be.
    """
    moment = now or dt.datetime.now(dt.UTC)
    asked = Demands(
        resource=resource,
        levels=frozenset(levels),
        policy_name=policy_name,
        minimum_version=minimum_version,
        break_glass=break_glass,
    )
    with refusing():
        place = root_at(root, filesystem)
        try:
            evidence = _evidence(place, attestation, proof, status, consistency)
            with remembering(seen) as session:
                frozen = is_frozen(evidence.attestation)
                if frozen:
                    found = _set(place, evidence, policy, asked, session.memory, moment)
                else:
                    found = (examine(evidence, policy, asked, memory=session.memory, now=moment),)
                session.memory = found[-1].memory
            logged = all(one.proven is not None for one in found)
            witnessed = all(one.witnessed for one in found)
            protection = _protection(logged and session.durable, witnessed, rollback)
        except BaseException:
            place.close()
            raise
    files = [file for one in found for file in (files_of(one) if frozen else one.summary.files)]
    return Verified(
        resource=asked.dataset,
        attestation_sha256=sha256(evidence.attestation),
        summaries=tuple(one.summary for one in found),
        files=tuple(files),
        rollback_protection=protection,
        root=place,
    )


def _set(
    place: Root,
    evidence: Evidence,
    policy: Trust,
    asked: Demands,
    memory: Memory,
    now: dt.datetime,
) -> tuple[Accepted, ...]:
    def read(name: str) -> bytes | None:
        return _inside(place, name)

    names = (ATTESTATION, PROOF)
    _, found = examine_set(evidence, read, names, policy, asked, memory=memory, now=now)
    return found


@overload
def load_verified(
    root: str | os.PathLike[str],
    *,
    policy: Trust,
    resource: str,
    into: Literal["table"] = ...,
    columns: Sequence[str] | None = ...,
    **options: Unpack[Options],
) -> pa.Table: ...
@overload
def load_verified(
    root: str | os.PathLike[str],
    *,
    policy: Trust,
    resource: str,
    into: Literal["batches"],
    columns: Sequence[str] | None = ...,
    **options: Unpack[Options],
) -> Iterator[pa.RecordBatch]: ...
@overload
def load_verified(
    root: str | os.PathLike[str],
    *,
    policy: Trust,
    resource: str,
    into: Literal["file"],
    name: str | None = ...,
    **options: Unpack[Options],
) -> VerifiedFile: ...
def load_verified(
    root: str | os.PathLike[str],
    *,
    policy: Trust,
    resource: str,
    into: Literal["table", "batches", "file"] = "table",
    columns: Sequence[str] | None = None,
    name: str | None = None,
    **options: Unpack[Options],
) -> pa.Table | Iterator[pa.RecordBatch] | VerifiedFile:
    """Verify a published folder and load it: only bytes that were audited come back.

    Args:
        root: see `verify`, as are `policy`, `resource` and `options`.
        policy: whom to trust.
        resource: the dataset that is wanted.
        into: a table, an iterator over record batches, or one file that is open.
        columns: only these, for a table or batches.
        name: which file, where there are several.
        options: every other argument of `verify`.

    Raises:
        NotVerified: `code` says what is not as it should be; an iterator or file raises it while
            it is read.
    """
    verified = verify(root, policy=policy, resource=resource, **options)
    if into == "batches":
        return _streamed(verified, columns)
    with verified:
        return verified.open(name) if into == "file" else verified.table(columns)


def _streamed(verified: Verified, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    with verified:
        yield from verified.batches(columns)


def _evidence(
    root: Root,
    attestation: bytes | str,
    proof: bytes | str | None,
    status: Given | None,
    consistency: Given | None,
) -> Evidence:
    envelope = _inside(root, attestation)
    if envelope is None:
        raise NotVerified("ATTESTATION_MISSING", f'There is no "{printable(str(attestation))}".')
    return Evidence(
        attestation=envelope,
        proof=_inside(root, _beside(attestation, envelope) if proof is None else proof),
        status=_given(status, "STATUS_MISSING"),
        consistency=_given(consistency, "CONSISTENCY_MISSING"),
    )


def _beside(attestation: bytes | str, envelope: bytes) -> str:
    """Where the gate puts the proof of what has this name."""
    if isinstance(attestation, bytes) or not is_frozen(envelope):
        return PROOF
    return f"{attestation.removesuffix(_ENVELOPE)}.{PROOF}"


def _inside(root: Root, given: bytes | str) -> bytes | None:
    """A small file of the root, None where there is none."""
    if isinstance(given, bytes):
        return given
    try:
        blob = root.open(given)
    except NotVerified as refused:
        if refused.code == "FILE_MISSING":
            return None
        raise
    try:
        # One byte more than is allowed: whoever parses it refuses a longer one.
        content = bytearray(min(blob.size, MAX_BYTES) + 1)
        return bytes(content[: blob.read_into(0, memoryview(content))])
    finally:
        blob.close()


def _given(given: Given | None, missing: str) -> bytes | None:
    if given is None or isinstance(given, bytes):
        return given
    try:
        if "://" not in os.fspath(given):
            return read_plain(Path(given), MAX_BYTES)
        filesystem, path = fs.FileSystem.from_uri(os.fspath(given))
        with filesystem.open_input_file(path) as file:
            return bytes(file.read(MAX_BYTES + 1))
    except OSError as error:
        shown = printable(os.fspath(given))
        text = f'"{shown}": {printable(error.strerror or str(error))}.'
        raise NotVerified(missing, text) from error


def _protection(durable: bool, witnessed: bool, rollback: Literal["warn", "require"]) -> Protection:
    if durable or witnessed:
        return "seen" if durable else "witness"
    if rollback == "require":
        raise NotVerified("ROLLBACK_UNPROTECTED", "There is neither a store nor a witness.")
    warnings.warn(
        "rollback_protection: none; name a durable `seen` store, or trust witnesses",
        RollbackUnprotected,
        stacklevel=3,
    )
    return "none"
