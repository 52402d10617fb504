"""The example detector of CONTRIBUTING.md runs as it stands there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor import samples
from auditor.batch import Roles, TableBatch
from auditor.context import Context
from auditor.demo import ROLES
from auditor.errors import Unavailable

ROOT = Path(__file__).resolve().parents[2]
NAME = "example_of_contributing"


@pytest.fixture
def example(every_block: list[Any]) -> Iterator[ModuleType]:
    page = ROOT / "CONTRIBUTING.md"
    sources = [b.text for b in every_block if b.page == page and b.language == "python"]
    module = ModuleType(NAME)
    sys.modules[NAME] = module  # dataclasses look their module up
    exec(compile(sources[0], str(page), "exec"), module.__dict__)
    yield module
    del sys.modules[NAME]


def batch(table: pa.Table) -> TableBatch:
    return TableBatch(table, Roles({role: tuple(names) for role, names in ROLES.items()}))


def test_it_finds_what_is_planted_and_leaves_clean_batches_alone(example: ModuleType) -> None:
    baseline = SimpleNamespace(sample=pq.read_table(samples.trusted()))
    detector = example.CrowdedValue(baseline, example.Options())
    for path in samples.incoming():
        assert detector.scan(batch(pq.read_table(path))).findings == ()
    clean = pq.read_table(samples.incoming()[0])
    carat = clean.column("carat").to_numpy().copy()
    carat[:40] = 2.13
    place = clean.schema.get_field_index("carat")
    (found,) = detector.scan(batch(clean.set_column(place, "carat", pa.array(carat)))).findings
    assert set(found.rows.column("row").to_pylist()) >= set(range(40))
    assert found.rows.num_rows <= 43
    assert np.log10(found.p_value) < -3


def test_it_says_what_it_needs(example: ModuleType) -> None:
    with pytest.raises(Unavailable, match="baseline"):
        example.CrowdedValue.load(Context())


def test_its_rule_id_is_free(example: ModuleType) -> None:
    from auditor.site import all_rules

    assert example.CrowdedValue.rule.id not in all_rules()
