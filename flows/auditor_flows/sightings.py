"""What earlier looks at the inbox saw: since when a listing is unchanged, and its digest.

Only a memory. If it is lost or another watcher overwrites it, batches settle or are hashed again;
what was audited stands in the ledger alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from auditor.provenance.digests import is_sha256
from auditor.readers import Limits
from auditor.workspace.durable import write_durably
from auditor_flows import inbox
from auditor_flows.inbox import Delivery, Listing

FOLDER: Final = ".inbox"


@dataclass(frozen=True, slots=True)
class Sighting:
    """A fingerprint of a batch, the time (seconds since 1970) it was first seen, its digest."""

    fingerprint: str
    since: float
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at an inbox: complete deliveries, longest waiting first, and what cannot be one."""

    complete: tuple[Delivery, ...]
    waiting: tuple[str, ...]
    refused: Mapping[str, str]


class Memory:
    """The sightings of one inbox, in one file below the runs root."""

    def __init__(self, runs: Path, watched: Path) -> None:
        """Remember where the file is; nothing is read or made yet."""
        name = hashlib.sha256(str(watched.resolve()).encode(errors="replace")).hexdigest()[:32]
        self._path = runs / FOLDER / f"{name}.json"

    def read(self) -> dict[str, Sighting]:
        """Name -> sighting. A file that is damaged is as good as none."""
        try:
            said = json.loads(self._path.read_bytes())
            return {str(name): _sighting(each) for name, each in said["sightings"].items()}
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def write(self, sightings: Mapping[str, Sighting]) -> None:
        """Replace the file at once."""
        said = {"v": 1, "sightings": {name: asdict(each) for name, each in sightings.items()}}
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(self._path, json.dumps(said).encode())


def look(watched: Path, memory: Memory, limits: Limits, *, settle: float, now: float) -> Look:
    """List the inbox and find what is complete; one bad entry never hides another.

    Raises:
        OSError: the inbox itself cannot be listed, or the memory not be written.
    """
    before, after = memory.read(), dict[str, Sighting]()
    complete: list[tuple[float, Delivery]] = []
    refused: dict[str, str] = {}
    for name in inbox.entries(watched):
        why = inbox.refusal(name)
        if why:
            refused[ascii(name)] = why
            continue
        try:
            seen = _see(watched, name, before.get(name), limits, settle, now)
        except OSError:  # it went, or cannot be read just now: the next look sees it again
            continue
        after[name], found = seen
        complete += [(after[name].since, found)] if found else []
    memory.write(after)
    complete.sort(key=lambda pair: (pair[0], pair[1].name))
    done = {found.name for _, found in complete}
    return Look(
        complete=tuple(found for _, found in complete),
        waiting=tuple(name for name in after if name not in done),
        refused=refused,
    )


def _see(
    watched: Path, name: str, known: Sighting | None, limits: Limits, settle: float, now: float
) -> tuple[Sighting, Delivery | None]:
    """The sighting of one batch and, where it is complete, its delivery."""
    listed = inbox.listing(watched, name, limits)
    # A clock that was set back must not keep a batch waiting for ever.
    if known is None or known.fingerprint != listed.fingerprint or known.since > now:
        known = Sighting(listed.fingerprint, now)
    if not is_complete(listed, known, limits, settle=settle, now=now):
        return known, None
    found = inbox.delivery(listed, limits, digest=known.digest)
    # What changed while it was hashed is not complete, whatever it looked like.
    again = listed if known.digest else inbox.listing(watched, name, limits)
    if again.fingerprint != listed.fingerprint:
        return Sighting(again.fingerprint, now), None
    return replace(known, digest=found.digest), found


def is_complete(
    listed: Listing, known: Sighting, limits: Limits, *, settle: float, now: float
) -> bool:
    """Its manifest matches, or it is marked, or its listing is the same for `settle` seconds."""
    if now - known.since >= settle or (listed.marked and not listed.problem):
        return True
    return bool(known.digest) or inbox.matches_manifest(listed, limits)


def _sighting(said: dict[str, Any]) -> Sighting:
    """Raises ValueError or TypeError for one that this version did not write."""
    one = Sighting(**said)
    if not isinstance(one.fingerprint, str) or not isinstance(one.since, float):
        raise TypeError("not a sighting")
    if one.digest and not is_sha256(one.digest):
        raise ValueError("not a digest")
    return one
