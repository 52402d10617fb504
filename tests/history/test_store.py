"""Records, the database over them, and how it is brought up to the ledger."""

from __future__ import annotations

import hashlib
import json
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from auditor.errors import LedgerError
from auditor.history import HistoryDamaged, HistoryStore, Past, Record, Written, catch_up, write
from auditor.history.store import RECENT
from auditor.ledger import Ledger
from auditor.ulid import new_ulid

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
OTHER = "f" * 64


def keys(start: int, count: int) -> np.ndarray:
    """Rows `start` to `start + count`, as keys."""
    numbers = np.arange(start, start + count, dtype=np.uint64)
    return np.stack([numbers * np.uint64(0x9E3779B97F4A7C15), numbers], axis=1)


def record(number: int, start: int, count: int) -> Record:
    return Record(
        batch=f"{number:064x}",
        verdict="ACCEPT",
        vouched=False,
        rows=count,
        scheme="s",
        keys=keys(start, count),
        features=keys(start + 1_000_000, count),
        tallies=(("AUD-D002", "repeats", 1.0 * number, 10.0),),
        subjects=(
            ("", "ann", "", (count, 3.0, 2.0, 1.0)),
            ("AUD-C004", "ann", "any", (0.5, -1.25)),
        ),
        sample=pa.table({"a": list(range(start, start + count))}),
    )


class Place:
    """A ledger, run folders and a history over them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ledger = Ledger(root / "ledger.db")
        self.store = HistoryStore(root / "history.db")
        self.number = 0

    def publish(self, one: Record) -> Path:
        """What a gate does: the record into the run's folder, then the verdict."""
        self.number += 1
        run = new_ulid(NOON, self.number.to_bytes(10, "big"))
        folder = self.root / "runs" / run
        folder.mkdir(parents=True)
        refs = [OTHER, OTHER, write(folder, one)]
        self.ledger.append("verdict", at=NOON, via="gate", subject=one.batch, refs=refs, run=run)
        return folder

    def catch_up(self) -> list[str]:
        return catch_up(self.store, self.ledger, lambda run: [self.root / "runs" / run])

    def held(self, asked: np.ndarray, batch: str = OTHER, **how: bool) -> list[bool]:
        found: list[bool] = Past(self.store, batch).earlier("s").keys.hold(asked, **how).tolist()
        return found

    def contents(self) -> object:
        past = Past(self.store, OTHER)
        return (
            past.earlier("s").rows,
            self.held(keys(0, 100)),
            past.tallies("AUD-D002", "repeats").tolist(),
            past.contributors(),
            past.cumulative(),
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_record_reads_back_as_it_was(tmp_path: Path) -> None:
    one = record(1, 0, 20)
    back = Written(tmp_path, write(tmp_path, one)).read()
    assert back is not None
    assert np.array_equal(back.keys, one.keys)
    assert np.array_equal(back.features, one.features)
    none = np.zeros((0, 2), dtype=np.uint64)
    assert np.array_equal(back.aside, one.aside)
    rest = {"keys": none, "features": none, "aside": none}
    assert replace(back, **rest) == replace(one, **rest)


@pytest.mark.parametrize(
    "name",
    [
        "history.json",
        "history_keys.parquet",
        "history_subjects.parquet",
        "history_sample.parquet",
        "history_aside.parquet",
    ],
)
def test_a_record_that_was_changed_is_refused(place: Place, name: str) -> None:
    path = place.publish(record(1, 0, 20)) / name
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    with pytest.raises(LedgerError, match="not the file that the ledger names"):
        place.catch_up()
    assert Past(place.store, OTHER).earlier("s").rows == 0


def test_rows_that_were_set_aside_are_kept_apart(place: Place) -> None:
    """With the entry of their verdict; by their scheme; and not against their own batch."""
    place.publish(replace(record(1, 0, 20), aside=keys(90, 3)))
    place.publish(record(2, 50, 10))
    place.publish(replace(record(3, 60, 10), aside=keys(95, 2)))
    assert place.catch_up() == []
    found = Past(place.store, OTHER).set_aside("s")
    assert [len(each) for _, each in found] == [3, 2]
    assert np.array_equal(found[1][1], keys(95, 2))
    assert [index for index, _ in found] == [0, 2]
    assert Past(place.store, OTHER).set_aside("other") == ()
    assert len(Past(place.store, record(1, 0, 1).batch).set_aside("s")) == 1
    assert place.held(keys(90, 3)) == [False] * 3, "they were never published"


def test_rows_of_earlier_batches_are_known(place: Place) -> None:
    place.publish(record(1, 0, 20))
    place.publish(record(2, 50, 10))
    assert place.catch_up() == []
    assert place.held(keys(15, 10)) == [True] * 5 + [False] * 5
    assert place.held(keys(55, 10)) == [True] * 5 + [False] * 5
    assert place.held(keys(1_000_010, 2), features_only=True) == [True, True]
    assert place.held(keys(10, 2), features_only=True) == [False, False]
    assert Past(place.store, OTHER).earlier("s").rows == 30
    assert Past(place.store, OTHER).earlier("other scheme").rows == 0


def test_a_batch_does_not_know_itself(place: Place) -> None:
    one = record(1, 0, 20)
    place.publish(one)
    place.publish(record(2, 10, 20))
    place.catch_up()
    past = Past(place.store, one.batch)
    assert past.again
    assert past.earlier("s").rows == 20
    assert place.held(keys(5, 10), one.batch) == [False] * 5 + [True] * 5
    assert past.tallies("AUD-D002", "repeats").tolist() == [[2.0, 10.0]]
    assert [sent.rows for sent in past.contributors()["ann"].batches] == [20]


def test_another_batch_can_be_left_out_as_well(place: Place) -> None:
    one, two = record(1, 0, 20), record(2, 10, 20)
    for each in (one, two, record(3, 40, 5)):
        place.publish(each)
    place.catch_up()
    past = Past(place.store, one.batch, two.batch)
    assert past.earlier("s").rows == 5
    held = past.earlier("s").keys.hold(keys(25, 20)).tolist()
    assert held == [False] * 15 + [True] * 5
    assert len(past.tallies("AUD-D002", "repeats")) == 1
    assert [sent.rows for sent in past.contributors()["ann"].batches] == [5]


def test_the_same_bytes_twice_count_once(place: Place) -> None:
    place.publish(record(1, 0, 20))
    place.catch_up()
    before = place.contents()
    place.publish(record(1, 0, 25))  # more of its rows were published this time
    place.catch_up()
    assert place.held(keys(20, 10)) == [True] * 5 + [False] * 5
    assert Past(place.store, f"{1:064x}").earlier("s").rows == 0
    assert place.held(keys(0, 25), f"{1:064x}") == [False] * 25
    evidence = Past(place.store, OTHER).cumulative()["AUD-C004"]["ann", "any"]
    assert (evidence.values, evidence.batches) == ((0.5, -1.25), 1)
    assert before != place.contents()


def test_evidence_adds_up(place: Place) -> None:
    for number in range(1, 4):
        place.publish(record(number, 100 * number, 5))
    place.catch_up()
    evidence = Past(place.store, OTHER).cumulative()["AUD-C004"]["ann", "any"]
    assert (evidence.values, evidence.batches) == ((1.5, -3.75), 3)


def test_caught_up_twice_is_caught_up_once(place: Place) -> None:
    place.publish(record(1, 0, 20))
    place.catch_up()
    before = place.contents()
    place.catch_up()
    assert place.contents() == before


def test_a_deleted_history_is_built_again(place: Place) -> None:
    for number in range(1, 6):
        place.publish(record(number, 15 * number, 20))
        place.catch_up()
    before = place.contents()
    place.store.path.unlink()
    assert place.contents() != before
    place.catch_up()
    assert place.contents() == before


def test_a_record_that_is_missing_is_taken_in_once_it_is_back(place: Place) -> None:
    folder = place.publish(record(1, 0, 20))
    hidden = folder.rename(folder.with_name("elsewhere"))
    place.publish(record(2, 50, 10))
    assert place.catch_up() == [folder.name]
    assert place.catch_up() == [folder.name]
    assert place.held(keys(0, 1)) + place.held(keys(50, 1)) == [False, True]
    hidden.rename(folder)
    assert place.catch_up() == []
    assert place.held(keys(0, 1)) == [True]
    assert place.store.missing() == []


def test_without_a_published_batch_there_is_no_file(place: Place) -> None:
    place.ledger.append("verdict", at=NOON, via="gate", subject=OTHER, refs=[OTHER, OTHER])
    assert place.catch_up() == []
    assert not place.store.path.exists()


def test_the_file_is_for_its_owner(place: Place) -> None:
    place.publish(record(1, 0, 20))
    place.catch_up()
    assert stat.S_IMODE(place.store.path.stat().st_mode) == 0o600
    assert sorted(path.name for path in place.root.iterdir()) == [
        "history.db",
        "ledger.db",
        "ledger.db.key",
        "runs",
    ]


def test_the_history_of_another_ledger_is_refused(place: Place, tmp_path: Path) -> None:
    place.publish(record(1, 0, 20))
    place.catch_up()
    place.ledger = Ledger(tmp_path / "new.db")
    place.publish(record(2, 0, 20))
    with pytest.raises(LedgerError, match="built from another ledger"):
        place.catch_up()


@pytest.mark.parametrize("content", [b"", b"not a database" * 100])
def test_a_damaged_file_says_what_to_do(place: Place, content: bytes) -> None:
    place.publish(record(1, 0, 20))
    place.store.path.write_bytes(content)
    with pytest.raises(HistoryDamaged, match="delete this file"):
        place.catch_up()


def test_many_batches_stay_in_few_segments(place: Place) -> None:
    for number in range(40):
        place.store.add(number, record(number + 1, 7 * number, 20))
    with place.store.opened() as db:
        (count,) = db.execute("SELECT count(*) FROM segment WHERE kind = 0").fetchone()
    assert count <= 8
    assert all(place.held(keys(0, 7 * 39 + 20)))
    assert not any(place.held(keys(7 * 39 + 20, 50)))


def test_a_record_of_before_has_no_sample(place: Place) -> None:
    """Records were written without; they are read as they are."""
    folder = place.publish(record(1, 0, 20))
    said = json.loads((folder / "history.json").read_text())
    del said["files"]["history_sample.parquet"]
    content = json.dumps(said).encode()
    (folder / "history.json").write_bytes(content)
    found = Written(folder, hashlib.sha256(content).hexdigest()).read()
    assert found is not None
    assert found.sample.num_rows == 0


def test_samples_of_the_newest_batches_are_kept(place: Place) -> None:
    for number in range(RECENT + 3):
        place.store.add(number, record(number, number, 1))
    samples = Past(place.store, OTHER).recent("s", 1_000)
    found = [one.rows["a"].to_pylist() for one in samples]
    assert found == [[number] for number in range(RECENT + 2, 2, -1)]
