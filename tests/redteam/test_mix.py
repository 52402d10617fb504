from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from auditor import samples
from auditor.batch import Roles
from auditor.redteam import ATTACKS_BY_NAME
from auditor.redteam.mix import ROWS, demo_mix

ROLES = Roles(
    {
        "id": ("row_id",),
        "feature": ("carat", "cut", "color", "clarity", "depth", "table", "x", "y", "z"),
        "label": ("price_band",),
        "contributor": ("contributor",),
        "timestamp": ("collected_at",),
    }
)
CONTENT = [*ROLES.features, "price_band"]


@pytest.fixture(scope="module")
def clean() -> pa.Table:
    return pq.read_table(samples.incoming()[1])


def test_masks_are_disjoint_complete_and_agree_with_the_ids(clean: pa.Table) -> None:
    mix = demo_mix(clean, ROLES, seed=5)
    assert list(mix.masks) == list(mix.ids) == list(mix.descriptions) == list(ATTACKS_BY_NAME)
    total = sum(np.asarray(m, dtype=int) for m in mix.masks.values())
    assert total.max() == 1
    for name, mask in mix.masks.items():
        assert 0.9 * ROWS[name] <= mask.true_count <= ROWS[name]
        assert tuple(mix.table["row_id"].filter(mask).to_pylist()) == mix.ids[name]
    assert len(pc.unique(mix.table["row_id"])) == mix.table.num_rows
    added = sum(mask.true_count for name, mask in mix.masks.items() if name != "label-flip")
    assert mix.table.num_rows == clean.num_rows + added


def test_the_rest_is_the_clean_batch(clean: pa.Table) -> None:
    mix = demo_mix(clean, ROLES, seed=5)
    any_mask = np.logical_or.reduce([np.asarray(m) for m in mix.masks.values()])
    rest = mix.table.filter(pa.array(~any_mask))
    flipped = set(mix.ids["label-flip"])
    expected = clean.filter(pa.array([i not in flipped for i in clean["row_id"].to_pylist()]))
    assert rest.equals(expected)


def test_copies_are_of_rows_that_are_still_there(clean: pa.Table) -> None:
    mix = demo_mix(clean, ROLES, seed=5)
    honest = mix.table.filter(pa.array(~np.asarray(mix.masks["exact-copy"])))
    there = {tuple(row.values()) for row in honest.select(CONTENT).to_pylist()}
    copies = mix.table.filter(mix.masks["exact-copy"]).select(CONTENT).to_pylist()
    assert {tuple(row.values()) for row in copies} <= there


def test_same_seed_same_batch_and_one_attack_alone(clean: pa.Table) -> None:
    first, again = (demo_mix(clean, ROLES, seed=5) for _ in range(2))
    assert first.table.equals(again.table)
    assert not first.table.equals(demo_mix(clean, ROLES, seed=6).table)
    for name in ATTACKS_BY_NAME:
        alone = demo_mix(clean, ROLES, seed=5, attacks=(name,), rows={name: 20})
        assert list(alone.masks) == [name]
        assert alone.masks[name].true_count == 20


def test_unknown_attack_is_an_error(clean: pa.Table) -> None:
    with pytest.raises(KeyError):
        demo_mix(clean, ROLES, seed=5, attacks=("label-flop",))
