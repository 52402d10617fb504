"""What the ledger needs of a database; `sqlite` and `postgres` are two of them.

Both have the same tables. Queries are written once, with `?` for values; what the two spell
differently are the four expressions of `Store`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from auditor.errors import ConfigError

Row = tuple[Any, ...]


class Session(Protocol):
    """One transaction: all of it happens, or nothing; what it reads does not change meanwhile."""

    def all(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        """The rows of a query."""
        ...

    def run(self, query: str, values: Sequence[object] = ()) -> None:
        """A statement."""
        ...

    @property
    def bare(self) -> bool:
        """Whether there are entries only: a ledger from before there were checkpoints."""
        ...


class Store(Protocol):
    """A database. Every method raises `LedgerError` for what fails, `LedgerFull` on a full disk."""

    #: How the database is called in messages; no secrets.
    where: str
    #: SQL: the subject's digest and the run of an entry, the source in whose order it has a place,
    #: and whether its body has a text (`?`).
    subject: str
    run: str
    order: str
    mentions: str

    def exists(self) -> bool:
        """Whether there is a ledger."""
        ...

    def create(self) -> None:
        """Make an empty one unless there is one; of several makers one wins."""
        ...

    def reading(self) -> AbstractContextManager[Session]:
        """A transaction that reads one state."""
        ...

    def writing(self) -> AbstractContextManager[Session]:
        """The only transaction that writes, until it is left; then it is durable."""
        ...

    def kept_open(self) -> AbstractContextManager[None]:
        """Spares the costs of opening and closing for many transactions."""
        ...


def open_store(location: Path | str, password: str | None = None) -> Store:
    """The database at a path, or at a `postgresql://` URL."""
    if isinstance(location, Path):
        from auditor.ledger.sqlite import Sqlite

        return Sqlite(location)
    if not location.startswith("postgresql://"):
        raise ConfigError(f"ledger.url: not a postgresql:// URL: {location.split(':')[0]}")
    from auditor.ledger.postgres import Postgres

    return Postgres(location, password)
