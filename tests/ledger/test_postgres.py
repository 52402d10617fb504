"""The ledger in a real PostgreSQL, started here on loopback and thrown away.

Skipped where the server is not installed. `AUDITOR_REQUIRE_POSTGRES=1` turns that into a failure.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.util
import itertools
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from auditor import issuing
from auditor.cli import app
from auditor.errors import ConfigError, LedgerError
from auditor.ledger import Conflict, Ledger, LedgerTampered
from auditor.ledger.key import LedgerKey
from auditor.ledger.verification import verify_store
from auditor.provenance import dsse, status
from auditor.transparency import merkle, note, proof
from auditor.transparency.checkpoint import open_checkpoint

# Test folders are no packages here, so that whole runs are loaded by their path.
_SPEC = importlib.util.spec_from_file_location(
    "whole_runs_with_a_database", Path(__file__).parents[1] / "cli" / "conftest.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _MODULE
_SPEC.loader.exec_module(_MODULE)
_trusted, site_at, site = _MODULE._trusted, _MODULE.site_at, _MODULE.site

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
BATCH = hashlib.sha256(b"a batch").hexdigest()
PASSWORD = "correct horse"
_NUMBERS = itertools.count()


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`: Debian keeps them out of PATH."""
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    return Path(found).parent if found else places[0].parent if places else None


@dataclass(frozen=True)
class Server:
    """A running server; the superuser is `owner`."""

    port: int

    def url(self, database: str, user: str = "owner") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> list[Any]:
        """A statement of the superuser."""
        import pg8000.native

        with contextlib.closing(
            pg8000.native.Connection(
                "owner", "127.0.0.1", database, self.port, PASSWORD, ssl_context=False
            )
        ) as opened:
            return list(opened.run(statement) or ())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    where = programs()
    if where is None:
        if os.environ.get("AUDITOR_REQUIRE_POSTGRES"):
            pytest.fail("AUDITOR_REQUIRE_POSTGRES is set, and there is no PostgreSQL here")
        pytest.skip("no PostgreSQL here: install Debian's package postgresql")
    pytest.importorskip("pg8000", reason="the extra postgres is not installed")
    # PostgreSQL refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="auditor-postgres-"))
    data, secret = folder / "data", folder / "password"
    secret.write_text(PASSWORD)
    as_user: dict[str, Any] = {"check": True, "capture_output": True, "cwd": "/"}
    if os.geteuid() == 0:
        owner = pwd.getpwnam(user)
        for path in (folder, secret):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        as_user |= {"user": user, "group": owner.pw_gid, "extra_groups": []}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder}"
    make = [where / "initdb", "-D", data, "-U", "owner", "-A", "scram-sha-256", "-E", "UTF8"]
    subprocess.run([*make, "--pwfile", secret, "--locale=C"], **as_user)
    control = [where / "pg_ctl", "-D", data, "-w"]
    subprocess.run([*control, "-l", folder / "log", "-o", options, "start"], **as_user)
    try:
        yield Server(port)
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **as_user)
        shutil.rmtree(folder)


@pytest.fixture
def ledger(server: Server, tmp_path: Path) -> Ledger:
    name = f"ledger_{next(_NUMBERS)}"
    server.run(f"CREATE DATABASE {name}")
    return Ledger(server.url(name), key=tmp_path / "ledger.key", password=PASSWORD)


def database_of(ledger: Ledger) -> str:
    return ledger.where.rpartition("/")[2]


def fill(ledger: Ledger, count: int) -> None:
    with ledger.kept_open():
        for number in range(count):
            name = "verdict" if number % 5 == 4 else "batch.received"
            subject = hashlib.sha256(b"%d" % (number % 7)).hexdigest()
            at = NOON + timedelta(seconds=number)
            detail = {"n": number, "text": "ä\u0000'?:x"}
            ledger.append(
                name, at=at, via="gate", subject=subject, refs=[BATCH], run=RUN, detail=detail
            )


def test_it_says_the_same_as_a_file(ledger: Ledger, tmp_path: Path) -> None:
    file = Ledger(tmp_path / "ledger.db", key=ledger.key.path)
    for each in (ledger, file):
        assert list(each.entries()) == []
        assert each.newest() is None
        fill(each, 23)
        each.append("recall", at=NOON, via="cli", source="vendor-a/reviews")
    keys = [ledger.key.public()]
    assert list(ledger.entries()) == list(file.entries())
    assert list(ledger.entries(3, 9)) == list(file.entries(3, 9))
    subject = hashlib.sha256(b"3").hexdigest()
    assert ledger.find(subject=subject) == file.find(subject=subject) != ()
    assert ledger.find(run=RUN, event="verdict") == file.find(run=RUN, event="verdict") != ()
    assert ledger.head_of(subject) == file.head_of(subject) == 17
    assert ledger.of_source("vendor-a/reviews") == file.of_source("vendor-a/reviews") != ()
    assert ledger.latest() == file.latest() == NOON + timedelta(seconds=22)
    assert ledger.names(BATCH)
    assert not ledger.names("0" * 64)
    assert verify_store(ledger.store, keys) == verify_store(file.store, keys)
    # Ed25519 is deterministic: the same log has the same notes and the same proofs.
    assert ledger.newest() == file.newest()
    assert ledger.prove(7) == file.prove(7)
    assert proof.verify(ledger.prove(7), keys).index == 7
    assert ledger.continuation(5) == file.continuation(5)
    assert ledger.checkpoint().size == 24


def test_a_status_of_it_is_that_of_a_file(ledger: Ledger, tmp_path: Path) -> None:
    """Recalls, the checkpoint, and proofs that join it to each checkpoint of before."""
    file = Ledger(tmp_path / "ledger.db", key=ledger.key.path)
    for each in (ledger, file):
        fill(each, 23)
        each.append("recall", at=NOON, via="cli", subject=BATCH)
    payload = issuing.statement(ledger, now=NOON, policy_version=3)
    assert payload == issuing.statement(file, now=NOON, policy_version=3)
    said = status.read(payload)
    assert (said.policy_version, BATCH in said.recalled) == (3, True)
    keys = [ledger.key.public()]
    newest = open_checkpoint(str(said.checkpoint).encode(), keys).checkpoint
    assert newest.size == 24
    assert [one.old for one in said.consistency] == [1, 5, 10, 15, 20]
    for one in said.consistency:
        hashes = [base64.b64decode(text) for text in one.hashes]
        tree = merkle.levels(entry.leaf for entry in ledger.entries(0, one.old))
        old = merkle.tree_root(one.old, lambda level, position, tree=tree: tree[level][position])
        merkle.verify_consistency(one.old, newest.size, old, newest.root, hashes)


def test_one_of_two_claims_gets_through(ledger: Ledger) -> None:
    ledger.append("batch.received", at=NOON, via="gate", subject=BATCH, expect=-1)
    with pytest.raises(Conflict, match="entry 0 about"):
        ledger.append("batch.received", at=NOON, via="gate", subject=BATCH, expect=-1)
    assert len(list(ledger.entries())) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET at = ''",
        "DELETE FROM entry",
        "TRUNCATE entry",
        "INSERT INTO entry VALUES (9, '', '', '')",
        "DELETE FROM node",
        "UPDATE node SET pos = 3",
        "TRUNCATE checkpoint",
        "INSERT INTO checkpoint VALUES (1, '')",
    ],
)
def test_the_triggers_stop_accidents(server: Server, ledger: Ledger, statement: str) -> None:
    from pg8000.exceptions import DatabaseError

    fill(ledger, 5)
    with pytest.raises(DatabaseError, match="append-only"):
        server.run(statement, database_of(ledger))


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "UPDATE entry SET body = overlay(body placing 'X' from 30) WHERE idx = 7",
            "entry 7 differs from its hash",
        ),
        ("DELETE FROM entry WHERE idx = 7", "entry 7 is missing"),
        ("UPDATE node SET hash = sha256(hash) WHERE level = 2 AND pos = 1", "level 2"),
        ("DELETE FROM checkpoint", "there is no checkpoint"),
        ("DELETE FROM checkpoint WHERE size = 20", "checkpoint of entry 19 is missing"),
    ],
)
def test_a_change_by_the_owner_of_the_database_is_noticed(
    server: Server, ledger: Ledger, statement: str, said: str
) -> None:
    fill(ledger, 22)
    server.run(f"SET session_replication_role = replica; {statement}", database_of(ledger))
    with pytest.raises(LedgerTampered, match=said):
        verify_store(ledger.store, [ledger.key.public()])


def test_a_writer_needs_no_right_but_to_read_and_to_add(server: Server, ledger: Ledger) -> None:
    from pg8000.exceptions import DatabaseError

    fill(ledger, 5)
    name = database_of(ledger)
    server.run(f"CREATE ROLE gate_{name} LOGIN PASSWORD '{PASSWORD}'")
    gate = Ledger(server.url(name, f"gate_{name}"), key=ledger.key.path, password=PASSWORD)
    with pytest.raises(LedgerError, match=r"needs SELECT and INSERT"):
        gate.append("verdict", at=NOON, via="gate")
    server.run(f"GRANT SELECT, INSERT ON entry, node, checkpoint TO gate_{name}", name)
    assert gate.append("verdict", at=NOON, via="gate") == 5
    assert verify_store(gate.store, [ledger.key.public()]).entries == 6
    for statement in ("DELETE FROM entry", "UPDATE node SET pos = 1", "DROP TABLE checkpoint"):
        with pytest.raises(DatabaseError, match=r"permission denied|must be owner"):
            server.run(f"SET ROLE gate_{name}; {statement}", name)


def test_what_fails_says_what_to_do_and_never_the_password(
    server: Server, ledger: Ledger, tmp_path: Path
) -> None:
    key = tmp_path / "other.key"
    cases = [
        (Ledger(ledger.where, key=key, password="wrong horse"), "ledger.password_env"),
        (Ledger(server.url("nowhere"), key=key, password=PASSWORD), "no such database"),
        (Ledger("postgresql://owner@127.0.0.1:1/x", key=key, password=PASSWORD), "be reached"),
    ]
    for broken, said in cases:
        with pytest.raises(LedgerError, match=said) as refused:
            broken.append("error", at=NOON, via="cli")
        assert "horse" not in str(refused.value)
    with pytest.raises(ConfigError, match="not a postgresql"):
        Ledger("mysql://owner@127.0.0.1/x", key=key)
    with pytest.raises(LedgerError, match="path of its key"):
        Ledger(ledger.where)


def test_another_encoding_is_refused(server: Server, tmp_path: Path) -> None:
    name = f"latin_{next(_NUMBERS)}"
    server.run(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0")
    latin = Ledger(server.url(name), key=tmp_path / "ledger.key", password=PASSWORD)
    with pytest.raises(LedgerError, match="must be in UTF8, not LATIN1"):
        latin.append("error", at=NOON, via="cli")


def test_a_lock_held_too_long_says_so(
    server: Server, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(ledger, 2)
    monkeypatch.setattr("auditor.ledger.postgres.BUSY_SECONDS", 0.2)
    other = Ledger(ledger.where, key=ledger.key.path, password=PASSWORD)
    with ledger.store.writing():
        with pytest.raises(LedgerError, match="another process holds the ledger"):
            other.append("error", at=NOON, via="cli")
        assert len(list(other.entries())) == 2, "reading goes on beside a writer"
    assert other.append("error", at=NOON, via="cli") == 2


def test_an_append_that_broke_off_leaves_nothing(ledger: Ledger) -> None:
    fill(ledger, 2)
    kept = ledger.key.path.read_bytes()
    ledger.key.path.write_text("no key")
    with ledger.kept_open():
        for _ in range(2):
            with pytest.raises(Exception, match="not a key"):
                ledger.append("verdict", at=NOON, via="gate")
        ledger.key.path.write_bytes(kept)
        assert ledger.append("verdict", at=NOON, via="gate") == 2
    assert verify_store(ledger.store, [ledger.key.public()]).entries == 3


WRITE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from auditor.ledger import Ledger

ledger = Ledger(sys.argv[1], key=Path(sys.argv[2]), password=sys.argv[3])
for number in range(int(sys.argv[4])):
    said = "error" if number % 3 else "verdict"
    idx = ledger.append(said, at=datetime.now(UTC), via="cli", detail={"number": number})
    print(idx, flush=True)
"""


def writer(ledger: Ledger, count: int) -> subprocess.Popen[str]:
    where = [ledger.where, str(ledger.key.path), PASSWORD, str(count)]
    command = [sys.executable, "-c", WRITE, *where]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_case_114_four_writers_leave_no_gap_and_no_fork_in_postgresql(ledger: Ledger) -> None:
    """Four processes that append 300 entries each, at once, to one database."""
    writers = [writer(ledger, 300) for _ in range(4)]
    told = [int(line) for each in writers for line in each.communicate()[0].split()]
    assert [each.returncode for each in writers] == [0] * 4
    assert sorted(told) == list(range(1200))
    assert verify_store(ledger.store, [ledger.key.public()]).entries == 1200


@pytest.mark.slow
def test_case_113_a_writer_killed_in_the_middle_leaves_postgresql_intact(ledger: Ledger) -> None:
    """SIGKILL in the middle of appending to a database, twenty times."""
    chance = random.Random(7)
    acknowledged = -1
    for _ in range(20):
        killed = writer(ledger, 1_000_000)
        assert killed.stdout is not None
        killed.stdout.readline()
        time.sleep(chance.uniform(0, 0.05))
        os.kill(killed.pid, signal.SIGKILL)
        lines = killed.communicate()[0].split()
        acknowledged = int(lines[-1]) if lines else acknowledged
        verified = verify_store(ledger.store, [ledger.key.public()])
        assert verified.entries > acknowledged, "what was acknowledged is there"
    assert ledger.append("error", at=NOON, via="cli") == len(list(ledger.entries())) - 1


@pytest.mark.slow
def test_what_comes_after_a_verdict_works_with_a_database(
    server: Server, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replay, trace, freeze, consumed, recall and verify; a replay leaves nothing in the log."""
    name = f"ledger_{next(_NUMBERS)}"
    server.run(f"CREATE DATABASE {name}")
    monkeypatch.setenv("LEDGER_PASSWORD", PASSWORD)
    url = server.url(name)
    site.configure(
        ledger={"url": url, "password_env": "LEDGER_PASSWORD", "key": "log.key"},
        signing={"key": "gate.key"},
        self_measurement="off",
    )
    assert site.call("keys", "generate", "gate").code == 0
    (site.root / ".auditor" / "ledger.db").unlink()  # of the baseline, from before the database
    batch = site.write("in/b.parquet", site.copies(site.rows(200, 6), 30))
    assert site.call("gate", batch, "-q").code == 10
    ledger = Ledger(url, key=site.root / "log.key", password=PASSWORD)
    before = list(ledger.entries())
    replayed = site.call("replay", "latest", "-q")
    assert (replayed.code, "the same: QUARANTINE" in replayed.out) == (0, True), replayed.out
    traced = site.call("trace", batch)
    assert (traced.code, "1 runs saw it" in traced.out) == (0, True), traced.out
    assert list(ledger.entries()) == before
    assert site.call("dataset", "freeze", "autumn", "--batches", "*").code == 0
    frozen = site.root / ".auditor" / "published" / "frozen" / "autumn.dsse.json"
    used = site.call("consumed", frozen, "--run", "train-1", "--model", "ab" * 32)
    assert used.code == 0, used.err
    taken = site.call(
        "recall", "--batch", before[-1].event.run, "--reason", "it was a test of ours"
    )
    assert taken.code == 0, taken.err
    assert "training run train-1 used it" in taken.out
    assert site.call("keys", "generate", "status").code == 0
    issued = site.call("status", "issue", "--key", "status.key", "--config", "auditor.yaml")
    assert issued.code == 0, issued.err
    said = status.read(dsse.parse((site.root / "status.dsse.json").read_bytes()).payload)
    recalled = [e.subject for e in ledger.entries() if e.name == "recall"]
    assert set(recalled) <= said.recalled
    assert recalled
    traced = site.call("trace", batch)
    assert "in the data set autumn" in traced.out
    assert "recall by local" in traced.out
    assert site.call("ledger", "verify").code == 0
    assert not (site.root / ".auditor" / "ledger.db").exists()
    entry = next(e for e in ledger.entries() if e.name == "dataset.frozen")
    proven = proof.verify(frozen.with_name("autumn.proof.tlog").read_bytes(), [ledger.key.public()])
    proof.require_frozen(proven, str(entry.subject))


class Commands:
    """The commands of a site whose settings name the database, and nothing on its disk but keys."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.folder = folder
        at = {"url": ledger.where, "password_env": "LEDGER_PASSWORD", "key": str(ledger.key.path)}
        path = folder / "auditor.yaml"
        path.write_text(json.dumps({"ledger": at}))  # JSON is YAML
        path.chmod(0o600)

    def __call__(self, *arguments: str | Path) -> Result:
        with contextlib.chdir(self.folder):
            return CliRunner().invoke(app, ["ledger", *map(str, arguments)])

    def witness(self, request: Path, vkey: str) -> Result:
        given = ("--key", "w.key", "--name", "witness.example/w1", "--log", vkey)
        return self("witness", request, *given, "--state", "seen", "-o", "line")


@pytest.fixture
def commands(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.setenv("LEDGER_PASSWORD", PASSWORD)
    LedgerKey(tmp_path / "w.key").make()
    fill(ledger, 10)
    return Commands(ledger, tmp_path)


def test_a_witness_cosigns_a_database(ledger: Ledger, commands: Commands) -> None:
    """Each checkpoint as the continuation of the one before, and proofs under what it signed."""
    vkey, folder = str(ledger.key.public()), commands.folder
    witness = note.public_half(
        "witness.example/w1", LedgerKey(folder / "w.key").private(), note.COSIGNATURE
    )
    for old, new in ((0, 10), (10, 15)):
        assert commands("consistency", str(old), "-o", "request").exit_code == 0
        done = commands.witness(folder / "request", vkey)
        assert done.exit_code == 0, done.output
        given = (folder / "request").read_bytes().partition(b"\n\n")[2]
        (folder / "cosigned").write_bytes(given + (folder / "line").read_bytes())
        done = commands("prove", "3", "--checkpoint", "cosigned", "-o", "proof")
        assert done.exit_code == 0, done.output
        told = proof.verify(
            (folder / "proof").read_bytes(), [ledger.key.public()], witnesses=[witness], quorum=1
        )
        assert (told.index, told.seen.size) == (3, new)
        fill(ledger, 5)
    stale = commands("consistency", "10", "-o", "request")
    assert stale.exit_code == 0
    refused = commands.witness(folder / "request", vkey)
    assert (refused.exit_code, "409" in refused.output) == (13, True), refused.output


def rebuilt(server: Server, ledger: Ledger, count: int) -> None:
    """The owner of the database puts another history in its place, signed with the same key."""
    name = database_of(ledger)
    for table in ("entry", "node", "checkpoint"):
        server.run(f"ALTER TABLE {table} DISABLE TRIGGER USER", name)
        server.run(f"DELETE FROM {table}", name)
        server.run(f"ALTER TABLE {table} ENABLE TRIGGER USER", name)
    key = ledger.key.path
    kept = key.read_bytes()
    key.unlink()  # a log without checkpoints and with a key would not go on
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("auditor.ledger.key._fresh", lambda: kept)
        for number in range(count):
            subject = hashlib.sha256(b"another %d" % number).hexdigest()
            at = NOON + timedelta(seconds=number)
            ledger.append("verdict", at=at, via="gate", subject=subject, refs=[BATCH], run=RUN)
    assert key.read_bytes() == kept


@pytest.mark.parametrize(
    ("count", "said"), [(10, "LEDGER_FORK"), (12, "LEDGER_FORK"), (7, "LEDGER_ROLLBACK")]
)
def test_a_pin_and_a_witness_notice_a_rewritten_database(
    server: Server, ledger: Ledger, commands: Commands, count: int, said: str
) -> None:
    """As long as before, longer, shorter: by itself each is a good log of the same key."""
    vkey, folder = str(ledger.key.public()), commands.folder
    assert commands("verify", "--pin", "pin").exit_code == 0
    pinned = (folder / "pin").read_bytes()
    assert commands("consistency", "0", "-o", "request").exit_code == 0
    assert commands.witness(folder / "request", vkey).exit_code == 0
    rebuilt(server, ledger, count)
    assert commands("verify").exit_code == 0, "without a pin nobody can tell"
    done = commands("verify", "--pin", "pin")
    assert (done.exit_code, said in done.output) == (13, True), done.output
    assert (folder / "pin").read_bytes() == pinned
    assert (folder / "pin.fork").exists() == (count >= 10)
    if count >= 10:
        assert commands("consistency", "10", "-o", "request").exit_code == 0
        refused = commands.witness(folder / "request", vkey)
        status = "409" if count == 10 else "422"
        assert (refused.exit_code, status in refused.output) == (13, True), refused.output
    else:  # the log is shorter than what the witness saw: there is no such proof to be asked for
        assert commands("consistency", "10", "-o", "request").exit_code == 2


def test_the_pin_of_a_database_moves_on(ledger: Ledger, commands: Commands) -> None:
    for size in (10, 15):
        assert commands("verify", "--pin", "pin").exit_code == 0
        seen = open_checkpoint((commands.folder / "pin").read_bytes(), [ledger.key.public()])
        assert seen.size == size
        fill(ledger, 5)


def test_a_database_whose_key_was_changed(ledger: Ledger, commands: Commands) -> None:
    """`rotate` with a database: the pin goes on, old proofs are made anew under the new key."""
    assert commands("verify", "--pin", "pin").exit_code == 0
    old = ledger.key.public()
    done = commands("rotate")
    assert done.exit_code == 0, done.output
    assert commands("verify", "--pin", "pin").exit_code == 0
    assert commands("show", "--note").stdout.encode() == (commands.folder / "pin").read_bytes()
    assert commands("prove", "3", "--checkpoint", "pin", "-o", "proof").exit_code == 0
    new = ledger.key.public()
    assert new != old
    assert proof.verify((commands.folder / "proof").read_bytes(), [new]).index == 3
