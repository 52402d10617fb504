"""What a gate with sample weights published, in the hands of everything that reads it again."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression

from auditor.baseline_files import read as read_baseline
from auditor.config import load
from auditor.grounds import ground_of
from auditor.provenance import dsse
from auditor.sample_weight import COLUMN
from auditor.verify import Trust, load_verified, verify

pytestmark = pytest.mark.slow

EXTENSION = "https://auditor.example/audit/v1"
REVIEWED = ("--reviewed-by", "ann", "--reason", "looked at it", "-q")
#: Rules that take seconds and have no part in this.
SLOW = ("AUD-C001", "AUD-D005", "AUD-F001", "AUD-L002", "AUD-R001", "AUD-T001", "AUD-T002")
COPIES = 10


def copied(world: Any, folder: Path) -> Any:
    shutil.copytree(world.root, folder)
    return type(world)(type(world.site)(folder, dict(world.site.settings)), world.people)


def extension(envelope: Path) -> dict[str, Any]:
    found = json.loads(dsse.parse(envelope.read_bytes()).payload)["predicate"][EXTENSION]
    assert isinstance(found, dict)
    return found


def published(world: Any, resource: str) -> Path:
    """The folder of a batch."""
    for folder in world.site.visible("published"):
        said = dsse.parse((folder / "attestation.dsse.json").read_bytes()).payload
        if f'"dataset:{resource}"'.encode() in said:
            return Path(folder)
    raise AssertionError(f"{resource} was not published")


def rows_of(folder: Path) -> pa.Table:
    (path,) = folder.glob("*.parquet")
    return pq.ParquetFile(path).read()


@pytest.fixture(scope="session")
def _weighed(_audited: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """lab/stones@b was published without weights; other/stones@c with them, ten copies aside."""
    world = copied(_audited, tmp_path_factory.mktemp("weighed") / "site")
    site = world.site
    site.configure(detectors={rule: {"enabled": False} for rule in SLOW})
    built = ("baseline", "build", "trusted.parquet", "-o", "known", "-q", "--power", "skip")
    assert site.call(*built).code == 0
    site.configure(
        baseline="known", outputs={"sample_weight": 0.05}, promotion={"cooling_off_days": 0}
    )
    table = site.copies(site.rows(400, 9), COPIES)
    batch = world.deliver("c", table, source="other/stones", who="other-lab")
    done = site.call("gate", batch, "-q")
    assert done.code == 10, done.out + done.err
    return world


@pytest.fixture
def weighed(_weighed: Any, tmp_path: Path) -> Any:
    return copied(_weighed, tmp_path / "weighed")


@pytest.fixture
def newest(weighed: Any) -> str:
    """The run that gave weights."""
    return max(path.name for path in weighed.site.visible("runs") if path.name[0] == "0")


def told(world: Any) -> dict[str, Any]:
    """What a training job passes to `verify`, with a status of now."""
    issued = world.site.call(
        *("status", "issue", "status.dsse.json", "--key", world.key("status")),
    )
    assert issued.code == 0, issued.err
    trust = world.site.settings["trust"]
    return {
        "policy": Trust.pinned(world.root / trust["policy"], sha256=trust["sha256"]),
        "status": world.root / "status.dsse.json",
        "levels": ("AUDITOR_PROVENANCE_VERIFIED",),
        "seen": world.root / "seen",
    }


def frozen(world: Any) -> dict[str, Any]:
    """Both batches as one set."""
    done = world.site.call("dataset", "freeze", "both", "--batches", "*/stones@*")
    assert done.code == 0, done.out + done.err
    return {
        "root": world.root / ".auditor" / "published",
        "resource": "both",
        "attestation": "frozen/both.dsse.json",
        **told(world),
    }


def test_the_published_rows_are_those_that_came_and_some_have_weight_0(weighed: Any) -> None:
    folder = published(weighed, "other/stones@c")
    rows, came = rows_of(folder), pq.read_table(weighed.root / "in" / "c.parquet")
    assert rows.drop_columns([COLUMN]).equals(came.slice(0, 400)), "other rows, or another order"
    assert rows.schema.field(COLUMN).type == pa.float32()
    weights = rows[COLUMN].to_numpy()
    assert sorted(set(weights.tolist())) == [0.0, 1.0]
    # Of 410 rows 5 % are 20; ten of them were set aside.
    assert int((weights == 0).sum()) == 10
    # The label is the sign of x: what is near zero is hard to tell.
    hard = np.abs(rows["x"].to_numpy())
    assert hard[weights == 0].max() < np.quantile(hard, 0.2)
    said = {"share": 0.05, "rule": "AUD-L001", "rows": 10}
    assert weighed.site.report()["sample_weight"] == said
    listed = {"column": COLUMN, "share": "0.05", "rule": "AUD-L001", "zero": 10}
    assert extension(folder / "attestation.dsse.json")["sampleWeight"] == listed


def test_a_model_is_fitted_with_the_weights_of_verified_rows(weighed: Any) -> None:
    folder = published(weighed, "other/stones@c")
    table = load_verified(folder, resource="other/stones@c", **told(weighed))
    assert table.equals(rows_of(folder))
    features = np.column_stack([table[name].to_numpy() for name in ("x", "y")])
    labels, weights = np.array(table["label"].to_pylist()), table[COLUMN].to_numpy()
    model = LogisticRegression().fit(features, labels, sample_weight=weights)
    kept = weights > 0
    same = LogisticRegression().fit(features[kept], labels[kept])
    assert np.allclose(model.coef_, same.coef_, atol=1e-3)
    assert not np.allclose(model.coef_, LogisticRegression().fit(features, labels).coef_, atol=1e-3)


def test_a_frozen_set_of_batches_with_and_without_weights(weighed: Any) -> None:
    given = frozen(weighed)
    table = load_verified(**given)
    assert table.num_rows == 600
    plain = [name.startswith("r6-") for name in table["id"].to_pylist()]
    weights = table[COLUMN].to_numpy()
    assert sum(plain) == 200
    assert set(weights[plain].tolist()) == {1.0}
    assert int((weights == 0).sum()) == 10
    assert load_verified(**given, columns=[COLUMN])[COLUMN].equals(table[COLUMN])
    assert COLUMN not in load_verified(**given, columns=["x"]).column_names
    for columns in (None, [COLUMN, "x"]):
        batches = pa.Table.from_batches(load_verified(**given, into="batches", columns=columns))
        assert batches[COLUMN].to_pylist() == table[COLUMN].to_pylist()
    with verify(**given) as verified:
        scanned = verified.dataset().to_table()
    assert scanned[COLUMN].fill_null(1.0).to_pylist() == table[COLUMN].to_pylist()


def test_without_weights_there_is_no_such_column(weighed: Any) -> None:
    folder = published(weighed, "lab/stones@b")
    given = {"resource": "lab/stones@b", **told(weighed)}
    assert COLUMN not in load_verified(folder, **given).column_names
    with pytest.raises(KeyError):
        load_verified(folder, **given, columns=[COLUMN])


def test_the_run_is_replayed_with_the_same_digests(weighed: Any, newest: str) -> None:
    done = weighed.site.call("replay", newest, "-q")
    assert done.code == 0, done.out + done.err
    assert "the same: QUARANTINE" in done.last


def test_rows_with_weights_become_trusted_without_them(weighed: Any, newest: str) -> None:
    site = weighed.site
    done = site.call("baseline", "promote", newest, *REVIEWED)
    assert done.code == 0, done.out + done.err
    built = ("baseline", "build", "--from-run", newest, "-o", "next", "--power", "skip")
    done = site.call(*built, *REVIEWED)
    assert done.code == 0, done.out + done.err
    for name, rows in (("known", 1200), ("next", 400)):
        found = read_baseline(site.root / name)
        assert found.rows == rows
        assert COLUMN not in found.schema.names
        assert COLUMN not in found.sample.column_names


def test_attacks_are_tried_on_published_rows(weighed: Any, tmp_path: Path) -> None:
    settings = load(weighed.root / "auditor.yaml", {}, strict_permissions=False)
    data = [str(path) for path in published(weighed, "other/stones@c").glob("*.parquet")]
    with contextlib.chdir(weighed.root):
        ground, _ = ground_of(data, settings, tmp_path, lambda _: None)
    assert ground.clean.num_rows == 400
    assert COLUMN not in ground.clean.column_names
    assert COLUMN not in ground.roles.named


def test_what_was_published_is_no_incoming_data(weighed: Any) -> None:
    """Whoever sends it on may have written the weights anew."""
    site = weighed.site
    (file,) = published(weighed, "other/stones@c").glob("*.parquet")
    for data in (file, shutil.copyfile(file, site.root / "in" / "d.parquet")):
        for command in ("audit", "gate"):
            done = site.call(command, data, "-q")
            assert done.code == 11, done.out
            assert "names that start with _auditor_ are ours" in done.out


def test_its_rows_are_traced_and_recalled(weighed: Any, newest: str) -> None:
    site = weighed.site
    folder = published(weighed, "other/stones@c")
    rows = rows_of(folder)
    zero = rows.filter(pa.array(rows[COLUMN].to_numpy() == 0))
    for what in (next(folder.glob("*.parquet")), zero["id"][0].as_py()):
        done = site.call("trace", what)
        assert done.code == 0, done.out + done.err
        assert newest in done.out
    done = weighed.recall("--contributor", zero["who"][0].as_py())
    assert "other/stones@c" in done.out, done.out + done.err


def test_a_release_counts_whole(weighed: Any) -> None:
    class Newest(type(weighed)):  # type: ignore[misc]
        """Decides about the set of the newest run that set rows aside."""

        run = max(path.name for path in weighed.site.visible("runs") if path.name[0] == "0")

    world = Newest(weighed.site, weighed.people)
    world.agreed()
    done = world.release()
    assert done.code == 0, done.out + done.err
    folder = published(weighed, "release/other/stones@c")
    assert rows_of(folder)[COLUMN].to_pylist() == [1.0] * COPIES
    said = extension(folder / "attestation.dsse.json")["sampleWeight"]
    assert said == {"column": COLUMN, "share": "0.05", "zero": 0}
    assert "All have weight 1: people let them go." in done.out
    load_verified(folder, resource="release/other/stones@c", **told(weighed))
