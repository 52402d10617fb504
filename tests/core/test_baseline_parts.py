"""A baseline is the sum of its parts: added and dropped in any order, it is the same baseline."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditor import baseline_sampling, calibration
from auditor.baseline import Baseline, bin_counts
from auditor.baseline_changes import changes
from auditor.baseline_parts import Origin, contributor_labels, without
from auditor.baseline_sampling import draw, row_weights
from auditor.batch import Roles, TableBatch
from auditor.calibration import Plan, extended, reduced
from auditor.context import Context
from auditor.detectors.contributors import Contributors
from auditor.detectors.known_rows import KnownRows
from auditor.errors import BaselineError

KEY = bytes(range(32))
NOW = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
ROLES = Roles(
    {
        "feature": ("x", "kind"), "label": ("y",), "contributor": ("who",),
        "source": ("from",), "timestamp": ("t",),
    }
)  # fmt: skip
SLOW = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def table_of(rows: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    label = np.where((x > 0) ^ (rng.random(rows) < 0.1), "yes", "no")
    return pa.table(
        {
            "x": pa.array(x, mask=rng.random(rows) < 0.1),
            "kind": pa.array([f"k{i}" for i in rng.integers(0, 4, rows)]).dictionary_encode(),
            "y": pa.array(label, mask=rng.random(rows) < 0.05),
            "who": pa.array([f"w{i}" for i in rng.integers(0, 5, rows)]),
            "from": rng.choice(["app", "web"], rows),
            "t": pa.array(rng.integers(0, 10**6, rows), pa.timestamp("s")),
        }
    )


def batch_of(rows: int, seed: int, table: pa.Table | None = None) -> TableBatch:
    return TableBatch(table_of(rows, seed) if table is None else table, ROLES, f"{seed:064x}")


def plan(name: str = "first", day: int = 0, **changes: Any) -> Plan:
    at = NOW + dt.timedelta(days=day)
    role = changes.pop("role", "fit")
    origin = Origin(name=name, added_at=calibration.utc_text(at), role=role, run=name)
    light = {"options": {}, "resamples": 0, "detectors": (), "origin": origin}
    return Plan(name="stones", site_key=KEY, now=at, **(light | changes))


#: A rule that learns and one that knows copies, the cheapest of their kind.
MEASURED: Any = {"detectors": (Contributors, KnownRows), "resamples": 1}


def built(rows: int = 150, **changes: Any) -> Baseline:
    return calibration.build(batch_of(rows, 0), plan(**changes))


def add(baseline: Baseline, number: int, rows: int = 60, **changes: Any) -> Baseline:
    given_plan = plan(f"run-{number}", number, **changes)
    return extended(baseline, batch_of(rows, number), given_plan)


def drop(baseline: Baseline, numbers: Sequence[int], **changes: Any) -> Baseline:
    runs = {f"run-{number}" for number in numbers}
    left = [piece for piece in baseline.pieces if piece.part.run not in runs]
    return reduced(baseline, left, plan(**changes))


@pytest.fixture(scope="module")
def first() -> Baseline:
    return built()


# --- the sum -------------------------------------------------------------------------------


@SLOW
@given(
    order=st.permutations([1, 2, 3]),
    dropped=st.sets(st.sampled_from([1, 2, 3])),
    bound=st.sampled_from([40, 100, 20_000]),
)
def test_the_same_parts_are_the_same_baseline(
    order: list[int], dropped: set[int], bound: int
) -> None:
    start = built(sample_rows=bound)
    grown = start
    for number in order:
        grown = add(grown, number, sample_rows=bound)
    back = drop(grown, sorted(dropped), sample_rows=bound)
    straight = start
    for number in sorted({1, 2, 3} - dropped):
        straight = add(straight, number, sample_rows=bound)
    assert back.digest == straight.digest
    assert back.sample.equals(straight.sample)
    assert (back.digest == grown.digest) == (not dropped)
    assert (back.digest == start.digest) == (dropped == {1, 2, 3})


def test_parts_on_disk_are_as_good_as_parts_in_memory(first: Baseline, tmp_path: Path) -> None:
    grown = add(first, 1)
    back = calibration.read(calibration.write(grown, tmp_path / "grown"))
    assert back.digest == grown.digest
    assert add(back, 2).digest == add(grown, 2).digest
    assert drop(back, [1]).digest == first.digest


def test_thresholds_and_clean_rate_are_made_again_of_what_is_left() -> None:
    start = calibration.build(batch_of(400, 0), plan(**MEASURED))
    coins = np.random.default_rng(1).choice(["no", "yes"], 200)
    other = table_of(200, 1).set_column(2, "y", pa.array(coins))
    grown = extended(start, batch_of(0, 1, other), plan("run-1", 1, **MEASURED))
    assert grown.thresholds != start.thresholds
    assert grown.clean["rows"] == 100  # half of the newest batch, held against the older one
    assert start.clean["rows"] == 67  # half of the last third
    assert drop(grown, [1], **MEASURED).digest == start.digest


def test_counts_are_those_of_all_rows(first: Baseline) -> None:
    grown = add(first, 1)
    table = pa.concat_tables([table_of(150, 0), table_of(60, 1)]).combine_chunks()
    assert grown.rows == grown.keys.num_rows == 210
    assert Counter(grown.labels) == Counter(table["y"].fill_null("(missing)").to_pylist())
    for name in ("x", "kind", "y"):
        counts = bin_counts(table.column(name).combine_chunks(), grown.edges[name])
        assert grown.histogram(name).tolist() == counts.tolist(), name
    assert [part.name for part in grown.parts] == [
        "first/app", "first/web", "run-1/app", "run-1/web",
    ]  # fmt: skip
    assert grown.created_at == "2024-01-02T00:00:00Z"


def test_rows_of_every_part_are_known(first: Baseline) -> None:
    for baseline in (add(first, 1), add(first, 1, role="control")):
        scan = KnownRows.load(Context(site_key=KEY, baseline=baseline)).scan
        (found,) = scan(batch_of(60, 1)).findings
        assert found.rows is not None
        assert found.rows.num_rows == 60


def test_a_part_is_not_added_twice(first: Baseline) -> None:
    with pytest.raises(BaselineError, match=r"a part 'run-1/app' already"):
        add(add(first, 1), 1)


def test_what_is_left_must_be_enough(first: Baseline) -> None:
    with pytest.raises(BaselineError, match="0 trusted rows are too few"):
        reduced(first, [], plan())
    grown = add(first, 1)
    with pytest.raises(BaselineError, match="60 trusted rows are too few"):
        reduced(grown, [p for p in grown.pieces if p.part.run == "run-1"], plan())


# --- the sample ----------------------------------------------------------------------------


def test_a_bounded_sample_has_the_batches_in_proportion() -> None:
    bound = 2_000
    start = calibration.build(batch_of(20_000, 0), plan(sample_rows=bound))
    grown = add(start, 1, rows=5_000, sample_rows=bound)
    old, new = (
        set(table_of(n, s)["x"].drop_null().to_pylist()) for n, s in ((20_000, 0), (5_000, 1))
    )
    sample = grown.sample["x"].drop_null().to_pylist()
    assert grown.sample.num_rows == bound
    assert all(x in old or x in new for x in sample)
    assert 0.15 < sum(x in new for x in sample) / len(sample) < 0.25
    micro = grown.sample["t"].cast(pa.int64()).to_numpy()
    assert (np.diff(micro) >= 0).all()


def test_the_sample_of_one_batch_does_not_depend_on_its_sources() -> None:
    rows, bound = 3_000, 500
    one = Roles({role: names for role, names in ROLES.assigned.items() if role != "source"})
    whole = calibration.build(TableBatch(table_of(rows, 0), one), plan(sample_rows=bound))
    cut = calibration.build(TableBatch(table_of(rows, 0), ROLES), plan(sample_rows=bound))
    assert (len(whole.parts), len(cut.parts)) == (1, 2)
    assert whole.sample.select(["x", "t"]).equals(cut.sample.select(["x", "t"]))


def test_dropping_a_source_leaves_rows_of_the_others_to_sample() -> None:
    rare = np.where(np.arange(4_000) % 40 == 0, "rare", "common")
    table = table_of(4_000, 0).set_column(4, "from", pa.array(rare))
    start = calibration.build(batch_of(0, 0, table), plan(sample_rows=200))
    left = [piece for piece in start.pieces if piece.part.source == "rare"]
    assert reduced(start, left, plan(sample_rows=200)).sample.num_rows == 100  # all that there are
    assert start.sample.num_rows == 200


def test_weights_make_up_for_the_share_of_a_label() -> None:
    table = table_of(9_000, 0)
    odd = np.where(np.arange(9_000) < 300, "odd", "even")
    table = table.set_column(2, "y", pa.array(odd))
    start = calibration.build(batch_of(0, 0, table), plan(sample_rows=1_000))
    weights = row_weights(start.sample, start.labels, start.roles)
    mine = np.array(start.sample["y"].to_pylist())
    assert (mine == "odd").sum() > 150  # in proportion it would be 33
    assert weights[mine == "odd"].sum() == pytest.approx(300)
    assert weights[mine == "even"].sum() == pytest.approx(8_700)


def test_many_sources_share_a_part() -> None:
    rows = 700
    names = [f"s{i % 100:03d}" for i in range(rows)]
    table = table_of(rows, 0).set_column(4, "from", pa.array(names))
    start = calibration.build(batch_of(0, 0, table), plan())
    assert len(start.parts) == baseline_sampling.MOST_SOURCES
    (rest,) = [p for p in start.pieces if p.part.source is None]
    assert rest.part.name == "first (other sources)"
    assert start.rows == rows
    inside = pc.unique(rest.content.keys["source"]).to_pylist()[0]
    less = without(rest, "source", inside, start.frame)
    assert less.part.rows == rest.part.rows - 7


def test_draws_do_not_depend_on_chunks() -> None:
    batch = batch_of(500, 3)
    small = replace(batch, chunk_rows=13)
    ours, theirs = (draw(b, 1, 100) for b in (batch, small))
    assert (ours.draws == theirs.draws).all()
    assert (ours.chosen == theirs.chosen).all()
    assert draw(batch, 2, 100).chosen.tolist() != ours.chosen.tolist()


# --- taking somebody out -------------------------------------------------------------------


@SLOW
@given(seed=st.integers(0, 50), who=st.sampled_from(["w0", "w4"]), bound=st.sampled_from([50, 999]))
def test_a_part_without_a_contributor_has_the_counts_of_the_other_rows(
    seed: int, who: str, bound: int
) -> None:
    table = table_of(300, seed)
    start = calibration.build(batch_of(0, seed, table), plan(sample_rows=bound))
    others = table.filter(pc.not_equal(table["who"], who))
    less = [without(piece, "contributor", who, start.frame) for piece in start.pieces]
    assert sum(piece.part.rows for piece in less) == len(others)
    assert sum(piece.part.removed for piece in less) == 300 - len(others)
    for piece in less:
        mine = others.filter(pc.equal(others["from"], piece.part.source)).combine_chunks()
        for name, edges in start.edges.items():
            counts = bin_counts(mine.column(name).combine_chunks(), edges)
            assert list(piece.part.histograms[name]) == counts.tolist()
        assert who not in contributor_labels(piece)
        assert who not in piece.content.sample()["who"].to_pylist()
        total: Counter[str] = sum(contributor_labels(piece).values(), Counter())
        assert total == Counter(piece.part.labels)


def test_nothing_of_a_contributor_shows_through() -> None:
    """A dictionary keeps values that no row has any more, unless it is made again."""
    table = table_of(300, 0)
    mine = pc.equal(table["who"], "w0")
    secret = pc.if_else(mine, "secret-value", table["kind"].cast(pa.string()))
    table = table.set_column(1, "kind", secret.combine_chunks().dictionary_encode())
    start = calibration.build(batch_of(0, 0, table), plan())
    less = [without(piece, "contributor", "w0", start.frame) for piece in start.pieces]
    again = reduced(start, less, plan())
    for stored in (again.sample, *(piece.content.sample() for piece in less)):
        dictionary = stored["kind"].combine_chunks().dictionary
        assert "secret-value" not in dictionary.to_pylist()
    assert pa.types.is_dictionary(start.sample["kind"].type)


def test_a_part_without_the_contributor_stays_as_it_is(first: Baseline) -> None:
    assert all(without(p, "contributor", "nobody", first.frame) is p for p in first.pieces)


# --- control -------------------------------------------------------------------------------


def test_rules_do_not_learn_from_a_control(first: Baseline) -> None:
    grown = add(first, 1, role="control")
    assert grown.rows == first.rows
    assert grown.labels == first.labels
    assert grown.sample.equals(first.sample)
    assert grown.keys.num_rows == first.keys.num_rows + 60


def test_false_alarms_are_measured_on_the_control() -> None:
    start = calibration.build(batch_of(300, 0), plan(**MEASURED))
    again = plan("again", 1, role="control", **MEASURED)
    copied = extended(start, batch_of(0, 1, table_of(300, 0).slice(0, 200)), again)
    usual = add(start, 1, rows=200, role="control", **MEASURED)
    assert usual.thresholds == start.thresholds
    assert usual.clean["rows"] == copied.clean["rows"] == 100
    assert usual.clean["rows_quarantined"] == 0
    assert copied.clean["rows_quarantined"] == 100


# --- batches that do not fit ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (table_of(60, 1).slice(0, 0), "no rows to trust"),
        (table_of(60, 1).drop_columns(["x"]), "column 'x' .* is missing"),
        (
            table_of(60, 1).set_column(0, "x", pa.array(["text"] * 60)),
            "column 'x' holds string; the baseline holds double",
        ),
    ],
    ids=["no rows", "a column less", "another kind"],
)
def test_a_batch_that_does_not_fit_is_refused(first: Baseline, table: pa.Table, said: str) -> None:
    with pytest.raises(BaselineError, match=said):
        extended(first, batch_of(0, 1, table), plan("run-1", 1))


def test_values_that_would_be_lost_are_refused() -> None:
    table = table_of(150, 0).append_column("n", pa.array(range(150)))
    start = calibration.build(TableBatch(table, ROLES), plan())
    halves = table_of(60, 1).append_column("n", pa.array(np.arange(60) + 0.5))
    with pytest.raises(BaselineError, match="column 'n' holds double"):
        extended(start, batch_of(0, 1, halves), plan("run-1", 1))
    whole = table_of(60, 1).append_column("n", pa.array(np.arange(60) + 0.0))
    assert extended(start, batch_of(0, 1, whole), plan("run-1", 1)).rows == 210


def test_widths_encodings_and_new_columns_are_taken(first: Baseline) -> None:
    table = table_of(60, 1)
    other = pa.table(
        {
            "new": pa.array(range(60)),
            "kind": table["kind"].cast(pa.string()),
            "x": table["x"].cast(pa.float32()),
            **{name: table[name] for name in ("y", "who", "from", "t")},
        }
    )
    grown = extended(first, batch_of(0, 1, other), plan("run-1", 1))
    assert grown.schema == first.schema
    assert grown.histogram("kind").sum() == 210


def test_columns_with_our_names_are_refused() -> None:
    table = table_of(150, 0).append_column("_auditor_draw", pa.array(range(150)))
    with pytest.raises(BaselineError, match="_auditor_ are ours"):
        calibration.build(TableBatch(table, ROLES), plan())


def test_all_orders_agree_on_the_order_of_parts(first: Baseline) -> None:
    names = set()
    for order in itertools.permutations([1, 2]):
        grown = first
        for number in order:
            grown = add(grown, number)
        names.add(tuple(part.name for part in grown.parts))
    assert len(names) == 1


def test_parts_that_came_went_or_lost_rows_are_told(first: Baseline) -> None:
    grown = add(first, 1)
    less = [without(piece, "contributor", "w0", grown.frame) for piece in grown.pieces]
    assert changes(first, first).parts == ()
    assert [(p.part, p.change) for p in changes(first, grown).parts] == [
        ("run-1/app", "added"), ("run-1/web", "added"),
    ]  # fmt: skip
    assert {p.change for p in changes(grown, first).parts} == {"removed"}
    found = changes(grown, reduced(grown, less, plan())).parts
    assert {p.change for p in found} == {"changed"}
    assert sum(p.old - p.new for p in found) == grown.trusted_texts("contributor").tolist().count(
        "w0"
    )
