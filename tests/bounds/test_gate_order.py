"""Replays, twins, gaps and races: a batch against earlier ones of its source, on the real gate."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from auditor.ledger import Conflict, Ledger
from auditor.provenance import dsse
from auditor.signing import unsigned_envelope

pytestmark = pytest.mark.slow


def manifest_of(data: Path) -> Path:
    return data.with_name(f"{data.name}.manifest.dsse.json")


def verdicts(site: Any) -> list[dict[str, Any]]:
    """The detail of each verdict in the ledger, oldest first."""
    entries = Ledger(site.root / ".auditor" / "ledger.db").entries()
    return [dict(entry.event.detail) for entry in entries if entry.name == "verdict"]


def newest_run(site: Any) -> Path:
    run: Path = max(site.visible("runs"))
    return run


# --- replay -------------------------------------------------------------------------------------


def test_case_46_replay_of_an_accepted_batch(site: Any, vendor: Any) -> None:
    """A batch that was accepted is sent again."""
    data = vendor.batch("a", 11)
    assert vendor.gate(data) == 0
    accepted = site.report()["run"]
    published = site.visible("published")
    assert vendor.gate(data) == 12
    (finding,) = vendor.found()["REPLAY"]
    assert finding["evidence"]["run"] == accepted
    assert finding["evidence"]["verdict"] == "ACCEPT"
    assert [each["verdict"] for each in verdicts(site)] == ["ACCEPT"], "no second verdict"
    assert site.events()[-1] == "batch.held"
    assert site.visible("published") == published


def test_case_46_replay_of_a_rejected_batch(site: Any, vendor: Any) -> None:
    """A batch that was rejected is sent again; the source goes on behind it."""
    site.configure(policy={"limits": {"batch_share": 0.2}})
    bad = site.write("in/bad.parquet", site.copies(site.rows(60, 6), 60))
    vendor.send(bad, batch_id="bad")
    assert vendor.gate(bad) == 11
    assert vendor.gate(bad) == 12
    (finding,) = vendor.found()["REPLAY"]
    assert finding["evidence"]["verdict"] == "REJECT"
    following = vendor.batch("next", 12, "--after", manifest_of(bad))
    assert vendor.gate(following) == 0
    assert [(v["verdict"], v["sequence"]) for v in verdicts(site)] == [("REJECT", 1), ("ACCEPT", 2)]


def test_case_46_replay_of_a_batch_that_the_reader_refuses(site: Any, vendor: Any) -> None:
    """A batch whose columns are not allowed is sent twice: it is rejected once, and held then."""
    table = site.rows(60, 6)
    bad = site.write("in/bad.parquet", table.append_column("_auditor_row", table["x"]))
    vendor.send(bad, batch_id="bad")
    assert vendor.gate(bad) == 11
    assert vendor.gate(bad) == 12
    assert list(vendor.found()) == ["REPLAY"]
    assert [(v["verdict"], v["sequence"]) for v in verdicts(site)] == [("REJECT", 1)]
    assert site.events()[-1] == "batch.held"


def test_case_46_replay_of_a_batch_of_which_rows_were_set_aside(site: Any, vendor: Any) -> None:
    """A quarantined batch is sent again."""
    data = site.write("in/q.parquet", site.copies(site.rows(200, 5), 30))
    vendor.send(data, batch_id="q")
    assert vendor.gate(data) == 10
    assert vendor.gate(data) == 12
    (finding,) = vendor.found()["REPLAY"]
    assert finding["evidence"]["verdict"] == "QUARANTINE"


def test_hold_takes_no_place(site: Any, vendor: Any) -> None:
    """A batch that was held may be audited again, and is then judged."""
    data = vendor.batch("a", 11)
    site.configure(policy={"required": ["AUD-N003"]})
    assert vendor.gate(data) == 12
    site.configure(policy={})
    assert vendor.gate(data) == 0
    assert len(verdicts(site)) == 1


def test_audit_and_observe_take_no_place(site: Any, vendor: Any) -> None:
    """Looking at a batch must not use up its number."""
    data = vendor.batch("a", 11)
    assert site.call("audit", data, "-q").code == 0
    assert vendor.gate(data, "--observe") == 0
    assert vendor.gate(data) == 0
    assert site.call("audit", data, "-q").code == 0, "an audit of an old batch is no replay"


def test_case_48_same_content_under_a_new_id(site: Any, vendor: Any) -> None:
    """The same bytes under a new id, and then under new file names too."""
    first = vendor.batch("a", 11)
    assert vendor.gate(first) == 0
    again = first.with_name("b.parquet")
    shutil.copyfile(first, again)
    vendor.send(again, "--after", manifest_of(first), batch_id="b")
    assert vendor.gate(again) == 12
    (finding,) = vendor.found()["REPLAY"]
    assert finding["evidence"]["batch_id"] == "a"
    assert len(verdicts(site)) == 1


def test_case_53_old_batch_after_all_other_state_is_lost(site: Any, vendor: Any) -> None:
    """History and run folders are gone; the ledger alone still knows the batch."""
    data = vendor.batch("a", 11)
    assert vendor.gate(data) == 0
    (site.root / ".auditor" / "history.db").unlink()
    for folder in ("runs", "published"):
        shutil.rmtree(site.root / ".auditor" / folder)
    assert vendor.gate(data) == 12
    assert list(vendor.found()) == ["REPLAY"]


# --- equivocation -------------------------------------------------------------------------------


def test_case_47_same_id_other_content(site: Any, vendor: Any) -> None:
    """Two different batches under one id, both signed: both manifests are kept."""
    data = vendor.batch("a", 11)
    assert vendor.gate(data) == 0
    first = manifest_of(data).read_bytes()
    site.write("in/a.parquet", site.rows(120, 12))
    vendor.send(data, batch_id="a")
    second = manifest_of(data).read_bytes()
    assert vendor.gate(data) == 11
    (finding,) = vendor.found()["BATCH_EQUIVOCATION"]
    assert finding["rule"] == "AUD-P003"
    run = newest_run(site)
    assert (run / "manifest.dsse.json").read_bytes() == second
    assert (run / "manifest.before.dsse.json").read_bytes() == first
    said = verdicts(site)[-1]
    assert said["codes"] == "BATCH_EQUIVOCATION"
    assert said["envelope"] != said["envelope_before"] == verdicts(site)[0]["envelope"]
    assert "order_of" not in said, "the twin takes no place"
    assert len(site.visible("published")) == 1


def test_the_kept_manifest_of_a_twin_is_the_one_that_the_ledger_names(
    site: Any, vendor: Any
) -> None:
    """Somebody replaces the evidence of the first manifest."""
    data = vendor.batch("a", 11)
    assert vendor.gate(data) == 0
    kept = newest_run(site) / "manifest.dsse.json"
    kept.chmod(0o600)
    kept.write_bytes(b"{}")
    site.write("in/a.parquet", site.rows(120, 12))
    vendor.send(data, batch_id="a")
    assert vendor.gate(data) == 12
    assert "not the manifest that the ledger names" in " ".join(site.report()["reasons"])


# --- numbers and the chain ----------------------------------------------------------------------


def test_case_49_sequence_back(site: Any, vendor: Any) -> None:
    """A new batch with an old number."""
    assert vendor.gate(vendor.batch("a", 11, "--sequence", "5")) == 0
    for name, number in (("b", "5"), ("c", "4")):
        assert vendor.gate(vendor.batch(name, ord(name), "--sequence", number)) == 11
        (finding,) = vendor.found()["SEQUENCE_BACK"]
        assert finding["evidence"]["last"] == 5
    assert len([v for v in verdicts(site) if "order_of" in v]) == 1


def test_case_50_sequence_gap_waits_for_the_missing_batch(site: Any, vendor: Any) -> None:
    """Number 3 comes before number 2: it is held, and taken once 2 is decided."""
    one = vendor.batch("a", 11)
    two = vendor.batch("b", 12, "--after", manifest_of(one))
    three = vendor.batch("c", 13, "--after", manifest_of(two))
    assert vendor.gate(one) == 0
    assert vendor.gate(three) == 12
    (finding,) = vendor.found()["SEQUENCE_GAP"]
    assert finding["rule"] == "AUD-P004"
    assert "expected is 2" in finding["message"]
    assert vendor.gate(two) == 0
    assert vendor.gate(three) == 0
    assert [v["sequence"] for v in verdicts(site)] == [1, 2, 3]


def test_case_50_a_monotonic_source_may_leave_numbers_out(site: Any, vendor: Any) -> None:
    """A gap where the settings allow one; numbers still rise."""
    vendor.trust(sequence="monotonic")
    assert vendor.gate(vendor.batch("a", 11)) == 0
    assert vendor.gate(vendor.batch("c", 13, "--sequence", "3")) == 0
    assert vendor.gate(vendor.batch("b", 12, "--sequence", "2")) == 11
    assert list(vendor.found()) == ["SEQUENCE_BACK"]


@pytest.mark.parametrize("previous", ["another", "none"])
def test_case_51_chain_link(site: Any, vendor: Any, previous: str) -> None:
    """The next number, but the batch before it is another one, or is not named."""
    assert vendor.gate(vendor.batch("a", 11)) == 0
    link = ("--previous", "0" * 64) if previous == "another" else ()
    data = vendor.batch("b", 12, "--sequence", "2", *link)
    assert vendor.gate(data) == 11
    (finding,) = vendor.found()["CHAIN"]
    assert finding["evidence"]["before"] == verdicts(site)[0]["manifest"]


def test_sources_have_an_order_each(site: Any, vendor: Any) -> None:
    """The numbers of one source say nothing about those of another."""
    assert vendor.gate(vendor.batch("a", 11, "--sequence", "7")) == 0
    vendor.source = "v/gravel"
    assert vendor.gate(vendor.batch("a2", 12, "--sequence", "1")) == 0
    assert [v["order_of"] for v in verdicts(site)] == ["v/stones", "v/gravel"]


# --- who may use up a place ---------------------------------------------------------------------


def test_a_forged_manifest_uses_up_no_number(site: Any, vendor: Any) -> None:
    """A stranger signs number 1 of a source; the real number 1 is taken all the same."""
    data = vendor.batch("a", 11)
    good = manifest_of(data).read_bytes()
    assert site.call("keys", "generate", "stranger").code == 0
    vendor.declare(data, batch_id="a")
    assert site.call("manifest", "sign", manifest_of(data), "--key", "stranger.key").code == 0
    assert vendor.gate(data) == 11
    manifest_of(data).write_bytes(good)
    assert vendor.gate(data) == 0


def test_damaged_files_use_up_no_number(site: Any, vendor: Any) -> None:
    """The supplier's own manifest with other bytes: what was sent can still come."""
    data = vendor.batch("a", 11)
    whole = data.read_bytes()
    site.write("in/a.parquet", site.rows(120, 12))
    assert vendor.gate(data) == 11
    assert "FILE_DIGEST" in vendor.found()
    assert verdicts(site)[-1]["codes"].split() == ["CONTRIBUTOR_COUNT", "FILE_DIGEST", "FILE_SIZE"]
    data.write_bytes(whole)
    assert vendor.gate(data) == 0


def test_what_nobody_signed_has_no_order(site: Any, vendor: Any) -> None:
    """An unsigned manifest, noted: gated twice it takes no place."""
    vendor.trust(unsigned="note")
    data = site.write("in/a.parquet", site.rows(120, 11))
    vendor.declare(data, batch_id="a")
    assert vendor.gate(data) == 0
    assert vendor.gate(data) == 0
    assert all("order_of" not in v for v in verdicts(site))


# --- races --------------------------------------------------------------------------------------


def test_case_52_two_batches_with_one_number_at_once(
    site: Any, vendor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one batch is screened another one of the same number is accepted."""
    from auditor import recording

    one = site.write("in/a.parquet", site.copies(site.rows(200, 5), 30))
    vendor.send(one, batch_id="a")
    two = vendor.batch("b", 12)
    genuine, codes = recording.keep, []

    def overtaken(run: Any, decided: Any) -> Any:
        monkeypatch.setattr(recording, "keep", genuine)
        codes.append(vendor.gate(two))
        return genuine(run, decided)

    monkeypatch.setattr(recording, "keep", overtaken)
    assert vendor.gate(one) == 12
    assert codes == [0]
    assert [v["batch_id"] for v in verdicts(site)] == ["b"]
    assert len(site.visible("published")) == 1
    assert "quarantine.created" not in site.events(), "no set without its verdict"
    assert vendor.gate(one) == 11
    assert list(vendor.found()) == ["SEQUENCE_BACK"]


@pytest.mark.slow
def test_case_52_two_processes_race_for_one_number(site: Any, vendor: Any) -> None:
    """Two gates start at once with two batches of one number: exactly one is accepted."""
    batches = [vendor.batch(name, ord(name)) for name in "abc"]
    children = [site.start("gate", data, "-q") for data in batches]
    said = [child.communicate(timeout=600) for child in children]
    codes = sorted(child.returncode for child in children)
    assert codes.count(0) == 1, said
    assert set(codes) <= {0, 11, 12}
    assert len([v for v in verdicts(site) if "order_of" in v]) == 1
    assert len(site.visible("published")) == 1


def test_looking_and_taking_is_one_operation(tmp_path: Path) -> None:
    """Of two that saw the same head of a source, the second gets nothing."""
    ledger, now = Ledger(tmp_path / "ledger.db"), dt.datetime.now(dt.UTC)
    first = ledger.append("verdict", at=now, via="gate", source="v/a", expect=-1)
    with pytest.raises(Conflict, match="v/a"):
        ledger.append("verdict", at=now, via="gate", source="v/a", expect=-1)
    ledger.append("verdict", at=now, via="gate", source="v/b", expect=-1)
    second = ledger.append("verdict", at=now, via="gate", source="v/a", expect=first)
    assert [entry.idx for entry in ledger.of_source("v/a")] == [first, second]
    assert len(list(ledger.entries())) == 3


# --- clocks -------------------------------------------------------------------------------------


def test_case_45_clock_behind_the_ledger(site: Any, vendor: Any) -> None:
    """The ledger has an entry that is an hour ahead: nothing is in time any more."""
    ledger = Ledger(site.root / ".auditor" / "ledger.db")
    ahead = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    ledger.append("error", at=ahead, via="cli")
    data = vendor.batch("a", 11)
    for _ in range(2):  # the entries of the first run are of the wrong clock, and change nothing
        assert vendor.gate(data) == 12
        (finding,) = vendor.found()["CLOCK_ROLLBACK"]
        assert finding["rule"] == "AUD-P004"
    assert site.visible("published") == []


def test_case_45_also_where_nobody_vouches(site: Any) -> None:
    """The clock is behind, and there is no manifest at all."""
    ledger = Ledger(site.root / ".auditor" / "ledger.db")
    ledger.append("error", at=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1), via="cli")
    assert site.call("gate", site.write("in/a.parquet", site.rows(120, 5)), "-q").code == 12
    codes = [f["evidence"].get("code") for f in site.report()["findings"]]
    assert "CLOCK_ROLLBACK" in codes


def test_case_45_five_minutes_are_allowed(site: Any, vendor: Any) -> None:
    """Two honest clocks are four minutes apart."""
    ledger = Ledger(site.root / ".auditor" / "ledger.db")
    ledger.append("error", at=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=4), via="cli")
    assert vendor.gate(vendor.batch("a", 11)) == 0


def edited(vendor: Any, data: Path, **changes: str) -> Path:
    """The manifest of a batch with other times in it, signed by its author."""
    manifest: Path = vendor.declare(data, batch_id="t")
    statement = json.loads(dsse.parse(manifest.read_bytes()).payload)
    collection = {k: changes.pop(k) for k in ("startedOn", "finishedOn") if k in changes}
    if collection:
        statement["predicate"]["collection"] = collection
    statement["predicate"] |= changes
    manifest.write_bytes(unsigned_envelope(json.dumps(statement).encode()))
    return manifest


def hours(count: float) -> str:
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(hours=count)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


TIMES = [
    pytest.param({"createdOn": hours(1)}, "TIME_FUTURE", id="41 future"),
    pytest.param({"createdOn": hours(-9), "expiresOn": hours(-1)}, "EXPIRED", id="42 expired"),
    pytest.param({"finishedOn": hours(2)}, "TIME_ORDER", id="43 finished after created"),
    pytest.param(
        {"startedOn": hours(-1), "finishedOn": hours(-2)}, "TIME_ORDER", id="43 ends, begins"
    ),
    pytest.param({"createdOn": "2026-11-22T11:00:00"}, "TIME_FORMAT", id="44 no zone"),
    pytest.param({"createdOn": "2026-11-22T11:00:60Z"}, "TIME_FORMAT", id="44 leap second"),
    pytest.param({"createdOn": "2026-11-22T24:00:00Z"}, "TIME_FORMAT", id="44 24:00"),
]


@pytest.mark.parametrize(("changes", "code"), TIMES)
def test_case_41_to_44_times(site: Any, vendor: Any, changes: dict[str, str], code: str) -> None:
    """A signed manifest with times that cannot be, or are over."""
    import base64

    data = site.write("in/t.parquet", site.rows(120, 5))
    manifest = edited(vendor, data, **changes)
    # `manifest sign` refuses what no reader takes; an attacker signs it with other tools.
    from auditor.signing import FileSigner, add_signature

    signed = add_signature(manifest.read_bytes(), FileSigner(site.root / "vendor.key"))
    assert base64.b64decode(json.loads(signed)["payload"])
    manifest.write_bytes(signed)
    assert vendor.gate(data) == 11
    assert list(vendor.found()) == [code]
    assert site.visible("published") == []


# --- addresses ----------------------------------------------------------------------------------


def collected(site: Any, name: str, *uris: tuple[str, str]) -> Path:
    """A details file with a collection."""
    entries = [{"uri": uri, "digest": {"sha256": digest * 64}} for uri, digest in uris]
    path: Path = site.write(f"{name}.json", json.dumps({"collection": {"uris": entries}}))
    return path


def test_case_94_uri_digest_changed(site: Any, vendor: Any) -> None:
    """An address that gave other bytes when it was seen first: a split view, or a sold domain."""
    x, y = "https://x.example/a.csv", "https://x.example/b.csv"
    one = vendor.batch("a", 11, "--details", collected(site, "d1", (x, "1")))
    assert vendor.gate(one) == 0
    new = collected(site, "d2", (x, "1"), (y, "2"))
    two = vendor.batch("b", 12, "--after", manifest_of(one), "--details", new)
    assert vendor.gate(two) == 0, "the same bytes again, and another address"
    changed = collected(site, "d3", (x, "3"), (y, "2"))
    three = vendor.batch("c", 13, "--after", manifest_of(two), "--details", changed)
    assert vendor.gate(three) == 12
    (finding,) = vendor.found()["URI_DIGEST_CHANGED"]
    assert (finding["evidence"]["uri"], finding["evidence"]["before"]) == (x, "1" * 64)
    assert site.events().count("uri.seen") == 2
    vendor.trust(mutable=True)
    assert vendor.gate(three) == 0, "a source whose addresses are meant to change"


def test_case_94_one_manifest_with_two_views(site: Any, vendor: Any) -> None:
    """One manifest says that an address gave two things."""
    twice = collected(site, "d", ("https://x.example/a", "1"), ("https://x.example/a", "2"))
    assert vendor.gate(vendor.batch("a", 11, "--details", twice)) == 12
    assert list(vendor.found()) == ["URI_DIGEST_CHANGED"]


def test_addresses_are_not_in_the_ledger_as_text(site: Any, vendor: Any) -> None:
    """An address may name a person, and a log cannot forget."""
    uri = "https://x.example/users/jane-doe"
    data = vendor.batch("a", 11, "--details", collected(site, "d", (uri, "1")))
    assert vendor.gate(data) == 0
    bodies = [e.body for e in Ledger(site.root / ".auditor" / "ledger.db").entries()]
    assert not any(b"jane" in body for body in bodies)


def test_another_supplier_cannot_spoil_an_address(site: Any, vendor: Any) -> None:
    """A source says false things of an address that another source collects from."""
    uri = "https://x.example/a.csv"
    vendor.source = "v/gravel"
    assert vendor.gate(vendor.batch("g", 10, "--details", collected(site, "g", (uri, "6")))) == 0
    vendor.source = "v/stones"
    assert vendor.gate(vendor.batch("a", 11, "--details", collected(site, "s", (uri, "1")))) == 0
