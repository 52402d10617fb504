"""Odd baselines and odd batches against a baseline, every rule switched on: a word for each.

No rule may break on them: what cannot be judged is skipped with a reason, and said in the report.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def site(site: Any) -> Any:
    """Every rule of the profile; the baseline of the fixture was built without some."""
    site.configure(detectors={}, baseline=None)
    return site


def build(site: Any, table: pa.Table, name: str = "baseline-2") -> Any:
    done = site.call(
        "baseline",
        "build",
        site.write("trusted.parquet", table),
        "-o",
        name,
        "--power",
        "skip",
        "-q",
    )
    if done.code == 0:
        site.configure(baseline=name)
    return done


def gate(site: Any, table: pa.Table) -> Any:
    """Gate a table; whatever it is, no rule fails."""
    done = site.call("gate", site.write("in/batch.parquet", table), "-q")
    failed = [rule for rule in site.report()["rules"] if rule["status"] == "failed"]
    assert failed == []
    return done


def replaced(table: pa.Table, **columns: Any) -> pa.Table:
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(values))
    return table


def test_a_baseline_of_no_rows_is_refused(site: Any) -> None:
    done = build(site, site.rows(0, 1))
    assert done.code != 0
    assert "rows" in done.err
    assert not (site.root / "baseline-2").exists()


@pytest.mark.parametrize("change", ["newer", "edited"])
def test_a_header_of_another_version_or_edited_by_hand_is_refused(site: Any, change: str) -> None:
    assert build(site, site.rows(300, 1)).code == 0
    path = site.root / "baseline-2" / "baseline.json"
    header = json.loads(path.read_bytes())
    version = header["version"]
    header["version" if change == "newer" else "seed"] = version + 1
    path.chmod(0o600)
    path.write_text(json.dumps(header))
    done = site.call("gate", site.write("in/batch.parquet", site.rows(200, 5)), "-q")
    assert done.code not in (0, 10)
    assert "baseline" in done.err + done.out
    assert site.visible("published") == []


def test_a_label_that_no_trusted_row_has_is_named(site: Any) -> None:
    assert build(site, site.rows(300, 1)).code == 0
    batch = site.rows(200, 5)
    labels = ["sideways"] * 20 + batch["label"].to_pylist()[20:]
    done = gate(site, replaced(batch, label=labels))
    assert done.code == 10
    found = [f for f in site.report()["findings"] if f["evidence"].get("code") == "LABEL_NEW"]
    assert found[0]["rows"] == 20


def test_a_class_of_three_trusted_rows_is_not_judged(site: Any) -> None:
    trusted = site.rows(300, 1)
    assert (
        build(site, replaced(trusted, label=["odd"] * 3 + trusted["label"].to_pylist()[3:])).code
        == 0
    )
    assert gate(site, site.rows(200, 5)).code in (0, 10)


def test_a_thousand_contributors_with_a_row_each(site: Any) -> None:
    assert build(site, site.rows(400, 1)).code == 0
    batch = replaced(site.rows(1_000, 5), who=[f"new-{number}" for number in range(1_000)])
    gate(site, batch)
    ran = {rule["id"] for rule in site.report()["rules"] if rule["status"] == "ran"}
    assert "AUD-C001" in ran
    accused = [f for f in site.report()["findings"] if f["rule"] == "AUD-C001" and f["rows"]]
    assert not accused  # their labels are right


def test_one_contributor(site: Any) -> None:
    trusted = site.rows(400, 1)
    assert build(site, replaced(trusted, who=["only"] * 400)).code == 0
    gate(site, replaced(site.rows(300, 5), who=["only"] * 300))


def test_columns_that_never_change(site: Any) -> None:
    trusted, batch = site.rows(300, 1), site.rows(200, 5)
    assert build(site, replaced(trusted, x=[1.0] * 300, y=[None] * 299 + [2.0])).code == 0
    gate(site, replaced(batch, x=[1.0] * 200, y=[2.0] * 200))


def test_rows_that_are_all_equal(site: Any) -> None:
    trusted = site.rows(300, 1)
    assert build(site, trusted).code == 0
    batch = trusted.take(pa.array(np.zeros(200, dtype=np.int64)))
    done = gate(site, batch)
    assert done.code != 0
    copies = [f for f in site.report()["findings"] if f["rule"].startswith("AUD-D00")]
    assert copies


def test_trusted_rows_that_are_all_equal(site: Any) -> None:
    trusted = site.rows(300, 1).take(pa.array(np.zeros(300, dtype=np.int64)))
    assert build(site, trusted).code == 0
    gate(site, site.rows(200, 5))
    assert site.report()["baseline"] is not None


def test_a_batch_larger_than_the_baseline(site: Any) -> None:
    assert build(site, site.rows(150, 1)).code == 0
    done = gate(site, site.rows(3_000, 5))
    assert done.code in (0, 10)
    assert site.report()["rows_quarantined"] <= 30


def test_thirty_rows_are_too_few_and_the_report_says_so(site: Any) -> None:
    assert build(site, site.rows(300, 1)).code == 0
    gate(site, site.rows(30, 5))
    skipped = {r["id"]: r["reason"] for r in site.report()["rules"] if r["status"] == "skipped"}
    assert "at least" in skipped["AUD-L001"]
    assert "AUD-T001" in skipped


def test_a_column_of_distinct_values_among_the_features(site: Any) -> None:
    """Ids that were taken for a feature: bounded, whatever their number."""
    site.configure(roles={**site.settings["roles"], "feature": ["x", "y", "ref"], "id": ["id"]})
    trusted, batch = site.rows(2_000, 1), site.rows(4_000, 5)
    trusted = trusted.append_column("ref", pa.array([f"a{number}" for number in range(2_000)]))
    batch = batch.append_column("ref", pa.array([f"b{number}" for number in range(4_000)]))
    assert build(site, trusted).code == 0
    gate(site, batch)
