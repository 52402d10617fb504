"""A gate under a trust policy: real keys, real files, real runs, the stated code."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from auditor.ledger import Entry, Ledger
from auditor.provenance import dsse
from auditor.provenance.attestation import EXTENSION
from auditor.provenance.digests import sha256
from auditor.provenance.keys import public_key
from auditor.signing import FileSigner, add_signature, unsigned_envelope
from auditor.trust.policy import PAYLOAD_TYPE

pytestmark = pytest.mark.slow

Edit = Callable[[dict[str, Any]], Any]
PEOPLE = ("r1", "r2", "r3", "va", "vb")


def nothing(_: dict[str, Any]) -> None:
    """No edit."""


@dataclass
class Realm:
    """A site whose gate pins version 1 of a trust policy; root threshold 2 of 3."""

    site: Any
    pin: str = ""
    batches: int = field(default=0, init=False)
    #: Source -> number and digest of its last batch that was let in.
    places: dict[str, tuple[int, str]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for name in PEOPLE:
            self.done("keys", "generate", name)
        public = [part for name in PEOPLE for part in ("--public", f"{name}={name}.pub")]
        root = [part for name in PEOPLE[:3] for part in ("--root", name)]
        sources = ("--source", "v/stones=va", "--source", "v/gravel=vb")
        keys = ("--key", "r1.key", "--key", "r2.key")
        self.done("trust", "init", "trust.dsse.json", *public, *root, *sources, *keys)
        self.pin = sha256(dsse.parse(self.path.read_bytes()).payload)
        self.configure()

    @property
    def path(self) -> Path:
        return Path(self.site.root) / "trust.dsse.json"

    def configure(self, **changes: Any) -> None:
        trust = {"policy": "trust.dsse.json", "sha256": self.pin}
        self.site.configure(**{"trust": trust} | changes)

    def done(self, *arguments: str | Path) -> str:
        result = self.site.call(*arguments)
        assert result.code == 0, result.err
        return str(result.out)

    def keyid(self, name: str) -> str:
        return public_key((self.path.parent / f"{name}.pub").read_bytes()).keyid

    def change(self, edit: Edit = nothing, *options: str) -> None:
        """The next version, edited, signed by two of the root and put in force."""
        document = json.loads(dsse.parse(self.path.read_bytes()).payload)
        edit(document)
        self.site.write("edited.json", json.dumps(document))
        keys = ("--key", "r1.key", "--key", "r3.key")
        self.done("trust", "update", self.path, "--from", "edited.json", *options, *keys)
        draft = f"trust.{document['version'] + 1}.draft.dsse.json"
        self.done("trust", "update", self.path, "--install", draft)

    def rewrite(self, edit: Edit) -> None:
        """Version 1 again, as its owners might have written it, signed and pinned."""
        document = json.loads(dsse.parse(self.path.read_bytes()).payload)
        edit(document)
        envelope = unsigned_envelope(json.dumps(document).encode(), PAYLOAD_TYPE)
        for name in ("r1", "r2"):
            envelope = add_signature(envelope, FileSigner(self.path.with_name(f"{name}.key")))
        self.path.write_bytes(envelope)
        self.pin = sha256(dsse.parse(envelope).payload)
        self.configure()

    def send(self, *, key: str = "va", source: str = "v/stones", rows: int = 200) -> Path:
        """A new batch with a manifest signed by `key`."""
        self.batches += 1
        table = self.site.rows(rows, self.batches)
        data: Path = self.site.write(f"in-{self.batches}/a.parquet", table)
        number, before = self.places.get(source, (0, ""))
        named = ("--source", source, "--batch-id", str(self.batches), "--label", "label")
        linked = ("--previous", before) if before else ()
        order = ("--sequence", str(number + 1), *linked)
        self.done("manifest", "create", data, *named, *order)
        self.done("manifest", "sign", f"{data}.manifest.dsse.json", "--key", f"{key}.key")
        return data

    def gate(self, data: Path) -> tuple[int, str]:
        """Exit code, and the codes of provenance and reading in the report, or the error."""
        result = self.site.call("gate", data, "-q")
        if result.code == 2:
            return 2, str(result.err)
        report = self.site.report()
        if result.code == 0:
            told = report["provenance"]
            self.places[told["source"]] = (told["sequence"], told["subject_sha256"])
        found = report["findings"]
        mine = [f["evidence"] for f in found if f["rule"][:5] in ("AUD-P", "AUD-I")]
        return result.code, " ".join(sorted({str(one.get("code")) for one in mine}))

    def ledger(self, name: str) -> list[Entry]:
        log = Ledger(self.path.parent / ".auditor" / "ledger.db")
        return [entry for entry in log.entries() if entry.name == name]


def terms(**changes: Any) -> Edit:
    return lambda document: document["sources"]["v/stones"].update(changes)


@pytest.fixture
def realm(site: Any) -> Realm:
    return Realm(site)


def test_a_batch_of_a_trusted_source_is_let_in_and_the_policy_is_logged(realm: Realm) -> None:
    assert realm.gate(realm.send()) == (0, "")
    report = realm.site.report()
    assert report["provenance"]["principals"] == "va"
    assert report["reproduce"]["trust_policy_sha256"] == realm.pin
    (changed,) = realm.ledger("policy.changed")
    assert changed.event.refs == (realm.pin,)
    assert changed.event.detail["version"] == 1
    assert realm.gate(realm.send(key="vb", source="v/gravel")) == (0, "")
    assert len(realm.ledger("policy.changed")) == 1


def test_case_23_key_of_another_source_at_the_gate(realm: Realm) -> None:
    """Vendor B signs a batch in the name of vendor A's source."""
    assert realm.gate(realm.send(key="vb")) == (11, "SIGNATURE_THRESHOLD")
    assert realm.site.visible("published") == []


def test_case_24_own_key_other_source_at_the_gate(realm: Realm) -> None:
    """Vendor B puts its own good batch into the inbox of vendor A's source."""
    realm.configure(manifest={"source": "v/stones"})
    assert realm.gate(realm.send(key="vb", source="v/gravel")) == (11, "SOURCE_MISMATCH")


def test_case_25_unknown_source_at_the_gate(realm: Realm) -> None:
    """A source that the policy does not know sends a signed batch."""
    assert realm.gate(realm.send(source="v/sand")) == (11, "SOURCE_UNKNOWN")


def test_case_30_revoked_key_at_the_gate(realm: Realm) -> None:
    """A thief signs with a key that was revoked."""
    assert realm.gate(realm.send()) == (0, "")
    realm.change(nothing, "--revoke", realm.keyid("va"))
    assert realm.gate(realm.send()) == (11, "KEY_REVOKED")
    (revoked,) = realm.ledger("key.revoked")
    assert revoked.subject == realm.keyid("va")
    assert set(revoked.event.detail) == {"revoked_at"}
    realm.gate(realm.send())
    assert len(realm.ledger("key.revoked")) == 1


def test_case_33_policy_expired_at_the_gate(realm: Realm) -> None:
    """The gate is kept on a policy that has expired."""
    realm.rewrite(lambda d: d.update(expires="2020-01-01T00:00:00Z"))
    code, error = realm.gate(realm.send())
    assert (code, "POLICY_EXPIRED" in error) == (2, True)
    assert realm.ledger("policy.changed") == []


def test_case_34_rollback_is_known_from_the_ledger(realm: Realm) -> None:
    """Yesterday's policy is put back, with everything that lay beside it."""
    before = realm.path.read_bytes()
    realm.change(terms(licenses=["CC-BY-4.0"]))
    assert realm.gate(realm.send()) == (11, "LICENCE")
    assert [e.event.detail["version"] for e in realm.ledger("policy.changed")] == [2]
    realm.path.write_bytes(before)
    (realm.path.parent / "trust.1.dsse.json").unlink()
    code, error = realm.gate(realm.send())
    assert (code, "POLICY_ROLLBACK" in error) == (2, True)
    assert realm.site.visible("published") == []


def test_case_35_a_version_is_left_out_at_the_gate(realm: Realm) -> None:
    """The version that revoked a key is taken out of the chain."""
    realm.change(nothing, "--revoke", realm.keyid("va"))
    realm.change()
    (realm.path.parent / "trust.2.dsse.json").unlink()
    code, error = realm.gate(realm.send())
    assert (code, "POLICY_GAP" in error) == (2, True)


def test_case_37_policy_file_edited_at_the_gate(realm: Realm) -> None:
    """Somebody with access to the disk adds the key of vendor B to vendor A's source."""
    document = json.loads(realm.path.read_bytes())
    payload = json.loads(dsse.parse(realm.path.read_bytes()).payload)
    payload["sources"]["v/stones"]["keyids"].append(realm.keyid("vb"))
    edited = unsigned_envelope(json.dumps(payload).encode(), PAYLOAD_TYPE)
    document["payload"] = json.loads(edited)["payload"]
    realm.path.write_text(json.dumps(document))
    code, error = realm.gate(realm.send(key="vb"))
    assert (code, "POLICY_SIGNATURE" in error) == (2, True)


def test_case_93_licence_at_the_gate(realm: Realm) -> None:
    """A batch without a licence is sent to a source that must name one."""
    realm.rewrite(terms(licenses=["CC-BY-4.0"]))
    assert realm.gate(realm.send()) == (11, "LICENCE")


def test_the_source_may_send_less_than_the_site_takes(realm: Realm) -> None:
    """A limit of the source is one of the reader too: it stops before the rows are parsed."""
    realm.rewrite(terms(limits={"rows": 100}))
    assert realm.gate(realm.send(rows=100)) == (0, "")
    code, codes = realm.gate(realm.send(rows=101))
    assert code == 11
    assert {"LIMIT", "SOURCE_LIMIT"} <= set(codes.split())
    assert realm.gate(realm.send(rows=200, key="vb", source="v/gravel")) == (0, "")


@pytest.mark.parametrize(
    ("policy", "settings", "code"),
    [
        ("note", "hold", 12),
        ("note", "note", 0),
        ("reject", "note", 11),
    ],
)
def test_of_two_rules_for_unsigned_batches_the_stricter_holds(
    realm: Realm, policy: str, settings: str, code: int
) -> None:
    realm.rewrite(lambda d: d.update(unsigned=policy))
    realm.configure(manifest={"unsigned": settings})
    data = realm.site.write("in/a.parquet", realm.site.rows(200, 5))
    assert realm.site.call("gate", data, "-q").code == code


def attested(realm: Realm) -> dict[str, Any]:
    newest = max((realm.path.parent / ".auditor" / "runs").glob("[0-9A-Z]*"))
    payload = dsse.parse((newest / "attestation.dsse.json").read_bytes()).payload
    found = json.loads(payload)["predicate"]
    assert isinstance(found, dict)
    return found


def test_the_attestation_names_the_version_that_root_approved(realm: Realm) -> None:
    assert realm.gate(realm.send())[0] == 0
    assert attested(realm)[EXTENSION]["policyVersion"] == 0  # nobody approved these settings
    digest = realm.site.report()["reproduce"]["policy_sha256"]
    name = attested(realm)["policy"]["uri"].removeprefix("policy:")
    realm.change(nothing, "--approve", f"{name}=7:{digest}")
    assert realm.gate(realm.send())[0] == 0
    assert attested(realm)[EXTENSION]["policyVersion"] == 7
    realm.configure(manifest={"unsigned": "reject"})
    code, error = realm.gate(realm.send())
    assert (code, "POLICY_DIGEST" in error) == (2, True)
    assert realm.site.call("audit", realm.send(), "-q").code == 0


GATE = "https://gate.test/prod"


def gated_as(document: dict[str, Any], keyid: str) -> None:
    document["roles"]["gate"] = {"keyids": [keyid], "threshold": 1, "verifiers": [GATE]}


@pytest.mark.parametrize(
    ("signing", "code"),
    [
        ({"key": "va.key", "verifier": GATE}, 0),
        ({"key": "vb.key", "verifier": GATE}, 2),
        ({"key": "va.key"}, 2),
        ({"verifier": GATE}, 2),
    ],
    ids=["as root says", "another key", "another verifier", "no key"],
)
def test_a_gate_that_no_training_job_would_believe_does_not_start(
    realm: Realm, signing: dict[str, str], code: int
) -> None:
    realm.rewrite(lambda document: gated_as(document, realm.keyid("va")))
    realm.configure(signing=signing)
    data = realm.send()
    result = realm.site.call("gate", data, "-q")
    assert (result.code, "GATE_ROLE: " in result.err) == (code, code == 2)
    assert len(realm.site.visible("runs")) == (code == 0)
    assert realm.site.call("audit", data, "-q").code == 0


def test_a_gate_whose_key_was_revoked_does_not_start(realm: Realm) -> None:
    realm.rewrite(lambda document: gated_as(document, realm.keyid("vb")))
    realm.configure(signing={"key": "vb.key", "verifier": GATE})
    realm.change(nothing, "--revoke", realm.keyid("vb"))
    code, error = realm.gate(realm.send())
    assert (code, "GATE_ROLE: " in error, "KEY_REVOKED" in error) == (2, True, True)


def test_commands_take_ledger_and_policy_version_from_the_settings(realm: Realm) -> None:
    realm.configure(outputs={"ledger": "log/elsewhere.db"})
    (realm.path.parent / "log").mkdir()
    assert realm.gate(realm.send())[0] == 0
    named = ("--source", "v/stones", "--batch-id", "next", "--config", "auditor.yaml")
    data = realm.site.write("next.parquet", realm.site.rows(50, 9))
    realm.done("manifest", "create", data, *named)
    following = json.loads(dsse.parse(Path(f"{data}.manifest.dsse.json").read_bytes()).payload)
    assert following["predicate"]["batch"]["sequence"] == 2
    issue = ("status", "issue", "s.json", "--key", "va.key")
    for options, version in (((), 1), (("--policy-version", "7"), 7)):
        issued = realm.site.call(*issue, *options)
        assert issued.code == 0
        assert ("no training job will believe this status" in issued.err) == (not options)
        status = json.loads(dsse.parse((realm.path.parent / "s.json").read_bytes()).payload)
        assert status["predicate"]["policyVersion"] == version
    stolen = ("--compromised", realm.keyid("va"), "--since", "2020-01-01T00:00:00Z")
    assert ": 1\nentry " in realm.done("trust", "update", realm.path, *stolen)


def test_keys_in_the_settings_and_a_policy_contradict_each_other(realm: Realm) -> None:
    realm.configure(manifest={"keys": {"v/stones": ["./vb.pub"]}})
    result = realm.site.call("gate", realm.send(), "-q")
    assert result.code == 2
    assert "manifest.keys" in result.err


@pytest.mark.parametrize("left", ["policy", "sha256"])
def test_a_policy_without_a_pin_is_no_trust(realm: Realm, left: str) -> None:
    both = {"policy": "trust.dsse.json", "sha256": realm.pin}
    realm.site.configure(trust={left: both[left]})
    assert realm.site.call("gate", realm.send(), "-q").code == 2


def test_case_40_the_recall_list_is_what_the_key_let_in_since(realm: Realm) -> None:
    """A stolen key: exactly the batches that it let in since then, by ledger time."""
    assert realm.gate(realm.send()) == (0, "")
    time.sleep(1.1)  # the ledger counts whole seconds
    assert realm.gate(realm.send(key="vb", source="v/gravel")) == (0, "")
    assert realm.gate(realm.send()) == (0, "")
    assert realm.gate(realm.send(key="vb")) == (11, "SIGNATURE_THRESHOLD")
    verdicts = realm.ledger("verdict")
    since = verdicts[2].event.at.strftime("%Y-%m-%dT%H:%M:%SZ")
    options = ("--compromised", realm.keyid("va"), "--since", since)
    out = realm.done("trust", "update", realm.path, *options)
    listed = [line for line in out.splitlines() if line.startswith("entry ")]
    assert [line.split()[1] for line in listed] == [str(verdicts[2].idx)]
    assert str(verdicts[2].subject) in listed[0]
    earlier = (verdicts[0].event.at - dt.timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    (realm.path.parent / "trust.2.draft.dsse.json").unlink()
    out = realm.done("trust", "update", realm.path, *options[:3], earlier)
    assert sum(line.startswith("entry ") for line in out.splitlines()) == 2
