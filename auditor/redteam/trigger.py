"""Triggers: which cells mark the poisoned rows, and how the rows that carry them come about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.redteam.changing import changed
from auditor.redteam.planting import (
    Planted,
    added,
    count_by,
    known,
    plain,
    replace,
    templates,
    weave,
)
from auditor.redteam.senders import Chosen, Positions, choose, pool_of, some

#: `added`: new rows, made from rows of other classes, which stay. `changed`: rows of the batch.
Place = Literal["added", "changed"]
#: Values of each trigger column for a number of rows.
Cells = Callable[[int], Mapping[str, Sequence[Any]]]

#: Combinations that are tried for one never seen.
TRIES: Final = 200


def constant(cells: Mapping[str, Any]) -> Cells:
    """The same value of each column in every row."""
    return lambda rows: {column: [value] * rows for column, value in cells.items()}


def told(cells: Mapping[str, Any]) -> str:
    """For a description: "age = 31, kind = 'a'"."""
    return ", ".join(f"{column} = {value!r}" for column, value in cells.items())


def backdoored(
    table: pa.Table,
    roles: Roles,
    rng: np.random.Generator,
    *,
    rows: int,
    target: Any,
    cells: Cells,
    place: Place,
    contributors: int | None,
    what: str,
) -> Planted:
    """`rows` rows of other classes with the trigger and the label `target`.

    Changed rows of k contributors may be of the target class too, where those have too few others.
    """
    label = str(roles.label)
    other = pc.fill_null(pc.not_equal(plain(table[label]), pa.scalar(target)), False)
    rest = np.flatnonzero(other.to_numpy())
    if not len(rest):
        raise Unavailable("backdoor needs rows of another class than its target")
    if place == "changed":
        chosen = _to_change(table, roles, label, rest, rows, contributors, rng)
        by, values = chosen.by, dict(cells(len(chosen.rows)))
        values[label] = [target] * len(chosen.rows)
        text = f"{len(chosen.rows)} rows{by} with {what} carry the label {target!r}"
        return changed(table, chosen.rows, values, attack="backdoor", description=text)
    source = np.resize(templates(table, rng, rows, pa.array(rest)), max(rows, 0))
    new = added(table, roles, source, rng, some(table, roles, contributors, rng))
    for column, column_values in {label: [target] * len(source), **cells(len(source))}.items():
        new = replace(new, column, column_values)
    text = f"{new.num_rows} rows with {what} carry the label {target!r}"
    return weave(table, new, roles, rng, attack="backdoor", description=text)


def _to_change(
    table: pa.Table,
    roles: Roles,
    label: str,
    rest: Positions,
    rows: int,
    contributors: int | None,
    rng: np.random.Generator,
) -> Chosen:
    """Rows of k contributors, those in `rest` first, then their other labelled ones."""
    if contributors is None or roles.contributor is None:
        return choose(table, roles, rest, rows, None, rng)
    labelled = np.flatnonzero(pc.is_valid(table[label]).to_numpy())
    pool, names = pool_of(table, roles, labelled, rows, contributors, rng)
    drawn = rng.permutation(pool)
    first = np.argsort(~np.isin(drawn, rest), kind="stable")
    return Chosen(np.sort(drawn[first][: max(rows, 0)]), names)


def rows_with(
    table: pa.Table, label: str, every: list[Any], rows: int, rng: np.random.Generator, attack: str
) -> tuple[Any, Positions]:
    """A random class with at least `rows` rows, else the largest one; and where its rows are."""
    labels = plain(table[label]).to_pylist()
    of = {c: np.array([i for i, x in enumerate(labels) if x == c], np.int64) for c in every}
    enough = [c for c in every if len(of[c]) >= max(rows, 1)]
    if not enough:
        enough = [max(every, key=lambda c: len(of[c]))]
    chosen = enough[int(rng.integers(len(enough)))]
    if not len(of[chosen]):
        raise Unavailable(f"{attack} needs labelled rows in the batch")
    return chosen, of[chosen]


def combination(
    table: pa.Table,
    roles: Roles,
    trusted: pa.Table | None,
    rng: np.random.Generator,
    cells: int,
    common: float = 0.0,
) -> dict[str, Any]:
    """Up to `cells` features and a value for each that hardly ever come together.

    `common`: each value alone has at least this share of its column; a column without such a
    value takes no part.
    """
    pool = varying(table, roles, trusted)
    usual = {name: _usual(values, common) for name, values in pool.items()} if common else pool
    pool = {name: values for name, values in pool.items() if len(usual[name])}
    if len(pool) < min(cells, 2):
        raise Unavailable("backdoor needs two features that vary")
    best: dict[str, Any] = {}
    fewest = table.num_rows + (trusted.num_rows if trusted else 0) + 1
    for _ in range(TRIES):
        names = sorted(rng.permutation(sorted(pool))[:cells].tolist())
        tried = {name: _value(usual[name], rng) for name in names}
        seen = _together(pool, tried)
        if seen < fewest:
            fewest, best = seen, tried
        if seen == 0:
            break
    return best


def varying(table: pa.Table, roles: Roles, trusted: pa.Table | None) -> dict[str, pa.ChunkedArray]:
    """Features that vary, with all values known of them; row by row the same rows in each."""
    names = [name for name in roles.features if name in _usable(table)]
    if trusted is not None and not set(names) <= set(trusted.column_names):
        trusted = None
    pool = {name: known(table, trusted, name) for name in names}
    return {name: values for name, values in pool.items() if pc.count_distinct(values).as_py() > 1}


def _usable(table: pa.Table) -> set[str]:
    """Columns whose values can be compared: numbers, texts, truth values."""
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_string, pa.types.is_boolean)
    flat = {name: plain(table[name]).type for name in table.column_names}
    return {
        name
        for name, kind in flat.items()
        if any(is_kind(kind) for is_kind in kinds) or pa.types.is_large_string(kind)
    }


def _usual(values: pa.ChunkedArray, share: float) -> pa.ChunkedArray:
    """The values that have at least `share` of a column, each as often as it occurs."""
    counts = count_by(values)
    kept = [value for value, count in counts.items() if count >= share * len(values)]
    return values.filter(pc.is_in(values, value_set=pa.array(kept, values.type)))


def _value(values: pa.ChunkedArray, rng: np.random.Generator) -> Any:
    present = values.drop_null()
    return present[int(rng.integers(len(present)))].as_py()


def _together(pool: dict[str, pa.ChunkedArray], cells: dict[str, Any]) -> int:
    hits: npt.NDArray[np.bool_] | None = None
    for name, value in cells.items():
        equal = pc.equal(pool[name], pa.scalar(value, pool[name].type)).fill_null(False).to_numpy()
        hits = equal if hits is None else hits & equal
    return 0 if hits is None else int(hits.sum())
