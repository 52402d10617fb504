"""Near copies are set aside, the clean twin is let through."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from auditor.detectors.near_duplicates import NearDuplicates
from auditor.model import Effect

NUMBERS = {"carat": 2, "depth": 1, "table": 0, "x": 2, "y": 2, "z": 2}
MINUTE = dt.timedelta(minutes=1)


def copied(
    table: pa.Table, source: np.ndarray, seed: int, *, senders: list[str], steps: int = 1
) -> tuple[pa.Table, np.ndarray]:
    """The table with copies of `source` whose numbers moved by up to `steps` last digits."""
    rng = np.random.default_rng(seed)
    new = table.take(pa.array(source))
    for name, places in NUMBERS.items():
        if name in table.column_names:
            move = rng.integers(-steps, steps + 1, len(source)) * 10.0**-places
            values = np.round(new[name].to_numpy().astype(float) + move, places)
            new = changed(new, name, pa.array(values).cast(table.schema.field(name).type))
    last = max(table["collected_at"].to_pylist())
    later = [last + MINUTE * (i + 1) for i in range(len(source))]
    new = changed(new, "row_id", [f"new-{i}" for i in range(len(source))])
    new = changed(new, "contributor", [senders[i % len(senders)] for i in range(len(source))])
    new = changed(new, "collected_at", later)
    mask = np.r_[np.zeros(table.num_rows, dtype=bool), np.ones(len(source), dtype=bool)]
    return pa.concat_tables([table, new]), mask


def changed(table: pa.Table, name: str, values: object) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, name, pa.array(values, table.schema.field(name).type))


def known_senders(table: pa.Table) -> list[str]:
    return sorted(set(table["contributor"].to_pylist()))[:3]


@pytest.mark.parametrize("seed", [11, 12])
def test_copies_of_a_few_rows_are_set_aside(
    clean_twin: pa.Table, drill: Callable, seed: int
) -> None:
    chosen = np.random.default_rng(seed).permutation(clean_twin.num_rows)[:8]
    table, mask = copied(clean_twin, np.resize(chosen, 90), seed, senders=known_senders(clean_twin))
    found = drill(NearDuplicates, table)
    # One step of the last digit: stones of one size lie nearly as close.
    assert found.found(mask, Effect.QUARANTINE) >= 0.7
    assert len(found.own - set(np.flatnonzero(mask).tolist())) <= 12


def test_copies_from_new_contributors_with_another_label_are_set_aside(
    clean_twin: pa.Table, drill: Callable
) -> None:
    chosen = np.random.default_rng(3).permutation(clean_twin.num_rows)[:15]
    table, mask = copied(clean_twin, np.resize(chosen, 90), 3, senders=["new-1", "new-2"])
    other = {"low": "top", "medium": "top", "high": "low", "top": "low"}
    labels = table["price_band"].to_pylist()
    table = changed(
        table, "price_band", [other[x] if m else x for x, m in zip(labels, mask, strict=True)]
    )
    assert drill(NearDuplicates, table).found(mask, Effect.QUARANTINE) >= 0.9


def test_the_clean_twin_is_let_through(clean_twin: pa.Table, drill: Callable) -> None:
    assert not drill(NearDuplicates, clean_twin).by_effect[Effect.QUARANTINE]


def test_natural_near_copies_are_let_through(diamonds_clean: pa.Table, drill: Callable) -> None:
    assert not drill(NearDuplicates, diamonds_clean).by_effect[Effect.QUARANTINE]
