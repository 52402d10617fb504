"""Canaries: rows planted in a shadow copy of a batch, to see whether the rules that ran see them.

Columns, words and values come from the generators of this file, which nothing that drills or tests
a detector uses: a rule that had only learned those would miss them. Pure: tables in, tables out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.features import is_category, is_number, numbers
from auditor.redteam.changing import changed
from auditor.redteam.planting import Planted, known, plain
from auditor.redteam.precision import Precision

Rows = npt.NDArray[np.int64]
#: A shadow copy, its roles, trusted rows, how many rows to plant, and the seeded generator.
Plant = Callable[[pa.Table, Roles, pa.Table, int, np.random.Generator], Planted]

#: Cells of a trigger, and contributors that send it, at most.
CELLS: Final = 2
SENDERS: Final = 3
#: Rows of the batch that are wanted for each row that is planted: canaries stay a minority.
ROOM: Final = 5
_ONSETS: Final = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z")
_VOWELS: Final = ("a", "e", "i", "o", "u")
#: Characters without a glyph that no language needs: invisible operators, shorthand controls.
_UNSEEN: Final = ("\u2061", "\u2062", "\u2063", "\u2064", "\U0001bca0", "\U0001bca2")


def word(rng: np.random.Generator, taken: frozenset[str] = frozenset()) -> str:
    """A made-up word of four syllables that is not in `taken`."""
    while True:
        parts = [str(rng.choice(_ONSETS)) + str(rng.choice(_VOWELS)) for _ in range(4)]
        if (made := "".join(parts)) not in taken:
            return made


def new_column(table: pa.Table, rng: np.random.Generator) -> tuple[pa.Table, str]:
    """The table with one more column of made-up words, and that column's name."""
    name = word(rng, frozenset(table.column_names))
    return table.append_column(name, pa.array([word(rng)] * table.num_rows)), name


def hidden_text(
    table: pa.Table, roles: Roles, trusted: pa.Table, rows: int, rng: np.random.Generator
) -> Planted:
    """A character without a glyph inside some texts of one column. See `Plant`."""
    read = [n for n in table.column_names if n not in roles.columns("ignored")]
    columns = [n for n in read if is_category(table.schema.field(n).type)]
    columns = [n for n in columns if _inside(table, n).any()]
    if not columns:
        raise Unavailable("no column holds texts")
    column = str(rng.choice(columns))
    values = known(table, trusted, column).cast(pa.large_string())
    unseen = [c for c in _UNSEEN if not pc.any(pc.match_substring(values, c)).as_py()]
    if not unseen:
        raise Unavailable("the texts hold every hidden character that could be planted")
    chosen = _some(np.flatnonzero(_inside(table, column)), rows, rng)
    mark = str(rng.choice(unseen))
    old = plain(table[column]).take(pa.array(chosen)).to_pylist()
    cells = {column: [text[:1] + mark + text[1:] for text in old]}
    return changed(table, chosen, cells, attack="backdoor", description="hidden characters")


def trigger(
    table: pa.Table, roles: Roles, trusted: pa.Table, rows: int, rng: np.random.Generator
) -> Planted:
    """The same made-up values in rows that get one label, sent by few. See `Plant`."""
    names = [n for n in roles.features if n in table.column_names and n in trusted.column_names]
    made = {n: v for n in names if (v := _unseen_value(table, trusted, n, rng)) is not None}
    if not made:
        raise Unavailable("no feature column has room for a value that nobody sent")
    picked = sorted(rng.permutation(sorted(made))[:CELLS].tolist())
    target, chosen = None, _some(np.arange(table.num_rows), rows, rng)
    if roles.label is not None:
        target, others = _target(table, roles.label, rng)
        chosen = _some(others, rows, rng)
    cells = {name: [made[name]] * len(chosen) for name in picked}
    if target is not None and roles.label is not None:
        cells[roles.label] = [target] * len(chosen)
    if roles.contributor is not None:
        cells[roles.contributor] = _senders(table, roles.contributor, len(chosen), rng)
    return changed(table, chosen, cells, attack="backdoor", description="values never seen")


def other_labels(
    table: pa.Table, roles: Roles, _: pa.Table, rows: int, rng: np.random.Generator
) -> Planted:
    """Rows with the label of the next class. See `Plant`."""
    label, following = _following(table, roles)
    chosen = _some(_labelled(table, label), rows, rng)
    cells = {label: _shifted(table, label, chosen, following)}
    return changed(
        table, chosen, cells, attack="label-flip", description="labels of the next class"
    )


def new_sender(
    table: pa.Table, roles: Roles, _: pa.Table, rows: int, rng: np.random.Generator
) -> Planted:
    """A contributor nobody knows, whose rows carry the label of the next class. See `Plant`."""
    who = roles.contributor
    if who is None or not is_category(table.schema.field(who).type):
        raise Unavailable("no contributor role with names")
    label, following = _following(table, roles)
    chosen = _some(_labelled(table, label), rows, rng)
    name = word(rng, frozenset(pc.unique(plain(table[who])).drop_null().to_pylist()))
    cells = {label: _shifted(table, label, chosen, following), who: [name] * len(chosen)}
    return changed(table, chosen, cells, attack="injection", description="a contributor made up")


def second_opinions(
    table: pa.Table, roles: Roles, _: pa.Table, rows: int, rng: np.random.Generator
) -> Planted:
    """Rows that repeat earlier ones in every feature and text, with another label. See `Plant`."""
    label, following = _following(table, roles)
    pool = _some(_labelled(table, label), 2 * rows, rng)
    models, chosen = pool[:rows], pool[rows:]
    source = pa.array(models)
    content = [name for name in roles.content if name != label and name in table.column_names]
    cells = {name: plain(table[name]).take(source).to_pylist() for name in content}
    cells[label] = _shifted(table, label, models, following)
    when = roles.first("timestamp")
    if when is not None and pa.types.is_timestamp(table.schema.field(when).type):
        cells[when] = [pc.max(table[when])] * rows  # of two rows the one that came first is kept
    what = "copies with another label"
    return changed(table, chosen, cells, attack="conflicting-copy", description=what)


def far_values(
    table: pa.Table, roles: Roles, trusted: pa.Table, rows: int, rng: np.random.Generator
) -> Planted:
    """A number of each row lies beyond every trusted one. See `Plant`."""
    names = [n for n in roles.features if n in table.column_names and n in trusted.column_names]
    names = [n for n in names if _is_measured(table.schema.field(n).type)]
    names = [n for n in names if np.unique(numbers(trusted[n])).size > ROOM]
    if not names:
        raise Unavailable("no feature column holds numbers that vary")
    column = str(rng.choice(names))
    values = numbers(known(table, trusted, column))
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    chosen = _some(np.arange(table.num_rows), rows, rng)
    far = high + (high - low) * rng.uniform(0.5, 1.0, len(chosen))
    cells = {column: Precision.of(known(table, trusted, column)).fit(far)}
    return changed(table, chosen, cells, attack="out-of-range", description="numbers far outside")


#: What is planted for a statistical family, in the order in which families are measured.
BY_FAMILY: Final[Mapping[str, Plant]] = MappingProxyType(
    {
        "trigger": trigger,
        "label": other_labels,
        "contributor": new_sender,
        "duplication": second_opinions,
        "feature": far_values,
    }
)


def _some(rows: Rows, wanted: int, rng: np.random.Generator) -> Rows:
    """`wanted` of the rows, ascending.

    Raises:
        Unavailable: they are too few.
    """
    if len(rows) < wanted:
        raise Unavailable(f"{wanted} rows are to be planted and {len(rows)} could be")
    return np.sort(rng.permutation(rows)[:wanted]).astype(np.int64)


def _inside(table: pa.Table, column: str) -> npt.NDArray[np.bool_]:
    """Rows whose text would have a letter or digit on both sides of the character: bool[rows]."""
    plain_ascii = pc.match_substring_regex(
        plain(table[column]).cast(pa.large_string()), r"^[A-Za-z0-9]{2}"
    )
    found: npt.NDArray[np.bool_] = pc.fill_null(plain_ascii, False).to_numpy()
    return found


def _is_measured(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _unseen_value(table: pa.Table, trusted: pa.Table, column: str, rng: np.random.Generator) -> Any:
    """A made-up word, or a number between trusted ones that none of them is; None for neither."""
    kind, trusted_kind = table.schema.field(column).type, trusted.schema.field(column).type
    if is_category(kind) and is_category(trusted_kind):
        return word(rng, frozenset(pc.unique(plain(table[column])).drop_null().to_pylist()))
    if not (_is_measured(kind) and is_number(trusted_kind)):
        return None
    values = known(table, trusted, column)
    seen = np.unique(numbers(values))
    seen = seen[~np.isnan(seen)]
    if len(seen) < 2:
        return None
    gaps = rng.permutation(len(seen) - 1)[:50]
    precision = Precision.of(values)
    made = precision.fit((seen[gaps] + seen[gaps + 1]) / 2.0)
    fresh = [one for one in made if float(one) not in seen]
    return fresh[0] if fresh else None


def _classes(table: pa.Table, label: str) -> list[Any]:
    """The labels, in an order of their own.

    Raises:
        Unavailable: real numbers, or fewer than two classes.
    """
    if pa.types.is_floating(plain(table[label]).type):
        raise Unavailable("the label holds real numbers, not classes")
    found = sorted(pc.unique(plain(table[label])).drop_null().to_pylist(), key=str)
    if len(found) < 2:
        raise Unavailable("the label has fewer than two classes")
    return found


def _target(table: pa.Table, label: str, rng: np.random.Generator) -> tuple[Any, Rows]:
    """A class (of real numbers: a high one), and the rows of the others."""
    values = plain(table[label])
    if pa.types.is_floating(values.type):
        target: Any = float(np.nanquantile(numbers(values), 0.95, method="nearest"))
    else:
        classes = _classes(table, label)
        target = classes[int(rng.integers(len(classes)))]
    others = pc.fill_null(pc.not_equal(values, pa.scalar(target, values.type)), False)
    return target, np.flatnonzero(others.to_numpy())


def _following(table: pa.Table, roles: Roles) -> tuple[str, Mapping[Any, Any]]:
    """The label column, and for each class the one after it, the last one's being the first."""
    if roles.label is None:
        raise Unavailable("no label role")
    classes = _classes(table, roles.label)
    return roles.label, dict(zip(classes, [*classes[1:], classes[0]], strict=True))


def _labelled(table: pa.Table, label: str) -> Rows:
    return np.flatnonzero(pc.is_valid(plain(table[label])).to_numpy()).astype(np.int64)


def _shifted(table: pa.Table, label: str, rows: Rows, following: Mapping[Any, Any]) -> list[Any]:
    return [following[one] for one in plain(table[label]).take(pa.array(rows)).to_pylist()]


def _senders(table: pa.Table, column: str, count: int, rng: np.random.Generator) -> list[Any]:
    """For each of `count` rows one of a few contributors of the batch."""
    names = sorted(pc.unique(plain(table[column])).drop_null().to_pylist(), key=str)
    few = [names[int(i)] for i in rng.permutation(len(names))[:SENDERS]] or [None]
    return [few[int(i)] for i in rng.integers(0, len(few), count)]
