"""Writes the vectors beside it from the recursive definitions of RFC 6962 §2.1.1 and §2.1.2.

Shares no code with the package. Run it as a script; the files change only if the cases do.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def half(count: int) -> int:
    k = 1
    while k * 2 < count:
        k *= 2
    return k


def mth(d: list[bytes]) -> bytes:
    if len(d) == 1:
        return sha256(b"\x00" + d[0])
    k = half(len(d))
    return sha256(b"\x01" + mth(d[:k]) + mth(d[k:]))


def path(m: int, d: list[bytes]) -> list[bytes]:
    if len(d) == 1:
        return []
    k = half(len(d))
    if m < k:
        return [*path(m, d[:k]), mth(d[k:])]
    return [*path(m - k, d[k:]), mth(d[:k])]


def subproof(m: int, d: list[bytes], known: bool) -> list[bytes]:
    if m == len(d):
        return [] if known else [mth(d)]
    k = half(len(d))
    if m <= k:
        return [*subproof(m, d[:k], known), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


def spoilt(proof: list[bytes]) -> list[tuple[str, list[bytes]]]:
    zero = b"\0" * 32
    cases = [("preceding garbage", [zero, *proof]), ("trailing garbage", [*proof, zero])]
    if proof:
        cases.append(("truncated", proof[:-1]))
        cases.append(("empty", []))
        cases.append(("one bit", [bytes([proof[0][0] ^ 16]) + proof[0][1:], *proof[1:]]))
    if len(proof) > 1:
        cases.append(("swapped", [proof[1], proof[0], *proof[2:]]))
    return cases


def text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def inclusion(index: int, d: list[bytes]) -> list[dict[str, Any]]:
    leaf, root, proof = mth([d[index]]), mth(d), path(index, d)

    def case(said: str, wrong: bool, at: int, size: int, hashes: list[bytes]) -> dict[str, Any]:
        where = {"leafIdx": at, "treeSize": size, "root": text(root), "leafHash": text(leaf)}
        proof_text = [text(each) for each in hashes]
        desc = f"{index} of {len(d)}: {said}"
        return {**where, "proof": proof_text, "desc": desc, "wantErr": wrong}

    return [
        case("right", False, index, len(d), proof),
        case("next index", True, index + 1, len(d), proof),
        case("twice the size", True, index, len(d) * 2, proof),
        *(case(said, True, index, len(d), hashes) for said, hashes in spoilt(proof)),
    ]


def consistency(old: int, d: list[bytes]) -> list[dict[str, Any]]:
    roots, proof = (mth(d[:old]), mth(d)), subproof(old, d, True)

    def case(said: str, wrong: bool, size: int, hashes: list[bytes], swap: int) -> dict[str, Any]:
        first, second = roots[swap], roots[1 - swap]
        where = {"size1": size, "size2": len(d), "root1": text(first), "root2": text(second)}
        proof_text = [text(each) for each in hashes]
        desc = f"{old} to {len(d)}: {said}"
        return {**where, "proof": proof_text, "desc": desc, "wantErr": wrong}

    return [
        case("right", False, old, proof, 0),
        case("swapped roots", True, old, proof, 1),
        case("from nothing", True, 0, proof, 0),
        *(case(said, True, old, hashes, 0) for said, hashes in spoilt(proof)),
    ]


def main() -> None:
    d = [b"", b"\0", b"entry 2", b"3" * 100, b"\xff", b"5", b"six", b"7", b"8", b"9", b"10"]
    places = [(0, 1), (0, 2), (1, 2), (2, 3), (0, 8), (5, 8), (6, 7), (10, 11)]
    sizes = [(1, 2), (1, 8), (2, 3), (3, 7), (6, 8), (8, 11), (7, 11), (10, 11)]
    made = {
        "inclusion": [case for index, size in places for case in inclusion(index, d[:size])],
        "consistency": [case for old, new in sizes for case in consistency(old, d[:new])],
    }
    for name, cases in made.items():
        (HERE / f"{name}.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
