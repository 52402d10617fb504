from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from auditor import samples
from auditor.errors import ConfigError


def test_parts_are_in_order_of_time_and_ids_are_unique() -> None:
    parts = [pq.read_table(path) for path in (samples.trusted(), *samples.incoming())]
    assert [part.num_rows for part in parts] == [6000, 1800, 1600, 2000, 1700]
    assert len({str(part.schema) for part in parts}) == 1
    spans = [pc.min_max(part["collected_at"]).as_py() for part in parts]
    assert all(a["max"] < b["min"] for a, b in pairwise(spans))
    whole = pa.concat_tables(parts)
    assert len(pc.unique(whole["row_id"])) == whole.num_rows
    assert len(pc.unique(whole["contributor"])) == 25
    assert all(column.null_count == 0 for column in whole.columns)


def test_each_part_holds_every_class_in_about_its_share() -> None:
    for path in (samples.trusted(), *samples.incoming()):
        labels = pq.read_table(path, columns=["price_band"])["price_band"]
        counts = [c["counts"] / len(labels) for c in pc.value_counts(labels).to_pylist()]
        assert len(counts) == 4
        assert min(counts) > 0.2


def test_files_are_small_and_name_their_licence() -> None:
    folder = samples.sample_data_dir()
    files = [path for path in folder.rglob("*") if path.suffix == ".parquet"]
    assert sum(path.stat().st_size for path in files) < 1_500_000
    assert "MIT License" in (folder / "LICENSE.plotnine").read_text()
    assert (folder / "auditor.yaml").is_file()


def test_installed_samples_come_before_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "auditor"
    shipped = package / "_samples" / "sample_data"
    shipped.mkdir(parents=True)
    monkeypatch.setattr(samples.importlib.resources, "files", lambda _: package)
    with pytest.raises(ConfigError, match="not part of this installation"):
        samples.sample_data_dir()
    (shipped / "trusted.parquet").touch()
    assert samples.sample_data_dir() == shipped
