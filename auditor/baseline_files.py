"""A baseline on disk: written whole or not at all, read only if it is what was written.

`baseline.json` (header with the digest of everything), `sample.parquet` (the sample of all parts),
and for each part `parts/<id>/rows.parquet` and `sample.parquet`. No pickle anywhere: models are
refitted from the sample, thresholds are numbers in the header.

A folder may hold later versions as well; then `current` names the one that counts
(`auditor.baseline_versions`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import rfc8785

from auditor.baseline import CONTROL, FIT, VERSION, Baseline, Part
from auditor.baseline_content import (
    SAMPLE,
    Content,
    from_parquet,
    sha256,
    to_parquet,
    verified,
)
from auditor.batch import Roles
from auditor.errors import BaselineError

HEADER: Final = "baseline.json"
#: Folder of the versions that were made of a baseline, and the file that names one of them.
VERSIONS: Final = "versions"
CURRENT: Final = "current"

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
#: Hex digits of a digest that name a folder.
_SHORT: Final = 32


def write(baseline: Baseline, folder: Path) -> Path:
    """Write to `folder` (which must not hold a baseline yet), whole or not at all.

    Raises:
        BaselineError: `folder` exists and is not empty; baselines are immutable.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BaselineError(
            f"{folder} exists already; baselines are immutable, name another folder"
        )
    staging = stage(baseline, folder.with_name(f".{folder.name}.{os.getpid()}"))
    try:
        if folder.exists():
            folder.rmdir()
        staging.rename(folder)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return folder


def stage(baseline: Baseline, staging: Path) -> Path:
    """Write all files to a new folder that nobody reads yet; nothing stays where that breaks."""
    staging.mkdir(parents=True)
    try:
        (staging / SAMPLE).write_bytes(to_parquet(baseline.sample))
        for piece in baseline.pieces:
            own = staging / _part_folder(piece.content.digests)
            own.mkdir(parents=True, exist_ok=True)
            for name in piece.content.digests:
                _place(piece.content, name, own / name)
        header = _header(baseline) | {"digest": baseline.digest}
        (staging / HEADER).write_text(json.dumps(header, indent=1, sort_keys=True))
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return staging


def _place(content: Content, name: str, target: Path) -> None:
    """A file of a part: the very file of the version before, where the file system can do that."""
    said = content.load(name)
    source = content.folder / name if content.folder else None
    if source is not None and not source.is_symlink():
        try:
            os.link(source, target)
            return
        except OSError:  # another file system, or one without links: a copy is as good
            pass
    target.write_bytes(said)


def current(folder: Path) -> Path:
    """The folder of the version that counts: `folder` itself unless its `current` names another.

    Raises:
        BaselineError: `current` names nothing that could be a version.
    """
    path = folder / CURRENT
    try:
        named = path.read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        return folder
    except (OSError, ValueError) as error:
        raise BaselineError(f"{path}: cannot be read ({error})") from error
    if not _SHA256.fullmatch(named):
        raise BaselineError(f"{path}: does not name a version by its digest (64 hex digits)")
    return version_folder(folder, named)


def version_folder(folder: Path, digest: str) -> Path:
    """Where the version of this digest is kept."""
    return folder / VERSIONS / digest[:_SHORT]


def read(folder: Path) -> Baseline:
    """Read a baseline, in its current version, and verify its digest.

    The samples of its parts are verified when they are used: when parts are added or dropped.

    Raises:
        BaselineError: missing, damaged, edited, or of another version.
    """
    path = current(folder)
    found = read_plain(path)
    named = path.name if path != folder else None
    if named is not None and not found.digest.startswith(named):
        raise BaselineError(f"{path}: holds another version than its name says")
    return found


def read_plain(folder: Path) -> Baseline:
    """The baseline that lies in this very folder; see `read`."""
    header, digest = _verified_header(folder)
    try:
        content = verified(header["files"], _Files(folder), SAMPLE)
        sample = from_parquet(f"{folder / SAMPLE}", content)
        parts = [(_part(said), _content(folder, said)) for said in header["parts"]]
        return Baseline(
            digest=digest,
            created_at=header["created_at"],
            key_id=header["key_id"],
            seed=int(header["seed"]),
            roles=Roles({role: tuple(names) for role, names in header["roles"].items()}),
            schema=sample.schema,
            parts=tuple(part for part, _ in parts),
            sample=sample,
            keys=pa.concat_tables([content.keys for _, content in parts]),
            edges={name: tuple(values) for name, values in header["edges"].items()},
            thresholds=header["thresholds"],
            clean=header["clean"],
            switched_off=tuple(header.get("switched_off", ())),
            power=header.get("power", {}),
            contents=tuple(content for _, content in parts),
        )
    except BaselineError as error:
        raise BaselineError(f"{folder}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BaselineError(f"{folder}/{HEADER}: not a baseline ({error})") from error


def digest_of(folder: Path) -> str:
    """The digest of the baseline that lies in this very folder; its tables are not read."""
    return _verified_header(folder)[1]


def parts_of(folder: Path) -> tuple[Part, ...]:
    """The parts of the baseline that lies in this very folder; their tables are not read."""
    header, _ = _verified_header(folder)
    try:
        return tuple(_part(said) for said in header["parts"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BaselineError(f"{folder}/{HEADER}: not a baseline ({error})") from error


def _verified_header(folder: Path) -> tuple[dict[str, Any], str]:
    header = _read_header(folder)
    digest = header.pop("digest", None)
    if digest != _digest(header):
        raise BaselineError(f"{folder}: does not match its digest; it was edited, build it again")
    return header, str(digest)


@dataclass(frozen=True, slots=True)
class _Files:
    """The bytes of a file below a folder."""

    folder: Path

    def __call__(self, name: str) -> bytes:
        """Raises `BaselineError` where the file cannot be read."""
        path = self.folder / name
        try:
            return path.read_bytes()
        except OSError as error:
            raise BaselineError(f"{path}: cannot be read ({error})") from error


def _content(folder: Path, said: Mapping[str, Any]) -> Content:
    digests = {str(name): str(digest) for name, digest in said["files"].items()}
    if not all(map(_SHA256.fullmatch, digests.values())):
        raise ValueError("the digest of a file is none")
    own = folder / _part_folder(digests)
    return Content.stored(digests, _Files(own), own)


def _part(said: Mapping[str, Any]) -> Part:
    stored = {name: value for name, value in said.items() if name != "files"}
    histograms = {name: tuple(counts) for name, counts in stored["histograms"].items()}
    part = Part(**(stored | {"histograms": histograms}))
    if part.role not in (FIT, CONTROL):
        raise ValueError(f"a part of role {part.role!r}")
    return part


def _read_header(folder: Path) -> dict[str, Any]:
    path = folder / HEADER
    try:
        header = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BaselineError(
            f"{path}: no such file; make one with `auditor baseline build DATA`"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BaselineError(f"{path}: cannot be read ({error})") from error
    found = header.get("version") if isinstance(header, dict) else None
    if found == VERSION:
        return dict(header)
    if isinstance(found, int) and found > VERSION:
        raise BaselineError(
            f"{path}: a baseline of version {found}; this auditor reads version {VERSION}: "
            "use the auditor that wrote it, or build it again"
        )
    raise BaselineError(f"{path}: not a baseline of version {VERSION}; build it again")


def as_stored(baseline: Baseline) -> Baseline:
    """With its sample as it will be read, so that a baseline just built is the one on disk."""
    sample = from_parquet(SAMPLE, to_parquet(baseline.sample))
    stored = replace(baseline, sample=sample, schema=sample.schema)
    return replace(stored, digest=_digest(_header(stored)))


def _part_folder(digests: Mapping[str, str]) -> str:
    """Below the baseline: named by its files, so that equal ones are the same."""
    said = json.dumps(dict(digests), sort_keys=True)
    return f"parts/{hashlib.sha256(said.encode()).hexdigest()[:_SHORT]}"


def _header(baseline: Baseline) -> dict[str, Any]:
    # Only where there are some: other baselines keep their digest.
    off = {"switched_off": list(baseline.switched_off)} if baseline.switched_off else {}
    power = {"power": dict(baseline.power)} if baseline.power else {}
    return (
        off
        | power
        | {
            "version": VERSION,
            "created_at": baseline.created_at,
            "key_id": baseline.key_id,
            "seed": baseline.seed,
            "roles": {role: list(names) for role, names in baseline.roles.assigned.items()},
            "files": {SAMPLE: sha256(to_parquet(baseline.sample))},
            "parts": [
                asdict(piece.part) | {"files": dict(piece.content.digests)}
                for piece in baseline.pieces
            ],
            "edges": {name: list(values) for name, values in baseline.edges.items()},
            "thresholds": dict(baseline.thresholds),
            "clean": dict(baseline.clean),
        }
    )


def _digest(header: Mapping[str, Any]) -> str:
    """sha256 over the canonical header, which has the sha256 of every file."""
    return hashlib.sha256(rfc8785.dumps(json.loads(json.dumps(header)))).hexdigest()
