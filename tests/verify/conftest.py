"""A real gate run of a signed batch, once; every test gets its own copy of what it published."""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditor.ledger import Ledger
from auditor.provenance import dsse, frozen, keys
from auditor.provenance.digests import contents_of, sha256, subject_digest
from auditor.provenance.entries import FileEntry, as_json
from auditor.provenance.frozen import Parent
from auditor.provenance.strict_json import canonical
from auditor.verify import NotVerified, Trust, Verified, verify

_PATH = Path(__file__).parents[1] / "cli" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("sites_to_verify", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _MODULE
_SPEC.loader.exec_module(_MODULE)

VERIFIER = "https://gate.test/prod"
RESOURCE = "vendor-a/stones@2026-11-22"
EXTENSION = "https://auditor.example/audit/v1"
Change = Callable[[dict[str, Any]], Any]


@dataclass
class World:
    """A published folder, the keys behind it, and a training job that verifies it."""

    root: Path
    published: Path
    gate: Ed25519PrivateKey
    vendor: Ed25519PrivateKey
    online: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.root / ".auditor" / "ledger.db")

    @property
    def vkey(self) -> str:
        return str(self.ledger.key.public())

    @property
    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    @property
    def data(self) -> Path:
        (found,) = self.published.glob("*.parquet")
        return found

    @property
    def envelope(self) -> bytes:
        return (self.published / "attestation.dsse.json").read_bytes()

    @property
    def said(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(dsse.parse(self.envelope).payload)
        return found

    @property
    def rows(self) -> pa.Table:
        return pq.ParquetFile(self.data).read()

    def trust(self, **changes: Any) -> Trust:
        told: dict[str, Any] = {
            "gate": keys.public_half(self.gate),
            "verifier": VERIFIER,
            "ledger": self.vkey,
            "status": keys.public_half(self.online),
        }
        return Trust.keys(**(told | changes))

    def sign(self, payload: bytes, *signing: Ed25519PrivateKey) -> bytes:
        message = dsse.pae(dsse.IN_TOTO, payload)
        made = [
            dsse.Signature(keys.public_half(key).keyid, key.sign(message))
            for key in signing or (self.gate,)
        ]
        return dsse.build(payload, dsse.IN_TOTO, made)

    def status(self, **changes: Any) -> bytes:
        """A fresh status over the ledger as it is."""
        from auditor.issuing import statement

        return self.sign(
            statement(self.ledger, now=changes.pop("now", self.now), **changes), self.online
        )

    def republish(self, change: Change = lambda said: None, by: Any = None) -> None:
        """What the gate would sign had it said something else, with its verdict in the ledger."""
        said = self.said
        # Another verdict on the same files, not the same one again.
        again = said["predicate"]["verifier"]["version"]
        again["run"] = str(int(again.get("run", "0")) + 1)
        change(said)
        self.attest(self.sign(canonical(said), by or self.gate))

    def attest(self, envelope: bytes, event: str = "verdict") -> None:
        self.write("attestation.dsse.json", envelope)
        self.ledger.append(event, at=self.now, via="gate", refs=[sha256(envelope)])
        self.prove()

    def prove(self) -> None:
        proof = self.ledger.proof_of(sha256(self.envelope))
        assert proof is not None
        self.write("proof.tlog", proof)

    def write(self, name: str, content: bytes) -> Path:
        """Replace a published file, as somebody who may write there would."""
        path = self.published / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def verify(self, **changes: Any) -> Verified:
        told: dict[str, Any] = {
            "policy": self.trust(),
            "resource": RESOURCE,
            "seen": self.root / "seen",
        }
        if "status" not in changes:
            told["status"] = self.status()
        return verify(changes.pop("root", self.published), **(told | changes))

    def table(self, **changes: Any) -> pa.Table:
        with self.verify(**changes) as verified:
            return verified.table()

    def refused(self, **changes: Any) -> str:
        """The code with which verifying, or reading, is refused."""
        with pytest.raises(NotVerified) as refused:
            self.table(**changes)
        return refused.value.code

    def of_files(self, contents: Mapping[str, pa.Table], row_group: int = 1 << 20) -> None:
        """Publish other files, with an attestation of the gate that lists them."""
        self.data.unlink()
        listed = []
        for name, table in contents.items():
            path = self.published / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path, compression="none", row_group_size=row_group)
            with path.open("rb") as file:
                found = contents_of(file)
            listed.append(
                FileEntry(
                    name=name, sha256=found.sha256, size=found.size,
                    rows=table.num_rows, blocks=found.blocks,
                )
            )  # fmt: skip
        rows = sum(entry.rows for entry in listed)

        def change(said: dict[str, Any]) -> None:
            extension = said["predicate"][EXTENSION]
            extension["outputs"]["files"] = [as_json(entry) for entry in listed]
            extension["rows"] = {"in": rows, "out": rows, "quarantined": 0}
            said["subject"][0]["digest"]["sha256"] = subject_digest(listed)

        self.republish(change)


@pytest.fixture(scope="session")
def _published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with one signed batch that its gate accepted, signed and published."""
    root = tmp_path_factory.getbasetemp() / "site-that-published"
    if root.exists():
        return root
    fresh = tmp_path_factory.mktemp("publishing") / "site"
    fresh.mkdir()
    site = _MODULE.Site(fresh)
    site.write("trusted.parquet", site.rows(800, 1))
    # Every rule against poisoning runs: less would not be the level that trainers ask for.
    site.configure(name="stones", roles=_MODULE.ROLES)
    built = ("baseline", "build", "trusted.parquet", "-o", "baseline", "-q", "--power", "skip")
    assert site.call(*built).code == 0
    for name in ("gate", "vendor"):
        assert site.call("keys", "generate", name).code == 0
    source, batch_id = RESOURCE.split("@")
    site.configure(
        baseline="baseline",
        signing={"key": "gate.key", "verifier": VERIFIER},
        manifest={"keys": {source: ["./vendor.pub"]}, "unsigned": "hold"},
    )
    site.write("in/a.parquet", site.rows(300, 5))
    given = ("--source", source, "--batch-id", batch_id, "--contributor", "who", "--label", "label")
    assert site.call("manifest", "create", "in/a.parquet", *given).code == 0
    manifest = "in/a.parquet.manifest.dsse.json"
    assert site.call("manifest", "sign", manifest, "--key", "vendor.key").code == 0
    done = site.call("gate", "in/a.parquet", "-q")
    assert done.code == 0, done.out + done.err
    fresh.rename(root)
    return root


@pytest.fixture
def world(_published: Path, tmp_path: Path) -> World:
    root = tmp_path / "site"
    shutil.copytree(_published, root)
    (folder,) = [p for p in (root / ".auditor" / "published").iterdir() if p.name[0] != "."]
    read = {
        name: keys.private_key((root / f"{name}.key").read_bytes()) for name in ("gate", "vendor")
    }
    return World(root=root, published=folder, gate=read["gate"], vendor=read["vendor"])


class Frozen:
    """Two batches of the world, frozen under one name."""

    name = "spring"

    def __init__(self, world: Any) -> None:
        self.world, self.rows = world, world.rows
        self.root = Path(world.published.parent)
        self.parents = [self.batch(number, part) for number, part in enumerate(self.parts())]
        self.sign(world.gate)

    def parts(self) -> list[pa.Table]:
        return [self.rows.slice(0, 100), self.rows.slice(100)]

    def batch(self, number: int, rows: pa.Table) -> Parent:
        """Another batch that the gate published."""
        folder = self.root / f"making-{number}"
        shutil.copytree(self.world.published, folder)
        own = replace(self.world, published=folder)
        resource = f"vendor-a/stones@{number}"

        def named(said: dict[str, Any]) -> None:
            said["predicate"]["resourceUri"] = said["subject"][0]["name"] = f"dataset:{resource}"

        own.of_files({"x.parquet": rows})
        own.republish(named)
        digest = own.said["subject"][0]["digest"]["sha256"]
        folder.rename(self.root / digest)
        return Parent(
            resource=resource,
            attestation_sha256=sha256((self.root / digest / "attestation.dsse.json").read_bytes()),
            published_sha256=digest,
            rows=rows.num_rows,
        )

    def sign(self, key: Ed25519PrivateKey, parents: list[Parent] | None = None) -> None:
        payload = frozen.build(self.name, parents or self.parents, self.world.now)
        self.envelope = self.world.sign(payload, key)
        self.log()

    def log(self, ledger: Ledger | None = None, event: str = "dataset.frozen") -> None:
        """The list gets its entry in the log, and its proof."""
        ledger = ledger or self.world.ledger
        digest, now = sha256(self.envelope), self.world.now
        refs = [digest] if event == "verdict" else []
        index = ledger.append(event, at=now, via="cli", subject=digest, refs=refs)
        self.proof = ledger.prove(index)

    def given(self, **changes: Any) -> dict[str, Any]:
        own = {"attestation": self.envelope, "proof": self.proof}
        return {"root": self.root, "resource": self.name} | own | changes

    def write(self) -> dict[str, Any]:
        """Put it where `auditor dataset freeze` does; how it is named then."""
        (self.root / "frozen").mkdir(exist_ok=True)
        (self.root / "frozen" / f"{self.name}.dsse.json").write_bytes(self.envelope)
        (self.root / "frozen" / f"{self.name}.proof.tlog").write_bytes(self.proof)
        named = f"frozen/{self.name}.dsse.json"
        return {"root": self.root, "resource": self.name, "attestation": named}

    def code(self, **changes: Any) -> str:
        found: str = self.world.refused(**self.given(**changes))
        return found


@pytest.fixture
def made(world: Any) -> Frozen:
    return Frozen(world)
