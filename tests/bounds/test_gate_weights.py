"""A gate that gives sample weights: what it publishes, and when it must not."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.publish import write_published
from auditor.readers import Ingest, ingest, resolve
from auditor.sample_weight import COLUMN

pytestmark = pytest.mark.slow

#: Rules that take seconds and have no part in this.
SLOW = ("AUD-C001", "AUD-D005", "AUD-F001", "AUD-L002", "AUD-R001", "AUD-T001", "AUD-T002")
OFF = {rule: {"enabled": False} for rule in SLOW}


def rebuilt(site: Any, name: str = "trusted.parquet") -> None:
    built = ("baseline", "build", name, "-o", "known", "-q", "--power", "skip")
    done = site.call(*built)
    assert done.code == 0, done.err
    site.configure(baseline="known", outputs={"sample_weight": 0.1}, self_measurement="off")


@pytest.fixture
def weighing(site: Any) -> Any:
    """A site whose baseline knows labels, and whose gate trims a tenth of the rows."""
    site.configure(detectors=OFF)
    rebuilt(site)
    return site


def published(site: Any) -> dict[str, pa.Table]:
    (folder,) = site.visible("published")
    files = sorted(folder.rglob("*.parquet"))
    return {p.relative_to(folder).as_posix(): pq.ParquetFile(p).read() for p in files}


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Ingest:
    """66 rows in three files, numbered."""
    root = tmp_path_factory.mktemp("numbered")
    first = 0
    for name, count in (("a", 40), ("b", 1), ("c", 25)):
        table = pa.table({"n": range(first, first + count), "t": [name] * count})
        (root / "in").mkdir(exist_ok=True)
        pq.write_table(table, root / "in" / f"{name}.parquet", row_group_size=7)
        first += count
    return ingest(resolve([str(root / "in")]), staging=root / "staging")


@given(aside=st.sets(st.integers(0, 65)), zero=st.sets(st.integers(0, 65)))
def test_no_row_is_lost_moved_or_weighed_as_another(
    ingested: Ingest, aside: set[int], zero: set[int]
) -> None:
    weights = np.ones(66, dtype=np.float32)
    weights[list(zero)] = 0
    quarantined = np.array(sorted(aside), dtype=np.int64)
    with tempfile.TemporaryDirectory() as folder:
        entries = write_published(ingested, quarantined, Path(folder), weights)
        tables = [pq.ParquetFile(Path(folder) / entry.name).read() for entry in entries]
    assert [table.num_rows for table in tables] == [entry.rows for entry in entries]
    rows = pa.concat_tables(tables)
    assert rows["n"].to_pylist() == [n for n in range(66) if n not in aside]
    assert rows[COLUMN].to_pylist() == [float(n not in zero) for n in rows["n"].to_pylist()]
    assert rows.schema.names == ["n", "t", COLUMN]


def test_every_file_has_the_column_and_its_rows_in_their_order(weighing: Any) -> None:
    weighing.configure(roles={**weighing.settings["roles"], "ignored": ["day"]})
    parts = {f"day={seed}/a.parquet": weighing.rows(100, seed) for seed in (5, 6)}
    for name, rows in parts.items():
        weighing.write(f"in/{name}", rows)
    done = weighing.call("gate", "in", "-q")
    assert done.code == 0, done.out
    found = published(weighing)
    assert {name: t.drop_columns([COLUMN]) for name, t in found.items()} == parts
    zero = [int((t[COLUMN].to_numpy() == 0).sum()) for t in found.values()]
    assert sum(zero) == 20 == weighing.report()["sample_weight"]["rows"]
    assert min(zero) > 0
    assert "20 published rows got weight 0: the least expected labels by AUD-L001" in done.out


def test_without_the_setting_files_are_published_as_they_came(weighing: Any) -> None:
    weighing.configure(outputs={"sample_weight": 0})
    data = weighing.write("in/a.parquet", weighing.rows(150, 5))
    assert weighing.call("gate", data, "-q").code == 0
    (folder,) = weighing.visible("published")
    assert (folder / "a.parquet").read_bytes() == data.read_bytes()
    assert weighing.report()["sample_weight"] is None


def test_text_files_get_the_column_too(weighing: Any) -> None:
    table = weighing.rows(100, 5)
    lines = [",".join(map(str, row.values())) for row in table.to_pylist()]
    weighing.write("in/a.csv", "\n".join([",".join(table.column_names), *lines]) + "\n")
    assert weighing.call("gate", "in/a.csv", "-q").code == 0
    (found,) = published(weighing).values()
    assert found.drop_columns([COLUMN]).to_pylist() == table.to_pylist()
    assert int((found[COLUMN].to_numpy() == 0).sum()) == 10


def test_wrong_labels_lose_their_weight_and_what_is_set_aside_is_not_published(
    weighing: Any,
) -> None:
    table = weighing.rows(300, 5)
    strong = np.flatnonzero(np.abs(table["x"].to_numpy()) > 1)[:4]
    labels = np.array(table["label"].to_pylist())
    labels[strong] = np.where(labels[strong] == "up", "down", "up")
    table = table.set_column(4, "label", pa.array(labels))
    weighing.write("in/a.parquet", weighing.copies(table, 20))
    done = weighing.call("gate", "in/a.parquet", "-q")
    assert done.code == 10, done.out
    (found,) = published(weighing).values()
    report = weighing.report()
    assert found.num_rows == 320 - report["rows_quarantined"]
    weights = dict(zip(found["id"].to_pylist(), found[COLUMN].to_pylist(), strict=True))
    assert not [name for name in weights if name.startswith("copy-")]
    wrong = [f"r5-{row}" for row in strong.tolist()]
    assert {weights.get(name, 0.0) for name in wrong} == {0.0}, "set aside, or of no weight"
    assert list(weights.values()).count(0.0) == 32 - report["rows_quarantined"]


def test_targets_are_trimmed_by_their_residuals(site: Any) -> None:
    def rows(count: int, seed: int) -> pa.Table:
        table = site.rows(count, seed)
        noise = np.random.default_rng(seed + 100).normal(0, 0.1, count)
        return table.set_column(4, "label", pa.array(2 * table["x"].to_numpy() + noise))

    site.configure(detectors=OFF)
    site.write("real.parquet", rows(600, 1))
    rebuilt(site, "real.parquet")
    table = rows(200, 5)
    site.write("in/a.parquet", table)
    done = site.call("gate", "in/a.parquet", "-q")
    assert done.code == 0, done.out
    (found,) = published(site).values()
    zero = found[COLUMN].to_numpy() == 0
    assert int(zero.sum()) == 20
    off = np.abs(found["label"].to_numpy() - 2 * found["x"].to_numpy())
    assert off[zero].mean() > 2 * off[~zero].mean()
    assert site.report()["sample_weight"]["rule"] == "AUD-L003"


def held(site: Any, why: str) -> None:
    """The gate holds a clean batch and says why; `audit` says the same."""
    site.write("in/a.parquet", site.rows(150, 5))
    for command in ("gate", "audit"):
        done = site.call(command, "in/a.parquet", "-q")
        assert done.code == 12, done.out
        reasons = site.report()["reasons"]
        assert any("outputs.sample_weight is set" in r and why in r for r in reasons), reasons
    assert site.visible("published") == []


def test_a_rule_that_is_switched_off_holds_the_batch(weighing: Any) -> None:
    weighing.configure(detectors={**OFF, "AUD-L001": {"enabled": False}})
    held(weighing, "AUD-L001: switched off in the settings")


def test_a_baseline_that_knows_no_loss_holds_the_batch(site: Any) -> None:
    """It was built with the rule switched off."""
    site.configure(detectors=OFF, outputs={"sample_weight": 0.1})
    held(site, "AUD-L001: the baseline holds no thresholds for it; build it again")


def test_a_site_without_a_baseline_holds_the_batch(weighing: Any) -> None:
    """The rule ranks rows there too, by a model that learnt from them."""
    weighing.configure(baseline=None)
    held(weighing, "AUD-L001: it had no trusted rows")


def test_rows_without_a_label_hold_the_batch(site: Any) -> None:
    roles = {role: names for role, names in site.settings["roles"].items() if role != "label"}
    site.configure(detectors=OFF, roles={**roles, "ignored": ["label"]})
    rebuilt(site)
    held(site, "AUD-L003: no label role")


def test_a_quick_audit_is_not_asked_for_a_loss(weighing: Any) -> None:
    data = weighing.write("in/a.parquet", weighing.rows(150, 5))
    done = weighing.call("audit", data, "--profile", "quick", "-q")
    assert done.code == 0, done.out


@pytest.mark.parametrize("name", [COLUMN, "_AUDITOR_weight", "_Auditor_Weight"])
@pytest.mark.parametrize("share", [0, 0.1])
def test_a_supplier_weighs_no_rows(weighing: Any, name: str, share: float) -> None:
    """Another case of the name is the same column to some engines."""
    weighing.configure(outputs={"sample_weight": share})
    table = weighing.rows(150, 5)
    weights = pa.array(np.full(150, 1000.0, dtype=np.float32))
    weighing.write("in/a.parquet", table.append_column(name, weights))
    for command in ("gate", "audit"):
        done = weighing.call(command, "in/a.parquet", "-q")
        assert done.code == 11, done.out
        assert "names that start with _auditor_ are ours" in done.out
    assert weighing.visible("published") == []


def test_a_folder_weighs_no_rows(weighing: Any) -> None:
    """The reader takes columns from `key=value` folders."""
    weighing.write(f"in/{COLUMN}=1000/a.parquet", weighing.rows(150, 5))
    done = weighing.call("gate", weighing.root / "in", "-q")
    assert done.code == 11, done.out
    assert weighing.visible("published") == []


@pytest.mark.parametrize("share", ["-0.1", "0.21", ".nan", "true", '"0.1"'])
def test_a_share_that_is_none(bare: Any, share: str) -> None:
    path: Path = bare.write("auditor.yaml", f"outputs: {{sample_weight: {share}}}\n")
    path.chmod(0o600)
    bare.write("in/a.parquet", bare.rows(60, 5))
    done = bare.call("gate", "in/a.parquet", "-q")
    assert done.code == 2
    assert "sample_weight" in done.err
