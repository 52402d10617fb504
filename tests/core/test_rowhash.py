"""Row keys: equal rows agree, different rows do not, and nobody without the key can tell how."""

from __future__ import annotations

import itertools
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.batch import Roles, TableBatch
from auditor.rowhash import KeyIndex, _siphash, batch_keys, row_keys

KEY = bytes(range(32))
CELLS = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans(), st.text(max_size=6)
)


def keys(columns: dict[str, Any], names: list[str] | None = None, key: bytes = KEY) -> list:
    data = pa.record_batch(
        {n: v if isinstance(v, pa.Array) else pa.array(v) for n, v in columns.items()}
    )
    return [tuple(k) for k in row_keys(data, names or list(columns), key).tolist()]


def siphash(message: bytes) -> int:
    word = np.frombuffer(message, dtype="<u8").astype(np.uint64)
    return int(_siphash(word, bytes(range(16)))[0])


def test_siphash_reference_vector() -> None:
    # vectors.h of the reference implementation, entry 8, in the order of its bytes.
    assert siphash(bytes(range(8))) == 0x93F5F5799A932462


def plain_siphash(message: bytes, key: bytes) -> int:
    """SipHash-2-4 of 8 bytes, straight from the paper (Aumasson & Bernstein 2012)."""
    mask = 2**64 - 1
    k0, k1 = (int.from_bytes(key[i : i + 8], "little") for i in (0, 8))
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D]
    v += [k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rotate(x: int, b: int) -> int:
        return (x << b | x >> (64 - b)) & mask

    def turn() -> None:
        v[0] = (v[0] + v[1]) & mask
        v[1] = rotate(v[1], 13) ^ v[0]
        v[0] = rotate(v[0], 32)
        v[2] = (v[2] + v[3]) & mask
        v[3] = rotate(v[3], 16) ^ v[2]
        v[0] = (v[0] + v[3]) & mask
        v[3] = rotate(v[3], 21) ^ v[0]
        v[2] = (v[2] + v[1]) & mask
        v[1] = rotate(v[1], 17) ^ v[2]
        v[2] = rotate(v[2], 32)

    for word in (int.from_bytes(message, "little"), 8 << 56):
        v[3] ^= word
        turn()
        turn()
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(4):
        turn()
    return v[0] ^ v[1] ^ v[2] ^ v[3]


@given(message=st.binary(min_size=8, max_size=8), key=st.binary(min_size=16, max_size=16))
def test_siphash_is_the_papers(message: bytes, key: bytes) -> None:
    word = np.frombuffer(message, dtype="<u8").astype(np.uint64)
    assert int(_siphash(word, key)[0]) == plain_siphash(message, key)


def test_blocks_of_words_change_nothing() -> None:
    words = np.arange(10_000, dtype=np.uint64)
    some = [0, 4095, 4096, 9999]
    single = [int(_siphash(words[i : i + 1], KEY[:16])[0]) for i in some]
    assert _siphash(words, KEY[:16])[some].tolist() == single


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_keys_do_not_depend_on_chunks(rows: int) -> None:
    table = pa.table({"a": [1, None, 3, 1], "b": ["x", None, "", "x"], "c": [0.5, None, 2.0, 0.5]})
    batch = TableBatch(table, Roles(), chunk_rows=rows)
    found = batch_keys(batch, ["a", "b", "c"], KEY).tolist()
    assert found == [list(k) for k in keys({n: table[n].combine_chunks() for n in "abc"})]
    assert found[0] == found[3]
    assert len({tuple(k) for k in found}) == 3


def test_no_rows_have_no_keys() -> None:
    table = pa.table({"a": pa.array([], pa.int64())})
    assert batch_keys(TableBatch(table, Roles()), ["a"], KEY).shape == (0, 2)


def test_the_order_of_the_columns_does_not_matter() -> None:
    columns = {"a": [1, 2], "b": ["x", "y"], "c": [0.5, 1.5]}
    found = {tuple(keys(columns, list(names))) for names in itertools.permutations(columns)}
    assert len(found) == 1


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ([1], ["1"]),
        ([2**53], [2**53 + 1]),
        ([2**53 + 1], [2.0**53]),
        ([1], [1.5]),
        ([None], [0]),
        ([""], [None]),
        (["null"], [None]),
        (["None"], [None]),
        ([None], [math.nan]),
        (["a"], ["a\0"]),
        (["é"], ["e\u0301"]),
        ([True], [False]),
        ([0.0], [5e-324]),
    ],
)
def test_values_that_differ(one: list, two: list) -> None:
    kinds = [pa.array(v).type for v in (one, two)]
    kind = next((k for k in kinds if not pa.types.is_null(k)), pa.int64())
    first, second = (
        keys({"a": pa.array(v, kind if pa.types.is_null(k) else k)})
        for v, k in zip((one, two), kinds, strict=True)
    )
    assert first != second


def test_values_that_are_the_same() -> None:
    odd_nan = np.array([0x7FF8_0000_0000_0001], dtype=np.uint64).view(np.float64)
    assert keys({"a": [math.nan]}) == keys({"a": pa.array(odd_nan)})
    assert keys({"a": [0.0]}) == keys({"a": [-0.0]})
    assert keys({"a": pa.array([0.5], pa.float32())}) == keys({"a": [0.5]})
    assert keys({"a": pa.array([7], pa.int8())}) == keys({"a": pa.array([7], pa.uint32())})
    assert keys({"a": ["x"]}) == keys({"a": pa.array(["x"], pa.large_string())})
    assert keys({"a": ["x", None, "x"]}) == keys(
        {"a": pa.array(["x", None, "x"]).dictionary_encode()}
    )
    seconds, micros = pa.array([5], pa.timestamp("s")), pa.array([5_000_000], pa.timestamp("us"))
    assert keys({"a": seconds}) == keys({"a": micros})


NUMBERS = (pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.decimal128(23, 4))


@given(value=st.integers(0, 127), kinds=st.tuples(*[st.sampled_from(NUMBERS)] * 2))
def test_a_number_has_one_key_whatever_its_type(value: int, kinds: tuple[Any, Any]) -> None:
    """Attack: send known rows again with a column of another type."""
    one, two = (keys({"a": pa.array([value, None]).cast(kind)}) for kind in kinds)
    assert one == two
    assert len(set(one)) == 2


@given(
    value=st.one_of(
        st.integers(-(2**63), 2**63 - 1), st.floats(-1e9, 1e9).map(lambda x: round(x, 6))
    )
)
def test_a_decimal_has_the_key_of_its_number(value: float) -> None:
    exact = pa.array([Decimal(repr(value))], pa.decimal256(60, 20))
    assert keys({"a": exact}) == keys({"a": [value]})


def test_large_numbers_are_equal_only_where_they_are() -> None:
    assert keys({"a": [2**60]}) == keys({"a": [2.0**60]})
    found = keys({"a": pa.array([2**63, 2**63 + 1, 2**64 - 1, 2**64 - 2], pa.uint64())})
    assert len(set(found)) == 4
    assert found[0] == keys({"a": [2.0**63]})[0]


def test_units_of_time_change_nothing() -> None:
    for one, two in (
        (pa.time32("s"), pa.time64("us")),
        (pa.duration("s"), pa.duration("ms")),
        (pa.timestamp("s"), pa.timestamp("ns")),
    ):
        narrow = pa.array([5, None], one)
        assert keys({"a": narrow}) == keys({"a": narrow.cast(two)})


def test_a_null_inside_a_dictionary_is_a_null() -> None:
    hidden = pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array([None, "None"]))
    found = keys({"a": hidden})
    assert found[0] == found[2] != found[1]
    assert found == keys({"a": [None, "None", None]})


def test_times_of_day_keep_their_nanoseconds() -> None:
    assert len(set(keys({"a": pa.array([1, 2], pa.time64("ns"))}))) == 2


@pytest.mark.parametrize(
    "column",
    [
        pa.nulls(2),
        pa.array([[1], None]),
        pa.array([{"a": 1}, None]),
        pa.array([b"\xff", None]),
        pa.array([1, None]).cast(pa.decimal128(38, 2)),
        pa.array([2**62, None], pa.timestamp("s")),
        pa.array([1, None], pa.duration("ms")),
        pa.array([1, None], pa.date32()),
        pa.array([1, 1]).dictionary_encode(),
    ],
    ids=str,
)
def test_every_type_has_keys(column: pa.Array) -> None:
    found = keys({"a": column})
    assert len(found) == 2
    assert found == keys({"a": pa.concat_arrays([column.slice(0, 1), column.slice(1)])})


@given(a=CELLS, b=CELLS)
def test_swapping_two_columns_is_seen(a: Any, b: Any) -> None:
    numbers = all(isinstance(value, int | float) for value in (a, b))
    same = repr(a) == repr(b) or ((numbers or type(a) is type(b)) and a == b)
    one, two = ({n: _one(v) for n, v in zip("ab", pair, strict=True)} for pair in ((a, b), (b, a)))
    assert (keys(one) == keys(two)) == same


def _one(value: Any) -> pa.Array:
    """Nulls need some type, and the sum has to keep columns of one type apart."""
    return pa.array([value], pa.string()) if value is None else pa.array([value])


@given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=16))
def test_keys_are_equal_exactly_where_rows_are(rows: list[tuple[int, int]]) -> None:
    found = keys({"a": [a for a, _ in rows], "b": [b for _, b in rows]})
    for (i, one), (j, two) in itertools.combinations(enumerate(rows), 2):
        assert (found[i] == found[j]) == (one == two)


def test_rows_that_collide_under_a_public_sum_do_not_collide_here() -> None:
    # Sum and xor over columns stay, as an attacker would arrange it for an unkeyed row hash.
    rows = [(1, 2, 3), (3, 2, 1), (2, 2, 2), (0, 3, 3), (1 ^ 7, 2 ^ 7, 3)]
    columns = {n: [row[i] for row in rows] for i, n in enumerate("abc")}
    assert len(set(keys(columns))) == len(rows)


def test_case_92_rows_crafted_against_the_hash_of_pandas_are_distinct() -> None:
    """`hash_pandas_object` mixes column hashes by a public, invertible rule.

    The combination of two columns is `((s ^ h0) * m1) ^ h1`, everything public: for any first cell
    a second one can be solved for. Integers hash to all of 64 bits, so that it exists.
    """
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": pd.array([5], "uint64"), "b": pd.array([9], "uint64")})
    forged = pd.DataFrame(
        {"a": pd.array([6], "uint64"), "b": pd.array([_solve(pd, frame, 6)], "uint64")}
    )
    both = pd.concat([frame, forged])
    assert pd.util.hash_pandas_object(both, index=False).nunique() == 1
    data = pa.record_batch({n: pa.array(both[n].to_numpy()) for n in "ab"})
    assert len({tuple(k) for k in row_keys(data, ["a", "b"], KEY).tolist()}) == 2


def _solve(pd: Any, frame: Any, first: int) -> int:
    """The second cell that gives a row with another first cell the same public hash."""
    mask, mult = 2**64 - 1, 1000003

    def cell(value: int) -> int:
        return int(pd.util.hash_array(np.array([value], dtype=np.uint64))[0])

    def state(a: int) -> int:
        return ((0x345678 ^ cell(a)) * mult) & mask

    wanted = state(int(frame["a"].iloc[0])) ^ cell(int(frame["b"].iloc[0])) ^ state(first)
    return _unmix(wanted)


def _unmix(value: int) -> int:
    """The inverse of the finaliser that pandas uses for integers (splitmix64)."""
    mask = 2**64 - 1
    for shift, factor in ((31, 0x94D049BB133111EB), (27, 0xBF58476D1CE4E5B9), (30, 1)):
        turned = value
        for _ in range(64 // shift + 1):
            turned = value ^ (turned >> shift)
        value = (turned * pow(factor, -1, 2**64)) & mask
    return value


def test_the_key_matters_in_every_part() -> None:
    other = bytes([1, *range(1, 32)])
    columns = {"a": [1, None], "b": ["x", None], "c": [0.5, None]}
    for name in columns:
        ours, theirs = (keys({name: columns[name]}, key=k) for k in (KEY, other))
        assert not set(ours) & set(theirs)


def test_the_name_of_a_column_is_part_of_its_cells() -> None:
    assert keys({"a": [1]}) != keys({"b": [1]})


# --- look-up -------------------------------------------------------------------------------


@given(trusted=st.lists(st.integers(0, 9), max_size=30), asked=st.lists(st.integers(0, 12)))
def test_counts_are_those_of_the_rows(trusted: list[int], asked: list[int]) -> None:
    index = KeyIndex(_lanes(trusted))
    assert index.counts(_lanes(asked)).tolist() == [trusted.count(a) for a in asked]
    assert index.repeated == sum(trusted.count(t) > 1 for t in trusted)
    assert index.extra == len(trusted) - len(set(trusted))
    start, stop = index.spans(_lanes(asked))
    for value, begin, end in zip(asked, start, stop, strict=True):
        assert sorted(index.order[begin:end]) == [i for i, t in enumerate(trusted) if t == value]


def _lanes(values: list[int]) -> np.ndarray:
    one = np.array(values, dtype=np.uint64).reshape(-1, 1)
    return np.hstack([one, one * np.uint64(3)])


def test_half_a_key_is_no_match() -> None:
    index = KeyIndex(np.array([[1, 2]], dtype=np.uint64))
    assert index.counts(np.array([[1, 3], [1, 2]], dtype=np.uint64)).tolist() == [0, 1]
