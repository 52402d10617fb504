"""Frozen data sets: one signed list of many batches, of which each is verified as if it were alone.

Their attestations may have expired since: what has become of a batch, only a fresh status says.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from auditor.provenance import dsse, frozen
from auditor.provenance.digests import sha256
from auditor.provenance.entries import FileEntry
from auditor.provenance.frozen import Frozen, Parent
from auditor.provenance.refused import Refused, printable
from auditor.transparency import proof as proofs
from auditor.verify.demands import Demands, require_not_recalled, require_resource
from auditor.verify.envelopes import signed_payload
from auditor.verify.refused import NotVerified
from auditor.verify.seen import Memory
from auditor.verify.trust import Trust
from auditor.verify.verification import (
    Accepted,
    Evidence,
    Logged,
    examine,
    fresh_status,
    in_log,
    remembered,
)

#: The bytes of a small file by its name below the root, None where there is none.
Read = Callable[[str], bytes | None]


def is_frozen(envelope: bytes) -> bool:
    """Whether an envelope claims to hold a frozen data set; nothing is verified by that."""
    try:
        said = json.loads(dsse.parse(envelope).payload)
    except (Refused, ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("predicateType") == frozen.PREDICATE_TYPE


def examine_set(
    evidence: Evidence,
    read: Read,
    names: tuple[str, str],
    trust: Trust,
    asked: Demands,
    *,
    memory: Memory,
    now: datetime,
) -> tuple[Frozen, tuple[Accepted, ...]]:
    """Judge a frozen data set and every batch in it; `names`: of a batch's attestation and proof.

    The list is judged as a verdict is: where a log is trusted, it must be proven to hold the list.

    Raises:
        NotVerified, Refused, LogRefused: with the code of the first demand not met.
    """
    authority = trust.resolve(now, memory.policy)
    digest = sha256(evidence.attestation)
    logged = in_log(evidence, authority, lambda proven: proofs.require_frozen(proven, digest))
    at = logged.at if isinstance(logged, Logged) else now
    listed = frozen.read(signed_payload(evidence.attestation, authority.gate, at))
    require_resource(f"dataset:{listed.name}", asked)
    status = fresh_status(evidence.status, authority, memory, now)
    if status is None:
        raise NotVerified("STATUS_MISSING", "A frozen data set counts with a status only.")
    about = {digest, listed.sha256}
    about |= {name for one in listed.parents for name in _known_as(one)}
    require_not_recalled(about, status)
    if isinstance(logged, Exception):
        raise logged
    if logged is not None:
        memory = remembered(evidence, authority, logged, status, memory, now)
    accepted: list[Accepted] = []
    for parent in listed.parents:
        envelope, proof = (read(f"{parent.published_sha256}/{name}") for name in names)
        own = replace(evidence, attestation=_own(parent, envelope), proof=proof)
        wanted = replace(asked, resource=parent.resource, expiring=False)
        found = examine(own, trust, wanted, memory=memory, now=now)
        _require_listed(found, parent)
        memory = found.memory
        accepted.append(found)
    return listed, tuple(accepted)


def files_of(found: Accepted) -> list[FileEntry]:
    """The files of a batch with their names below the root of all."""
    folder, files = found.summary.sha256, found.summary.files
    return [replace(file, name=f"{folder}/{file.name}") for file in files]


def _known_as(parent: Parent) -> tuple[str, str]:
    return parent.attestation_sha256, parent.published_sha256


def _own(parent: Parent, envelope: bytes | None) -> bytes:
    if envelope is None:
        text = f'The batch "{printable(parent.resource)}" of the data set is not here.'
        raise NotVerified("ATTESTATION_MISSING", text)
    if sha256(envelope) != parent.attestation_sha256:
        text = f'"{printable(parent.resource)}" has another attestation than when it was frozen.'
        raise NotVerified("FILE_DIGEST", text)
    return envelope


def _require_listed(found: Accepted, parent: Parent) -> None:
    said = found.summary
    if said.sha256 != parent.published_sha256 or said.rows.out != parent.rows:
        text = f'"{printable(parent.resource)}" is not what the data set says of it.'
        raise NotVerified("SUBJECT_DIGEST", text)
