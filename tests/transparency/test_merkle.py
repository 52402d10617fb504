"""Trees and proofs against the definition in RFC 6962 §2.1, and against other people's vectors."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.transparency import merkle
from auditor.transparency.refused import LogRefused

OWN = Path(__file__).parent / "vectors"
SIZES = 130


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    halves = naive_root(leaves[:k]) + naive_root(leaves[k:])
    return hashlib.sha256(b"\x01" + halves).digest()


LEAVES = [merkle.leaf_hash(b"entry %d" % number) for number in range(SIZES)]
TREE = merkle.levels(LEAVES)
ROOTS = [naive_root(LEAVES[:size]) for size in range(SIZES + 1)]


def node(level: int, position: int) -> bytes:
    return TREE[level][position]


def test_every_root_up_to_130_is_that_of_the_definition() -> None:
    assert [merkle.tree_root(size, node) for size in range(SIZES + 1)] == ROOTS


def test_appending_completes_exactly_the_subtrees_of_the_tree() -> None:
    grown: dict[tuple[int, int], bytes] = {}
    for index, leaf in enumerate(LEAVES):
        grown[0, index] = leaf
        for level, position, found in merkle.completed_by(index, leaf, lambda *at: grown[at]):
            assert (level, position) not in grown
            grown[level, position] = found
    assert grown == {
        (level, position): found
        for level, row in enumerate(TREE)
        for position, found in enumerate(row)
    }


def test_every_inclusion_proof_up_to_130_verifies_and_no_other_index_does() -> None:
    for size in range(1, SIZES + 1):
        for index in range(size):
            proof = merkle.inclusion_proof(index, size, node)
            merkle.verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])
            for other in {index - 1, index + 1, index ^ 2, size} - {index}:
                with pytest.raises(LogRefused, match="PROOF_INCLUSION"):
                    merkle.verify_inclusion(LEAVES[index], other, size, proof, ROOTS[size])


def test_every_consistency_proof_up_to_130_verifies_and_no_other_size_does() -> None:
    for new in range(1, SIZES + 1):
        for old in range(1, new + 1):
            proof = merkle.consistency_proof(old, new, node)
            merkle.verify_consistency(old, new, ROOTS[old], ROOTS[new], proof)
            for other in {old - 1, old + 1, new + 1} - {old}:
                with pytest.raises(LogRefused, match="PROOF_CONSISTENCY"):
                    merkle.verify_consistency(other, new, ROOTS[old], ROOTS[new], proof)


def flipped(hashes: list[bytes], bit: int) -> list[bytes]:
    raw = bytearray(b"".join(hashes))
    raw[bit // 8] ^= 1 << bit % 8
    return [bytes(raw[at : at + 32]) for at in range(0, len(raw), 32)]


@given(data=st.data(), size=st.integers(2, SIZES))
def test_any_bit_changed_in_leaf_root_or_proof_is_refused(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    whole = [LEAVES[index], ROOTS[size], *merkle.inclusion_proof(index, size, node)]
    leaf, root, *proof = flipped(whole, data.draw(st.integers(0, len(whole) * 256 - 1)))
    with pytest.raises(LogRefused, match="PROOF_INCLUSION"):
        merkle.verify_inclusion(leaf, index, size, proof, root)
    old = data.draw(st.integers(1, size - 1))
    whole = [ROOTS[old], ROOTS[size], *merkle.consistency_proof(old, size, node)]
    before, after, *proof = flipped(whole, data.draw(st.integers(0, len(whole) * 256 - 1)))
    with pytest.raises(LogRefused, match="PROOF_CONSISTENCY"):
        merkle.verify_consistency(old, size, before, after, proof)


@given(data=st.data(), size=st.integers(2, SIZES))
def test_a_proof_with_a_hash_too_many_or_too_few_is_refused(data: st.DataObject, size: int) -> None:
    old = data.draw(st.integers(1, size - 1))
    extra = data.draw(st.sampled_from([ROOTS[size], b"\0" * 32]))

    def spoilt(proof: list[bytes]) -> list[bytes]:
        if data.draw(st.booleans()):
            return proof[:-1]
        at = data.draw(st.integers(0, len(proof)))
        return [*proof[:at], extra, *proof[at:]]

    inclusion = spoilt(merkle.inclusion_proof(old, size, node))
    with pytest.raises(LogRefused, match="PROOF_INCLUSION"):
        merkle.verify_inclusion(LEAVES[old], old, size, inclusion, ROOTS[size])
    consistency = spoilt(merkle.consistency_proof(old, size, node))
    with pytest.raises(LogRefused, match="PROOF_CONSISTENCY"):
        merkle.verify_consistency(old, size, ROOTS[old], ROOTS[size], consistency)


def test_hashes_of_another_length_are_refused() -> None:
    with pytest.raises(LogRefused, match="32 bytes"):
        merkle.verify_inclusion(b"", 0, 1, [], b"")
    with pytest.raises(LogRefused, match="32 bytes"):
        merkle.verify_consistency(1, 2, b"x", b"x", [b"x"])


def test_nothing_can_be_proven_about_leaves_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="no leaf 5"):
        merkle.inclusion_proof(5, 5, node)
    with pytest.raises(ValueError, match="no proof from 0"):
        merkle.consistency_proof(0, 5, node)


# ---------------------------------------------------------------------------- vectors of others


def refuses(case: dict[str, Any]) -> bool:
    """Whether our verifier refuses one case in the format of transparency-dev/merkle."""
    proof = [base64.b64decode(each) for each in case["proof"] or ()]
    raw = {name: base64.b64decode(value) for name, value in case.items() if "oot" in name}
    try:
        if "leafIdx" in case:
            leaf = base64.b64decode(case["leafHash"])
            at, size = case["leafIdx"], case["treeSize"]
            merkle.verify_inclusion(leaf, at, size, proof, raw["root"])
        else:
            sizes = case["size1"], case["size2"]
            merkle.verify_consistency(*sizes, raw["root1"], raw["root2"], proof)
    except LogRefused:
        return True
    return False


def folder_of_vectors() -> Iterator[Path]:
    named = os.environ.get("AUDITOR_MERKLE_VECTORS")
    if named is None:
        pytest.skip("AUDITOR_MERKLE_VECTORS names no folder with transparency-dev/merkle testdata")
    yield from sorted(Path(named).rglob("*.json"))


def test_case_108_the_vectors_of_transparency_dev_agree() -> None:
    """196 inclusion and consistency cases of another implementation, good and bad."""
    read = [(path, json.loads(path.read_bytes())) for path in folder_of_vectors()]
    assert len(read) == 196
    wrong = [str(path) for path, case in read if refuses(case) != case["wantErr"]]
    assert wrong == []
    assert {case["wantErr"] for _, case in read} == {True, False}


@pytest.mark.parametrize("name", ["inclusion.json", "consistency.json"])
def test_case_108_our_own_vectors(name: str) -> None:
    """The same kinds of cases, made by hand from the definition, ship with the tests."""
    cases = json.loads((OWN / name).read_text())
    assert {case["wantErr"] for case in cases} == {True, False}
    for case in cases:
        assert refuses(case) == case["wantErr"], case["desc"]
