from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from auditor.errors import AuditorError, ConfigError, TrustError
from auditor.ledger import Ledger
from auditor.workspace import RunStage, Workspace

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
OTHER_RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAW"
DIGEST = hashlib.sha256(b"published").hexdigest()
SET = hashlib.sha256(b"set").hexdigest()
FORK = multiprocessing.get_context("fork")

# The children use neither Arrow nor threads, so that forking beside Arrow's idle ones is safe.
pytestmark = pytest.mark.filterwarnings("ignore:This process .*fork:DeprecationWarning")


def workspace(root: Path, **changes: Any) -> Workspace:
    paths: dict[str, Any] = {
        "runs": root / "runs",
        "publish_to": root / "published",
        "quarantine_to": root / "quarantine",
        "ledger": root / "ledger.db",
        "site_key": root / "site.key",
        **changes,
    }
    return Workspace(**paths)


def fill(stage: RunStage, content: str = "good") -> None:
    (stage.evidence / "report.json").write_text("{}")
    (stage.scratch / "copy.parquet").write_text("private")
    (stage.published / "year=2026").mkdir()
    (stage.published / "year=2026" / "part-0.parquet").write_text(content)
    (stage.published / "attestation.dsse.json").write_text(f"attested {stage.run}")
    (stage.quarantined / "rows.parquet").write_text(f"bad {stage.run}")


def tree(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_a_run_from_stage_to_visible(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    with space.begin(RUN) as stage:
        fill(stage)
        stage.seal(published=DIGEST, quarantined=SET)
        assert space.all_runs() == ()
        visible = stage.make_visible()
    assert visible.run == tmp_path / "runs" / RUN
    assert tree(tmp_path) == {
        f"runs/{RUN}/report.json",
        f"published/{DIGEST}/year=2026/part-0.parquet",
        f"published/{DIGEST}/attestation.dsse.json",
        f"quarantine/{SET}/rows.parquet",
    }
    assert visible.notes == ()
    assert not list(tmp_path.glob("*/.staging/*"))
    for path in (tmp_path / "published" / DIGEST).rglob("*"):
        assert path.is_dir() or stat.S_IMODE(path.stat().st_mode) == 0o444
    assert stat.S_IMODE((tmp_path / "quarantine").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "quarantine" / SET).stat().st_mode) == 0o700
    for root in ("runs", "published", "quarantine"):
        assert stat.S_IMODE((tmp_path / root / ".staging").stat().st_mode) == 0o700


def test_a_run_without_rows_makes_no_other_folder(tmp_path: Path) -> None:
    with workspace(tmp_path).begin(RUN) as stage:
        (stage.evidence / "report.json").write_text("{}")
        stage.seal()
        visible = stage.make_visible()
    assert (visible.published, visible.quarantined) == (None, None)
    assert tree(tmp_path) == {f"runs/{RUN}/report.json"}
    assert not (tmp_path / "published").exists()
    assert not (tmp_path / "quarantine").exists()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"published": DIGEST}, "quarantined: files and their digest"),
        ({"quarantined": SET}, "published: files and their digest"),
        ({"published": "../../etc", "quarantined": SET}, "not a lowercase hex sha256"),
        ({"published": DIGEST.upper(), "quarantined": SET}, "not a lowercase hex sha256"),
    ],
)
def test_files_and_their_names_belong_together(
    tmp_path: Path, names: dict[str, str], said: str
) -> None:
    with workspace(tmp_path).begin(RUN) as stage:
        fill(stage)
        with pytest.raises(ValueError, match=said):
            stage.seal(**names)


def test_a_name_without_files_and_a_link_are_refused(tmp_path: Path) -> None:
    with workspace(tmp_path).begin(RUN) as stage:
        with pytest.raises(ValueError, match="given together"):
            stage.seal(published=DIGEST)
        (stage.published / "part-0.parquet").symlink_to("/etc/hostname")
        with pytest.raises(ValueError, match="a link cannot be published"):
            stage.seal(published=DIGEST)


def test_nothing_becomes_visible_before_it_is_sealed(tmp_path: Path) -> None:
    with workspace(tmp_path).begin(RUN) as stage:
        fill(stage)
        with pytest.raises(AuditorError, match="not sealed"):
            stage.make_visible()


def test_a_run_id_is_used_once(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    with space.begin(RUN) as stage:
        with pytest.raises(ConfigError, match="a run of this id"):
            space.begin(RUN)
        stage.seal()
        stage.make_visible()
    with pytest.raises(ConfigError, match="a run of this id"):
        space.begin(RUN)
    with pytest.raises(ConfigError, match="not a run id"):
        space.begin("../escape")


def publish(space: Workspace, run: str, *, content: str = "good", attested: bool = True) -> Any:
    with space.begin(run) as stage:
        fill(stage, content)
        if not attested:
            (stage.published / "attestation.dsse.json").unlink()
        stage.seal(published=DIGEST, quarantined=SET)
        return stage.make_visible()


def test_the_same_files_again_keep_the_first(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    publish(space, RUN)
    again = publish(space, OTHER_RUN)
    (note,) = again.notes
    assert note.startswith(f"{DIGEST} was published before; its files were kept, and so was its ")
    kept = tmp_path / "published" / DIGEST
    assert (kept / "attestation.dsse.json").read_text() == f"attested {RUN}"
    assert (tmp_path / "quarantine" / SET / "rows.parquet").read_text() == f"bad {RUN}"
    assert space.all_runs() == (OTHER_RUN, RUN)
    assert not list(tmp_path.glob("*/.staging/*"))


def test_an_attestation_is_added_to_files_that_had_none(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    publish(space, RUN, attested=False)
    publish(space, OTHER_RUN)
    attestation = tmp_path / "published" / DIGEST / "attestation.dsse.json"
    assert attestation.read_text() == f"attested {OTHER_RUN}"


def test_an_attestation_that_no_verdict_named_is_replaced(tmp_path: Path) -> None:
    space, asked = workspace(tmp_path), []

    def named(digest: str) -> bool:
        asked.append(digest)
        return False

    publish(space, RUN)
    with space.begin(OTHER_RUN) as stage:
        fill(stage)
        stage.seal(published=DIGEST, quarantined=SET)
        again = stage.make_visible(named)
    attestation = tmp_path / "published" / DIGEST / "attestation.dsse.json"
    assert asked == [hashlib.sha256(f"attested {RUN}".encode()).hexdigest()]
    assert attestation.read_text() == f"attested {OTHER_RUN}"
    assert "its attestation was replaced: no verdict in the ledger names it" in again.notes[0]


def test_an_attestation_without_a_proof_gives_way_to_one_with_it(tmp_path: Path) -> None:
    """Published before there were proofs: a training job that asks for one could load nothing."""
    space = workspace(tmp_path)
    publish(space, RUN)
    with space.begin(OTHER_RUN) as stage:
        fill(stage)
        stage.seal(published=DIGEST, quarantined=SET)
        again = stage.make_visible(prove=lambda digest: f"proof of {digest}".encode())
    published = tmp_path / "published" / DIGEST
    attestation = (published / "attestation.dsse.json").read_bytes()
    assert attestation.decode() == f"attested {OTHER_RUN}"
    proof = (published / "proof.tlog").read_text()
    assert proof == f"proof of {hashlib.sha256(attestation).hexdigest()}"
    assert "it came without a proof" in again.notes[0]


def test_a_crash_while_staged_files_are_removed_keeps_what_was_published(tmp_path: Path) -> None:
    """Half of a staged folder is gone when the next run looks at it: it has other files then."""
    space = workspace(tmp_path)
    publish(space, RUN)
    remove, left = shutil.rmtree, []

    def dies(path: Path) -> None:
        if not Path(path).exists() or "published" not in str(path):
            return remove(path)
        left.append(path)
        next(Path(path).rglob("*.parquet")).unlink()
        raise OSError("the machine stops here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", dies)
        with pytest.raises(OSError, match="stops here"):
            publish(space, OTHER_RUN)
    before = tree(tmp_path / "published" / DIGEST)
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.append("verdict", at=NOON, via="gate", run=OTHER_RUN)
    (done,) = space.recover(ledger, NOON)
    assert (done.outcome, len(left)) == ("finished", 1)
    assert tree(tmp_path / "published" / DIGEST) == before
    assert not (tmp_path / "published" / ".damaged").exists()
    assert not left[0].exists()


def test_evidence_is_private_and_published_files_are_not(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with workspace(tmp_path).begin(RUN) as stage:
            fill(stage)
            (stage.evidence / "more").mkdir()
            (stage.evidence / "more" / "findings.parquet").write_text("cells")
            stage.seal(published=DIGEST, quarantined=SET)
            stage.make_visible()
    finally:
        os.umask(before)
    for root in ("runs", "quarantine"):
        for path in (tmp_path / root, *(tmp_path / root).rglob("*")):
            wanted = 0o700 if path.is_dir() else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == wanted, path
    folder = tmp_path / "published" / DIGEST
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777, "as the umask says"
    assert stat.S_IMODE((folder / "year=2026" / "part-0.parquet").stat().st_mode) == 0o444


@pytest.mark.parametrize("change", ["edit", "add", "remove", "link"])
def test_published_files_that_were_changed_are_put_aside(tmp_path: Path, change: str) -> None:
    space = workspace(tmp_path)
    publish(space, RUN)
    part = tmp_path / "published" / DIGEST / "year=2026" / "part-0.parquet"
    if change == "edit":
        part.chmod(0o644)
        part.write_text("evil")
    elif change == "add":
        part.with_name("part-1.parquet").write_text("evil")
    else:
        part.unlink()
        if change == "link":
            (tmp_path / "elsewhere").write_text("good")
            part.symlink_to(tmp_path / "elsewhere")
    again = publish(space, OTHER_RUN)
    assert "had been changed after it was published" in again.notes[0]
    assert part.read_text() == "good"
    assert not part.is_symlink()
    assert {path.name for path in part.parent.iterdir()} == {"part-0.parquet"}
    aside = tmp_path / "published" / ".damaged" / f"{DIGEST}-{OTHER_RUN}"
    assert (aside / "attestation.dsse.json").read_text() == f"attested {RUN}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"publish_to": "runs/published"}, "outputs.publish_to .* lies in outputs.runs"),
        ({"runs": "quarantine/runs"}, "outputs.runs .* lies in outputs.quarantine_to"),
        ({"quarantine_to": "published"}, "lies in"),
        ({"quarantine_to": "published/../published/q"}, "lies in"),
        ({"quarantine_to": "link/q"}, "lies in"),
        ({"ledger": "published/ledger.db"}, "outputs.ledger must not lie in outputs.publish_to"),
        ({"site_key": "published/a/site.key"}, "outputs.site_key must not lie"),
        ({"runs": "loop"}, "leads nowhere"),
    ],
)
def test_roots_that_would_leak_into_each_other(
    tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    (tmp_path / "published").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "published")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ConfigError, match=said):
        workspace(tmp_path, **{name: tmp_path / path for name, path in changes.items()})


def test_a_quarantine_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "quarantine").mkdir(mode=0o755)
    with pytest.raises(ConfigError, match=r"mode 0755\); `chmod 700"):
        workspace(tmp_path)
    (tmp_path / "quarantine").chmod(0o700)
    workspace(tmp_path)


def test_roots_beside_each_other_with_a_common_beginning_are_fine(tmp_path: Path) -> None:
    workspace(tmp_path, publish_to=tmp_path / "runs-published")


def test_finding_runs(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    assert space.all_runs() == ()
    with pytest.raises(ConfigError, match="no run yet"):
        space.find_run()
    for run in (RUN, OTHER_RUN):
        with space.begin(run) as stage:
            stage.seal()
            stage.make_visible()
    (tmp_path / "runs" / "notes.txt").write_text("")
    assert space.find_run() == tmp_path / "runs" / OTHER_RUN
    assert space.find_run(RUN.lower()) == tmp_path / "runs" / RUN
    for bad, said in [("01ARZ", "2 runs start with"), ("02", "no run '02'"), ("", "no run ''")]:
        with pytest.raises(ConfigError, match=said):
            space.find_run(bad)


# --- the site key -------------------------------------------------------------------------------


def test_the_site_key_is_made_once_and_private(tmp_path: Path) -> None:
    space = workspace(tmp_path, site_key=tmp_path / "keys" / "site.key")
    key = space.key()
    assert len(key) == 32
    assert space.key() == key
    assert stat.S_IMODE(space.site_key.stat().st_mode) == 0o600
    assert [path.name for path in space.site_key.parent.iterdir()] == ["site.key"]
    assert workspace(tmp_path, site_key=tmp_path / "other.key").key() != key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622, 0o777])
def test_a_site_key_for_others_is_refused(tmp_path: Path, mode: int) -> None:
    space = workspace(tmp_path)
    space.key()
    space.site_key.chmod(mode)
    with pytest.raises(TrustError, match=rf"mode {mode:04o}\).*chmod 600"):
        space.key()


def test_a_site_key_that_is_no_key_is_refused(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    space.key()
    space.site_key.write_bytes(b"short")
    with pytest.raises(TrustError, match="has 32 bytes, not 5"):
        space.key()
    space.site_key.rename(tmp_path / "moved")
    space.site_key.symlink_to(tmp_path / "moved")
    with pytest.raises(TrustError, match="cannot be read"):
        space.key()
    space.site_key.unlink()
    space.site_key.mkdir(mode=0o700)
    with pytest.raises(TrustError, match="plain file"):
        space.key()


def _key(root: Path, barrier: Any, results: Any) -> None:
    barrier.wait()
    results.put(workspace(root).key())


def test_several_first_users_get_one_key(tmp_path: Path) -> None:
    barrier, results = FORK.Barrier(4), FORK.Queue()
    users = [FORK.Process(target=_key, args=(tmp_path, barrier, results)) for _ in range(4)]
    for user in users:
        user.start()
    keys = {results.get(timeout=600) for _ in users}
    for user in users:
        user.join(60)
    assert len(keys) == 1
    assert tree(tmp_path) == {"site.key"}


def test_a_ledger_serves_as_journal(tmp_path: Path) -> None:
    assert workspace(tmp_path).recover(Ledger(tmp_path / "ledger.db"), NOON) == []
    assert not list(tmp_path.iterdir()), "looking makes nothing"
