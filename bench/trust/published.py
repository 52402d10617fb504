"""Folders as a gate publishes them, with attestation, proof and status, and files of several kinds.

A gate publishes a Parquet file as it came, or, where rows were set aside, writes its own.
"""

from __future__ import annotations

import datetime as dt
import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditor.batch import CHUNK_ROWS
from auditor.issuing import statement
from auditor.ledger import Ledger
from auditor.model import Mode, Verdict
from auditor.provenance import attestation, dsse, keys
from auditor.provenance.attestation import Audited, RuleOutcome
from auditor.provenance.digests import contents_of, sha256
from auditor.provenance.entries import FileEntry
from auditor.verify import Trust

RESOURCE: Final = "bench/rows@1"
VERIFIER: Final = "https://gate.bench/prod"
#: Different parts that a file repeats; nothing compresses across row groups.
_PARTS: Final = 4

#: Writes a file of at least so many bytes; returns its number of rows.
Write = Callable[[Path, int], int]


def floats(rng: np.random.Generator, rows: int) -> pa.Table:
    """Eight columns of random numbers: nothing repeats, next to nothing can be compressed."""
    return pa.table({f"c{number}": rng.normal(size=rows) for number in range(8)})


def mixed(rng: np.random.Generator, rows: int) -> pa.Table:
    """An id, a text, a label, a contributor, a day, two measurements, a price."""
    words = np.array([f"{rng.integers(10**9):x}"[:length] for length in rng.integers(2, 8, 5000)])
    # Zipf's law: as often as words of a language.
    picked = words[np.minimum(rng.zipf(1.3, size=(rows, 12)), len(words)) - 1]
    return pa.table(
        {
            "id": np.arange(rows),
            "text": pa.array([" ".join(row) for row in picked]),
            "label": pa.array(np.array(["up", "down", "flat"])[rng.integers(3, size=rows)]),
            "contributor": pa.array([f"c{one}" for one in rng.integers(500, size=rows)]),
            "day": pa.array(rng.integers(19_000, 20_000, size=rows).astype(np.int32), pa.date32()),
            "x": rng.normal(size=rows),
            "y": rng.normal(size=rows).astype(np.float32),
            "price": np.round(rng.lognormal(3, 1, size=rows), 2),
        }
    )


def _written(rows_of: Callable[..., pa.Table], group: int, **settings: Any) -> Write:
    def write(path: Path, size: int) -> int:
        rng, rows = np.random.default_rng(1), 0
        parts = [rows_of(rng, group) for _ in range(_PARTS)]
        with path.open("wb") as file, pq.ParquetWriter(file, parts[0].schema, **settings) as writer:
            for part in itertools.cycle(parts):
                if file.tell() >= size:
                    return rows
                writer.write_table(part)
                rows += part.num_rows
        raise AssertionError("unreachable: the parts have no end")

    return write


#: What is measured -> how its file is written. The first two have the settings of
#: `auditor.publish`, the third those of `pyarrow`: what a supplier sends.
KINDS: Final[dict[str, Write]] = {
    "mixed, as the gate writes it": _written(mixed, CHUNK_ROWS, compression="zstd"),
    "floats, as the gate writes them": _written(floats, CHUNK_ROWS, compression="zstd"),
    "mixed, as pyarrow writes it": _written(mixed, 1 << 20),
    "floats, not compressed": _written(floats, 1 << 20, compression="none", use_dictionary=False),
}


@contextmanager
def published(write: Write, size: int, files: int = 1) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder of so many files, and what a training job passes to read it."""
    with tempfile.TemporaryDirectory(prefix="auditor-bench-") as name:
        root = Path(name)
        folder = root / "published"
        folder.mkdir()
        entries = [
            _entry(folder / f"{number}.parquet", write, size // files) for number in range(files)
        ]
        yield folder, _attest(root, folder, entries)


def _entry(path: Path, write: Write, size: int) -> FileEntry:
    rows = write(path, size)
    with path.open("rb") as file:
        found = contents_of(file)
    return FileEntry(
        name=path.name, sha256=found.sha256, size=found.size, rows=rows, blocks=found.blocks
    )


def _attest(root: Path, folder: Path, entries: list[FileEntry]) -> dict[str, Any]:
    gate, online = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    now = dt.datetime.now(dt.UTC)
    rows = sum(entry.rows for entry in entries)
    audited = Audited(
        verifier=VERIFIER,
        versions={},
        resource=RESOURCE,
        batch_sha256=sha256(b"batch"),
        verdict=Verdict.ACCEPT,
        mode=Mode.GATE,
        kind="training",
        verified_at=now,
        valid_until=now + dt.timedelta(days=1),
        policy="bench",
        policy_sha256=sha256(b"policy"),
        policy_version=1,
        rows_in=rows,
        rows_out=rows,
        rows_quarantined=0,
        rules=[RuleOutcome("AUD-I001", "ran", 0)],
        report_sha256=sha256(b"report"),
        provenance_verified=True,
        screened=True,
        outputs=entries,
        baseline_sha256=sha256(b"baseline"),
    )
    ledger = Ledger(root / "ledger.db")
    envelope = _sign(attestation.build(audited), gate)
    (folder / "attestation.dsse.json").write_bytes(envelope)
    ledger.append("verdict", at=now, via="gate", refs=[sha256(envelope)])
    (folder / "proof.tlog").write_bytes(ledger.proof_of(sha256(envelope)) or b"")
    return {
        "policy": Trust.keys(
            gate=keys.public_half(gate),
            verifier=VERIFIER,
            ledger=str(ledger.key.public()),
            status=keys.public_half(online),
        ),
        "resource": RESOURCE,
        "status": _sign(statement(ledger, now=now), online),
        "seen": root / "seen",
    }


def _sign(payload: bytes, key: Ed25519PrivateKey) -> bytes:
    signature = key.sign(dsse.pae(dsse.IN_TOTO, payload))
    signed = dsse.Signature(keys.public_half(key).keyid, signature)
    return dsse.build(payload, dsse.IN_TOTO, [signed])
