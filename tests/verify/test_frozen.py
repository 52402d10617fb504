"""A frozen data set: many batches under one signed list, each verified as if it were alone."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from auditor.provenance.digests import sha256

pytestmark = pytest.mark.slow


def test_the_union_of_the_batches_is_read(made: Any) -> None:
    with made.world.verify(**made.given()) as verified:
        assert verified.table().equals(made.rows)
        assert sum(batch.num_rows for batch in verified) == 300
        assert verified.dataset().to_table().num_rows == 300
        assert len(verified.summaries) == 2
        assert verified.rollback_protection == "seen"


def test_by_its_name_below_the_root(made: Any) -> None:
    with made.world.verify(**made.write()) as verified:
        assert verified.table().num_rows == 300


def test_a_recalled_batch_spoils_the_set(made: Any) -> None:
    """One of the batches is recalled after the set was frozen."""
    made.world.ledger.append(
        "recall", at=made.world.now, via="cli", subject=made.parents[1].attestation_sha256
    )
    assert made.code() == "RECALLED"


def test_a_recalled_set_is_refused(made: Any) -> None:
    """The set itself is recalled."""
    made.world.ledger.append("recall", at=made.world.now, via="cli", subject=sha256(made.envelope))
    assert made.code() == "RECALLED"


def test_old_batches_count_with_a_fresh_status_only(made: Any) -> None:
    """Attestations may have expired; without a fresh status nobody knows what was recalled."""
    later = made.world.now + dt.timedelta(days=90)
    fresh = made.world.status(now=later)
    with made.world.verify(**made.given(now=later, status=fresh)) as verified:
        assert verified.table().num_rows == 300
    stale = made.world.status(now=later - dt.timedelta(hours=25))
    assert made.code(now=later, status=stale, seen=made.world.root / "s2") == "STATUS_STALE"
    bare = made.world.trust(status=None)
    assert made.code(status=None, policy=bare) == "STATUS_MISSING"


def test_a_set_that_somebody_else_signed(made: Any) -> None:
    """A supplier freezes a set of its own choice."""
    made.sign(made.world.vendor)
    assert made.code() == "SIGNATURE_THRESHOLD"


def test_another_set(made: Any) -> None:
    """A frozen set of another name is offered, or the set in the place of one batch."""
    assert made.code(resource="autumn") == "RESOURCE_MISMATCH"
    assert made.code(resource="vendor-a/stones@0") == "RESOURCE_MISMATCH"


def test_a_batch_that_is_not_as_it_was_frozen(made: Any) -> None:
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


def test_a_changed_file_of_one_batch(made: Any) -> None:
    path = made.root / made.parents[1].published_sha256 / "x.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert made.code() == "FILE_DIGEST"


def test_a_list_that_lies_about_a_batch(made: Any) -> None:
    """The list gives a batch other rows than its attestation."""
    lying = [replace(made.parents[0], rows=99), made.parents[1]]
    made.sign(made.world.gate, lying)
    assert made.code() == "SUBJECT_DIGEST"
