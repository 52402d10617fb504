"""Where a row came from, which runs saw it, who decided about it, which training sets hold it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow

MODEL = "cd" * 32


def trace(world: Any, what: str | Path) -> Any:
    return world.site.call("trace", what)


def renamed(table: pa.Table) -> pa.Table:
    ids = [f"other-{number}" for number in range(table.num_rows)]
    return table.set_column(table.schema.get_field_index("id"), "id", pa.array(ids))


def trained(world: Any) -> str:
    """A frozen data set of the batch, and a training run that used it; the attestation's path."""
    frozen = world.site.call("dataset", "freeze", "spring", "--batches", "lab/stones@*")
    assert frozen.code == 0, frozen.err
    path = world.root / ".auditor/published/frozen/spring.dsse.json"
    done = world.site.call("consumed", path, "--run", "train-7", "--model", MODEL)
    assert done.code == 0, done.err
    return str(path)


def test_a_received_file_leads_to_its_run_its_source_and_its_models(world: Any) -> None:
    trained(world)
    done = trace(world, "in/b.parquet")
    assert done.code == 0, done.out
    assert f"{world.run}" in done.out
    assert "the file b.parquet as it was received" in done.out
    assert "lab/stones@b" in done.out
    assert f"vouched for by {world.people.keyid('lab')}" in done.out
    assert "in the data set spring" in done.out
    assert f"trained on by train-7, model {MODEL}" in done.out
    assert done.last == "auditor: trace: 1 runs saw it, 1 data sets, 1 models, 0 unknown"


def test_rows_under_new_ids_in_another_file_are_found(world: Any) -> None:
    old = pq.read_table(world.root / "in/b.parquet")
    mixed = pa.concat_tables([renamed(old.slice(100, 7)), world.site.rows(20, 99)])
    world.site.write("leak.parquet", mixed)
    done = trace(world, "leak.parquet")
    assert "7 of 27 rows are among those that it published" in done.out
    assert "as it was received" not in done.out


def test_rows_that_nobody_saw_are_not_found(world: Any) -> None:
    world.site.write("new.parquet", world.site.rows(20, 99))
    done = trace(world, "new.parquet")
    assert (done.code, done.out.count("\n")) == (0, 1)
    assert "no run saw it" in done.last


def test_a_row_is_found_by_its_id_published_or_set_aside(world: Any) -> None:
    done = trace(world, "copy-3")
    assert "of b.parquet, set aside: AUD-D001" in done.out
    assert "rows set aside: QUARANTINED" in done.out
    assert "of the published" not in done.out
    kept = trace(world, "r6-150")
    assert "of the published b.parquet" in kept.out
    assert "set aside: AUD" not in kept.out


def test_decisions_name_who_made_them(released: Any) -> None:
    done = trace(released, "copy-3")
    assert "rows set aside: RELEASED" in done.out
    assert "release.requested by ann" in done.out
    assert "release.approved by bob" in done.out
    assert done.out.count("of the published") == 1, "the release published it"


def test_a_recall_is_named(world: Any) -> None:
    assert world.recall("--source", "lab/stones").code == 0
    done = trace(world, "in/b.parquet")
    assert "recall by cat" in done.out


def test_a_model_leads_back_to_its_rows(world: Any) -> None:
    path = trained(world)
    for what in (MODEL, path):
        done = trace(world, what)
        assert world.run in done.out, done.out
        assert "lab/stones@b" in done.out


def test_published_folders_and_digests_lead_to_the_run(world: Any) -> None:
    folder = next(p for p in world.site.visible("published") if len(p.name) == 64)
    for what in (folder, folder.name, world.site.visible("quarantine")[0].name):
        done = trace(world, what)
        assert world.run in done.out, what
    assert trace(world, world.root / "in").code == 2


def test_a_changed_published_file_is_unknown_not_clean(world: Any) -> None:
    """Attack: swap a published file, so that the row seems not to be in it."""
    folder = next(p for p in world.site.visible("published") if len(p.name) == 64)
    file = next(folder.glob("*.parquet"))
    pq.write_table(pq.read_table(file).slice(0, 3), file)
    done = trace(world, "r6-150")
    assert done.code == 12
    assert "unknown: " in done.out


def test_a_run_folder_that_is_gone_is_unknown(world: Any) -> None:
    shutil.rmtree(world.root / ".auditor" / "runs" / world.run)
    done = trace(world, "in/b.parquet")
    assert done.code == 12
    assert "1 unknown" in done.last


def test_what_was_only_looked_at_is_seen_too(world: Any) -> None:
    data = world.site.write("in/look.parquet", world.site.rows(100, 77))
    assert world.site.call("audit", data, "-q").code == 0
    done = trace(world, data)
    assert "audit ACCEPT" in done.out or "audit HOLD" in done.out or "audit QUARANTINE" in done.out
    assert "published as" not in done.out


def test_tracing_writes_nothing(world: Any) -> None:
    def ledger() -> str:
        path = world.root / ".auditor" / "ledger.db"
        return hashlib.sha256(path.read_bytes()).hexdigest()

    before = ledger(), sorted(world.root.rglob("*"))
    trace(world, "in/b.parquet")
    assert (ledger(), sorted(world.root.rglob("*"))) == before


def test_rows_with_other_types_are_unknown_not_unseen(world: Any) -> None:
    old = pq.read_table(world.root / "in/b.parquet")
    texts = old.set_column(old.schema.get_field_index("x"), "x", old["x"].cast(pa.string()))
    world.site.write("typed.parquet", texts)
    done = trace(world, "typed.parquet")
    assert done.code == 12
    assert "with other types" in done.out


def test_a_record_that_is_gone_is_unknown(world: Any) -> None:
    """Attack: remove what says which rows were published."""
    (world.root / ".auditor/runs" / world.run / "history.json").unlink()
    world.site.write("new.parquet", world.site.rows(20, 99))
    assert trace(world, "new.parquet").code == 12


def test_damaged_evidence_is_unknown(world: Any) -> None:
    path = world.root / ".auditor/runs" / world.run / "suspects.parquet"
    path.write_bytes(b"PAR1 and no more")
    assert trace(world, "copy-3").code == 12


def test_rows_that_were_purged_are_still_found_by_their_id(world: Any) -> None:
    (folder,) = world.site.visible("quarantine")
    (folder / "rows.parquet").unlink()
    done = trace(world, "copy-3")
    assert "of b.parquet, suspicious:" in done.out


def test_a_column_that_folders_gave_is_missing_in_a_copy_of_one_file(world: Any) -> None:
    """Nobody can tell then whether the rows are those of the batch: it is not ruled out."""
    site = world.site
    site.settings.pop("baseline")
    site.configure(roles={"label": ["label"]}, name="folders")
    table = site.rows(200, 79)
    for label in ("up", "down"):
        part = table.filter(pc.equal(table["label"], label)).drop_columns(["label"])
        site.write(f"in/folders/label={label}/part.parquet", part)
    assert site.call("gate", "in/folders", "-q").code == 0
    done = trace(world, site.write("new.parquet", renamed(part.slice(0, 9))))
    assert done.code == 12
    assert "folders say its label; rows were not compared" in done.out


def test_a_misspelt_file_is_not_called_unseen(world: Any) -> None:
    """Whatever is no file is taken as an id; the command says so."""
    done = trace(world, "in/bb.parquet")
    assert "no run saw it" in done.out
    assert "looked for a row with this id; there is no such file" in done.err
    assert "looked for the file and its rows" in trace(world, world.root / "in/b.parquet").err


def test_features_that_were_found_for_several_reasons_are_all_compared(world: Any) -> None:
    """A report tells of numbers and of categories apart; both are features."""
    site = world.site
    site.settings.pop("baseline")
    site.configure(roles={"label": ["label"]}, name="guessed")
    table = site.rows(200, 78)
    table = table.append_column("cut", pa.array(["fair", "good"] * 100))
    assert site.call("gate", site.write("in/guessed.parquet", table), "-q").code == 0
    done = trace(world, site.write("new.parquet", renamed(table.slice(20, 9))))
    assert "9 of 9 rows are among those that it published" in done.out
    assert "other types" not in done.out
