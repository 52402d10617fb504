"""Moved columns and label shares are told, with old and new values; the clean twin is not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from auditor.batch import Roles, TableBatch
from auditor.context import Context
from auditor.detectors.drift import Drift
from auditor.model import Finding


@pytest.fixture(scope="module")
def steady(diamonds_trusted: pa.Table, diamonds_context: Context, diamonds_roles: Roles) -> Drift:
    return Drift.load(diamonds_context)


def found(detector: Drift, table: pa.Table, roles: Roles) -> dict[object, Finding]:
    findings = detector.scan(TableBatch(table, roles)).findings
    return {finding.evidence["scope"]: finding for finding in findings}


def test_a_shifted_column_is_named_with_old_and_new(
    steady: Drift, clean_twin: pa.Table, diamonds_roles: Roles
) -> None:
    carat = clean_twin["carat"].to_numpy() * 1.6
    place = clean_twin.schema.get_field_index("carat")
    moved = clean_twin.set_column(place, "carat", pa.array(np.round(carat, 2)))
    claims = found(steady, moved, diamonds_roles)
    assert claims["column"].evidence["columns"] == "carat"
    assert "->" in claims["column"].message
    assert claims["column"].p_value is not None
    assert claims["column"].p_value < 1e-6
    assert str(claims["domain"].evidence["columns"]).split(", ")[0] == "carat"
    assert claims["domain"].evidence["auc"] > 0.6


def test_rows_of_a_label_left_out_are_told(
    steady: Drift, clean_twin: pa.Table, diamonds_roles: Roles
) -> None:
    gone = np.array([v == "top" for v in clean_twin["price_band"].to_pylist()])
    claims = found(steady, clean_twin.filter(pa.array(~gone)), diamonds_roles)
    assert "'top'" in claims["label"].message
    assert "-> 0.0%" in claims["label"].message


def test_one_contributor_with_another_unit_is_named(
    steady: Drift, clean_twin: pa.Table, diamonds_roles: Roles
) -> None:
    senders = clean_twin["contributor"].to_pylist()
    known = steady.baseline.sample["contributor"].to_pylist()
    who = max(set(senders), key=lambda n: min(senders.count(n), known.count(n)))
    own = np.array([s == who for s in senders])
    depth = np.where(own, clean_twin["depth"].to_numpy() / 10, clean_twin["depth"].to_numpy())
    place = clean_twin.schema.get_field_index("depth")
    claims = found(steady, clean_twin.set_column(place, "depth", pa.array(depth)), diamonds_roles)
    claim = claims["column by contributor"]
    assert (claim.evidence["group"], claim.evidence["columns"]) == (who, "depth")
    assert claim.evidence["moved"] == 1


def test_the_clean_twin_is_steady(
    steady: Drift, clean_twin: pa.Table, diamonds_roles: Roles
) -> None:
    assert steady.scan(TableBatch(clean_twin, diamonds_roles)).findings == ()
