"""Rows whose values do not belong together are set aside; in the clean twin nothing is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from auditor.batch import Roles
from auditor.detectors.outliers import Outliers
from auditor.model import Effect
from auditor.redteam.out_of_distribution import plant


@pytest.mark.parametrize("seed", [21, 22])
def test_torn_rows_are_set_aside(
    drill: Callable, clean_twin: pa.Table, diamonds_roles: Roles, seed: int
) -> None:
    planted = plant(clean_twin, diamonds_roles, rows=90, seed=seed)
    found = drill(Outliers, planted.table)
    assert found.found(planted.mask, Effect.QUARANTINE) >= 0.8
    assert len(found.own - set(np.flatnonzero(planted.mask).tolist())) <= 60


def test_the_clean_twin_has_no_torn_rows(drill: Callable, clean_twin: pa.Table) -> None:
    assert drill(Outliers, clean_twin).by_effect[Effect.QUARANTINE] == set()
