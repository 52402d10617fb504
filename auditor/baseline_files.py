"""A baseline on disk: written whole or not at all, read only if it is what was written.

`baseline.json` (header with the digest of everything), `sample.parquet`, `keys.parquet`. No pickle
anywhere: models are refitted from the sample, thresholds are numbers in the header.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import rfc8785

from auditor.baseline import VERSION, Baseline, Part
from auditor.batch import Roles
from auditor.errors import BaselineError


def write(baseline: Baseline, folder: Path) -> Path:
    """Write to `folder` (which must not hold a baseline yet), whole or not at all.

    Raises:
        BaselineError: `folder` exists and is not empty; baselines are immutable.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BaselineError(
            f"{folder} exists already; baselines are immutable, name another folder"
        )
    staging = folder.with_name(f".{folder.name}.{os.getpid()}")
    staging.mkdir(parents=True)
    try:
        for name, content in _files(baseline).items():
            (staging / name).write_bytes(content)
        header = _header(baseline) | {"digest": baseline.digest}
        (staging / "baseline.json").write_text(json.dumps(header, indent=1, sort_keys=True))
        if folder.exists():
            folder.rmdir()
        staging.rename(folder)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return folder


def read(folder: Path) -> Baseline:
    """Read a baseline and verify its digest.

    Raises:
        BaselineError: missing, damaged, edited, or of another version.
    """
    header = _read_header(folder)
    files = {name: _read_bytes(folder / name) for name in ("sample.parquet", "keys.parquet")}
    digest = header.pop("digest", None)
    if digest != _digest(header, files):
        raise BaselineError(f"{folder}: does not match its digest; it was edited, build it again")
    tables = {name: _read_table(folder / name, content) for name, content in files.items()}
    try:
        return Baseline(
            digest=digest,
            created_at=header["created_at"],
            key_id=header["key_id"],
            seed=int(header["seed"]),
            roles=Roles({role: tuple(names) for role, names in header["roles"].items()}),
            schema=tables["sample.parquet"].schema,
            parts=tuple(_part(part) for part in header["parts"]),
            sample=tables["sample.parquet"],
            keys=tables["keys.parquet"],
            edges={name: tuple(values) for name, values in header["edges"].items()},
            thresholds=header["thresholds"],
            clean=header["clean"],
            switched_off=tuple(header.get("switched_off", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BaselineError(f"{folder}/baseline.json: not a baseline ({error})") from error


def _part(stored: dict[str, Any]) -> Part:
    histograms = {name: tuple(counts) for name, counts in stored["histograms"].items()}
    return Part(**(stored | {"histograms": histograms}))


def _read_header(folder: Path) -> dict[str, Any]:
    path = folder / "baseline.json"
    try:
        header = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BaselineError(
            f"{path}: no such file; make one with `auditor baseline build DATA`"
        ) from None
    except (OSError, ValueError) as error:
        raise BaselineError(f"{path}: cannot be read ({error})") from error
    if not isinstance(header, dict) or header.get("version") != VERSION:
        raise BaselineError(f"{path}: not a baseline of version {VERSION}; build it again")
    return header


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BaselineError(f"{path}: cannot be read ({error})") from error


def _read_table(path: Path, content: bytes) -> pa.Table:
    try:
        return pq.read_table(pa.BufferReader(content), pre_buffer=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise BaselineError(f"{path}: cannot be read ({error})") from error


def _files(baseline: Baseline) -> dict[str, bytes]:
    """The tables as they are stored.

    Parquet changes units and what stands under nulls: only these bytes stay the same.
    """
    tables = {"sample.parquet": baseline.sample, "keys.parquet": baseline.keys}
    return {name: _parquet(table) for name, table in tables.items()}


def as_stored(baseline: Baseline) -> Baseline:
    """With its tables as they will be read, so that a baseline just built is the one on disk."""
    tables = {name: _read_table(Path(name), c) for name, c in _files(baseline).items()}
    sample, keys = tables["sample.parquet"], tables["keys.parquet"]
    stored = replace(baseline, sample=sample, keys=keys, schema=sample.schema)
    return replace(stored, digest=_digest(_header(stored), _files(stored)))


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _header(baseline: Baseline) -> dict[str, Any]:
    # Only where there are some: earlier baselines keep their digest.
    off = {"switched_off": list(baseline.switched_off)} if baseline.switched_off else {}
    return off | {
        "version": VERSION,
        "created_at": baseline.created_at,
        "key_id": baseline.key_id,
        "seed": baseline.seed,
        "roles": {role: list(names) for role, names in baseline.roles.assigned.items()},
        "parts": [asdict(part) for part in baseline.parts],
        "edges": {name: list(values) for name, values in baseline.edges.items()},
        "thresholds": dict(baseline.thresholds),
        "clean": dict(baseline.clean),
    }


def _digest(header: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """sha256 over the canonical header and the sha256 of each file, in name order."""
    digest = hashlib.sha256(rfc8785.dumps(json.loads(json.dumps(header))))
    for name in sorted(files):
        digest.update(name.encode() + hashlib.sha256(files[name]).digest())
    return digest.hexdigest()
