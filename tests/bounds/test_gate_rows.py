"""Rows and who sent them, against manifest, roll, quotas and trust policy: on the real gate."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.provenance import declare, dsse
from auditor.provenance.digests import contributor_roll
from auditor.signing import unsigned_envelope

pytestmark = pytest.mark.slow

CREATE = ("--label", "label", "--contributor", "who")


def replaced(table: pa.Table, column: str, values: list[Any]) -> pa.Table:
    return table.set_column(table.schema.get_field_index(column), column, pa.array(values))


def with_source(table: pa.Table, values: list[str | None]) -> pa.Table:
    return table.append_column("origin", pa.array(values, pa.string()))


def published_rows(site: Any) -> pa.Table:
    (folder,) = site.visible("published")
    return pa.concat_tables(pq.ParquetFile(path).read() for path in folder.rglob("*.parquet"))


def roll_of(data: Path) -> Path:
    return data.with_name(f"{data.name}.contributors.json")


def resign(vendor: Any, data: Path, roll: dict[str, int]) -> None:
    """A roll that its supplier signed, and that is not what the rows say."""
    manifest = data.with_name(f"{data.name}.manifest.dsse.json")
    statement = json.loads(dsse.parse(manifest.read_bytes()).payload)
    content = contributor_roll(roll)
    table = {"sha256": hashlib.sha256(content).hexdigest()}
    statement["predicate"]["contributors"] = {"table": table, "count": len(roll)}
    manifest.write_bytes(unsigned_envelope(json.dumps(statement).encode()))
    roll_of(data).write_bytes(content)
    vendor.sign(manifest)


def test_case_87_contributor_not_on_the_roll(site: Any, vendor: Any) -> None:
    """Rows of somebody whom the signed roll does not name."""
    data = site.write("in/a.parquet", site.rows(120, 5))
    vendor.declare(data)
    counts = json.loads(roll_of(data).read_bytes())
    (moved := dict(counts)).pop("lab-00")
    moved["lab-01"] += counts["lab-00"]
    resign(vendor, data, moved)
    assert vendor.gate(data) == 11
    assert set(vendor.found()) == {"CONTRIBUTOR_UNKNOWN", "CONTRIBUTOR_COUNT"}
    assert site.visible("published") == []


def test_case_88_null_contributor(site: Any, vendor: Any) -> None:
    """Rows that name nobody, in a batch whose manifest says that each row does."""
    table = site.rows(120, 5)
    who = table["who"].to_pylist()
    who[7], who[8] = None, " "
    data = site.write("in/a.parquet", replaced(table, "who", who))
    vendor.send(data)
    assert vendor.gate(data) == 11
    (finding,) = vendor.found()["ROW_PROVENANCE"]
    assert finding["evidence"]["rows"] == 2


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (["v/stones"] * 60 + ["v/stones/quarry-2"] * 60, None),
        (["v/stones"] * 119 + ["v/gravel"], "ROW_SOURCE"),
        (["v/stones"] * 119 + ["v/stonesmith"], "ROW_SOURCE"),
        (["v/stones"] * 119 + [None], "ROW_PROVENANCE"),
    ],
)
def test_case_89_row_source(site: Any, vendor: Any, values: Any, code: str | None) -> None:
    """Rows that say that they are from another source than the manifest."""
    site.configure(roles={**site.settings["roles"], "ignored": ["origin"]})
    data = site.write("in/a.parquet", with_source(site.rows(120, 5), values))
    vendor.send(data, *CREATE, "--source-column", "origin")
    assert vendor.gate(data) == (11 if code else 0)
    assert list(vendor.found()) == ([code] if code else [])


def test_case_90_counts_differ_from_the_table(site: Any, vendor: Any) -> None:
    """The signed roll gives one contributor's rows to another."""
    data = site.write("in/a.parquet", site.rows(120, 5))
    vendor.declare(data)
    counts = json.loads(roll_of(data).read_bytes())
    resign(vendor, data, counts | {"lab-00": counts["lab-00"] + 1, "lab-01": counts["lab-01"] - 1})
    assert vendor.gate(data) == 11
    assert {code: len(found) for code, found in vendor.found().items()} == {"CONTRIBUTOR_COUNT": 2}


def test_what_create_writes_is_what_the_gate_takes(site: Any, vendor: Any) -> None:
    """A supplier cannot declare a column, kind or licence that its own manifest contradicts."""
    data = site.write("in/a.parquet", site.rows(120, 5))
    asked = ("manifest", "create", data, "--source", "v/stones", "--batch-id", "1")
    for options, code in (
        (("--kind", "test"), "FIELD_VALUE"),
        (("--row-key", "nobody"), "SCHEMA"),
        (("--details", site.write("d.json", '{"licence": {}}')), "FIELD_UNKNOWN"),
    ):
        done = site.call(*asked, *options)
        assert done.code == 2
        assert code in done.err
    assert not data.with_name("a.parquet.manifest.dsse.json").exists()


def test_a_quota_sets_aside_what_is_over_and_the_rest_flows(site: Any, vendor: Any) -> None:
    """One contributor floods a batch; what others sent is published, and part of its rows."""
    table = site.rows(300, 5)
    who = ["lab-00" if i < 200 else f"lab-{1 + i % 10:02d}" for i in range(300)]
    data = site.write("in/a.parquet", replaced(table, "who", who))
    vendor.send(data)
    site.configure(policy={"limits": {"contributor_rows": 0.4}, "effects": {"AUD-C001": "note"}})
    assert vendor.gate(data) == 10
    (finding,) = [f for f in site.report()["findings"] if f["rule"] == "AUD-G003"]
    assert (finding["effect"], finding["evidence"]["contributor"]) == ("quarantine", "lab-00")
    stay = published_rows(site)["who"].to_pylist()
    assert stay.count("lab-00") <= 0.4 * len(stay) + 1
    assert len(stay) - stay.count("lab-00") == 100, "nobody else loses a row"


@pytest.mark.slow
def test_case_91_sybils_share_one_quota(site: Any, vendor: Any) -> None:
    """50 new contributors send half of a batch: the rows over their joint cap are set aside."""
    from auditor.detectors import DETECTORS

    others = [d.rule.id for d in DETECTORS if d.rule.id not in ("AUD-C003", "AUD-D001")]
    site.configure(
        policy={"effects": {"AUD-C003": "quarantine"}},
        detectors={rule: {"enabled": False} for rule in others},
        self_measurement="off",
    )
    before: Path | None = None
    for number in range(17):  # until the site's own contributors have earned a standing
        data = site.write(f"in/b{number}.parquet", site.rows(300, 100 + number))
        link = ("--after", before) if before else ()
        before = vendor.send(data, *CREATE, *link, batch_id=f"b{number}")
        assert vendor.gate(data) == 0
    table = site.rows(400, 777)
    who = table["who"].to_pylist()
    who[200:] = [f"sybil-{i % 50:02d}" for i in range(200)]
    data = site.write("in/s.parquet", replaced(table, "who", who))
    vendor.send(data, *CREATE, "--after", before, batch_id="s")
    assert vendor.gate(data) == 10
    (finding,) = [f for f in site.report()["findings"] if f["rule"] == "AUD-C003"]
    assert finding["evidence"]["newcomers"] >= 50
    stay = [name.startswith("sybil") for name in published_rows_of(site, 400)]
    assert np.mean(stay) <= 0.2 + 1e-9


def published_rows_of(site: Any, most: int) -> list[str]:
    """The contributors of the newest published batch."""
    newest = max(site.visible("published"), key=lambda path: path.stat().st_mtime)
    table = pa.concat_tables(pq.ParquetFile(path).read() for path in newest.rglob("*.parquet"))
    assert table.num_rows <= most
    return list(table["who"].to_pylist())


def test_renumbering_needs_an_unsigned_manifest(site: Any, vendor: Any) -> None:
    """`manifest sign` gives number and predecessor, but changes nothing that is signed."""
    first = vendor.batch("a", 11)
    assert vendor.gate(first) == 0
    data = site.write("in/b.parquet", site.rows(120, 12))
    manifest = vendor.declare(data, batch_id="b")
    ledger = site.root / ".auditor" / "ledger.db"
    sign = ("manifest", "sign", manifest, "--key", "vendor.key")
    assert site.call(*sign, "--ledger", ledger).code == 0
    batch = json.loads(dsse.parse(manifest.read_bytes()).payload)["predicate"]["batch"]
    assert batch["sequence"] == 2
    again = site.call(*sign, "--sequence", "9")
    assert again.code == 2
    assert "signed already" in again.err
    assert vendor.gate(data) == 0


def test_renumbered_is_read_again_before_it_is_written(vendor: Any) -> None:
    """A number or digest that no reader takes is not written."""
    data = vendor.site.write("in/a.parquet", vendor.site.rows(120, 5))
    payload = dsse.parse(vendor.declare(data).read_bytes()).payload
    with pytest.raises(Exception, match="DIGEST_ALGORITHM"):
        declare.renumbered(payload, 2, "ABC")
    with pytest.raises(Exception, match="FIELD_TYPE"):
        declare.renumbered(payload, -1, None)
