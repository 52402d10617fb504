"""The attacks on published data of the table in the trust design: 54, 117-131 and 134."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditor.ledger import Ledger
from auditor.provenance.digests import subject_digest
from auditor.provenance.strict_json import canonical

pytestmark = pytest.mark.slow

EXTENSION = "https://auditor.example/audit/v1"
RESOURCE = "vendor-a/stones@2026-11-22"


def test_what_the_gate_published_is_loaded(world: Any) -> None:
    assert world.table().equals(world.rows)
    with world.verify() as verified:
        assert verified.rollback_protection == "seen"
        assert verified.summary.levels >= {
            "AUDITOR_POISONING_SCREENED", "AUDITOR_PROVENANCE_VERIFIED",
        }  # fmt: skip
        assert verified.files[0].blocks is not None


def test_case_54_a_status_that_is_25_hours_old(world: Any) -> None:
    """A status is withheld, so that a recall after it stays unknown."""
    old = world.status(now=world.now - dt.timedelta(hours=25))
    assert world.refused(status=old) == "STATUS_STALE"
    assert world.table(status=world.status(now=world.now - dt.timedelta(hours=23))).num_rows == 300


def test_case_54_no_status_at_all(world: Any) -> None:
    """The status is left out."""
    assert world.refused(status=None) == "STATUS_MISSING"
    assert world.refused(status=str(world.root / "gone")) == "STATUS_MISSING"


@pytest.mark.parametrize("at", [0, 4, 1000, -1])
def test_case_117_a_file_is_changed_after_the_audit(world: Any, at: int) -> None:
    """One bit of a published file is flipped after the audit."""
    content = bytearray(world.data.read_bytes())
    content[at] ^= 1
    world.write(world.data.name, bytes(content))
    assert world.refused() == "FILE_DIGEST"


def test_case_117_a_file_grows_or_shrinks(world: Any) -> None:
    """Bytes are appended to a published file, or cut off."""
    content = world.data.read_bytes()
    world.write(world.data.name, content + b"x")
    assert world.refused() == "FILE_SIZE"
    world.write(world.data.name, content[:-1])
    assert world.refused() == "FILE_SIZE"


def test_case_117_a_file_is_gone(world: Any) -> None:
    """A published file is removed."""
    world.data.unlink()
    assert world.refused() == "FILE_MISSING"


def test_case_118_an_extra_file_is_never_loaded(world: Any) -> None:
    """A file is added to the published folder after the audit."""
    rows = world.rows
    name = world.data.name
    shutil.copyfile(world.data, world.published / "extra.parquet")
    pq.write_metadata(rows.schema, world.published / "_metadata")
    with world.verify() as verified:
        assert verified.table().num_rows == rows.num_rows
        assert sum(batch.num_rows for batch in verified) == rows.num_rows
        assert verified.dataset().files == [name]
        assert verified.dataset().to_table().num_rows == rows.num_rows
        listed = verified.filesystem().get_file_info(pa.fs.FileSelector("", recursive=True))
        assert [info.path for info in listed] == [name]
        assert world_code(lambda: verified.open("extra.parquet")) == "FILE_UNKNOWN"


def test_case_119_a_file_became_a_link(world: Any) -> None:
    """A published file is replaced by a link to the same bytes, which can point elsewhere later."""
    moved = world.root / "elsewhere.parquet"
    path = world.data
    path.rename(moved)
    path.symlink_to(moved)
    assert world.refused() == "FILE_SYMLINK"


def test_case_119_a_folder_became_a_link(world: Any) -> None:
    """A folder inside, or the published folder itself, is replaced by a link."""
    world.of_files({"part=a/x.parquet": world.rows})
    assert world.table().num_rows == 300
    (world.published / "part=a").rename(world.root / "moved")
    (world.published / "part=a").symlink_to(world.root / "moved")
    assert world.refused() == "FILE_SYMLINK"
    link = world.root / "latest"
    link.symlink_to(world.published)
    assert world.refused(root=link) == "FILE_SYMLINK"


def test_case_119_a_file_became_a_fifo(world: Any) -> None:
    """A published file is replaced by a FIFO that nobody writes to: it must not hang."""
    path = world.data
    path.unlink()
    os.mkfifo(path)
    assert world.refused() == "FILE_TYPE"


def test_case_120_a_failed_verdict(world: Any) -> None:
    """The attestation of a refused batch is put beside its files."""

    def failed(said: dict[str, Any]) -> None:
        said["predicate"]["verificationResult"] = "FAILED"
        said["predicate"]["verifiedLevels"] = ["FAILED"]

    world.republish(failed)
    assert world.refused() == "VERDICT_FAILED"


def test_case_120_passed_and_failed_at_once(world: Any) -> None:
    """PASSED with the level FAILED: a reader that looks at one of them only is misled."""
    world.republish(lambda said: said["predicate"]["verifiedLevels"].append("FAILED"))
    assert world.refused() == "VERDICT_FAILED"


def test_case_121_another_dataset_with_its_own_valid_attestation(world: Any) -> None:
    """A whole published folder of another dataset is put in the place of this one."""
    assert world.refused(resource="vendor-b/stones@2026-11-22") == "RESOURCE_MISMATCH"
    assert world.table(resource=f"dataset:{RESOURCE}").num_rows == 300


def test_case_122_signed_by_a_key_of_a_source(world: Any) -> None:
    """A supplier signs an attestation for its own batch."""
    world.attest(world.sign(canonical(world.said), world.vendor))
    assert world.refused() == "SIGNATURE_THRESHOLD"


def test_case_122_unsigned(world: Any) -> None:
    """The signatures are taken off."""
    from auditor.signing import unsigned_envelope

    world.attest(unsigned_envelope(canonical(world.said)))
    assert world.refused() == "UNSIGNED"


def test_case_123_another_verifier_under_the_right_key(world: Any) -> None:
    """A development gate that shares the key vouches for a batch that production never saw."""

    def dev(said: dict[str, Any]) -> None:
        said["predicate"]["verifier"]["id"] = "https://gate.test/dev"

    world.republish(dev)
    assert world.refused() == "VERIFIER_MISMATCH"


def test_case_124_an_older_version_of_the_policy(world: Any) -> None:
    """A batch that passed the weaker rules of last year is offered again."""
    assert world.refused(minimum_version=2) == "POLICY_VERSION"
    assert world.refused(policy_name="other") == "POLICY_NAME"
    assert world.table(policy_name="stones", minimum_version=1).num_rows == 300


def test_case_125_a_level_is_missing(world: Any) -> None:
    """A batch without provenance, or that was not screened, is offered."""

    def unsigned(said: dict[str, Any]) -> None:
        said["predicate"]["verifiedLevels"].remove("AUDITOR_PROVENANCE_VERIFIED")

    world.republish(unsigned)
    assert world.refused() == "LEVEL_MISSING"
    assert world.table(levels=["AUDITOR_POISONING_SCREENED"]).num_rows == 300


def test_case_125_an_emergency_release(world: Any) -> None:
    """A batch that one person alone let in is offered to a job that does not accept that."""
    world.republish(lambda said: said["predicate"]["verifiedLevels"].append("AUDITOR_BREAK_GLASS"))
    assert world.refused() == "BREAK_GLASS"
    assert world.table(break_glass=True).num_rows == 300


def test_case_126_a_stale_attestation(world: Any) -> None:
    """An attestation is used after it has expired."""
    later = world.now + dt.timedelta(days=31)
    assert world.refused(now=later, status=world.status(now=later)) == "ATTESTATION_EXPIRED"


def test_case_126_an_attestation_from_the_future(world: Any) -> None:
    """The clock of the training machine is set back."""
    before = world.now - dt.timedelta(days=2)
    assert world.refused(now=before, status=world.status(now=before)) == "TIME_FUTURE"


@pytest.mark.parametrize("what", ["attestation", "output", "input", "manifest"])
def test_case_127_a_recalled_batch(world: Any, what: str) -> None:
    """A batch is recalled, by any of its names, after it was published."""
    from auditor.provenance.digests import sha256

    assert world.table().num_rows == 300
    said = world.said
    named = {
        "attestation": sha256(world.envelope),
        "output": said["subject"][0]["digest"]["sha256"],
        "input": said["predicate"][EXTENSION]["inputs"][0]["digest"]["sha256"],
        "manifest": said["predicate"]["inputAttestations"][0]["digest"]["sha256"],
    }
    world.ledger.append("recall", at=world.now, via="cli", subject=named[what])
    assert world.refused() == "RECALLED"


@pytest.mark.parametrize(
    "name", ["../a.parquet", "/etc/passwd", "a/../../b.parquet", ".hidden", "_metadata", "a\\b"]
)
def test_case_128_traversal_in_the_outputs(world: Any, name: str) -> None:
    """The attestation lists a file outside of the folder."""

    def outside(said: dict[str, Any]) -> None:
        from types import SimpleNamespace

        (file,) = said["predicate"][EXTENSION]["outputs"]["files"]
        file["name"] = name
        listed = [SimpleNamespace(name=name, sha256=file["digest"]["sha256"])]
        said["subject"][0]["digest"]["sha256"] = subject_digest(listed)

    world.republish(outside)
    assert world.refused() == "PATH_UNSAFE"


def test_case_129_the_list_of_outputs_is_edited(world: Any) -> None:
    """The list of files is changed: without a signature, and with one but without the subject."""
    said = world.said
    said["predicate"][EXTENSION]["outputs"]["files"][0]["digest"]["sha256"] = "0" * 64
    said["predicate"][EXTENSION]["outputs"]["files"][0].pop("blocks")
    import json

    from auditor.provenance import dsse

    opened = dsse.parse(world.envelope)
    world.attest(dsse.build(json.dumps(said).encode(), opened.payload_type, opened.signatures))
    assert world.refused() == "SIGNATURE_THRESHOLD"
    world.attest(world.sign(canonical(said)))
    assert world.refused() == "SUBJECT_DIGEST"


@pytest.mark.parametrize(
    "rows",
    [
        {"in": 301, "out": 300, "quarantined": 0},
        {"in": 300, "out": 300, "quarantined": 1},
        {"in": 299, "out": 299, "quarantined": 0},
    ],
    ids=str,
)
def test_case_130_rows_are_lost_or_invented(world: Any, rows: dict[str, int]) -> None:
    """Rows in are not rows out and rows set aside together, or not those of the files."""
    world.republish(lambda said: said["predicate"][EXTENSION].update(rows=rows))
    assert world.refused() == "ROWS"


def test_case_131_a_run_that_only_observed(world: Any) -> None:
    """An attestation of a run that enforced nothing says PASSED."""
    world.republish(lambda said: said["predicate"][EXTENSION].update(mode="observe"))
    assert world.refused() == "NOT_ENFORCED"


def test_case_134_the_proof_is_missing(world: Any) -> None:
    """The attestation is signed, but no ledger ever had the verdict."""
    (world.published / "proof.tlog").unlink()
    assert world.refused() == "PROOF_MISSING"
    no_status = {"status": None, "policy": world.trust(ledger=None, status=None)}
    with pytest.warns(UserWarning, match="rollback_protection: none"):
        assert world.verify(**no_status).rollback_protection == "none"


def test_case_134_the_proof_of_another_entry(world: Any) -> None:
    """The proof of another event, or of the verdict on another batch, stands in."""
    other = world.ledger.append("recall", at=world.now, via="cli", subject="1" * 64)
    world.write("proof.tlog", world.ledger.prove(other))
    assert world.refused() == "PROOF_EVENT"
    other = world.ledger.append("verdict", at=world.now, via="gate", refs=["2" * 64])
    world.write("proof.tlog", world.ledger.prove(other))
    assert world.refused() == "PROOF_EVENT"


def test_case_134_the_proof_of_another_log(world: Any) -> None:
    """Somebody keeps a ledger of their own and proves the verdict by it."""
    from auditor.provenance.digests import sha256

    own = Ledger(world.root / "own.db")
    own.append("verdict", at=world.now, via="gate", refs=[sha256(world.envelope)])
    proof = own.proof_of(sha256(world.envelope))
    assert proof is not None
    world.write("proof.tlog", proof)
    assert world.refused() == "NOTE_UNKNOWN_KEY"


def test_an_unknown_key_signs_the_status(world: Any) -> None:
    """Somebody else says that nothing is recalled."""
    from auditor.issuing import statement

    payload = statement(world.ledger, now=world.now)
    assert world.refused(status=world.sign(payload, Ed25519PrivateKey.generate())) == (
        "SIGNATURE_THRESHOLD"
    )
    assert world.refused(status=world.sign(payload, world.gate)) == "SIGNATURE_THRESHOLD"
    assert world.refused(status=world.envelope) == "SIGNATURE_THRESHOLD"


def world_code(action: Any) -> str:
    from auditor.verify import NotVerified

    with pytest.raises(NotVerified) as refused:
        action()
    return refused.value.code


@pytest.mark.parametrize("what", ["decision", "parent"])
def test_case_127_a_release_of_which_the_ground_is_recalled(world: Any, what: str) -> None:
    """The decision behind a release, or the batch its rows came from, is recalled."""
    decision, parent = "3" * 64, "4" * 64

    def released(said: dict[str, Any]) -> None:
        said["predicate"][EXTENSION]["releasedUnder"] = [{"sha256": decision}]
        named = {"uri": "parent", "digest": {"sha256": parent}}
        said["predicate"]["inputAttestations"].append(named)

    world.republish(released)
    assert world.table().num_rows == 300
    subject = decision if what == "decision" else parent
    world.ledger.append("recall", at=world.now, via="cli", subject=subject)
    assert world.refused() == "RECALLED"
