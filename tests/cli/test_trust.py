"""`auditor trust`: people with keys on several machines make, read, change and sign a policy."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from auditor.provenance import dsse
from auditor.provenance.keys import public_key
from auditor.transparency.note import VerifierKey, parse_vkey

PEOPLE = ("r1", "r2", "r3", "va")
POLICY, DRAFT = "trust.dsse.json", "trust.2.draft.dsse.json"


@dataclass
class Owners:
    """A folder with four key pairs; `r1` to `r3` are to be the root."""

    site: Any

    def __post_init__(self) -> None:
        for name in PEOPLE:
            kind = "ecdsa-p256" if name == "r2" else "ed25519"
            assert self.site.call("keys", "generate", name, "--type", kind).code == 0

    def init(self, *options: str) -> Any:
        public = [part for name in PEOPLE for part in ("--public", f"{name}={name}.pub")]
        root = [part for name in PEOPLE[:3] for part in ("--root", name)]
        return self.call("init", *public, *root, "--source", "v/stones=va", *options)

    def call(self, command: str, *options: str | Path, file: str = POLICY) -> Any:
        return self.site.call("trust", command, file, *options)

    def signed(self) -> str:
        """A version 1 in force; the digest to pin."""
        done = self.init("--key", "r1.key", "--key", "r2.key")
        assert done.code == 0, done.err
        return digest_in(done.out)

    def key_of(self, name: str) -> str:
        shown = self.call("show").out
        return next(line.split()[1] for line in shown.splitlines() if f"  {name}  " in line)

    def folder(self) -> list[str]:
        return sorted(p.name for p in Path(self.site.root).iterdir() if "trust" in p.name)


def digest_in(text: str) -> str:
    found = re.search(r"\b[0-9a-f]{64}\b", text)
    assert found, text
    return found.group()


@pytest.fixture
def owners(bare: Any) -> Owners:
    return Owners(bare)


def test_signatures_are_gathered_and_the_digest_is_known_from_the_start(owners: Owners) -> None:
    done = owners.init()
    pin = digest_in(done.out)
    assert "2 of its own root" in done.out
    assert owners.call("verify", "--sha256", pin).code == 11
    assert "1 of its own root" in owners.call("sign", "--key", "r1.key").out
    assert "1 of its own root" in owners.call("sign", "--key", "r1.key").out
    assert "missing" not in owners.call("sign", "--key", "r2.key").out
    done = owners.call("verify", "--sha256", pin)
    assert (done.code, pin in done.out) == (0, True)
    assert pin in owners.call("show").out


def test_who_is_not_root_signs_nothing(owners: Owners) -> None:
    owners.init()
    before = (owners.site.root / POLICY).read_bytes()
    done = owners.call("sign", "--key", "va.key")
    assert (done.code, "none of its root keys" in done.err) == (2, True)
    assert (owners.site.root / POLICY).read_bytes() == before


def test_an_update_needs_the_old_root_and_its_own(owners: Owners) -> None:
    pin = owners.signed()
    document = json.loads(owners.call("show", "--json").out)
    first, second, third = (owners.key_of(name) for name in PEOPLE[:3])
    document["root"] = {"keyids": [second, third], "threshold": 2}
    owners.site.write("edited.json", json.dumps(document))
    done = owners.call("update", "--from", "edited.json", "--key", "r2.key")
    assert "1 of its own root, 1 of the old root" in done.out
    assert owners.call("update", "--install", DRAFT).code == 2
    assert "missing: 1 of its own root;" in owners.call("sign", "--key", "r1.key", file=DRAFT).out
    assert "--install" in owners.call("sign", "--key", "r3.key", file=DRAFT).out
    assert owners.call("update", "--install", DRAFT).code == 0
    assert owners.folder() == ["trust.1.dsse.json", POLICY]
    assert "version 2" in owners.call("verify", "--sha256", pin).out
    assert first not in owners.call("show").out.split("root: ")[1].split("\n")[0]


def test_what_was_signed_is_what_was_shown(owners: Owners) -> None:
    """`show --json` gives back the very document: unedited, the next version only counts on."""
    owners.signed()
    shown = json.loads(owners.call("show", "--json").out)
    payload = json.loads(dsse.parse((owners.site.root / POLICY).read_bytes()).payload)
    assert shown == payload
    assert owners.call("update").code == 0
    draft = json.loads(dsse.parse((owners.site.root / DRAFT).read_bytes()).payload)
    changing = {"version", "expires"}
    assert {k: v for k, v in draft.items() if k not in changing} == {
        k: v for k, v in shown.items() if k not in changing
    }
    assert draft["version"] == 2


def test_a_draft_is_never_overwritten(owners: Owners) -> None:
    owners.signed()
    assert owners.call("update", "--key", "r1.key").code == 0
    before = (owners.site.root / DRAFT).read_bytes()
    done = owners.call("update")
    assert (done.code, "is there already" in done.err) == (2, True)
    assert (owners.site.root / DRAFT).read_bytes() == before
    assert owners.init().code == 2


def test_a_draft_of_another_policy_is_not_installed(owners: Owners) -> None:
    owners.signed()
    owners.call("update", "--key", "r1.key", "--key", "r2.key")
    stolen = (owners.site.root / DRAFT).read_bytes()
    owners.call("update", "--install", DRAFT)
    owners.site.write("again.dsse.json", stolen)
    before = (owners.site.root / POLICY).read_bytes()
    done = owners.call("update", "--install", "again.dsse.json")
    assert (done.code, "POLICY_ROLLBACK" in done.err) == (2, True)
    assert (owners.site.root / POLICY).read_bytes() == before


def test_a_policy_that_is_not_signed_is_no_ground_for_the_next(owners: Owners) -> None:
    owners.init("--key", "r1.key")
    owners.call("update", "--key", "r1.key", "--key", "r2.key")
    done = owners.call("update", "--install", DRAFT)
    assert (done.code, "POLICY_SIGNATURE" in done.err) == (2, True)


def test_the_log_is_named_by_its_origin_and_key(owners: Owners) -> None:
    assert "no log is named" in owners.init().err
    (owners.site.root / POLICY).unlink()
    done = owners.init("--ledger", "gate.test/log=r1.pub")
    assert (done.code, "no log is named" in done.err) == (0, False)
    (vkey,) = json.loads(owners.call("show", "--json").out)["roles"]["ledger"]["vkeys"]
    shown = public_key((owners.site.root / "r1.pub").read_bytes())
    assert parse_vkey(vkey) == VerifierKey("gate.test/log", shown.raw)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("r1.pub", "give ORIGIN=FILE.pub"),
        ("gate.test/log=nowhere", "cannot be read"),
        ("two words=r1.pub", "VKEY_FORMAT"),
        ("gate.test/log=r2.pub", "Ed25519"),
    ],
)
def test_what_is_no_log_is_refused(owners: Owners, given: str, said: str) -> None:
    done = owners.init("--ledger", given)
    assert (done.code, said in done.err) == (2, True)
    assert owners.folder() == []


def test_revocation_and_compromise_are_written_and_shown(owners: Owners) -> None:
    owners.signed()
    key = owners.key_of("va")
    done = owners.call("update", "--compromised", key, "--since", "2026-01-02T03:04:05Z")
    assert (done.code, "no such ledger" in done.out) == (0, True)
    shown = owners.call("show", file=DRAFT).out
    assert "va  KEY_REVOKED, compromised since 2026-01-02T03:04:05Z" in shown
    (owners.site.root / DRAFT).unlink()
    assert owners.call("update", "--revoke", key).code == 0
    assert "va  KEY_REVOKED\n" in owners.call("show", file=DRAFT).out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--revoke", "0" * 64), "POLICY_KEY_UNKNOWN"),
        (("--compromised", "0" * 64), "belong together"),
        (("--since", "2026-01-01T00:00:00Z"), "belong together"),
        (("--compromised", "0" * 64, "--since", "yesterday"), "TIME_FORMAT"),
        (("--approve", "prod"), "NAME=VERSION:DIGEST"),
        (("--approve", "prod=1:abc"), "DIGEST_ALGORITHM"),
        (("--from", "missing.json"), "cannot be read"),
        (("--from", "r1.pub"), "JSON_INVALID"),
        (("--from", "list.json"), "not a trust policy"),
        (("--install", "missing.json"), "no such file"),
        (("--install", "r1.pub"), "JSON_INVALID"),
    ],
)
def test_an_update_that_cannot_be_made(owners: Owners, options: tuple[str, ...], said: str) -> None:
    owners.signed()
    owners.site.write("list.json", "[]")
    done = owners.call("update", *options)
    assert (done.code, said in done.err) == (2, True), done.err
    assert owners.folder() == [POLICY]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--source", "v/stones"), "SOURCE=PRINCIPAL"),
        (("--source", "v/sand=nobody"), "POLICY_KEY_UNKNOWN"),
        (("--source", "../x=va"), "FIELD_VALUE"),
        (("--public", "x"), "PRINCIPAL=FILE.pub"),
        (("--public", "x=missing.pub"), "cannot be read"),
        (("--public", "x=va.key"), "KEY_FORMAT"),
        (("--public", "x=va.pub"), "POLICY_KEY_TWICE"),
        (("--root-threshold", "4"), "POLICY_THRESHOLD"),
        (("--releaser", "r1"), "POLICY_THRESHOLD"),
        (("--gate", "r1", "--releaser", "r1", "--releaser", "r2"), "POLICY_ROBOT"),
        (("--unsigned", "maybe"), "FIELD_VALUE"),
        (("--valid-days", "0"), "valid-days"),
    ],
)
def test_a_policy_that_cannot_be_made(owners: Owners, options: tuple[str, ...], said: str) -> None:
    done = owners.init(*options)
    assert (done.code, said in done.err) == (2, True), done.err
    assert owners.folder() == []


@pytest.mark.parametrize("command", ["show", "verify", "update", "sign"])
@pytest.mark.parametrize("what", ["absent", "folder", "manifest", "text"])
def test_what_is_no_policy(owners: Owners, command: str, what: str) -> None:
    path = owners.site.root / POLICY
    if what == "folder":
        path.mkdir()
    elif what == "manifest":
        path.write_bytes(dsse.build(b"{}", dsse.IN_TOTO, ()))
    elif what == "text":
        path.write_text("trust me\x1b[31m")
    more = {"verify": ("--sha256", "0" * 64), "sign": ("--key", "r1.key")}.get(command, ())
    done = owners.call(command, *more)
    refused = what != "folder" and command == "verify"
    assert done.code == (11 if refused else 2), done.err


def test_a_manifest_is_held_against_the_policy_by_hand(owners: Owners) -> None:
    pin = owners.signed()
    site = owners.site
    data = site.write("in/a.parquet", site.rows(20, 1))
    named = ("--source", "v/stones", "--batch-id", "1")
    assert site.call("manifest", "create", data, *named).code == 0
    manifest = f"{data}.manifest.dsse.json"
    asked = ("manifest", "verify", data, "--source", "v/stones")
    policy = ("--policy", POLICY, "--sha256", pin)
    assert site.call("manifest", "sign", manifest, "--key", "r1.key").code == 0
    done = site.call(*asked, *policy)
    assert (done.code, "SIGNATURE_THRESHOLD" in done.out) == (11, True)
    assert site.call("manifest", "sign", manifest, "--key", "va.key").code == 0
    assert site.call(*asked, *policy).code == 0
    assert site.call(*asked, "--policy", POLICY, "--sha256", "0" * 64).code == 2
    for wrong in ((), policy[:2], (*policy, "--key", "va.pub")):
        assert site.call(*asked, *wrong).code == 2


def test_keys_of_an_unknown_type_are_not_made(owners: Owners) -> None:
    done = owners.site.call("keys", "generate", "x", "--type", "rsa")
    assert (done.code, "ecdsa-p256" in done.err) == (2, True)
    assert not (owners.site.root / "x.key").exists()
