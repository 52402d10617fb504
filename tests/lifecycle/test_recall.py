"""Recalls: by each selector, down to what was made of it; frozen data sets and training runs."""

from __future__ import annotations

import contextlib
from typing import Any

import pyarrow.parquet as pq
import pytest

from auditor.ledger import Entry, Ledger
from auditor.lifecycle.recalls import Published, along_parents
from auditor.provenance.digests import sha256
from auditor.transparency import proof as proofs
from auditor.transparency.refused import LogRefused

MODEL = "ab" * 32


def recalls(world: Any) -> list[Entry]:
    entries = Ledger(world.root / ".auditor" / "ledger.db").entries()
    return [entry for entry in entries if entry.name == "recall"]


def attestations(world: Any) -> dict[str, str]:
    """Resource -> digest of the attestation beside the published files."""
    from auditor.provenance import dsse, summary

    found = {}
    for folder in world.site.visible("published"):
        path = folder / "attestation.dsse.json"
        if path.exists():
            envelope = path.read_bytes()
            said = summary.read(dsse.parse(envelope).payload)
            found[said.resource.removeprefix("dataset:")] = sha256(envelope)
    return found


def published(run: str, known: str, made_from: str = "") -> Published:
    digests = [character * 64 for character in known]
    return Published(
        run=run,
        resource=run,
        batch_sha256=digests[0],
        attestation_sha256=digests[0],
        published_sha256=digests[0],
        known_as=frozenset(digests),
        made_from=frozenset(character * 64 for character in made_from),
    )


def test_a_recall_goes_all_the_way_down() -> None:
    line = [published("c", "c", "b"), published("b", "b", "a"), published("a", "a")]
    other = published("z", "z", "y")
    reached = along_parents({"a"}, [*line, other])
    assert [one.run for one in reached] == ["c", "b", "a"]
    assert [one.run for one in along_parents({"b"}, [*line, other])] == ["c", "b"]


def test_the_same_bytes_twice_are_recalled_twice() -> None:
    one, again = published("one", "a"), published("again", "a")
    assert len(along_parents({"one"}, [one, again])) == 2


@pytest.mark.parametrize(
    "selected",
    [
        ("--source", "lab/stones"),
        ("--batch", "lab/stones@b"),
        ("--contributor", "lab-03"),
        ("--key", "lab"),
    ],
)
def test_each_way_to_select(world: Any, selected: tuple[str, str]) -> None:
    option, value = selected
    value = world.people.keyid(value) if option == "--key" else value
    done = world.recall(option, value)
    assert done.code == 0, done.err
    assert "recalled: lab/stones@b" in done.out
    (entry,) = recalls(world)
    assert entry.event.principal == "cat"
    (attestation,) = attestations(world).values()
    assert attestation in entry.event.refs
    decision = world.root / ".auditor" / "runs" / "recalls" / f"{entry.event.refs[-1]}.dsse.json"
    assert sha256(decision.read_bytes()) == entry.event.refs[-1]
    again = world.recall(option, value)
    assert "was recalled before" in again.out
    assert len(recalls(world)) == 1


@pytest.mark.parametrize(
    "selected",
    [
        ("--source", "other/stones"),
        ("--batch", "lab/stones@c"),
        ("--contributor", "nobody"),
        ("--key", "f" * 64),
        ("--source", "lab/stones", "--since", "2100-01-01T00:00:00Z"),
    ],
)
def test_what_is_not_selected_stays(world: Any, selected: tuple[str, ...]) -> None:
    done = world.recall(*selected)
    assert (done.code, "no published batch" in done.err) == (2, True), done.err
    assert recalls(world) == []


def test_who_may_recall(world: Any) -> None:
    done = world.recall("--source", "lab/stones", who=None)
    assert (done.code, "--sign-with" in done.err) == (2, True), done.err
    done = world.recall("--source", "lab/stones", who="gate")
    assert (done.code, "DECISION_PRINCIPAL" in done.err) == (2, True), done.err
    assert recalls(world) == []
    world.site.configure(trust={})
    assert world.recall("--source", "lab/stones", who=None).code == 0
    (entry,) = recalls(world)
    assert entry.event.principal == "local"


def test_a_contributor_whose_rows_cannot_be_read_is_not_ruled_out(world: Any) -> None:
    (folder,) = world.site.visible("published")
    folder.chmod(0o755)
    for path in folder.glob("*.parquet"):
        path.chmod(0o644)
        path.write_bytes(b"not what was published")
    done = world.recall("--contributor", "lab-03")
    assert done.code == 2
    assert "who sent these rows is unknown" in done.err


def test_a_recall_of_others_says_whose_senders_are_unknown(released: Any) -> None:
    """One of two batches can be read: it is recalled, and the other one is not ruled out."""
    first, second = released.site.visible("published")
    for path in first.glob("*.parquet"):
        path.chmod(0o644)
        path.write_bytes(b"not what was published")
    names = pq.read_table(next(second.glob("*.parquet"))).column("who").to_pylist()
    done = released.recall("--contributor", names[0])
    assert done.code == 12
    assert "who sent these rows is unknown" in done.err
    assert recalls(released)


def test_a_release_follows_its_parent_with_all_that_used_it(released: Any) -> None:
    """Along parents, and every data set and training run that consumed one of them."""
    digests = attestations(released)
    assert set(digests) == {"lab/stones@b", "release/lab/stones@b"}
    frozen = released.site.call("dataset", "freeze", "autumn", "--batches", "*lab/stones@*")
    assert frozen.code == 0, frozen.err
    assert "2 batches, 230 rows" in frozen.out
    path = released.root / ".auditor" / "published" / "frozen" / "autumn.dsse.json"
    for used, run in ((digests["release/lab/stones@b"], "train-7"), (path, "train-8")):
        done = released.site.call("consumed", used, "--run", run, "--model", MODEL)
        assert done.code == 0, done.err
    done = released.recall("--batch", "lab/stones@b")
    assert done.code == 0, done.err
    assert "2 batches, 2 of them new" in done.out
    assert "data set autumn holds some of it" in done.out
    for run in ("train-7", "train-8"):
        assert f"training run {run} used it; its model is {MODEL}" in done.out
    named = {ref for entry in recalls(released) for ref in entry.event.refs}
    assert set(digests.values()) <= named
    again = released.site.call("dataset", "freeze", "winter", "--batches", "*")
    assert (again.code, "PARENT_RECALLED" in again.err) == (2, True), again.err


def test_a_batch_that_names_a_recalled_one_as_its_parent_follows(world: Any) -> None:
    parent = world.desk().find(world.run).logged.report.batch_digest
    details = {"parents": [{"name": "lab/stones@b", "digest": {"sha256": parent}}]}
    batch = world.deliver("d", world.site.rows(150, 9), "other/stones", "other-lab", details)
    done = world.site.call("gate", batch)
    assert done.code == 0, done.out + done.err
    done = world.recall("--source", "lab/stones")
    assert done.code == 0, done.err
    assert "recalled: other/stones@d" in done.out
    assert len(recalls(world)) == 2


def test_a_recalled_release_leaves_its_parent(released: Any) -> None:
    done = released.recall("--batch", "release/lab/stones@b")
    assert done.code == 0, done.err
    (entry,) = recalls(released)
    digests = attestations(released)
    assert digests["release/lab/stones@b"] in entry.event.refs
    assert digests["lab/stones@b"] not in (entry.subject, *entry.event.refs)


def assert_proven(world: Any, frozen: str) -> None:
    """The proof beside the list says that the log holds it, and nothing else."""
    key = Ledger(world.root / ".auditor" / "ledger.db").key.public()
    proof = (world.root / ".auditor/published/frozen/autumn.proof.tlog").read_bytes()
    proven = proofs.verify(proof, [key])
    proofs.require_frozen(proven, frozen)
    with pytest.raises(LogRefused, match="PROOF_EVENT"):
        proofs.require_frozen(proven, "f" * 64)
    with pytest.raises(LogRefused, match="PROOF_EVENT"):
        proofs.require_verdict(proven, frozen)
    (folder,) = (path for path in world.site.visible("published") if path.name != "frozen")
    verdict = proofs.verify((folder / "proof.tlog").read_bytes(), [key])
    with pytest.raises(LogRefused, match="PROOF_EVENT"):
        proofs.require_frozen(verdict, frozen)


def test_what_is_frozen(world: Any) -> None:
    from auditor.provenance import dsse, frozen

    done = world.site.call("dataset", "freeze", "autumn", "--batches", "lab/*")
    assert done.code == 0, done.err
    envelope = (world.root / ".auditor/published/frozen/autumn.dsse.json").read_bytes()
    opened = dsse.parse(envelope)
    assert dsse.signers(opened, [world.people.public("gate")])
    found = frozen.read(opened.payload)
    (parent,) = found.parents
    assert (found.name, found.rows, parent.rows) == ("autumn", 200, 200)
    assert parent.attestation_sha256 == attestations(world)["lab/stones@b"]
    assert world.site.events()[-1] == "dataset.frozen"
    assert_proven(world, sha256(envelope))
    taken = world.site.call("dataset", "freeze", "autumn", "--batches", "*")
    assert (taken.code, "never changed" in taken.err) == (2, True), taken.err
    for name, pattern in (("../x", "*"), ("empty", "nobody/*")):
        assert world.site.call("dataset", "freeze", name, "--batches", pattern).code == 2
    assert world.site.events().count("dataset.frozen") == 1


def test_a_crash_after_the_event_shows_the_data_set_at_the_next_call(world: Any) -> None:
    from auditor.afterwards import freezing

    def dies(*_: Any) -> None:
        raise OSError("the machine stops here")

    with contextlib.chdir(world.root), pytest.MonkeyPatch.context() as patch:
        patch.setattr(freezing, "move", dies)
        with pytest.raises(OSError, match="stops here"):
            freezing.freeze(world.desk(), "autumn", ["*"])
    path = world.root / ".auditor/published/frozen/autumn.dsse.json"
    assert not path.exists()
    done = world.site.call("dataset", "freeze", "autumn", "--batches", "*")
    assert (done.code, "never changed" in done.err) == (2, True), done.err
    assert path.exists()
    assert world.site.events().count("dataset.frozen") == 1


def test_nothing_unknown_is_consumed(world: Any) -> None:
    done = world.site.call("consumed", "f" * 64, "--run", "train-7", "--model", MODEL)
    assert (done.code, "has no attestation" in done.err) == (2, True), done.err
    done = world.site.call("consumed", "f" * 64, "--run", "train-7", "--model", "mine")
    assert (done.code, "64 hex digits" in done.err) == (2, True), done.err


def test_a_training_job_verifies_what_was_frozen(world: Any) -> None:
    """By the commands alone: frozen, verified, refused without its proof, which is written anew."""
    frozen = world.site.call("dataset", "freeze", "autumn", "--batches", "lab/*")
    assert frozen.code == 0, frozen.err

    def verified() -> Any:
        issued = world.site.call("status", "issue", "--key", world.key("status"))
        assert issued.code == 0, issued.err
        pin = world.site.settings["trust"]["sha256"]
        trusted = ("--trust", "trust.dsse.json", "--trust-sha256", pin, "--seen", "seen")
        asked = ("--resource", "autumn", "--attestation", "frozen/autumn.dsse.json")
        level = ("--level", "AUDITOR_PROVENANCE_VERIFIED", "--status", "status.dsse.json")
        return world.site.call("verify", ".auditor/published", *asked, *trusted, *level)

    done = verified()
    assert (done.code, "1 file(s)" in done.out) == (0, True), done.err
    proof = world.root / ".auditor/published/frozen/autumn.proof.tlog"
    proof.unlink()
    done = verified()
    assert (done.code, "PROOF_MISSING" in done.err) == (13, True), done.err
    (folder,) = (path for path in world.site.visible("published") if path.name != "frozen")
    proof.write_bytes((folder / "proof.tlog").read_bytes())
    done = verified()
    assert (done.code, "PROOF_EVENT" in done.err) == (13, True), done.err
    assert world.site.call("ledger", "renew", ".auditor/published").code == 0
    done = verified()
    assert done.code == 0, done.err
