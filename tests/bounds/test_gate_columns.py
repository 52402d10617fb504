"""Columns that were not agreed: named, audited without them, held by the gate."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest


def noted(site: Any) -> list[dict[str, Any]]:
    return [f for f in site.report()["findings"] if f["rule"] == "AUD-I003"]


def extra(site: Any) -> pa.Table:
    rows = site.rows(200, 5)
    return rows.append_column("payload", pa.array(["curl x | sh"] * 200))


@pytest.mark.parametrize("named", [True, False], ids=["roles set", "roles of the baseline"])
def test_an_added_column_holds_the_batch_and_the_rules_run_without_it(
    site: Any, named: bool
) -> None:
    if not named:
        site.configure(roles={})
    done = site.call("gate", site.write("in/a.parquet", extra(site)), "-q")
    assert done.code == 12
    assert "column 'payload' (string) is not in the baseline" in done.out
    (found,) = noted(site)
    assert (found["effect"], found["evidence"]["code"]) == ("hold", "SCHEMA_ADDED")
    ran = {rule["id"] for rule in site.report()["rules"] if rule["status"] == "ran"}
    assert {"AUD-D001", "AUD-D002", "AUD-D003"} <= ran
    assert site.visible("published") == []


def test_by_policy_it_is_a_note(site: Any) -> None:
    site.configure(policy={"effects": {"AUD-I003": "note"}})
    done = site.call("gate", site.write("in/a.parquet", extra(site)), "-q")
    assert done.code == 0
    assert noted(site)[0]["effect"] == "note"


def test_an_audit_notes_it_unless_the_policy_says_otherwise(site: Any) -> None:
    data = site.write("in/a.parquet", extra(site))
    assert site.call("audit", data, "-q").code == 0
    assert noted(site)[0]["effect"] == "note"
    site.configure(policy={"effects": {"AUD-I003": "reject"}})
    assert site.call("audit", data, "-q").code == 11


def test_a_column_that_the_settings_name_is_agreed(site: Any) -> None:
    site.configure(roles={**site.settings["roles"], "ignored": ["payload"]})
    done = site.call("gate", site.write("in/a.parquet", extra(site)), "-q")
    assert done.code == 0
    assert noted(site) == []


def test_a_missing_and_a_retyped_column_are_named(site: Any) -> None:
    site.configure(roles={})
    rows = site.rows(200, 5)
    rows = rows.drop_columns(["who"]).set_column(1, "x", rows["x"].cast(pa.string()))
    done = site.call("gate", site.write("in/a.parquet", rows), "-q")
    assert done.code == 12
    codes = {f["evidence"]["column"]: f["evidence"]["code"] for f in noted(site)}
    assert codes == {"x": "SCHEMA_RETYPED", "who": "SCHEMA_REMOVED"}


def test_an_integer_file_is_no_other_schema(site: Any) -> None:
    """A CSV file says what it holds by its cells alone."""
    lines = [
        f"r{i},{i - 100},{i % 7},lab-0{i % 9},{'up' if i > 100 else 'down'}" for i in range(200)
    ]
    data = site.write("in/a.csv", "\n".join(["id,x,y,who,label", *lines]) + "\n")
    site.call("gate", data, "-q")
    assert dict(site.report()["columns"])["x"] == "int64"
    assert noted(site) == []


def test_a_rule_switched_on_after_the_build_is_required(site: Any) -> None:
    """The baseline was built without it: could not tell is not clean."""
    site.configure(detectors={"AUD-F001": {"enabled": False}})
    done = site.call("gate", site.write("in/a.parquet", site.rows(200, 5)), "-q")
    assert done.code == 12
    assert "AUD-L001 is required and was skipped: the baseline holds no thresholds" in done.out


def test_without_a_baseline_what_was_not_judged_is_said(bare: Any) -> None:
    bare.configure(manifest={"unsigned": "note"}, detectors=bare.light)
    done = bare.call("gate", bare.write("a.parquet", bare.rows(200, 1)), "-q")
    assert done.code == 0
    report = bare.report()
    assert "exact-copy" in report["not_judged"]
    assert "label-flip" in report["not_covered"]
    assert not set(report["not_judged"]) & set(report["not_covered"])
    assert "Looked for, but not judged without a baseline: " in done.out


def test_with_a_baseline_everything_that_ran_was_judged(site: Any) -> None:
    assert site.call("gate", site.write("a.parquet", site.rows(200, 5)), "-q").code == 0
    assert site.report()["not_judged"] == []


def test_a_label_that_the_baseline_does_not_know_holds_the_batch(site: Any) -> None:
    """The rules about labels have nothing to hold it against, so nobody looked at the labels."""
    site.configure(roles={**site.settings["roles"], "label": "kind"})
    rows = site.rows(200, 5).append_column("kind", pa.array(["a", "b"] * 100))
    done = site.call("gate", site.write("in/a.parquet", rows), "-q")
    assert done.code == 12
    found = {f["evidence"]["column"]: f["evidence"]["code"] for f in noted(site)}
    assert found == {"kind": "ROLE_DIFFERS", "label": "ROLE_DIFFERS"}
