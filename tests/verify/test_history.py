"""What a training job remembers: an older, another or a forked ledger is noticed by it."""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import pytest

from auditor.ledger import Ledger
from auditor.verify import NotVerified, RollbackUnprotected

pytestmark = pytest.mark.slow


def more_verdicts(world: Any, count: int) -> None:
    for number in range(count):
        world.ledger.append("verdict", at=world.now, via="gate", refs=[f"{number:064x}"])


def seen(world: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((world.root / "seen" / "seen.json").read_bytes())
    return found


def sizes(world: Any) -> list[int]:
    return [int(one["note"].split("\n")[1]) for one in seen(world)["checkpoints"]]


def backup(world: Any) -> Path:
    """The ledger as it is, to be restored later."""
    kept = Path(world.root / "backup")
    kept.mkdir()
    for path in (world.root / ".auditor").glob("ledger.db*"):
        shutil.copyfile(path, kept / path.name)
    return kept


def restore(world: Any, kept: Path) -> None:
    for path in (world.root / ".auditor").glob("ledger.db*"):
        path.unlink()
    for path in kept.iterdir():
        shutil.copyfile(path, world.root / ".auditor" / path.name)
        (world.root / ".auditor" / path.name).chmod(0o600)


def test_the_log_may_grow(world: Any) -> None:
    world.verify().close()
    first = sizes(world)
    more_verdicts(world, 5)
    world.verify().close()
    assert sizes(world) == [first[0] + 5]


def test_a_proof_that_is_newer_than_the_status_waits_for_the_next_one(world: Any) -> None:
    status = world.status()
    world.verify(status=status).close()
    (first,) = sizes(world)
    more_verdicts(world, 3)
    world.republish()
    world.verify(status=status).close()
    assert sorted(sizes(world)) == [first, first + 4]
    more_verdicts(world, 1)
    world.verify().close()
    assert sizes(world) == [first + 5]


def test_an_old_backup_of_the_ledger_is_noticed(world: Any) -> None:
    """The ledger is restored from a backup: a recall since then is forgotten."""
    kept = backup(world)
    world.ledger.append("recall", at=world.now, via="cli", subject="1" * 64)
    world.verify(now=world.now + dt.timedelta(minutes=1)).close()
    restore(world, kept)
    later = world.now + dt.timedelta(minutes=10)
    old = world.status(now=later)
    assert world.refused(status=old, now=later) == "CONSISTENCY_MISSING"


def test_a_rewritten_history_is_noticed(world: Any) -> None:
    """The ledger's own key signs another history of the same length, and of a greater one."""
    kept = backup(world)
    more_verdicts(world, 2)
    world.verify().close()
    restore(world, kept)
    for number in (7, 8):
        world.ledger.append("verdict", at=world.now, via="gate", refs=[f"{number:064x}"])
    assert world.refused(now=world.now + dt.timedelta(minutes=6)) == "LEDGER_FORK"
    more_verdicts(world, 1)
    later = world.now + dt.timedelta(minutes=12)
    code = world.refused(status=world.status(now=later), now=later)
    assert code == "PROOF_CONSISTENCY"


def test_a_status_that_was_overtaken_is_not_taken_again(world: Any) -> None:
    """Yesterday's status is shown again after today's: the recall of today is hidden."""
    old = world.status(now=world.now - dt.timedelta(hours=3))
    world.table(status=old)
    world.verify().close()
    assert world.refused(status=old) == "STATUS_ROLLBACK"


def test_without_status_a_consistency_proof_joins_two_checkpoints(world: Any) -> None:
    alone = {"status": None, "policy": world.trust(status=None)}
    world.verify(**alone).close()
    (first,) = sizes(world)
    more_verdicts(world, 3)
    world.republish()
    assert world.refused(**alone) == "CONSISTENCY_MISSING"
    assert world.refused(**alone, consistency=world.ledger.continuation(first - 1)) == (
        "CONSISTENCY_MISSING"
    )
    joined = world.ledger.continuation(first)
    path = world.root / "consistency"
    path.write_bytes(joined)
    world.verify(**alone, consistency=path).close()
    assert sizes(world) == [first + 4]
    world.verify(**alone).close()


def test_a_wrong_consistency_proof_is_refused(world: Any) -> None:
    alone = {"status": None, "policy": world.trust(status=None)}
    world.verify(**alone).close()
    (first,) = sizes(world)
    more_verdicts(world, 3)
    world.republish()
    lines = world.ledger.continuation(first).split(b"\n")
    lines[1] = lines[1][:4] + (b"A" if lines[1][4:5] != b"A" else b"B") + lines[1][5:]
    assert world.refused(**alone, consistency=b"\n".join(lines)) == "PROOF_CONSISTENCY"


def test_a_clock_that_is_behind_is_refused(world: Any) -> None:
    """The clock is set back, so that what has expired counts again."""
    before = world.now - dt.timedelta(minutes=30)
    assert world.refused(now=before) in {"TIME_FUTURE", "CLOCK_ROLLBACK"}
    kept = world.status(now=world.now + dt.timedelta(minutes=20))
    assert world.refused(status=kept) == "CLOCK_ROLLBACK"


def test_without_a_store_it_warns_and_says_so(world: Any) -> None:
    with pytest.warns(RollbackUnprotected, match="rollback_protection: none"):
        verified = world.verify(seen=None)
    assert verified.rollback_protection == "none"
    assert world.refused(seen=None, rollback="require") == "ROLLBACK_UNPROTECTED"
    assert world.verify(rollback="require").rollback_protection == "seen"


def test_a_refusal_changes_nothing_that_is_remembered(world: Any) -> None:
    world.verify().close()
    before = seen(world)
    more_verdicts(world, 2)
    assert world.refused(resource="other@1") == "RESOURCE_MISMATCH"
    assert seen(world) == before


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"v":2}', b'{"v":1,"checkpoints":7,"status":null,"policy":null}'],
)
def test_a_damaged_store_is_refused_not_forgotten(world: Any, content: bytes) -> None:
    """Whoever can damage the store must not make a first use of it."""
    world.verify().close()
    (world.root / "seen" / "seen.json").write_bytes(content)
    assert world.refused() == "SEEN_INVALID"


@pytest.mark.parametrize(
    ("store", "code"), [("s3://bucket/seen", "SEEN_INVALID"), ("/proc/no/seen", "SEEN_INVALID")]
)
def test_a_store_that_cannot_be_kept_is_refused(world: Any, store: str, code: str) -> None:
    assert world.refused(seen=store) == code


def test_the_store_may_be_a_uri(world: Any) -> None:
    world.verify(seen=f"file://{world.root}/with%20space").close()
    assert (world.root / "with space" / "seen.json").is_file()


def _verify_often(world: Any, statuses: list[bytes]) -> None:
    for status in statuses:
        try:
            world.verify(status=status).close()
        except NotVerified as refused:
            if refused.code != "STATUS_ROLLBACK":  # another process was faster: as it should be
                raise


def test_several_jobs_share_one_store(world: Any) -> None:
    statuses = []
    for second in range(4):
        more_verdicts(world, 1)
        statuses.append(world.status(now=world.now + dt.timedelta(seconds=second)))
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_verify_often, args=(world, statuses)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    assert len(sizes(world)) == 1
    assert sorted(p.name for p in (world.root / "seen").iterdir()) == [
        ".seen.json.lock",
        "seen.json",
    ]


def test_witnesses_protect_where_there_is_no_store(world: Any) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from auditor.transparency import note as notes

    witness = Ed25519PrivateKey.generate()
    name = "witness.test/w"
    vkey = str(notes.public_half(name, witness, notes.COSIGNATURE))
    trust = world.trust(witnesses=[vkey], quorum=1, status=None)
    alone = {"policy": trust, "status": None, "seen": None}
    assert world.refused(**alone) == "NOTE_QUORUM"
    proof = (world.published / "proof.tlog").read_bytes()
    head, _, note = proof.partition(b"\n\n")
    cosigned = note + notes.cosign(notes.parse(note), name, witness, int(world.now.timestamp()))
    verified = world.verify(**alone, proof=head + b"\n\n" + cosigned)
    assert verified.rollback_protection == "witness"


def test_an_attestation_that_names_another_log(world: Any) -> None:
    """A verdict of one log is shown with the proof of another that is trusted too."""

    def elsewhere(said: dict[str, Any]) -> None:
        from auditor.provenance.attestation import EXTENSION

        said["predicate"][EXTENSION]["ledger"] = {"origin": "elsewhere.test/log"}

    world.republish(elsewhere)
    assert world.refused() == "CHECKPOINT_ORIGIN"


def test_a_ledger_that_has_nothing_has_no_status(tmp_path: Path) -> None:
    from auditor.errors import LedgerError
    from auditor.issuing import statement

    with pytest.raises(LedgerError, match="nothing was decided"):
        statement(Ledger(tmp_path / "none.db"), now=dt.datetime.now(dt.UTC))
