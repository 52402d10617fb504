"""A recalled batch that had become trusted: parts of the baseline, and what they judged since."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from auditor.baseline_files import version_folder

pytestmark = pytest.mark.slow

REVIEWED = ("--reviewed-by", "ann", "--reason", "looked at it")


@pytest.fixture
def trusting(world: Any) -> Any:
    """The batch of the lab is part of the baseline, and another batch was judged by that."""
    world.site.configure(promotion={"cooling_off_days": 0})
    done = world.site.call("baseline", "promote", world.run, *REVIEWED, "-q")
    assert done.code == 0, done.err
    batch = world.deliver("e", world.site.rows(150, 9), "other/stones", "other-lab")
    done = world.site.call("gate", batch, "-q")
    assert done.code == 0, done.out + done.err
    return world


def commands(out: str) -> list[list[str]]:
    return [
        shlex.split(line.partition(": ")[2])[1:]
        for line in out.splitlines()
        if ": auditor " in line
    ]


def drop(world: Any, out: str) -> None:
    """Give the first command that the recall printed."""
    named = {"NAME": "ann", "TEXT": "it was recalled"}
    done = world.site.call(*(named.get(word, word) for word in commands(out)[0]), "-q")
    assert done.code == 0, done.err
    assert "taken out" in done.out


def test_what_it_left_is_named_with_the_commands_that_mend_it(trusting: Any) -> None:
    done = trusting.recall("--source", "lab/stones")
    assert done.code == 0, done.err
    assert "the baseline holds rows of it" in done.out
    assert "judged by its rows: other/stones@e" in done.out
    _, audit = commands(done.out)
    drop(trusting, done.out)
    again = trusting.site.call(*audit, "-q")
    assert again.code == 0, again.out + again.err
    assert again.out.startswith("ACCEPT") or "ACCEPT" in again.last
    after = trusting.recall("--source", "lab/stones")
    assert "the baseline holds rows of it" not in after.out
    assert "judged by its rows: other/stones@e" in after.out, "its verdict was given by them"


def test_a_batch_that_was_never_trusted_leaves_nothing(trusting: Any) -> None:
    done = trusting.recall("--source", "other/stones")
    assert done.code == 0, done.err
    assert "the baseline holds" not in done.out
    assert "judged by" not in done.out


def test_data_that_was_moved_is_audited_from_what_was_published(trusting: Any) -> None:
    (trusting.root / "in" / "e.parquet").unlink()
    done = trusting.recall("--source", "lab/stones")
    _, (_, *data) = commands(done.out)
    assert [Path(path).parent.parent.name for path in data] == ["published"]
    again = trusting.site.call("audit", *data, "-q")
    assert again.code == 0, again.out + again.err


def test_a_version_that_is_gone_is_not_ruled_out(trusting: Any) -> None:
    """Could not tell is not clean: the version that judged the later batch was deleted."""
    judged_by = trusting.site.report()["reproduce"]["baseline_sha256"]
    drop(trusting, trusting.recall("--source", "lab/stones").out)
    shutil.rmtree(version_folder(trusting.root / "baseline", judged_by))
    done = trusting.recall("--source", "lab/stones")
    assert (done.code, "may have held them" in done.err) == (12, True), done.out + done.err
