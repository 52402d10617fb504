"""Closeness, candidates, the precedence test, families, and the rule against a small baseline."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.baseline import Baseline
from auditor.batch import Roles, TableBatch
from auditor.context import Context
from auditor.detectors.near_duplicates import NearDuplicates, Options
from auditor.features import Encoder
from auditor.near_copies.closeness import Closeness
from auditor.near_copies.contrasts import contrasts, strongest
from auditor.near_copies.pairs import Pool, alike, column_words, pool
from auditor.near_copies.partners import KEPT, Pairs, Partners
from auditor.near_copies.relabelling import SmallestTail

FEATURES = (*(f"x{i}" for i in range(6)), "kind")
ROLES = Roles(
    {"label": ("label",), "contributor": ("who",), "timestamp": ("when",), "feature": FEATURES}
)
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def made(rows: int, seed: int, *, twins: int = 0) -> pa.Table:
    """Correlated numbers, a category, a label; `twins` rows nearly repeat another one."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)) @ np.random.default_rng(9).normal(size=(3, 6))
    x += 0.3 * rng.normal(size=x.shape)
    if twins:
        x[:twins] = x[twins : 2 * twins] + 0.001 * rng.normal(size=(twins, 6))
    columns = {f"x{i}": np.round(x[:, i], 4) for i in range(6)}
    kind = np.array(["a", "b", "c"])[rng.integers(0, 3, rows)]
    if twins:
        kind[:twins] = kind[twins : 2 * twins]
    return pa.table(
        columns
        | {
            "kind": kind,
            "label": np.where(x[:, 0] > 0, "yes", "no"),
            "who": [f"c{i % 10}" for i in range(rows)],
            "when": pa.array(
                [START + dt.timedelta(minutes=i) for i in range(rows)], pa.timestamp("us", "UTC")
            ),
        }
    )


def baseline_of(table: pa.Table) -> Baseline:
    """Only what the rule reads; building a whole one calibrates every other rule."""
    keys = pa.table({"label": table["label"], "contributor": table["who"]})
    return Baseline(
        digest="",
        created_at="",
        key_id="",
        seed=1,
        roles=ROLES,
        schema=table.schema,
        parts=(),
        sample=table,
        keys=keys,
        edges={},
    )


@pytest.fixture(scope="module")
def trusted() -> Baseline:
    return baseline_of(made(500, 1))


def context(baseline: Baseline | None, **options: object) -> Context:
    return Context(
        seed=4,
        site_key=b"k" * 32,
        baseline=baseline,
        settings={"AUD-D005": Options(**options)},  # type: ignore[arg-type]
    )


def jittered(table: pa.Table, source: np.ndarray, size: float, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    new = table.take(pa.array(source))
    for i in range(6):
        values = np.round(new[f"x{i}"].to_numpy() + rng.normal(0, size, len(source)), 4)
        new = new.set_column(i, f"x{i}", pa.array(values))
    place = new.schema.get_field_index("when")
    late = [START + dt.timedelta(days=30, minutes=i) for i in range(len(source))]
    return new.set_column(place, "when", pa.array(late, new.schema.field("when").type))


def named(
    baseline: Baseline, table: pa.Table, level: float = 0.0005, **options: object
) -> set[int]:
    outcome = NearDuplicates.load(context(baseline, **options)).scan(TableBatch(table, ROLES))
    rows = [f.rows for f in outcome.findings if f.p_value is not None and f.p_value <= level]
    return {int(r) for t in rows if t is not None for r in t.column("row").to_pylist()}


def pool_of(first: pa.Table, second: pa.Table) -> Pool:
    closeness = Closeness.of(first, FEATURES)
    cells = closeness.cells(first, second)
    encoder = Encoder.fit(first, FEATURES)
    matrix = np.concatenate([encoder.transform(t) for t in (first, second)])
    return pool(closeness, cells, matrix, None, 3)


def test_copies_are_named_and_their_original_is_not(trusted: Baseline) -> None:
    batch = made(800, 2)
    source = np.repeat([10, 200, 400, 600], 10)
    rows = named(trusted, pa.concat_tables([batch, jittered(batch, source, 0.01)]))
    assert len(rows & set(range(800, 840))) >= 38
    assert len(rows & {10, 200, 400, 600}) <= 1


def test_a_family_without_its_original_goes_as_a_whole(trusted: Baseline) -> None:
    batch, elsewhere = made(800, 2), made(50, 7)
    copies = jittered(elsewhere, np.repeat([3, 30], 20), 0.02)
    rows = named(trusted, pa.concat_tables([batch, copies]))
    assert len(rows & set(range(800, 840))) >= 38


def test_a_stranger_is_never_taken_for_the_original(trusted: Baseline) -> None:
    batch = made(800, 2)
    who = ["stranger" if i in (10, 200) else x for i, x in enumerate(batch["who"].to_pylist())]
    batch = batch.set_column(batch.schema.get_field_index("who"), "who", pa.array(who))
    copies = jittered(batch, np.repeat([10, 200], 20), 0.01)
    assert {10, 200} <= named(trusted, pa.concat_tables([batch, copies]))


def test_changed_cells_do_not_hide_a_copy(trusted: Baseline) -> None:
    batch = made(800, 2)
    copies = jittered(batch, np.repeat([10, 200, 400], 15), 0.0)
    rng = np.random.default_rng(1)
    for i in (1, 4):
        values = np.round(rng.permutation(batch[f"x{i}"].to_numpy())[:45], 4)
        copies = copies.set_column(i, f"x{i}", pa.array(values))
    rows = named(trusted, pa.concat_tables([batch, copies]))
    assert len(rows & set(range(800, 845))) >= 40


def test_near_copies_of_trusted_rows_are_named(trusted: Baseline) -> None:
    copies = jittered(trusted.sample, np.arange(100, 160), 0.005)
    rows = named(trusted, pa.concat_tables([made(800, 2), copies]))
    assert len(rows & set(range(800, 860))) >= 50
    assert len(rows) <= 70


@pytest.mark.parametrize("seed", range(5))
def test_clean_rows_are_let_through(trusted: Baseline, seed: int) -> None:
    assert not named(trusted, made(1000, 50 + seed))


def test_what_trusted_rows_do_too_is_usual() -> None:
    batch = made(800, 2, twins=60)
    assert named(baseline_of(made(500, 1)), batch)
    assert not named(baseline_of(made(500, 1, twins=40)), batch)


def test_a_new_value_that_all_rows_share_makes_no_copies(trusted: Baseline) -> None:
    batch = made(800, 2)
    batch = batch.set_column(0, "x0", pa.array(np.full(800, 99.0)))
    batch = batch.set_column(6, "kind", pa.array(["new"] * 800))
    assert not named(trusted, batch)


def test_a_sample_finds_the_members_that_it_did_not_draw(trusted: Baseline) -> None:
    batch = made(3000, 2)
    copies = jittered(batch, np.repeat([10, 200], 150), 0.005)
    rows = named(trusted, pa.concat_tables([batch, copies]), compared_rows=1000)
    assert len(rows & set(range(3000, 3300))) >= 270
    assert len(rows - set(range(3000, 3300))) <= 10


def test_without_a_baseline_rows_are_ranked_and_nothing_is_claimed() -> None:
    batch = made(800, 2)
    table = pa.concat_tables([batch, jittered(batch, np.repeat([10, 200, 400, 600], 10), 0.01)])
    outcome = NearDuplicates.load(context(None)).scan(TableBatch(table, ROLES))
    assert outcome.status == "skipped"
    assert outcome.skipped is not None
    assert "baseline" in outcome.skipped
    assert not outcome.findings
    assert outcome.ranking is not None
    first = outcome.ranking.column("row").to_numpy()[:44]
    assert np.mean(np.isin(first, [10, 200, 400, 600, *range(800, 840)])) > 0.9


def sent_by(table: pa.Table, names: list[str], start: int) -> pa.Table:
    """The rows from `start` on come from these contributors, by turns."""
    who = table["who"].to_pylist()
    who[start:] = [names[i % len(names)] for i in range(len(who) - start)]
    return table.set_column(table.schema.get_field_index("who"), "who", pa.array(who))


@pytest.mark.parametrize("copies_are_older", [False, True])
def test_who_is_copied_keeps_its_rows(trusted: Baseline, copies_are_older: bool) -> None:
    batch = made(800, 2)
    victim = np.arange(3, 800, 100)  # rows of c3
    copies = jittered(batch, np.repeat(victim, 8), 0.01)
    if copies_are_older:
        when = pa.array([START - dt.timedelta(days=1)] * 64, batch.schema.field("when").type)
        copies = copies.set_column(copies.schema.get_field_index("when"), "when", when)
    table = sent_by(pa.concat_tables([batch, copies]), ["c7"], 800)
    rows = named(trusted, table)
    assert len(rows & set(range(800, 864))) >= 60
    assert not rows & set(victim.tolist())


@pytest.mark.parametrize("names", [1, 3, 10, 80])
def test_copies_go_however_many_names_send_them(trusted: Baseline, names: int) -> None:
    batch = made(800, 2)
    copies = jittered(batch, np.repeat([10, 200, 400, 600, 700], 16), 0.01)
    table = sent_by(pa.concat_tables([batch, copies]), [f"c{i}" for i in range(names)], 800)
    assert len(named(trusted, table) & set(range(800, 880))) >= 68


def test_few_copies_are_seen_by_who_sent_them(trusted: Baseline) -> None:
    batch = made(800, 2)
    table = pa.concat_tables([batch, jittered(batch, np.repeat([10, 400], 6), 0.005)])

    def p_value(names: list[str]) -> float:
        sent = TableBatch(sent_by(table, names, 800), ROLES)
        found = NearDuplicates.load(context(trusted, report_level=0.9)).scan(sent).findings
        return min((f.p_value for f in found if f.p_value is not None), default=1.0)

    assert p_value(["c3"]) < 0.0005
    assert p_value(["c3"]) < 0.1 * p_value([f"c{i}" for i in range(10)])


def from_forty(table: pa.Table, seed: int) -> pa.Table:
    """The rows come from forty contributors."""
    names = [f"c{i}" for i in np.random.default_rng(seed).integers(0, 40, table.num_rows)]
    return sent_by(table, names, 0)


@pytest.mark.parametrize("seed", [2, 3])
def test_one_row_in_a_hundred_in_a_batch_twice_as_long_as_the_baseline(seed: int) -> None:
    baseline, batch = baseline_of(from_forty(made(800, 1), 1)), from_forty(made(1600, seed), seed)
    assert not named(baseline, batch, level=0.01)
    copies = jittered(batch, np.repeat([10, 400, 700], 6), 0.05, seed)
    table = sent_by(pa.concat_tables([batch, copies]), ["c3", "c5", "c8"], 1600)
    rows = named(baseline, table)
    assert len(rows & set(range(1600, 1618))) >= 12
    assert len(rows - set(range(1600, 1618))) <= 2


def test_closeness_does_not_depend_on_the_side() -> None:
    table = made(200, 1)
    closeness = Closeness.of(table, FEATURES)
    cells = closeness.cells(table, made(50, 2))
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 250, 300), rng.integers(0, 250, 300)
    there, back = closeness.scores(cells, a, b), closeness.scores(cells, b, a)
    assert there[0] == pytest.approx(back[0])
    assert (there[1] == back[1]).all()
    assert (there[0] >= 0).all()


def test_a_shared_rare_value_counts_more_than_a_common_one() -> None:
    table = pa.table({"kind": ["common"] * 98 + ["rare"] * 2})
    closeness = Closeness.of(table, ["kind"])
    cells = closeness.cells(table, pa.table({"kind": ["common", "common", "rare", "rare", "new"]}))
    left, right = np.array([100, 102, 100, 104]), np.array([101, 103, 102, 104])
    common, rare, other, unknown = closeness.scores(cells, left, right)[0]
    assert rare > 3 > 0.1 > common > 0
    assert (other, unknown) == (0.0, 0.0)


def test_missing_values_agree_as_much_as_they_are_rare() -> None:
    table = pa.table({"x": pa.array([None, 1.0, 2.0, 3.0] * 25)})
    closeness = Closeness.of(table, ["x"])
    cells = closeness.cells(table, pa.table({"x": pa.array([None, None, 1.0])}))
    score, differing = closeness.scores(cells, np.array([100, 100]), np.array([101, 102]))
    assert score[0] == pytest.approx(-np.log(26 / 101))
    assert (score[1], differing.tolist()) == (0.0, [0, 1])


@given(changed=st.sets(st.integers(0, 6), min_size=1, max_size=3), row=st.integers(0, 59))
def test_up_to_three_changed_cells_leave_a_key_alike(changed: set[int], row: int) -> None:
    table = made(60, 5)
    other = table.slice(row, 1)
    for place in changed:
        name = FEATURES[place]
        value = pa.array(["zz"]) if name == "kind" else pa.array([77.0 + place])
        other = other.set_column(place, name, value)
    closeness = Closeness.of(table, FEATURES)
    words = column_words(closeness.cells(table, other), 8)
    found = {frozenset(p) for a, b in alike(words, 8) for p in np.c_[a, b].tolist()}
    assert frozenset((row, 60)) in found


LEVELS = (0.0, 0.001, 0.01)


def corrected(both: Pool) -> tuple[float, float]:
    """The smallest tail by itself, and corrected for the other tests."""
    tail = strongest(contrasts(both), LEVELS, 1.25).p_value
    return tail, SmallestTail.of(both, LEVELS, 1.25, 1).corrected(tail)


def test_p_values_on_clean_rows_are_not_too_small() -> None:
    small = 0
    for seed in range(40):
        both = pool_of(made(150, 100 + seed), made(150 + 50 * (seed % 4), 900 + seed))
        tail = strongest(contrasts(both), LEVELS, 1.25).p_value
        small += tail <= 0.05 and corrected(both)[1] <= 0.05  # never below the tail itself
    assert small <= 5


def test_the_tests_are_corrected_for_by_how_much_they_overlap() -> None:
    """More than one test's worth and less than that of all of them, which are three a contrast."""
    batch = made(300, 2)
    copies = jittered(batch, np.repeat([10, 200], 6), 0.01)
    both = pool_of(made(300, 1), pa.concat_tables([batch, copies]))
    tail, p = corrected(both)
    assert tail < 0.01
    assert tail < p < 0.5 * 3 * len(contrasts(both)) * tail


def test_relabelling_keeps_the_size_of_each_part() -> None:
    both = pool_of(made(100, 1), made(250, 2))
    other = both.relabelled(np.random.default_rng(0))
    assert np.array_equal(np.sort(both.part), np.sort(other.part))
    assert not np.array_equal(both.part, other.part)
    assert both.part.max() == sum(both.cuts) - 1


@pytest.mark.parametrize(("share", "power"), [(0.3, 1.0), (0.4, 0.7)])
def test_a_corrected_tail_falls_with_the_tail_and_is_never_below_it(
    share: float, power: float
) -> None:
    law = SmallestTail(share, power)
    tails = [1.0, 0.5, 0.0999, 0.01, 1e-4, 1e-9, 1e-300]
    found = [law.corrected(tail) for tail in tails]
    assert found == sorted(found, reverse=True)
    assert found[:2] == [1.0, 1.0]
    assert all(p >= tail for p, tail in zip(found, tails, strict=True))


@given(seed=st.integers(0, 10_000))
def test_partners_are_the_closest_in_each_part(seed: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = np.triu_indices(12, 1)
    kept = rng.random(len(left)) < 0.6
    pairs = Pairs(left[kept], right[kept], rng.random(int(kept.sum())))
    part = rng.integers(-1, 3, 12)
    found = Partners.of(pairs).closest(part, 3)
    for row in range(12):
        for number in range(3):
            mine = (pairs.left == row) & (part[pairs.right] == number)
            mine |= (pairs.right == row) & (part[pairs.left] == number)
            best = np.sort(pairs.score[mine])[::-1][:KEPT]
            assert found[row, number].tolist() == [*best, *[0.0] * (KEPT - len(best))]


def test_equal_rows_are_compared_once() -> None:
    table = made(100, 1)
    both = pool_of(table, pa.concat_tables([table.slice(0, 50), made(60, 3), made(60, 3)]))
    assert len(both.batch) == 110
    assert (both.same[210:270] == both.same[150:210]).all()
