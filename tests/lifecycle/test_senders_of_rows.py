"""Who sent the rows of a set, and so may not decide about them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from auditor.afterwards import desk
from auditor.report_records import RoleRecord


@pytest.mark.parametrize(
    ("type_", "names", "found"),
    [
        (pa.string(), ["ann", None, "ann"], {"ann"}),
        (pa.binary(), [b"ann", b"\xff"], {"ann", "\\xff"}),
        (pa.int64(), [7, None], {"7"}),
        (pa.float64(), [7.0, 8.5], {"7", "8.5"}),
        (pa.bool_(), [True], {"true"}),
    ],
)
def test_they_are_known_whatever_the_column_holds(
    type_: pa.DataType, names: list[object], found: set[str]
) -> None:
    """Old Parquet writers store texts as bytes: `b'ann'` is the releaser ann."""
    roles = tuple(
        RoleRecord(role=role, columns=(role,), reason="") for role in ("contributor", "annotator")
    )
    table = pa.table({"contributor": pa.array(names, type_), "annotator": ["eve"] * len(names)})
    aside = SimpleNamespace(
        logged=SimpleNamespace(report=SimpleNamespace(roles=roles)), table=lambda: table
    )
    assert desk._contributors(cast(Any, aside)) == {*found, "eve"}
