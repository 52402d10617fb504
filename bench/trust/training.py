"""`load_verified` beside an unchecked read of the same gigabyte: `python -m bench.trust.training`.

Writes a Parquet file (and a folder of smaller ones), an attestation, a ledger and a status to a
folder for temporary files, then reads each several times in turn, in one process, and prints the
best times and their ratio. The file is in the page cache: slower storage makes the ratio smaller.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditor.issuing import statement
from auditor.ledger import Ledger
from auditor.model import Mode, Verdict
from auditor.provenance import attestation, dsse, keys
from auditor.provenance.attestation import Audited, RuleOutcome
from auditor.provenance.digests import contents_of, sha256
from auditor.provenance.entries import FileEntry
from auditor.verify import Trust, load_verified

COLUMNS = 8
RESOURCE = "bench/rows@1"
VERIFIER = "https://gate.bench/prod"
#: The bar: how much longer than an unchecked read a verified one may take.
BAR = 1.5


def main() -> int:
    """Measure, print, and fail above the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    over = False
    for files in (1, 8):
        with published(given.megabytes, files) as (folder, options):
            size = sum(path.stat().st_size for path in folder.glob("*.parquet"))
            print(f"{files} file(s), {size / 1e9:.2f} GB, {COLUMNS} columns of float64")
            over |= compare(folder, options, given.rounds)
    return int(over)


def compare(folder: Path, options: dict[str, Any], rounds: int) -> bool:
    """Both ways in turn; whether the ratio for all columns is above the bar."""
    over, paths = False, sorted(map(str, folder.glob("*.parquet")))
    for columns in (None, ["c3"]):
        plain = partial(pq.read_table, paths, columns=columns)
        checked = partial(load_verified, folder, columns=columns, **options)
        # In turn, so that what else the machine does meets both.
        times = [(_seconds(plain), _seconds(checked)) for _ in range(rounds)]
        # The best of each: what else the machine does only ever adds.
        unchecked, verified = (min(column) for column in zip(*times, strict=True))
        ratio = verified / unchecked
        what = "all columns" if columns is None else "1 of 8 columns"
        print(f"  {what:14}  unchecked {unchecked:.2f} s  verified {verified:.2f} s  {ratio:.2f}x")
        over |= columns is None and ratio > BAR
    return over


def _seconds(action: Callable[[], pa.Table]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


@contextmanager
def published(megabytes: int, files: int) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder as a gate publishes it, and what a training job passes to read it."""
    with tempfile.TemporaryDirectory(prefix="auditor-bench-") as name:
        root = Path(name)
        folder = root / "published"
        folder.mkdir()
        entries = [
            _entry(folder, f"{number}.parquet", megabytes // files) for number in range(files)
        ]
        yield folder, _attest(root, folder, entries)


def _entry(folder: Path, name: str, megabytes: int) -> FileEntry:
    rows = megabytes * 1_000_000 // (8 * COLUMNS)
    rng = np.random.default_rng(len(name))
    table = pa.table({f"c{number}": rng.normal(size=rows) for number in range(COLUMNS)})
    # Random numbers do not compress: as stored, so that the file has the size that was asked for.
    pq.write_table(table, folder / name, compression="none", use_dictionary=False)
    with (folder / name).open("rb") as file:
        found = contents_of(file)
    return FileEntry(
        name=name, sha256=found.sha256, size=found.size, rows=rows, blocks=found.blocks
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


if __name__ == "__main__":
    raise SystemExit(main())
