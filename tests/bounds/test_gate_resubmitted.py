"""Rows that a gate set aside, sent again in a later batch: whole runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow


def gated(site: Any, name: str, table: pa.Table) -> int:
    return int(site.call("gate", site.write(f"in/{name}.parquet", table), "-q").code)


def findings(site: Any, rule: str = "AUD-D006") -> list[dict[str, Any]]:
    return [each for each in site.report()["findings"] if each["rule"] == rule]


def flipped(site: Any, count: int, prefix: str) -> pa.Table:
    """Trusted rows under the other label: nobody would publish them."""
    rows = pq.read_table(site.root / "trusted.parquet").slice(0, count).to_pydict()
    rows["id"] = [f"{prefix}-{number}" for number in range(count)]
    rows["label"] = ["down" if label == "up" else "up" for label in rows["label"]]
    return pa.table(rows)


@pytest.fixture
def caught(site: Any) -> str:
    """A site that set thirty such rows aside; the run."""
    table = pa.concat_tables([site.rows(200, 21), flipped(site, 30, "first")])
    assert gated(site, "a", table) == 10
    assert site.report()["rows_quarantined"] >= 30
    # What caught them then says nothing any more: the keys have to do it.
    site.configure(policy={"effects": {"AUD-D003": "note", "AUD-C001": "note"}})
    return str(site.report()["run"])


def test_a_few_of_them_among_new_rows_are_set_aside_again(site: Any, caught: str) -> None:
    table = pa.concat_tables([site.rows(200, 22), flipped(site, 5, "again")])
    assert gated(site, "b", table) == 10
    (finding,) = findings(site)
    assert (finding["effect"], finding["rows"]) == ("quarantine", 5)
    assert finding["evidence"]["runs"] == caught
    ids = {row["id"] for row in pq.read_table(aside(site)).to_pylist()}
    assert {f"again-{number}" for number in range(5)} <= ids
    replayed = site.call("replay", "latest", "-q")
    assert replayed.code == 0, replayed.out


def test_the_corrected_label_is_another_row(site: Any, caught: str) -> None:
    again = flipped(site, 5, "again").to_pydict()
    again["label"] = ["down" if label == "up" else "up" for label in again["label"]]
    again["x"] = list(np.array(again["x"]) + 0.25)
    assert gated(site, "b", pa.concat_tables([site.rows(200, 22), pa.table(again)])) in (0, 10)
    assert findings(site) == []


def test_the_same_bytes_are_not_accused_by_what_they_left(site: Any, caught: str) -> None:
    site.call("gate", "in/a.parquet", "-q")
    assert findings(site) == []


def test_an_extra_copy_was_never_a_bad_row(site: Any) -> None:
    """One copy stays and is published: what comes again later is a repeat, and no more."""
    table = site.copies(site.rows(200, 21), 30)
    assert gated(site, "a", table) == 10
    rows = pa.concat_tables([site.rows(200, 22), table.slice(0, 5)])
    assert gated(site, "b", rows) == 10
    assert findings(site) == []
    assert findings(site, "AUD-D002")[0]["rows"] == 5


def aside(site: Any) -> Any:
    digest = site.report()["set_digest"]
    return site.root / ".auditor" / "quarantine" / digest / "rows.parquet"
