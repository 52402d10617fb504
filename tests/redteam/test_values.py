"""What attacks on values do: noise, units, shifts, torn and moved rows, points at the bounds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.batch import Roles
from auditor.features import Encoder
from auditor.redteam import (
    VARIANTS,
    Planted,
    availability,
    collision,
    concentrated,
    out_of_distribution,
    perturbation,
    regression,
    unit_change,
)
from auditor.redteam.jitter import jittered, quantities, states
from auditor.redteam.perturbation import reflected
from auditor.redteam.precision import Precision, decimals, fit

NUMBERS = ("carat", "depth", "table", "x", "y", "z")


def poison(planted: Planted) -> pa.Table:
    return planted.table.filter(planted.mask)


def pairs(planted: Planted, clean: pa.Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A column of the poisoned rows before and after."""
    return clean.filter(planted.mask)[name].to_numpy(), poison(planted)[name].to_numpy()


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_perturbation_hits_its_share_of_the_cells(
    share: float, clean: pa.Table, roles: Roles
) -> None:
    planted = perturbation.plant(clean, roles, rows=100, seed=1, share=share)
    changed = [
        np.mean(before != after)
        for before, after in (pairs(planted, clean, name) for name in roles.features)
    ]
    assert 0.6 * share < np.mean(changed) < 1.3 * share + 0.1
    assert len(pc.unique(poison(planted)["contributor"])) == 2
    assert planted.table["price_band"].equals(clean["price_band"])


def test_more_noise_moves_values_further(clean: pa.Table, roles: Roles) -> None:
    def moved(noise: float) -> float:
        planted = perturbation.plant(clean, roles, rows=100, seed=1, noise=noise)
        before, after = pairs(planted, clean, "x")
        return float(np.abs(after - before).mean())

    assert moved(0.1) < 0.5 * moved(1.0)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20),
    st.floats(-1e3, 1e3),
    st.floats(0, 1e3),
)
def test_reflected_values_lie_inside_and_inner_ones_stay(
    values: list[float], low: float, span: float
) -> None:
    high = low + span
    folded = reflected(np.array(values), low, high)
    assert np.all((low <= folded) & (folded <= high))
    inner = reflected(np.array([low, (low + high) / 2, high]), low, high)
    assert np.allclose(inner, [low, (low + high) / 2, high], atol=1e-6)


@pytest.mark.parametrize("factor", [2.54, 1000.0])
def test_a_unit_change_is_one_factor_in_one_column(
    factor: float, clean: pa.Table, roles: Roles
) -> None:
    planted = unit_change.plant(clean, roles, rows=50, seed=1, factor=factor)
    column = planted.description.split(" with ")[1].split(" times ")[0]
    others = [name for name in clean.column_names if name != column]
    assert planted.table.select(others).equals(clean.select(others))
    before, after = pairs(planted, clean, column)
    assert np.abs(after / before - factor).max() < 0.02 * factor


def test_availability_noise_shifts_each_class_its_own_way(clean: pa.Table, roles: Roles) -> None:
    planted = availability.plant(clean, roles, rows=400, seed=1)
    labels = np.array(poison(planted)["price_band"].to_pylist())
    before, after = pairs(planted, clean, "x")
    signs = {c: set(np.sign(after - before)[labels == c].tolist()) - {0.0} for c in set(labels)}
    assert all(len(found) == 1 for found in signs.values())
    columns = [np.sign(np.subtract(*pairs(planted, clean, n)[::-1])) for n in NUMBERS]
    directions = {c: tuple(np.median(col[labels == c]) for col in columns) for c in signs}
    assert len(set(directions.values())) > 1


def test_out_of_distribution_keeps_every_column_and_tears_the_rows_apart(
    clean: pa.Table, roles: Roles
) -> None:
    planted = out_of_distribution.plant(clean, roles, rows=100, seed=1)
    for name in roles.features:
        assert sorted(planted.table[name].to_pylist()) == sorted(clean[name].to_pylist())
    (carat, torn), (x, torn_x) = (pairs(planted, clean, name) for name in ("carat", "x"))
    assert np.corrcoef(carat, x)[0, 1] > 0.95
    assert abs(np.corrcoef(torn, torn_x)[0, 1]) < 0.4


def test_a_single_row_is_torn_too(clean: pa.Table, roles: Roles) -> None:
    planted = out_of_distribution.plant(clean, roles, rows=1, seed=1)
    assert planted.mask.true_count == 1


def test_collisions_come_closer_to_their_target_and_keep_their_label(
    clean: pa.Table, roles: Roles
) -> None:
    planted = collision.plant(clean, roles, rows=40, seed=1)
    assert planted.table["price_band"].equals(clean["price_band"])
    own = set(poison(planted)["price_band"].to_pylist())
    target = int(planted.description.partition("toward row ")[2].split()[0])
    assert len(own) == 1
    assert clean["price_band"][target].as_py() not in own
    encoder = Encoder.fit(clean, NUMBERS)
    goal = encoder.transform(clean)[target]
    before, after = (
        np.linalg.norm(encoder.transform(t) - goal, axis=1)
        for t in (clean.filter(planted.mask), poison(planted))
    )
    assert np.all(after <= before + 1e-3)
    assert np.median(after / np.maximum(before, 1e-9)) < 0.45


def test_concentrated_poison_is_a_few_points_under_one_label(
    clean: pa.Table, trusted: pa.Table, roles: Roles
) -> None:
    planted = concentrated.plant(clean, roles, rows=60, seed=1, trusted=trusted, points=3)
    rows = poison(planted)
    (label,) = set(rows["price_band"].to_pylist())
    assert (
        len({tuple(r.values()) for r in rows.select(["cut", "color", "clarity"]).to_pylist()}) <= 3
    )
    words, whole = rows.select(["cut", "color", "clarity"]), rows.select(roles.features)
    assert len({tuple(row.values()) for row in words.to_pylist()}) <= 3
    assert len({tuple(row.values()) for row in whole.to_pylist()}) > 50
    encoder = Encoder.fit(clean, roles.features)
    theirs = encoder.transform(clean.filter(pc.equal(clean["price_band"], label)))
    centre = theirs.mean(axis=0)
    away = np.linalg.norm(encoder.transform(rows) - centre, axis=1)
    assert np.median(away) <= np.quantile(np.linalg.norm(theirs - centre, axis=1), 0.95)


def test_regression_poison_sits_at_the_bounds_and_against_the_slope(
    clean: pa.Table, regression_roles: Roles
) -> None:
    planted = regression.plant(clean, regression_roles, rows=60, seed=1)
    rows = poison(planted)
    for name in ("x", "carat"):
        low, high = pc.min_max(clean[name]).as_py().values()
        place = (rows[name].to_numpy() - low) / (high - low)
        assert np.all((place <= 0.03) | (place >= 0.97))
    assert np.corrcoef(clean["x"].to_numpy(), clean["carat"].to_numpy())[0, 1] > 0.9
    together = pa.concat_tables([clean.select(["x", "carat"])] + [rows.select(["x", "carat"])] * 5)
    assert np.corrcoef(together["x"].to_numpy(), together["carat"].to_numpy())[0, 1] < 0.6
    at_top = rows["carat"].to_numpy() > clean["carat"].to_numpy().mean()
    assert 0 < at_top.sum() < 60


# --- small changes and precision ------------------------------------------------------------------


def test_codes_and_flags_are_no_quantities() -> None:
    table = pa.table({"flag": [0, 1] * 20, "age": list(range(40)), "none": [None] * 40})
    assert quantities(table, Roles({"feature": ("flag", "age", "none")})) == ("age",)


def test_what_half_of_a_column_has_is_a_state_and_is_not_jittered() -> None:
    column = pa.chunked_array([[0.0] * 30 + [float(i) for i in range(1, 20)] + [None]])
    assert states(column) == 0.0
    assert states(pa.chunked_array([[1.0, 2.0, 3.0]])) is None
    assert states(pa.chunked_array([pa.array([None, None], pa.float64())])) is None
    everything = np.ones(50, dtype=bool)
    moved = jittered(column, column, everything, np.random.default_rng(1), 0.1)
    assert moved[:30] == [0.0] * 30
    assert moved[-1] is None
    assert all(m != float(i) for i, m in enumerate(moved[30:49], 1))


@pytest.mark.parametrize("name", ["near-copy", "sybil", "framing-minority", "concentrated"])
def test_copies_leave_flags_and_states_alone(name: str) -> None:
    rng = np.random.default_rng(0)
    gain = np.where(rng.random(300) < 0.8, 0, rng.integers(1000, 9000, 300))
    table = pa.table(
        {
            "age": rng.integers(18, 90, 300),
            "gain": gain,
            "flag": rng.integers(0, 2, 300),
            "who": rng.choice(["a", "b", "c"], 300),
            "y": rng.choice(["no", "yes"], 300),
        }
    )
    roles = Roles({"feature": ("age", "gain", "flag"), "label": ("y",), "contributor": ("who",)})
    rows = poison(VARIANTS[name](table, roles, rows=60, seed=2))
    assert set(rows["flag"].to_pylist()) <= {0, 1}
    gains = rows["gain"].to_pylist()
    assert all(value == 0 or value > 500 for value in gains)
    assert name == "concentrated" or 0 in gains


def column(values: list[float | None]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, pa.float64())])


def fitted(values: list[float], known: list[float | None]) -> list[float]:
    return fit(np.array(values), column(known))


def test_a_new_value_has_the_decimals_of_known_ones_of_its_size() -> None:
    wanted = [1.23456789, 0.000123456]
    assert fitted(wanted, [i / 100 for i in range(300)]) == [1.23, 0.0]
    digits: list[float | None] = [float(f"{x:.4g}") for x in np.logspace(-4, 3, 200) * 1.00357]
    assert fitted([0.000123456, 0.0123456, 1.23456, 123.456], digits) == [
        0.0001235,
        0.01235,
        1.235,
        123.5,
    ]
    rng = np.random.default_rng(0)
    assert fitted([1.234567], rng.normal(size=50).tolist()) == [1.234567]


def test_trailing_zeros_and_a_rare_finer_value_do_not_matter() -> None:
    halves: list[float | None] = [float(i) for i in range(100)]
    halves[50] = 50.5
    assert fitted([50.4321, 20.7], halves) == [50.0, 21.0]
    zeros: list[float | None] = [0.0] * 98 + [0.12, 0.43, 0.57, 0.81]
    assert fitted([0.123456, 0.0049], zeros) == [0.12, 0.0]
    assert fitted([1.26], [1.5, 2.25]) == [1.26]
    assert fitted([1.26], [None]) == [1.0]


def test_rounding_does_not_leave_the_range() -> None:
    known: list[float | None] = [50.1, *(float(i) for i in range(51, 60)), 60.4]
    assert fitted([50.2, 60.3], known) == [50.1, 60.0]
    assert fitted([50.09, 99.6], known) == [50.0, 100.0]


def test_the_step_is_that_of_the_size() -> None:
    precision = Precision.of(column([1.5, 2.5, 3.5, 4.5, 5.5] + [1000.0 * i for i in range(1, 9)]))
    assert precision.step(np.array([2.0, 5000.0])).tolist() == [0.1, 1.0]
    narrow = pa.chunked_array([pa.array([0.1, 0.2, 0.3], pa.float32())])
    assert Precision.of(narrow).step(np.array([0.2])).tolist() == [0.1]


@given(st.lists(st.integers(-9999, 9999), min_size=2, max_size=30), st.integers(0, 4))
def test_fitted_values_have_no_more_decimals_than_their_column(
    scaled: list[int], places: int
) -> None:
    known = column([round(value / 10**places, places) for value in scaled])
    values = fit(np.random.default_rng(0).normal(0, 100, 20), known)
    assert (decimals(column(values)) or 0) <= (decimals(known) or 0)


def test_integers_stay_inside_their_type() -> None:
    small = pa.chunked_array([pa.array([1, 2, 3], pa.int8())])
    assert fit(np.array([1.6, 999.0, -999.0]), small) == [2, 127, -128]
