"""A gate whose key is behind a program: from a batch to a training job that believes it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from auditor import signing
from auditor.provenance import dsse, keys

pytestmark = pytest.mark.slow

SOURCE, NEXT = "vendor-a/stones", "2026-11-23"
VERIFIER = "https://gate.test/prod"


@pytest.fixture
def site(world: Any) -> Any:
    """The site that published, with a second batch of its vendor in the inbox."""
    from sites_to_verify import Site

    site = Site(world.root)
    site.write("in/b.parquet", site.rows(300, 6))
    first, second = (f"in/{name}.parquet.manifest.dsse.json" for name in "ab")
    given = ("--source", SOURCE, "--batch-id", NEXT, "--contributor", "who", "--label", "label")
    made = site.call("manifest", "create", "in/b.parquet", *given, "--after", first)
    assert made.code == 0, made.err
    assert site.call("manifest", "sign", second, "--key", "vendor.key").code == 0
    return site


def configured(site: Any, **outside: Any) -> None:
    site.configure(
        baseline="baseline",
        signing={"verifier": VERIFIER, **outside},
        manifest={"keys": {SOURCE: ["./vendor.pub"]}, "unsigned": "hold"},
    )


def test_a_key_that_openssl_holds(world: Any, site: Any) -> None:
    """The gate never opens the private key; what it publishes is loaded by the public one."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl")
    public = signing.generate(world.root / "token", kind="ecdsa-p256")
    key = str(world.root / "token.key")
    configured(site, command=[openssl, "dgst", "-sha256", "-sign", key], public="token.pub")
    done = site.call("gate", "in/b.parquet", "-q")
    assert done.code == 0, done.out + done.err
    folders = (world.root / ".auditor" / "published").iterdir()
    (fresh,) = (f for f in folders if f.name[0] != "." and f != world.published)
    envelope = (fresh / "attestation.dsse.json").read_bytes()
    assert [one.keyid for one in dsse.parse(envelope).signatures] == [public.keyid]
    given = {"root": fresh, "resource": f"{SOURCE}@{NEXT}", "status": world.status()}
    loaded = world.table(policy=world.trust(gate=public), **given)
    assert loaded.equals(pq.ParquetFile(world.root / "in" / "b.parquet").read())
    assert world.refused(**given) == "SIGNATURE_THRESHOLD"  # not the key of the site before


def test_a_signer_that_fails_lets_nothing_through(world: Any, site: Any) -> None:
    """Audited in vain: without a signature there is no attestation, and nothing is published."""
    before = set((world.root / ".auditor" / "published").iterdir())
    (world.root / "token.pub").write_bytes(keys.public_half(keys.new_private_key("ed25519")).pem())
    script = Path(world.root, "sign.py")
    script.write_text("import sys; sys.exit('the token is locked')")
    configured(site, command=[sys.executable, "-I", str(script)], public="token.pub")
    done = site.call("gate", "in/b.parquet", "-q")
    assert (done.code, "the token is locked" in done.out + done.err) == (12, True), done
    assert set((world.root / ".auditor" / "published").iterdir()) == before


@pytest.mark.parametrize(
    ("outside", "said"),
    [
        ({"command": ["openssl"], "public": "gate.pub"}, "absolute path"),
        ({"command": "/usr/bin/openssl", "public": "gate.pub"}, "a list of texts"),
        ({"command": ["/usr/bin/openssl"]}, "needs signing.public too"),
        ({"public": "gate.pub"}, "needs signing.command too"),
        ({"command": ["/bin/x"], "public": "gate.pub", "key": "gate.key"}, "the command signs"),
        ({"environment": ["A=B"]}, "name of an environment variable"),
    ],
)
def test_settings_that_make_no_sense(site: Any, outside: dict[str, Any], said: str) -> None:
    configured(site, **outside)
    done = site.call("gate", "in/b.parquet", "-q")
    assert (done.code, said in done.err) == (2, True), done.err
