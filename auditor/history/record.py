"""What one published batch leaves for later runs: files in its run folder, named by the ledger.

`history.json` names the others by digest, and the verdict in the ledger names `history.json`.
Who changes them later is found out when they are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from auditor.errors import LedgerError
from auditor.parquet_bytes import table_of
from auditor.rowhash import Words

NAME: Final = "history.json"
KEYS: Final = "history_keys.parquet"
SUBJECTS: Final = "history_subjects.parquet"
SAMPLE: Final = "history_sample.parquet"
ASIDE: Final = "history_aside.parquet"
VERSION: Final = 1

_KEYS: Final = pa.schema([(lane, pa.uint64()) for lane in ("a", "b", "fa", "fb")])
_ASIDE: Final = pa.schema([(lane, pa.uint64()) for lane in ("a", "b")])
_SUBJECTS: Final = pa.schema(
    [
        ("rule", pa.string()),  # "" for what a contributor sent: the numbers of `context.Sent`
        ("subject", pa.string()),
        ("name", pa.string()),
        ("values", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A published batch.

    `rows` were published. `keys`, `features` uint64[rows, 2]: their keys with and without the
    label, under `scheme`; none where the batch has no columns to key. `tallies`: (rule, name,
    rows counted, exposure). `subjects`: see `_SUBJECTS`. `sample`: some of the published rows, as
    they were: features, label and contributor. `aside` uint64[k, 2]: keys of rows that were set
    aside, with the label, but for those that were published under the same key.
    """

    batch: str
    verdict: str
    vouched: bool
    rows: int
    scheme: str = ""
    keys: Words = field(default_factory=lambda: np.zeros((0, 2), dtype=np.uint64))
    features: Words = field(default_factory=lambda: np.zeros((0, 2), dtype=np.uint64))
    tallies: tuple[tuple[str, str, float, float], ...] = ()
    subjects: tuple[tuple[str, str, str, tuple[float, ...]], ...] = ()
    sample: pa.Table = field(default_factory=lambda: pa.table({}))
    aside: Words = field(default_factory=lambda: np.zeros((0, 2), dtype=np.uint64))


@dataclass(frozen=True, slots=True)
class Written:
    """Where a record is, and the digest that the ledger has of it."""

    folder: Path
    sha256: str

    def read(self) -> Record | None:
        """The record; None where the folder is not there.

        Raises:
            LedgerError: files that are not those of the verdict.
        """
        try:
            main = (self.folder / NAME).read_bytes()
        except FileNotFoundError:
            return None
        said = json.loads(self._same(NAME, main, self.sha256))
        if said.get("v") != VERSION:
            raise LedgerError(f"{self.folder / NAME}: written by another version of auditor")
        tables = {name: self._table(name, sha256) for name, sha256 in said["files"].items()}
        keys = tables[KEYS]
        whole, partly = (_lanes(keys, names) for names in (("a", "b"), ("fa", "fb")))
        return Record(
            batch=said["batch"],
            verdict=said["verdict"],
            vouched=said["vouched"],
            rows=said["rows"],
            scheme=said["scheme"],
            keys=whole,
            features=partly,
            tallies=tuple((r, n, e, x) for r, n, e, x in said["tallies"]),
            subjects=tuple(
                (line["rule"], line["subject"], line["name"], tuple(line["values"]))
                for line in tables[SUBJECTS].to_pylist()
            ),
            sample=tables.get(SAMPLE, pa.table({})),  # records of before have none
            aside=_lanes(tables[ASIDE], ("a", "b")),
        )

    def _table(self, name: str, sha256: str) -> pa.Table:
        content = (self.folder / name).read_bytes()
        content = self._same(name, content, sha256)
        return table_of(content)

    def _same(self, name: str, content: bytes, sha256: str) -> bytes:
        if hashlib.sha256(content).hexdigest() != sha256:
            raise LedgerError(
                f"{self.folder / name}: not the file that the ledger names; keep it as evidence "
                "and restore the run folder from a backup"
            )
        return content


def write(folder: Path, record: Record) -> str:
    """Write a record into a run folder; the sha256 of its `history.json`."""
    lanes = [record.keys[:, 0], record.keys[:, 1], record.features[:, 0], record.features[:, 1]]
    keys = pa.table([pa.array(lane) for lane in lanes], schema=_KEYS)
    lines = [dict(zip(_SUBJECTS.names, line, strict=True)) for line in record.subjects]
    # Keys are noise: nothing would be gained by compressing them.
    pq.write_table(keys, folder / KEYS, compression="none", use_dictionary=False)
    subjects = pa.Table.from_pylist(lines, schema=_SUBJECTS)
    pq.write_table(subjects, folder / SUBJECTS, compression="zstd")
    pq.write_table(record.sample, folder / SAMPLE, compression="zstd")
    aside = pa.table([pa.array(lane) for lane in record.aside.T], schema=_ASIDE)
    pq.write_table(aside, folder / ASIDE, compression="none", use_dictionary=False)
    files = (KEYS, SUBJECTS, SAMPLE, ASIDE)
    said = _main(record, {name: _digest(folder / name) for name in files})
    content = json.dumps(said, sort_keys=True, indent=1).encode()
    (folder / NAME).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _main(record: Record, files: Mapping[str, str]) -> dict[str, Any]:
    return {
        "v": VERSION,
        "batch": record.batch,
        "verdict": record.verdict,
        "vouched": record.vouched,
        "rows": record.rows,
        "scheme": record.scheme,
        "tallies": [list(tally) for tally in record.tallies],
        "files": dict(files),
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lanes(table: pa.Table, names: tuple[str, str]) -> Words:
    return np.stack([table.column(name).to_numpy() for name in names], axis=1)
