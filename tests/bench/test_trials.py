"""The smallest trial there is: one small data set, one attack, two peers, the harm."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.redteam.variants import VARIANTS
from bench.detection import trials
from bench.detection.cases import Case, bundled, cut
from bench.detection.harm import hold_out
from bench.detection.harm_table import print_harm
from bench.detection.tables import print_tables
from bench.detection.triggers import trigger_of

Records = list[dict[str, Any]]


def _raises(case: Case, table: pa.Table) -> np.ndarray:
    raise ArithmeticError("no such thing")


@pytest.fixture(scope="module")
def case() -> Case:
    name, table = next(bundled())
    return cut(name, table, seed=0)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    folder: Path = tmp_path_factory.mktemp("sets")
    _, table = next(bundled())
    pq.write_table(table.select([*table.column_names[:6], "label"]), folder / "small.parquet")
    peers = {"spectral-signatures": trials.PEERS["spectral-signatures"], "broken": _raises}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "PEERS", peers)
        work = trials.Work(
            folder=str(folder),
            set="small",
            seed=0,
            condition="alike",
            attacks=("backdoor",),
            rates=(0.1,),
            peers=tuple(peers),
            harm="logistic",
        )
        return trials.run(work)


def test_a_trial_has_a_clean_and_a_planted_record(records: Records) -> None:
    assert [r["attack"] for r in records] == ["clean", "backdoor"]
    assert records[1]["poison"] == round(0.1 * records[0]["rows"])
    assert all(r["peak_mb"] > 1 and r["seconds"] > 0 for r in records)
    assert json.loads(json.dumps(records))[1]["attack"] == "backdoor"


def test_a_peer_that_raises_is_a_result(records: Records) -> None:
    broken = records[1]["peers"]["broken"]
    assert math.isnan(broken["recall"])
    assert broken["failed"] == "ArithmeticError: no such thing"
    assert 0 <= records[1]["peers"]["spectral-signatures"]["recall"] <= 1


def test_the_table_counts_the_failure(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(records)
    out = capsys.readouterr().out
    assert "failed: broken, 1 of 1 trials, first backdoor on small seed 0: Arithmetic" in out
    (line,) = [x for x in out.splitlines() if x.startswith("broken ")]
    assert line.split()[1:] == ["nan", "nan", "1"]


def test_a_backdoor_harms_a_model(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    harm = records[1]["harm"]
    assert harm["all"]["success"] > harm["clean"]["success"]
    assert harm["clean"]["accuracy"] > 0.8
    print_harm(records)
    assert f"{harm['all']['success']:.3f}" in capsys.readouterr().out


def test_nothing_published_is_counted_and_not_taken_for_no_harm(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = {"success": math.nan, "accuracy": math.nan}
    print_harm([{**records[1], "harm": {**records[1]["harm"], "gate": nothing}}])
    cells = capsys.readouterr().out.splitlines()[4].split()
    assert cells[:4] == ["backdoor", "0.1", "1", "1"]
    assert cells.count("nan") == 2
    assert cells.count("+nan") == 2


@pytest.mark.parametrize(
    ("attack", "cells"),
    [("backdoor", 3), ("backdoor-added", 3), ("clean-label", 3), ("backdoor-one-cell", 1)],
)
def test_the_trigger_is_what_the_attack_says(case: Case, attack: str, cells: int) -> None:
    planted = VARIANTS[attack](case.batch, case.roles, rows=20, seed=3, trusted=case.trusted)
    trigger = trigger_of(planted, case.batch, case.roles)
    assert trigger is not None
    assert trigger.cells.num_columns == cells
    for name in trigger.cells.column_names:
        (value,) = set(trigger.cells[name].to_pylist())
        assert f"{name} = {value!r}" in planted.description
    assert planted.description.count(" = ") == cells


def test_poison_of_the_baseline_comes_on_top_of_that_of_the_batch(case: Case) -> None:
    work = trials.Work(
        folder="", set="", seed=3, condition="alike", attacks=(), rates=(), baseline_poison=0.05
    )
    seen, planted = trials.plant(work, case, "backdoor", 20)
    assert planted.mask.true_count == 20
    before = set(case.trusted["row_id"].to_pylist())
    share = len(set(seen.trusted["row_id"].to_pylist()) - before) / len(before)
    assert share == pytest.approx(0.05, abs=0.005)


def test_a_flip_has_no_trigger(case: Case) -> None:
    planted = VARIANTS["random-flip"](case.batch, case.roles, rows=20, seed=3)
    assert trigger_of(planted, case.batch, case.roles) is None


def test_held_out_rows_are_a_fifth_and_never_trained_on(case: Case) -> None:
    kept, held = hold_out(case.batch, 5)
    ids = [set(part["row_id"].to_pylist()) for part in (kept, held)]
    assert not ids[0] & ids[1]
    assert ids[0] | ids[1] == set(case.batch["row_id"].to_pylist())
    assert len(ids[1]) == round(0.2 * case.batch.num_rows)
    assert hold_out(case.batch, 6)[1]["row_id"] != held["row_id"]
