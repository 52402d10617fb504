"""Columns that are not those of the baseline (attack: schema smuggling).

A rule judges a column by what was trusted of it. One that is new was looked at by no such rule, one
that is gone, holds another kind of value or plays another part was judged by fewer: all of them
ways around a gate. Widths are no difference (int32, int64, double): files without a schema are read
by what they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch, Roles
from auditor.model import Effect, Family, Finding, Outcome, Rule, Scalar, Severity

OTHER_COLUMNS: Final = Rule(
    id="AUD-I003",
    family=Family.INTEGRITY,
    title="The columns are not those of the baseline",
    severity=Severity.HIGH,
    effect=Effect.HOLD,
    attacks=("schema-smuggling",),
)
RULES: Final = (OTHER_COLUMNS,)
#: Columns that are named for each code; the rest is counted.
NAMED: Final = 20
#: Characters of a column's name in a message.
NAME: Final = 80

_KINDS: Final[tuple[tuple[str, Callable[[pa.DataType], bool]], ...]] = (
    ("nothing", pa.types.is_null),
    ("boolean", pa.types.is_boolean),
    ("number", pa.types.is_integer),
    ("number", pa.types.is_floating),
    ("number", pa.types.is_decimal),
    ("text", pa.types.is_string),
    ("text", pa.types.is_large_string),
    ("time", pa.types.is_temporal),
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One column: `mine` is None where it is missing, `trusted` where it is new."""

    column: str
    mine: pa.DataType | None
    trusted: pa.DataType | None

    @property
    def code(self) -> str:
        """The stable code of the finding."""
        if self.trusted is None:
            return "SCHEMA_ADDED"
        return "SCHEMA_REMOVED" if self.mine is None else "SCHEMA_RETYPED"

    @property
    def message(self) -> str:
        """What is different, in one sentence."""
        name = f"column {self.column[:NAME]!r}"
        if self.trusted is None:
            return f"{name} ({self.mine}) is not in the baseline; the batch was audited without it"
        if self.mine is None:
            return f"{name} ({self.trusted}) of the baseline is missing"
        return f"{name} holds {self.mine}; the baseline holds {self.trusted}"


def kind(type_: pa.DataType) -> str:
    """`number`, `text`, `boolean`, `time`, `nothing`, what holds them; other types by their name.

    How the values of a list are called is no difference: `item` in Arrow, `element` in Parquet.
    """
    if pa.types.is_dictionary(type_):
        return kind(type_.value_type)
    if pa.types.is_struct(type_):
        return "struct of " + ", ".join(f"{field.name!r} {kind(field.type)}" for field in type_)
    if pa.types.is_fixed_size_list(type_):
        return f"{type_.list_size} of {kind(type_.value_type)}"
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return f"list of {kind(type_.value_type)}"
    return next((name for name, matches in _KINDS if matches(type_)), str(type_))


def differences(mine: pa.Schema, trusted: pa.Schema) -> tuple[Difference, ...]:
    """Columns of `mine` that are new, then those of `trusted` that are gone or of another kind."""
    added = [Difference(f.name, f.type, None) for f in mine if f.name not in trusted.names]
    others = []
    for field in trusted:
        own = mine.field(field.name).type if field.name in mine.names else None
        if own is None or _other_kind(own, field.type):
            others.append(Difference(field.name, own, field.type))
    return (*added, *others)


def _other_kind(mine: pa.DataType, trusted: pa.DataType) -> bool:
    kinds = {kind(mine), kind(trusted)}
    return len(kinds) > 1 and "nothing" not in kinds


def compare(batch: Batch, baseline: Baseline | None, named: Collection[str] = ()) -> Outcome:
    """The rule's outcome; skipped without a baseline.

    `named`: columns that the settings give a role, such as `ignored`: they may be new.
    """
    if baseline is None:
        return Outcome(rule=OTHER_COLUMNS.id, skipped="needs a baseline")
    found = [
        one
        for one in differences(batch.schema, baseline.schema)
        if not (one.trusted is None and one.column in named) and _certain(one, batch, baseline)
    ]
    parts = [
        _finding(message, {"code": "ROLE_DIFFERS", "column": column})
        for column, message in _other_parts(batch, baseline)
    ]
    return Outcome(rule=OTHER_COLUMNS.id, findings=(*_findings(found), *parts[:NAMED]))


def _other_parts(batch: Batch, baseline: Baseline) -> Iterator[tuple[str, str]]:
    """Columns that are label or feature on one side only, and the sentence that says so.

    A new column may be a feature (the settings name it, no rule judges it), not the label: no rule
    about labels has anything to hold it against.
    """
    mine, trusted = batch.roles, baseline.roles
    for column in dict.fromkeys((*_learned(mine), *_learned(trusted))):
        own, theirs = _part(mine, column), _part(trusted, column)
        shared = column in batch.schema.names and column in baseline.schema.names
        if own != theirs and (shared or own == "the label"):
            yield (
                column,
                f"column {column[:NAME]!r} is {own} here and {theirs} in the baseline; rules that "
                "need its part there were skipped or saw less: build the baseline again with "
                "these roles, or set them back",
            )


def _learned(roles: Roles) -> tuple[str, ...]:
    return (*roles.columns("label"), *roles.features)


def _part(roles: Roles, column: str) -> str:
    if column in roles.columns("label"):
        return "the label"
    return "a feature" if column in roles.features else "neither label nor feature"


def _certain(found: Difference, batch: Batch, baseline: Baseline) -> bool:
    """Not the guess of a type for a column without values, in the batch or in the trusted rows."""
    if found.mine is None or found.trusted is None:
        return True
    trusted = baseline.sample.column(found.column)
    holds = any(
        chunk.data.column(0).null_count < chunk.data.num_rows
        for chunk in batch.chunks([found.column])
    )
    return holds and trusted.null_count < len(trusted)


def _findings(found: list[Difference]) -> Iterator[Finding]:
    for code in dict.fromkeys(one.code for one in found):
        own = [one for one in found if one.code == code]
        for one in own[:NAMED]:
            yield _finding(one.message, _evidence(one))
        if len(own) > NAMED:
            rest = len(own) - NAMED
            yield _finding(f"and {rest} more columns", {"code": code, "columns": rest})


def _evidence(one: Difference) -> dict[str, Scalar]:
    types = {"type": one.mine, "trusted_type": one.trusted}
    known = {name: str(type_) for name, type_ in types.items() if type_ is not None}
    return {"code": one.code, "column": one.column, **known}


def _finding(message: str, evidence: dict[str, Scalar]) -> Finding:
    return Finding(
        rule=OTHER_COLUMNS.id,
        severity=OTHER_COLUMNS.severity,
        message=message,
        evidence=evidence,
    )
