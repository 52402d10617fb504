"""A frozen data set: many batches under one signed list, each verified as if it were alone."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditor.ledger import Ledger
from auditor.provenance import frozen
from auditor.provenance.digests import sha256
from auditor.provenance.frozen import Parent

pytestmark = pytest.mark.slow

NAME = "spring"


class Frozen:
    """Two batches of the world, frozen under one name."""

    def __init__(self, world: Any) -> None:
        self.world, self.rows = world, world.rows
        self.root = Path(world.published.parent)
        self.parents = [self.batch(number, part) for number, part in enumerate(self.parts())]
        self.sign(world.gate)

    def parts(self) -> list[pa.Table]:
        return [self.rows.slice(0, 100), self.rows.slice(100)]

    def batch(self, number: int, rows: pa.Table) -> Parent:
        """Another batch that the gate published."""
        folder = self.root / f"making-{number}"
        shutil.copytree(self.world.published, folder)
        own = replace(self.world, published=folder)
        resource = f"vendor-a/stones@{number}"

        def named(said: dict[str, Any]) -> None:
            said["predicate"]["resourceUri"] = said["subject"][0]["name"] = f"dataset:{resource}"

        own.of_files({"x.parquet": rows})
        own.republish(named)
        digest = own.said["subject"][0]["digest"]["sha256"]
        folder.rename(self.root / digest)
        return Parent(
            resource=resource,
            attestation_sha256=sha256((self.root / digest / "attestation.dsse.json").read_bytes()),
            published_sha256=digest,
            rows=rows.num_rows,
        )

    def sign(self, key: Ed25519PrivateKey, parents: list[Parent] | None = None) -> None:
        payload = frozen.build(NAME, parents or self.parents, self.world.now)
        self.envelope = self.world.sign(payload, key)
        self.log()

    def log(self, ledger: Ledger | None = None, event: str = "dataset.frozen") -> None:
        """The list gets its entry in the log, and its proof."""
        ledger = ledger or self.world.ledger
        digest, now = sha256(self.envelope), self.world.now
        refs = [digest] if event == "verdict" else []
        index = ledger.append(event, at=now, via="cli", subject=digest, refs=refs)
        self.proof = ledger.prove(index)

    def given(self, **changes: Any) -> dict[str, Any]:
        own = {"attestation": self.envelope, "proof": self.proof}
        return {"root": self.root, "resource": NAME} | own | changes

    def write(self) -> dict[str, Any]:
        """Put it where `auditor dataset freeze` does; how it is named then."""
        (self.root / "frozen").mkdir(exist_ok=True)
        (self.root / "frozen" / f"{NAME}.dsse.json").write_bytes(self.envelope)
        (self.root / "frozen" / f"{NAME}.proof.tlog").write_bytes(self.proof)
        named = f"frozen/{NAME}.dsse.json"
        return {"root": self.root, "resource": NAME, "attestation": named}

    def code(self, **changes: Any) -> str:
        found: str = self.world.refused(**self.given(**changes))
        return found


@pytest.fixture
def made(world: Any) -> Frozen:
    return Frozen(world)


def test_the_union_of_the_batches_is_read(made: Frozen) -> None:
    with made.world.verify(**made.given()) as verified:
        assert verified.table().equals(made.rows)
        assert sum(batch.num_rows for batch in verified) == 300
        assert verified.dataset().to_table().num_rows == 300
        assert len(verified.summaries) == 2
        assert verified.rollback_protection == "seen"


def test_by_its_name_below_the_root(made: Frozen) -> None:
    with made.world.verify(**made.write()) as verified:
        assert verified.table().num_rows == 300


def test_a_recalled_batch_spoils_the_set(made: Frozen) -> None:
    """One of the batches is recalled after the set was frozen."""
    made.world.ledger.append(
        "recall", at=made.world.now, via="cli", subject=made.parents[1].attestation_sha256
    )
    assert made.code() == "RECALLED"


def test_a_recalled_set_is_refused(made: Frozen) -> None:
    """The set itself is recalled."""
    made.world.ledger.append("recall", at=made.world.now, via="cli", subject=sha256(made.envelope))
    assert made.code() == "RECALLED"


def test_old_batches_count_with_a_fresh_status_only(made: Frozen) -> None:
    """Attestations may have expired; without a fresh status nobody knows what was recalled."""
    later = made.world.now + dt.timedelta(days=90)
    fresh = made.world.status(now=later)
    with made.world.verify(**made.given(now=later, status=fresh)) as verified:
        assert verified.table().num_rows == 300
    stale = made.world.status(now=later - dt.timedelta(hours=25))
    assert made.code(now=later, status=stale, seen=made.world.root / "s2") == "STATUS_STALE"
    bare = made.world.trust(status=None)
    assert made.code(status=None, policy=bare) == "STATUS_MISSING"


def test_a_set_that_somebody_else_signed(made: Frozen) -> None:
    """A supplier freezes a set of its own choice."""
    made.sign(made.world.vendor)
    assert made.code() == "SIGNATURE_THRESHOLD"


def test_another_set(made: Frozen) -> None:
    """A frozen set of another name is offered, or the set in the place of one batch."""
    assert made.code(resource="autumn") == "RESOURCE_MISMATCH"
    assert made.code(resource="vendor-a/stones@0") == "RESOURCE_MISMATCH"


def test_a_batch_that_is_not_as_it_was_frozen(made: Frozen) -> None:
    """A batch gets another attestation, loses it, or its proof."""
    folder = made.root / made.parents[0].published_sha256
    proof = (folder / "proof.tlog").read_bytes()
    (folder / "proof.tlog").unlink()
    assert made.code() == "PROOF_MISSING"
    (folder / "proof.tlog").write_bytes(proof)
    own = replace(made.world, published=folder)
    own.republish()
    assert made.code() == "FILE_DIGEST"
    (folder / "attestation.dsse.json").unlink()
    assert made.code() == "ATTESTATION_MISSING"


def test_a_changed_file_of_one_batch(made: Frozen) -> None:
    path = made.root / made.parents[1].published_sha256 / "x.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert made.code() == "FILE_DIGEST"


def test_a_list_that_lies_about_a_batch(made: Frozen) -> None:
    """The list gives a batch other rows than its attestation."""
    lying = [replace(made.parents[0], rows=99), made.parents[1]]
    made.sign(made.world.gate, lying)
    assert made.code() == "SUBJECT_DIGEST"
