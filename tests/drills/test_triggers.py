"""Triggers are found, in words, with their rows; in the clean twin nothing is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from auditor.batch import Roles
from auditor.detectors.triggers import Triggers
from auditor.model import Effect
from auditor.redteam import VARIANTS

ATTACKS = ["backdoor", "backdoor-spread", "backdoor-jittered", "clean-label"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_trigger_is_set_aside(
    attack: str,
    clean_twin: pa.Table,
    diamonds_roles: Roles,
    diamonds_trusted: pa.Table,
    drill: Callable,
) -> None:
    planted = VARIANTS[attack](
        clean_twin, diamonds_roles, rows=90, seed=5, trusted=diamonds_trusted
    )
    found = drill(Triggers, planted.table)
    assert found.found(planted.mask, Effect.QUARANTINE) >= 0.8
    poison = set(np.flatnonzero(planted.mask).tolist())
    assert len(found.own - poison) <= 0.02 * clean_twin.num_rows
