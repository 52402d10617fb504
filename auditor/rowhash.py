"""Keyed 128-bit row keys, version 1: equal rows get equal keys, a stranger cannot make a collision.

A row's key is the sum, in two lanes modulo 2^64, of a keyed pseudo-random value for each of its
cells; the column's name and type class are part of each cell's key. Two different rows then agree
with probability 2^-128 for anybody who does not hold the site's key (the additive construction of
Bellare & Micciancio 1997, used here with a secret key). Fixed-width cells go through SipHash-2-4
(Aumasson & Bernstein 2012) vectorised over the column; other cells through keyed BLAKE2b over the
distinct values only. The key never leaves the site, so a sender cannot search for collisions.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Batch

VERSION: Final = "rowhash/v1"
#: Words hashed at a time: five arrays of this size stay in the first-level caches.
BLOCK: Final = 4096
Words = npt.NDArray[np.uint64]


def row_keys(data: pa.RecordBatch, columns: Sequence[str], site_key: bytes) -> Words:
    """Keys of all rows over `columns`: uint64[rows, 2]. Column order does not matter."""
    keys = np.zeros((data.num_rows, 2), dtype=np.uint64)
    for name in columns:
        keys += _cells(data.column(name), name, site_key)
    return keys


def _cells(column: pa.Array, name: str, site_key: bytes) -> Words:
    if pa.types.is_dictionary(column.type) and not _plain_dictionary(column):
        column = column.dictionary_decode()
    values, kind = _canonical(column)
    secret = _column_key(site_key, name, kind)
    if kind == "other":
        cells = _distinct(values, secret)
    else:
        cells = np.stack([_siphash(values, secret[:16]), _siphash(values, secret[16:])], axis=1)
    if column.null_count:
        missing = pc.is_null(column).to_numpy(zero_copy_only=False)
        # A personalisation of its own: no value, the text "null" neither, has this key.
        absent = hashlib.blake2b(b"", key=secret, digest_size=16, person=b"null").digest()
        cells[missing] = np.frombuffer(absent, dtype="<u8")
    return cells


def _canonical(column: pa.Array) -> tuple[Words | pa.Array, str]:
    """Cells as 64-bit words where the type has a fixed width, else the array itself."""
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        whole = pc.fill_null(column, False if pa.types.is_boolean(kind) else 0)
        unsigned = pa.types.is_uint64(kind)
        target = pa.uint64() if unsigned else pa.int64()
        return whole.cast(target).to_numpy(zero_copy_only=False).view(np.uint64), "integer"
    if pa.types.is_floating(kind):
        real = pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy(zero_copy_only=False)
        real = np.where(np.isnan(real), np.nan, real + 0.0)  # one NaN, no negative zero
        return np.ascontiguousarray(real).view(np.uint64), "real"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        stamp = pa.timestamp("us", getattr(kind, "tz", None))
        micro = column.cast(stamp, safe=False).cast(pa.int64())
        return pc.fill_null(micro, 0).to_numpy(zero_copy_only=False).view(np.uint64), "time"
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        whole = pc.fill_null(column.cast(pa.int32() if pa.types.is_time32(kind) else pa.int64()), 0)
        words = whole.cast(pa.int64()).to_numpy(zero_copy_only=False).view(np.uint64)
        return words, str(kind)
    return column, "other"


def scheme(schema: pa.Schema, columns: Sequence[str], site_key: bytes) -> str:
    """A name for how rows are keyed: 32 hex digits. Keys of two schemes cannot be compared.

    Column order does not matter; the kind of each column does, for it is part of the keys.
    """
    named = sorted((name, _kind(schema.field(name).type)) for name in columns)
    framed = repr((VERSION, named)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(framed, key=site_key[:64], digest_size=16).hexdigest()


def _kind(kind: pa.DataType) -> str:
    return _canonical(pa.array([], kind.value_type if pa.types.is_dictionary(kind) else kind))[1]


def _plain_dictionary(column: pa.DictionaryArray) -> bool:
    """Texts, none of them null: a null among the distinct values would not be seen as one."""
    kind, distinct = column.type.value_type, column.dictionary
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind)) and not (
        distinct.null_count
    )


def _distinct(column: pa.Array, secret: bytes) -> Words:
    """Keyed BLAKE2b of each distinct value, spread over the rows."""
    encoded = column if pa.types.is_dictionary(column.type) else _encode(column)
    table = b"".join(_keyed(_bytes(value), secret) for value in encoded.dictionary.to_pylist())
    lanes = np.frombuffer(table or bytes(16), dtype="<u8").reshape(-1, 2)
    indices = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
    cells: Words = lanes[indices].astype(np.uint64)
    return cells


def _encode(column: pa.Array) -> pa.DictionaryArray:
    if pa.types.is_nested(column.type) or pa.types.is_decimal(column.type):
        column = pa.array([None if v is None else repr(v) for v in column.to_pylist()], pa.string())
    return column.dictionary_encode()


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def _column_key(site_key: bytes, name: str, kind: str) -> bytes:
    text = name.encode("utf-8", "surrogatepass")
    framed = VERSION.encode() + struct.pack("<II", len(kind), len(text)) + kind.encode() + text
    return hashlib.blake2b(framed, key=site_key[:64], digest_size=32).digest()


def _keyed(value: bytes, secret: bytes) -> bytes:
    return hashlib.blake2b(value, key=secret, digest_size=16).digest()


def _siphash(words: Words, key: bytes) -> Words:
    """SipHash-2-4 of each 8-byte word (little endian) under a 16-byte key: uint64[n]."""
    out = np.empty_like(words)
    for start in range(0, words.size, BLOCK):
        stop = start + BLOCK
        out[start:stop] = _siphash_block(words[start:stop], *struct.unpack("<QQ", key))
    return out


def _siphash_block(words: Words, k0: int, k1: int) -> Words:
    magic = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
    a, b, c, d = (
        np.full(words.shape, secret ^ constant, dtype=np.uint64)
        for secret, constant in zip((k0, k1, k0, k1), magic, strict=True)
    )
    spare = np.empty_like(a)
    for message in (words, np.uint64(8 << 56)):  # the second word carries the length
        d ^= message
        _round(a, b, c, d, spare)
        _round(a, b, c, d, spare)
        a ^= message
    c ^= np.uint64(0xFF)
    for _ in range(4):
        _round(a, b, c, d, spare)
    a ^= b
    a ^= c
    a ^= d
    return a


def _rotate(word: Words, bits: int, spare: Words) -> None:
    """Rotate every word left, in place."""
    np.right_shift(word, np.uint64(64 - bits), out=spare)
    np.left_shift(word, np.uint64(bits), out=word)
    np.bitwise_or(word, spare, out=word)


def _round(a: Words, b: Words, c: Words, d: Words, spare: Words) -> None:
    """One SipRound over all words, in place."""
    a += b
    _rotate(b, 13, spare)
    b ^= a
    _rotate(a, 32, spare)
    c += d
    _rotate(d, 16, spare)
    d ^= c
    a += d
    _rotate(d, 21, spare)
    d ^= a
    c += b
    _rotate(b, 17, spare)
    b ^= c
    _rotate(c, 32, spare)


def batch_keys(batch: Batch, columns: Sequence[str], site_key: bytes) -> Words:
    """Keys of every row of a batch over `columns`: uint64[rows, 2]."""
    keys = [row_keys(chunk.data, columns, site_key) for chunk in batch.chunks(columns)]
    return np.concatenate(keys) if keys else np.zeros((0, 2), dtype=np.uint64)


class KeyIndex:
    """Trusted row keys, sorted for look-up by the first lane; the second lane must agree too."""

    def __init__(self, keys: Words) -> None:
        """Sort `keys` uint64[n, 2] once."""
        order = np.argsort(keys[:, 0], kind="stable")
        self.order: npt.NDArray[np.int64] = order.astype(np.int64)
        self._first = keys[order, 0]
        self._second = keys[order, 1]

    def __len__(self) -> int:
        """Trusted rows."""
        return len(self._first)

    def spans(self, keys: Words) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """For each key, where its equals start and end in `order`, both int64[n].

        Two keys that share one lane only (chance 2^-64 a pair) count as different.
        """
        start = np.searchsorted(self._first, keys[:, 0], side="left").astype(np.int64)
        stop = np.searchsorted(self._first, keys[:, 0], side="right").astype(np.int64)
        if len(self._first):
            other = self._second[np.minimum(start, len(self._first) - 1)] != keys[:, 1]
            stop[other] = start[other]
        return start, stop

    @property
    def repeated(self) -> int:
        """Trusted rows that equal another trusted row."""
        return len(self) - int(np.sum(self._run_lengths() == 1))

    @property
    def extra(self) -> int:
        """Trusted rows beyond the first of each family of equal ones."""
        return len(self) - len(self._run_lengths())

    @property
    def families(self) -> int:
        """Keys that occur more than once."""
        return int(np.sum(self._run_lengths() > 1))

    @property
    def family_size(self) -> float:
        """Size of the family of a repeated row, in the mean over repeated rows; at least 2."""
        sizes = self._run_lengths()
        return _weighted_mean(sizes[sizes > 1], 2.0)

    @property
    def extra_at_once(self) -> float:
        """Extra rows in the family of an extra row, in the mean over extra rows; at least 1."""
        return _weighted_mean(self._run_lengths() - 1, 1.0)

    def _run_lengths(self) -> npt.NDArray[np.int64]:
        if not len(self):
            return np.zeros(0, dtype=np.int64)
        starts = np.flatnonzero(np.r_[True, self._first[1:] != self._first[:-1]])
        lengths: npt.NDArray[np.int64] = np.diff(np.r_[starts, len(self)])
        return lengths

    def counts(self, keys: Words) -> npt.NDArray[np.int64]:
        """How many trusted rows have each key: int64[n]."""
        start, stop = self.spans(keys)
        return stop - start


def _weighted_mean(sizes: npt.NDArray[np.int64], least: float) -> float:
    total = float(sizes.sum())
    return max(least, float((sizes.astype(np.float64) ** 2).sum()) / total) if total else least
