"""Readers of the policy's small values: stricter than `Fields`, for this is our own document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from auditor.provenance.fields import Fields
from auditor.provenance.refused import Refused, printable

Choice = TypeVar("Choice", bound=str)


def known(fields: Fields, *allowed: str) -> None:
    """`Fields.require_known`, under the object's own path."""
    fields.require_known(allowed, fields.where)


def positive(fields: Fields, name: str) -> int:
    """An integer of at least 1; raises `Refused` (FIELD codes)."""
    value = fields.count(name)
    if value < 1:
        raise Refused("FIELD_VALUE", f"{fields.where}.{name} must be at least 1.")
    return value


def names(fields: Fields, name: str) -> tuple[str, ...]:
    """A list of texts, none empty, none twice; raises `Refused` (FIELD codes)."""
    listed = fields.texts(name)
    if len(set(listed)) < len(listed) or not all(listed):
        raise Refused("FIELD_VALUE", f"{fields.where}.{name} has an empty name or one twice.")
    return listed


def choice(
    fields: Fields, name: str, allowed: Sequence[Choice], default: Choice | None = None
) -> Choice:
    """One of the allowed texts; raises `Refused` (FIELD codes)."""
    if default is not None and not fields.has(name):
        return default
    value = fields.text(name)
    for one in allowed:
        if one == value:
            return one
    text = f'{fields.where}.{name} is "{printable(value)}"; it is one of {", ".join(allowed)}.'
    raise Refused("FIELD_VALUE", text)
