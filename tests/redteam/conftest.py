from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor import samples
from auditor.batch import Roles


@pytest.fixture(scope="module")
def roles() -> Roles:
    return Roles(
        {
            "id": ("row_id",),
            "feature": ("carat", "cut", "color", "clarity", "depth", "table", "x", "y", "z"),
            "label": ("price_band",),
            "contributor": ("contributor",),
            "timestamp": ("collected_at",),
        }
    )


@pytest.fixture(scope="module")
def regression_roles() -> Roles:
    """The same rows with a real number to predict."""
    return Roles(
        {
            "id": ("row_id",),
            "feature": ("cut", "depth", "table", "x", "y", "z"),
            "label": ("carat",),
            "contributor": ("contributor",),
            "timestamp": ("collected_at",),
        }
    )


@pytest.fixture(scope="module")
def clean() -> pa.Table:
    return pq.read_table(samples.incoming()[0])


@pytest.fixture(scope="module")
def trusted() -> pa.Table:
    return pq.read_table(samples.trusted()).slice(0, 1000)
