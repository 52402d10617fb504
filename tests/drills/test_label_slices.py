"""Flips of a slice, by everybody a few, are found; in the clean twin nothing is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from auditor.batch import Roles
from auditor.detectors import label_slices
from auditor.detectors.label_slices import LabelSlices
from auditor.model import Effect
from auditor.redteam import targeted_flip


@pytest.mark.parametrize("region", ["slice", "cluster"])
@pytest.mark.parametrize("seed", [3, 4])
def test_flips_of_a_slice_are_set_aside(
    clean_twin: pa.Table,
    diamonds_roles: Roles,
    diamonds_trusted: pa.Table,
    drill: Callable,
    seed: int,
    region: str,
) -> None:
    plant = partial(targeted_flip.plant, region=region)
    planted = plant(clean_twin, diamonds_roles, rows=120, seed=seed, trusted=diamonds_trusted)
    found = drill(LabelSlices, planted.table)
    assert found.found(planted.mask, Effect.QUARANTINE) >= 0.5
    assert len(found.own) <= 200


def test_a_slice_that_is_found_in_some_rows_is_told_with_all(
    clean_twin: pa.Table,
    diamonds_roles: Roles,
    diamonds_trusted: pa.Table,
    drill: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planted = targeted_flip.plant(
        clean_twin, diamonds_roles, rows=120, seed=3, trusted=diamonds_trusted
    )
    monkeypatch.setattr(label_slices, "LONGER", 1)
    found = drill(LabelSlices, pa.concat_tables([planted.table] * 3))
    size = clean_twin.num_rows
    assert found.own == {(row + size) % (3 * size) for row in found.own}
    mask = np.tile(planted.mask.to_numpy(zero_copy_only=False), 3)
    assert found.found(mask, Effect.QUARANTINE) >= 0.5


def test_flips_between_two_labels_are_found_wherever_they_are(
    clean_twin: pa.Table, diamonds_roles: Roles, drill: Callable
) -> None:
    """They are few in each slice of columns, and among all rows that the model is as sure about."""
    label = clean_twin.column("price_band").to_numpy(zero_copy_only=False).astype(object)
    rng = np.random.default_rng(5)
    flipped = np.sort(rng.permutation(np.flatnonzero(label == "top"))[:16])
    label[flipped] = "low"
    place = clean_twin.schema.get_field_index("price_band")
    planted = clean_twin.set_column(place, "price_band", pa.array(label))
    found = drill(LabelSlices, planted)
    mask = np.isin(np.arange(len(label)), flipped)
    assert found.found(mask, Effect.QUARANTINE) >= 0.9
