"""The PostgreSQL database: for gates on several hosts that share one log.

The tables are those of the file. The driver is pg8000 (BSD), of the extra `postgres`; it is
imported when a connection is made. Over the network the connection is encrypted and the server's
certificate verified, always.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from auditor.errors import LedgerError
from auditor.ledger.faults import LedgerFull
from auditor.ledger.store import Row

if TYPE_CHECKING:
    from pg8000.native import Connection

#: Seconds to wait for another writer before giving up.
BUSY_SECONDS: Final = 30
#: The advisory lock that writers take: "AUDL".
LOCK: Final = 0x4155444C
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1"})
_DEFAULT_PORT: Final = 5432

# Bodies are canonical JSON, so their last keys are known, and quotes within a text are escaped.
# JSON functions would refuse a text with an escaped NUL. An index needs an IMMUTABLE function.
_SUBJECT: Final = """auditor_said(body, '"subject":{"sha256":"([0-9a-f]{64})"},"v":1}$')"""
_RUN: Final = """auditor_said(body, '"run":"([0-9A-Z]{26})",("subject":[^ ]*,){0,1}"v":1}$')"""
_ORDER: Final = """auditor_said(body, '"order_of":"([^"\\\\]*)"')"""
_SCHEMA: Final = f"""
CREATE FUNCTION auditor_said(body bytea, pattern text) RETURNS text LANGUAGE sql IMMUTABLE STRICT
  AS $$SELECT pg_catalog.substring(pg_catalog.convert_from(body, 'UTF8'), pattern)$$;
CREATE TABLE entry(
  idx BIGINT PRIMARY KEY, at TEXT NOT NULL,
  body BYTEA NOT NULL CHECK(length(body)<=65535), leaf BYTEA NOT NULL);
CREATE INDEX entry_subject ON entry(({_SUBJECT}));
CREATE INDEX entry_run ON entry(({_RUN}));
CREATE INDEX entry_order ON entry(({_ORDER}));
CREATE TABLE node(
  level BIGINT NOT NULL, pos BIGINT NOT NULL, hash BYTEA NOT NULL, PRIMARY KEY(level, pos));
CREATE TABLE checkpoint(size BIGINT PRIMARY KEY, note BYTEA NOT NULL);
CREATE FUNCTION auditor_append_only() RETURNS trigger LANGUAGE plpgsql
  AS $$BEGIN RAISE EXCEPTION 'append-only'; END$$;
CREATE FUNCTION auditor_entry_dense() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
  IF NEW.idx IS DISTINCT FROM (SELECT coalesce(max(idx) + 1, 0) FROM entry) THEN
    RAISE EXCEPTION 'append-only'; END IF; RETURN NEW; END$$;
CREATE FUNCTION auditor_checkpoint_rises() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
  IF NEW.size <= (SELECT max(size) FROM checkpoint) THEN
    RAISE EXCEPTION 'append-only'; END IF; RETURN NEW; END$$;
CREATE TRIGGER entry_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
  FOR EACH STATEMENT EXECUTE FUNCTION auditor_append_only();
CREATE TRIGGER node_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON node
  FOR EACH STATEMENT EXECUTE FUNCTION auditor_append_only();
CREATE TRIGGER checkpoint_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoint
  FOR EACH STATEMENT EXECUTE FUNCTION auditor_append_only();
CREATE TRIGGER entry_dense BEFORE INSERT ON entry
  FOR EACH ROW EXECUTE FUNCTION auditor_entry_dense();
CREATE TRIGGER checkpoint_rises BEFORE INSERT ON checkpoint
  FOR EACH ROW EXECUTE FUNCTION auditor_checkpoint_rises();
"""
_ADVICE: Final = {
    "28": "the database refused this user; see ledger.url and ledger.password_env",
    "3D": "there is no such database; make it first",
    "40": "another writer did not keep to the lock; run again",
    "42501": "this user may not do that; it needs SELECT and INSERT on entry, node and checkpoint",
    "55P03": "another process holds the ledger; see which one and run again",
    "57": "the database is going down or starting; run again",
}


class PostgresSession:
    """A transaction on an open connection."""

    bare = False

    def __init__(self, opened: Connection) -> None:
        """Take over a connection in which a transaction has begun."""
        self._opened = opened

    def all(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        """The rows of a query."""
        head, *rest = query.split("?")
        named = head + "".join(f":v{number}{part}" for number, part in enumerate(rest))
        given = {f"v{number}": value for number, value in enumerate(values)}
        return [tuple(row) for row in self._opened.run(named, **given) or ()]

    def run(self, query: str, values: Sequence[object] = ()) -> None:
        """A statement."""
        self.all(query, values)


class Postgres:
    """A ledger in a PostgreSQL database; see `Store`."""

    subject = _SUBJECT
    run = _RUN
    order = _ORDER
    mentions = "position(convert_to(?, 'UTF8') in body) > 0"

    def __init__(self, url: str, password: str | None = None) -> None:
        """Remember where the database is. The URL has no password in it."""
        parts = urlsplit(url)
        self.where = url
        self._to = {
            "user": parts.username,
            "host": parts.hostname,
            "port": parts.port or _DEFAULT_PORT,
            "database": parts.path.lstrip("/"),
            "password": password,
        }
        self._made = False
        self._kept: tuple[int, int, Connection] | None = None

    def exists(self) -> bool:
        """Whether the tables are there."""
        if not self._made:
            with self._connection() as opened:
                self._made = bool(opened.run("SELECT to_regclass('entry') IS NOT NULL")[0][0])
        return self._made

    def create(self) -> None:
        """Make the tables unless they are there; the user must be allowed to."""
        with self._locked() as opened:
            ((encoding,),) = opened.run("SHOW server_encoding")
            if encoding != "UTF8":
                raise LedgerError(f"{self.where}: the database must be in UTF8, not {encoding}")
            if not opened.run("SELECT to_regclass('entry') IS NOT NULL")[0][0]:
                opened.run(_SCHEMA)  # several statements at once are one transaction

    @contextlib.contextmanager
    def reading(self) -> Iterator[PostgresSession]:
        """One state of the ledger, whatever is appended meanwhile."""
        with self._connection() as opened:
            opened.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield PostgresSession(opened)
            finally:
                self._roll_back(opened)

    @contextlib.contextmanager
    def writing(self) -> Iterator[PostgresSession]:
        """The only writer, as long as all writers are ours; SERIALIZABLE sees to the others.

        The lock is taken before the transaction: what is waited for inside one is seen as it was
        before the wait.
        """
        with self._locked() as opened:
            opened.run("BEGIN ISOLATION LEVEL SERIALIZABLE")
            try:
                yield PostgresSession(opened)
                opened.run("COMMIT")
            except BaseException:
                self._roll_back(opened)
                raise

    @contextlib.contextmanager
    def kept_open(self) -> Iterator[None]:
        """One connection for all transactions of this thread."""
        with self._connection() as opened:
            before, self._kept = self._kept, (os.getpid(), threading.get_ident(), opened)
            try:
                yield
            finally:
                self._kept = before

    @contextlib.contextmanager
    def _locked(self) -> Iterator[Connection]:
        with self._connection() as opened:
            opened.run(f"SELECT pg_advisory_lock({LOCK})")
            try:
                yield opened
            finally:
                self._let_go(opened)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        kept = self._kept
        with self._faults():
            if kept is not None and kept[:2] == (os.getpid(), threading.get_ident()):
                yield kept[2]
                return
            with contextlib.closing(self._connect()) as opened:
                yield opened

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        from pg8000.exceptions import DatabaseError, InterfaceError

        try:
            yield
        except DatabaseError as error:
            raise self._fault(error) from error
        except LedgerError:
            raise
        except (InterfaceError, OSError) as error:  # the socket, not the disk of the server
            raise LedgerError(f"{self.where}: the database cannot be reached ({error})") from error

    def _connect(self) -> Connection:
        from pg8000.native import Connection

        local = self._to["host"] in _LOOPBACK
        # Left to itself the driver would encrypt without looking at the certificate.
        context = False if local else ssl.create_default_context()
        opened = Connection(**self._to, ssl_context=context, application_name="auditor")
        try:
            opened.run(f"SET lock_timeout = {BUSY_SECONDS * 1000}")
            ((commits,),) = opened.run("SHOW synchronous_commit")
            if commits == "off":  # what was appended must survive a power cut
                opened.run("SET synchronous_commit = on")
        except BaseException:
            opened.close()
            raise
        return opened

    def _roll_back(self, opened: Connection) -> None:
        """Undo what is open; a connection that broke has been undone by the server."""
        from pg8000.exceptions import InterfaceError

        with contextlib.suppress(InterfaceError, OSError):
            opened.run("ROLLBACK")

    def _let_go(self, opened: Connection) -> None:
        """Release the lock; the server does it itself where the connection broke."""
        from pg8000.exceptions import InterfaceError

        with contextlib.suppress(InterfaceError, OSError):
            opened.run(f"SELECT pg_advisory_unlock({LOCK})")

    def _fault(self, error: Exception) -> LedgerError:
        said: Any = error.args[0] if error.args else ""
        fields = said if isinstance(said, dict) else {"M": str(said)}
        code = str(fields.get("C", ""))
        if code == "53100":
            return LedgerFull(self.where)
        advice = _ADVICE.get(code) or _ADVICE.get(code[:2], "the ledger cannot be used")
        return LedgerError(f"{self.where}: {advice} ({fields.get('M', 'no reason given')})")
