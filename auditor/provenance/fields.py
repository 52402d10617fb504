"""Typed reading of a JSON object from a stranger: the value, or a refusal that says where."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from auditor.provenance.digests import is_sha256
from auditor.provenance.refused import Refused, printable
from auditor.provenance.strict_json import Json
from auditor.provenance.times import parse_time

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object and the path to it, for messages.

    All readers raise `Refused` with FIELD_MISSING or FIELD_TYPE.
    """

    values: Mapping[str, Json]
    where: str

    @classmethod
    def of(cls, value: Json, where: str) -> Fields:
        """Take a value that must be an object."""
        if not isinstance(value, dict):
            raise Refused("FIELD_TYPE", f"{where} must be an object.")
        return cls(value, where)

    def require_known(self, allowed: Collection[str], what: str) -> None:
        """Refuse a field that `what` does not have: a misspelt restriction restricts nothing.

        Raises:
            Refused: FIELD_UNKNOWN.
        """
        for name in self.values:
            if name not in allowed:
                raise Refused("FIELD_UNKNOWN", f'"{printable(name)}" is not a field of {what}.')

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(name) is not None

    def text(self, name: str) -> str:
        """A string."""
        return self._typed(name, str, "a string")

    def optional_text(self, name: str) -> str | None:
        """A string, or None where there is none."""
        return self.text(name) if self.has(name) else None

    def count(self, name: str) -> int:
        """An integer of at least 0."""
        value = self._typed(name, int, "an integer")
        if isinstance(value, bool) or value < 0:
            raise Refused("FIELD_TYPE", f"{self._path(name)} must be an integer of at least 0.")
        return value

    def section(self, name: str) -> Fields:
        """An object."""
        return Fields(self._typed(name, dict, "an object"), self._path(name))

    def optional_section(self, name: str) -> Fields | None:
        """An object, or None where there is none."""
        return self.section(name) if self.has(name) else None

    def sections(self, name: str) -> Iterator[Fields]:
        """The objects of a list."""
        for position, value in enumerate(self._list(name)):
            yield Fields.of(value, f"{self._path(name)}[{position}]")

    def texts(self, name: str) -> tuple[str, ...]:
        """The strings of a list."""
        values = self._list(name)
        found = tuple(value for value in values if isinstance(value, str))
        if len(found) < len(values):
            raise Refused("FIELD_TYPE", f"{self._path(name)} must hold strings.")
        return found

    def time(self, name: str) -> datetime:
        """A time, see `parse_time`; raises TIME_FORMAT too."""
        text = self.text(name)
        try:
            return parse_time(text)
        except Refused as refused:
            raise Refused(refused.code, f"{self._path(name)}: {refused.message}") from refused

    def digest(self, name: str) -> str:
        """The sha256 of a digest set `{"sha256": ...}`; raises DIGEST_ALGORITHM too."""
        value = self.section(name).values.get("sha256")
        if not isinstance(value, str) or not is_sha256(value):
            where = self._path(name)
            raise Refused("DIGEST_ALGORITHM", f"{where} needs a sha256 in lowercase hex.")
        return value

    def _list(self, name: str) -> list[Json]:
        return self._typed(name, list, "a list")

    def _typed(self, name: str, kind: type[Kind], wanted: str) -> Kind:
        if name not in self.values:
            raise Refused("FIELD_MISSING", f"{self._path(name)} is missing.")
        value = self.values[name]
        if not isinstance(value, kind):
            raise Refused("FIELD_TYPE", f"{self._path(name)} must be {wanted}.")
        return value

    def _path(self, name: str) -> str:
        return f"{self.where}.{printable(name, 40)}"
