"""`auditor init`: settings, a suite and a CI snippet from trusted data, with every guess named."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from auditor import suites
from auditor.batch import read_columns
from auditor.config import load
from auditor.errors import ConfigError
from auditor.formats.escape import terminal
from auditor.report_records import RoleRecord
from auditor.roles import recorded
from auditor.trusting import read_trusted

Progress = Callable[[str], None]

#: Rows that a suite is inferred from at most.
SUITE_ROWS: Final = 200_000

_SNIPPET: Final = """\
# Before training, in any CI:
pip install 'auditor[audit]'
auditor gate DATA --config auditor.yaml --format github -o sarif=findings.sarif
# exit 0 accepted, 10 rows set aside, 11 rejected, 12 held: only 0 (and 10, if you like) may train
"""


def write_project(
    data: list[str],
    *,
    name: str | None,
    roles: Mapping[str, Any],
    force: bool,
    progress: Progress | None,
    folder: Path | None = None,
) -> list[str]:
    """Write auditor.yaml, expectations/<name>.json and auditor-ci.txt; return what to tell.

    Raises:
        ConfigError: a file is there already and `force` is not set.
        BatchError: the data cannot be read.
    """
    folder = folder or Path()
    name = _plain_name(name or Path(data[0]).stem)
    targets = [
        folder / "auditor.yaml",
        folder / "expectations" / f"{name}.json",
        folder / "auditor-ci.txt",
    ]
    taken = [path for path in targets if path.exists()]
    if taken and not force:
        raise ConfigError(f"{taken[0]} exists already; --force overwrites it")
    settings = load(None, {}, strict_permissions=False).model_copy(update={"roles": dict(roles)})
    staging = Path(tempfile.mkdtemp(prefix="auditor-init-"))
    try:
        batch, records = read_trusted(data, settings, staging, progress)
        table = read_columns(batch, batch.schema.names).slice(0, SUITE_ROWS)
        suite = suites.infer(table, batch.roles)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    targets[1].parent.mkdir(parents=True, exist_ok=True)
    targets[1].write_text(suites.to_json(name, suite), encoding="utf-8")
    targets[0].write_text(_yaml(name, records), encoding="utf-8")
    targets[2].write_text(_SNIPPET, encoding="utf-8")
    return _told(targets, records, len(suite))


def _plain_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60] or "batch"


def _yaml(name: str, records: Sequence[RoleRecord]) -> str:
    lines = [
        "# Settings of auditor. `auditor schema` prints what else can be set, with its default.",
        f"name: {name}",
        "roles:",
    ]
    for role, columns in recorded(records).assigned.items():
        quoted = ", ".join(_quoted(column) for column in columns)
        lines.append(f"  {role}: [{quoted}]")
    if not any(record.role == "label" for record in records):
        lines.append("  # label: COLUMN   none was found; name it before `auditor baseline build`")
    lines += [
        f"expectations: expectations/{name}.json",
        "baseline: .auditor/baseline   # made by `auditor baseline build DATA`",
        "manifest:",
        "  unsigned: note   # hold or reject, once your suppliers sign their manifests",
    ]
    return "\n".join(lines) + "\n"


def _quoted(column: str) -> str:
    """A YAML scalar; anything but a plain word is double-quoted, which JSON quoting fits."""
    import json

    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", column)
    reserved = column.lower() in {"y", "n", "yes", "no", "true", "false", "on", "off", "null"}
    return column if plain and not reserved else json.dumps(column)


def _told(targets: Sequence[Path], records: Sequence[RoleRecord], expectations: int) -> list[str]:
    lines = ["What each column is taken for (change it in auditor.yaml):"]
    for record in records:
        columns = terminal(", ".join(record.columns), 120)
        lines.append(f"  {terminal(record.role):12} {columns}  ({terminal(record.reason)})")
    if not any(record.role == "label" for record in records):
        lines.append("  no label was found: rules about labels will not run. Name it with --label")
    lines += [
        f"wrote {targets[0]}",
        f"wrote {targets[1]}: {expectations} expectations; read them and delete what is not so",
        f"wrote {targets[2]}: how to gate in CI",
        "next: auditor baseline build DATA, then auditor gate NEW-DATA --observe",
    ]
    return lines
