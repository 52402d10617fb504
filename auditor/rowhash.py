"""Keyed 128-bit row keys, version 2: equal rows get equal keys, a stranger cannot make a collision.

A row's key is the sum, in two lanes modulo 2^64, of a keyed pseudo-random value for each of its
cells; the column's name and kind are part of each cell's key. Two different rows then agree with
probability 2^-128 for anybody who does not hold the site's key (the additive construction of
Bellare & Micciancio 1997, used here with a secret key). Numbers and times go through SipHash-2-4
(Aumasson & Bernstein 2012) vectorised over the column; other cells through keyed BLAKE2b over the
distinct values only. The key never leaves the site, so a sender cannot search for collisions.

Numbers are equal where their values are, whatever their type: 7, 7.0 and 7.00 of int64, double and
decimal have one key. Whoever sends rows again cannot hide them by another type of a column.
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

VERSION: Final = "rowhash/v2"
#: Words hashed at a time: five arrays of this size stay in the first-level caches.
BLOCK: Final = 4096
#: Integers below it all have a double of their own.
EXACT: Final = 2.0**53
Words = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

NUMBER: Final = "number"
OTHER: Final = "other"
_KINDS: Final = (
    (
        NUMBER,
        (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal),
    ),
    ("time", (pa.types.is_timestamp, pa.types.is_date)),
    ("time of day", (pa.types.is_time,)),
    ("duration", (pa.types.is_duration,)),
)


def row_keys(data: pa.RecordBatch, columns: Sequence[str], site_key: bytes) -> Words:
    """Keys of all rows over `columns`: uint64[rows, 2]. Column order does not matter."""
    keys = np.zeros((data.num_rows, 2), dtype=np.uint64)
    for name in columns:
        keys += _cells(data.column(name), name, site_key)
    return keys


def _cells(column: pa.Array, name: str, site_key: bytes) -> Words:
    if pa.types.is_dictionary(column.type) and not _plain_dictionary(column):
        column = column.dictionary_decode()
    kind = _kind(column.type)
    secret = _column_key(site_key, name, kind)
    if kind == OTHER:
        cells = _distinct(column, secret)
    elif kind == NUMBER:
        words, inexact = _reals(column)
        cells = _words(words, secret)
        if len(inexact):  # no double has their value: keyed by their digits, apart from doubles
            digits = pa.array([str(int(value)) for value in column.take(inexact).to_pylist()])
            cells[inexact] = _distinct(digits, _column_key(site_key, name, "digits"))
    else:
        cells = _words(_ticks(column), secret)
    if column.null_count:
        missing = pc.is_null(column).to_numpy(zero_copy_only=False)
        # A personalisation of its own: no value, the text "null" neither, has this key.
        absent = hashlib.blake2b(b"", key=secret, digest_size=16, person=b"null").digest()
        cells[missing] = np.frombuffer(absent, dtype="<u8")
    return cells


def _words(words: Words, secret: bytes) -> Words:
    return np.stack([_siphash(words, secret[:16]), _siphash(words, secret[16:])], axis=1)


def _kind(type_: pa.DataType) -> str:
    """What values of this type can equal: a number any number, a time any time."""
    if pa.types.is_dictionary(type_):
        return _kind(type_.value_type)
    return next((kind for kind, matches in _KINDS if any(m(type_) for m in matches)), OTHER)


def _reals(column: pa.Array) -> tuple[Words, Rows]:
    """Cells as the bits of doubles uint64[n], and positions of whole numbers that no double has."""
    if pa.types.is_decimal(column.type):
        return _decimals(column)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    given = pc.fill_null(column, 0)
    real = given.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    real = np.where(np.isnan(real), np.nan, real + 0.0)  # one NaN, no negative zero
    rows = np.zeros(0, dtype=np.int64)
    if pa.types.is_integer(column.type):
        large = np.flatnonzero(np.abs(real) >= EXACT)
        values = given.take(pa.array(large)).to_pylist()
        inexact = [int(double) != value for double, value in zip(real[large], values, strict=True)]
        rows = large[np.array(inexact, dtype=bool)]
    return np.ascontiguousarray(real).view(np.uint64), rows


def _decimals(column: pa.Array) -> tuple[Words, Rows]:
    """As `_reals`. A fraction is the double nearest to it: that is what a model is given."""
    encoded = column.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    real = np.array([0.0, *(float(value) for value in values)]) + 0.0
    inexact = [False, *(v == v.to_integral_value() and int(float(v)) != v for v in values)]
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False) + 1
    return real.view(np.uint64)[codes], np.flatnonzero(np.array(inexact)[codes])


def _ticks(column: pa.Array) -> Words:
    """Times, times of day and durations as 64-bit counts of one unit a kind."""
    type_ = column.type
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        column = column.cast(pa.timestamp("us", getattr(type_, "tz", None)), safe=False)
    elif pa.types.is_time(type_):
        column = column.cast(pa.time64("ns"), safe=False)
    else:
        column = column.cast(pa.duration("ns"), safe=False)
    counts = pc.fill_null(column.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    ticks: Words = counts.view(np.uint64)
    return ticks


def scheme(schema: pa.Schema, columns: Sequence[str], site_key: bytes) -> str:
    """A name for how rows are keyed: 32 hex digits. Keys of two schemes cannot be compared.

    Column order does not matter; the kind of each column does, for it is part of the keys.
    """
    named = sorted((name, _kind(schema.field(name).type)) for name in columns)
    framed = repr((VERSION, named)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(framed, key=site_key[:64], digest_size=16).hexdigest()


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
    if pa.types.is_nested(column.type):
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
