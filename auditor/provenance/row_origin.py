"""Where each row says that it is from, held against the columns that the manifest declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from auditor.model import Scalar
from auditor.provenance.manifest import Manifest
from auditor.provenance.refused import printable
from auditor.provenance.rules import Claim


class Columns(Protocol):
    """The columns of a batch, as texts. Both raise `Refused` for a column that has none."""

    def missing(self, column: str) -> int:
        """How many rows have no value, or a blank one."""
        ...

    def values(self, column: str) -> Mapping[str, int]:
        """Value -> its rows, without the missing ones."""
        ...

    def __contains__(self, column: object) -> bool:
        """Whether there is such a column."""
        ...


def compare_origin(manifest: Manifest, columns: Columns | None) -> Iterator[Claim]:
    """Rows that leave a declared column empty, or name a source outside the manifest's.

    Raises:
        Refused: ROW_PROVENANCE for a column that is no text.
    """
    if columns is None:
        return
    # A column that is not there is another claim already: see `compare_roles`.
    declared = {f: c for f, c in sorted(manifest.row_provenance.items()) if c in columns}
    for field, column in declared.items():
        if empty := columns.missing(column):
            text = f'{empty} rows have nothing in "{printable(column)}" ({printable(field)}).'
            told: dict[str, Scalar] = {"field": field, "column": column, "rows": empty}
            yield Claim("ROW_PROVENANCE", text, told)
    if "sourceId" in declared:
        yield from _outside(manifest.source, columns.values(declared["sourceId"]))


def _outside(source: str, found: Mapping[str, int]) -> Iterator[Claim]:
    for name, rows in sorted(found.items()):
        if name != source and not name.startswith(f"{source}/"):
            text = f'{rows} rows say that they are from "{printable(name)}", not "{source}".'
            yield Claim("ROW_SOURCE", text, {"declared": source, "received": name, "rows": rows})
