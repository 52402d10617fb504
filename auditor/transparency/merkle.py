"""Merkle trees of RFC 6962 §2.1: hashes, inclusion and consistency proofs, and how to verify them.

A complete subtree is named (level, position): it covers the leaves from `position << level` to
before `(position + 1) << level`. Everything is made from complete subtrees, which `node` returns,
so that a proof in a log of a million entries reads about twenty of them.

Hashes are 32 bytes. The verifiers follow RFC 9162 §2.1.3.2 and §2.1.4.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from auditor.transparency.refused import LogRefused

#: Returns the hash of a complete subtree, by level and position.
Node = Callable[[int, int], bytes]

HASH_BYTES: Final = 32
#: Largest tree: sizes are 63-bit integers in both databases.
MAX_SIZE: Final = 2**63 - 1
#: The hash of no leaves at all.
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(body: bytes) -> bytes:
    """SHA256(0x00 || body)."""
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def completed_by(index: int, leaf: bytes, node: Node) -> Iterator[tuple[int, int, bytes]]:
    """The subtrees of two leaves and more that the leaf at `index` completes.

    Yields (level, position, hash), smallest first; `node` is asked for their left halves only.
    """
    level, position, found = 0, index, leaf
    while position & 1:
        found = node_hash(node(level, position - 1), found)
        level, position = level + 1, position >> 1
        yield level, position, found


def levels(leaves: Iterable[bytes]) -> list[list[bytes]]:
    """Every complete subtree of a tree: `levels(leaves)[level][position]`, leaves at level 0."""
    tree, sha256 = [list(leaves)], hashlib.sha256  # node_hash, inlined: this runs a million times
    while len(tree[-1]) > 1:
        each = iter(tree[-1])
        pairs = zip(each, each, strict=False)
        tree.append([sha256(b"\x01" + left + right).digest() for left, right in pairs])
    return tree


def tree_root(size: int, node: Node) -> bytes:
    """The root of the first `size` leaves."""
    return _span(0, size, node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """The hashes that lead from leaf `index` to the root of `size` leaves, the lowest first."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    proof, low, high = [], 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            proof.append(_span(middle, high, node))
            high = middle
        else:
            proof.append(_span(low, middle, node))
            low = middle
    return proof[::-1]


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """The hashes that lead from the root of `old` leaves to the root of `new`, lowest first."""
    if not 0 < old <= new:
        raise ValueError(f"there is no proof from {old} leaves to {new}")
    proof, low, high = [], 0, new
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            proof.append(_span(middle, high, node))
            high = middle
        else:
            proof.append(_span(low, middle, node))
            low = middle
    if low:  # the old tree is not one complete subtree at the left edge: its last part is needed
        proof.append(_span(low, high, node))
    return proof[::-1]


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Raise `LogRefused` PROOF_INCLUSION unless the leaf is at `index` of the tree of `root`."""
    if not 0 <= index < size <= MAX_SIZE:
        raise LogRefused("PROOF_INCLUSION", f"There is no entry {index} in a log of {size}.")
    _require_hashes((leaf, root, *proof), "PROOF_INCLUSION")
    at, last, found = index, size - 1, leaf
    for sibling in proof:
        if not last:
            raise LogRefused("PROOF_INCLUSION", "The proof is too long.")
        if at & 1 or at == last:
            found = node_hash(sibling, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        at, last = at >> 1, last >> 1
    if last or found != root:
        raise LogRefused("PROOF_INCLUSION", f"Entry {index} does not lead to the signed root.")


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raise `LogRefused` PROOF_CONSISTENCY unless the new tree starts with the whole old one.

    A tree of no leaves proves nothing about another and is refused.
    """
    if not 0 < old <= new <= MAX_SIZE:
        raise LogRefused("PROOF_CONSISTENCY", f"No proof leads from {old} entries to {new}.")
    if old == new:
        if proof or old_root != new_root:
            raise LogRefused("PROOF_CONSISTENCY", f"Two roots for one size, {old}.")
        return
    _require_hashes((old_root, new_root, *proof), "PROOF_CONSISTENCY")
    hashes = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not hashes or _replayed(old, new, hashes) != (old_root, new_root):
        raise LogRefused(
            "PROOF_CONSISTENCY", f"The log of {new} does not start with that of {old}."
        )


def _replayed(old: int, new: int, hashes: list[bytes]) -> tuple[bytes, bytes] | None:
    """Both roots as the proof has them; None where it has the wrong number of hashes."""
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    before = after = hashes[0]
    for sibling in hashes[1:]:
        if not last:
            return None
        if at & 1 or at == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        at, last = at >> 1, last >> 1
    return None if last else (before, after)


def _split(count: int) -> int:
    """The largest power of two below `count` (which is at least 2)."""
    return 1 << (count - 1).bit_length() - 1


def _span(low: int, high: int, node: Node) -> bytes:
    """The hash over the leaves from `low` to before `high`, as RFC 6962 splits them."""
    count = high - low
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return node(level, low >> level)
    middle = low + _split(count)
    return node_hash(_span(low, middle, node), _span(middle, high, node))


def _require_hashes(hashes: Iterable[bytes], code: str) -> None:
    if any(len(each) != HASH_BYTES for each in hashes):
        raise LogRefused(code, f"A hash is not {HASH_BYTES} bytes long.")
