"""`auditor demo`: poisons bundled real data, gates it, and scores what was found.

Everything happens in one folder with a throw-away key; nothing outside of it is touched.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from auditor import samples
from auditor.batch import Roles
from auditor.config import Settings, load
from auditor.errors import ConfigError
from auditor.formats import text
from auditor.manifests import schema_fields
from auditor.model import ATTACKS, Mode, Verdict
from auditor.pipeline import audit as run_audit
from auditor.provenance.declare import create
from auditor.provenance.digests import contributor_roll
from auditor.provenance.manifest import FileEntry
from auditor.readers import resolve
from auditor.redteam import ATTACKS_BY_NAME
from auditor.redteam.mix import Mix, demo_mix
from auditor.run import Job, Result
from auditor.signing import generate, sign
from auditor.trusting import build_from_files

Progress = Callable[[str], None]

#: Attacks of which some rows look like natural neighbours: not all of them are found.
PARTLY: Final = frozenset({"near-copy"})
#: Share of an attack's rows that must be in quarantine or in a named group.
FOUND: Final = 0.9
SOURCE: Final = "demo/diamonds"

ROLES: Final = {
    "id": ["row_id"],
    "label": ["price_band"],
    "contributor": ["contributor"],
    "timestamp": ["collected_at"],
    "feature": ["carat", "cut", "color", "clarity", "depth", "table", "x", "y", "z"],
}


@dataclass(frozen=True, slots=True)
class Score:
    """One attack: poison rows, and how many of them are in quarantine or in a named group."""

    attack: str
    rows: int
    found: int

    @property
    def as_expected(self) -> bool:
        """At least `FOUND` of the rows, unless only a part can be told."""
        return self.attack in PARTLY or self.found >= FOUND * self.rows


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo prints, where the report is, and whether all came as expected."""

    text: str
    report: Path
    as_expected: bool


def run_demo(
    *,
    directory: Path | None,
    attacks: Sequence[str] | None,
    seed: int,
    progress: Progress | None,
) -> Outcome:
    """Poison, build a baseline, sign, gate, score.

    Raises:
        ConfigError: an unknown attack, or a folder that is in use.
    """
    say = progress or (lambda _: None)
    chosen = tuple(attacks or ATTACKS_BY_NAME)
    unknown = [name for name in chosen if name not in ATTACKS_BY_NAME]
    if unknown:
        raise ConfigError(f"no attack {unknown[0]!r}; there are {', '.join(ATTACKS_BY_NAME)}")
    folder = _folder(directory)
    say("planting attacks in a batch of real data")
    mix = _plant(chosen, seed)
    batch = folder / "inbox" / "diamonds.parquet"
    batch.parent.mkdir()
    pq.write_table(mix.table, batch)
    settings = _settings(folder)
    build_from_files([str(samples.trusted())], settings, folder / "baseline", progress=progress)
    settings = load(folder / "auditor.yaml", {}, strict_permissions=True)
    _sign(batch, mix.table, folder / "vendor.key")
    result = run_audit(
        Job(
            settings=settings,
            mode=Mode.GATE,
            sources=resolve([str(batch)]),
            name=settings.name,
            progress=progress,
        )
    )
    scores = score(mix, result)
    as_expected = result.verdict == Verdict.QUARANTINE and all(s.as_expected for s in scores)
    return Outcome(_text(result, scores, folder), result.folder / "report.html", as_expected)


def score(mix: Mix, result: Result) -> list[Score]:
    """Count each attack's rows that are set aside, or belong to a contributor that is named."""
    aside = set(result.rows.rows.tolist())
    named = {
        str(finding.evidence["contributor"])
        for finding in result.report.findings
        if finding.effect != "note" and finding.evidence.get("contributor")
    }
    senders = mix.table.column("contributor").to_pylist()
    return [
        Score(
            attack,
            sum(mask.to_pylist()),
            sum(
                poison and (row in aside or senders[row] in named)
                for row, poison in enumerate(mask.to_pylist())
            ),
        )
        for attack, mask in mix.masks.items()
    ]


def _folder(directory: Path | None) -> Path:
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="auditor-demo-"))
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError(f"{directory} is not empty; name a new folder for the demo")
    directory.mkdir(parents=True, exist_ok=True)
    return directory.resolve()


def _plant(attacks: Sequence[str], seed: int) -> Mix:
    clean = pq.read_table(samples.incoming()[0], pre_buffer=False)
    roles = Roles({role: tuple(columns) for role, columns in ROLES.items()})
    trusted = pq.read_table(samples.trusted(), pre_buffer=False)
    return demo_mix(clean, roles, seed=seed, attacks=attacks, trusted=trusted)


def _settings(folder: Path) -> Settings:
    """Write auditor.yaml and the throw-away keys; return settings without the baseline yet."""
    # A key derived from nothing secret, so that the demo prints the same numbers each time.
    home = folder / ".auditor"
    home.mkdir()
    key = os.open(home / "site.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(key, "wb") as file:
        file.write(hashlib.sha256(b"auditor demo").digest())
    generate(folder / "vendor")
    generate(folder / "gate")
    roles = "".join(f"  {role}: [{', '.join(names)}]\n" for role, names in ROLES.items())
    suite = (samples.expectations_dir() / "diamonds.json").read_text(encoding="utf-8")
    (folder / "diamonds.json").write_text(suite, encoding="utf-8")
    (folder / "auditor.yaml").write_text(
        "name: diamonds\n"
        f"roles:\n{roles}"
        "baseline: baseline\n"
        "expectations: diamonds.json\n"
        "manifest:\n  keys:\n"
        f"    {SOURCE}: [./vendor.pub]\n"
        "  unsigned: reject\n"
        "signing:\n  key: gate.key\n",
        encoding="utf-8",
    )
    (folder / "auditor.yaml").chmod(0o600)
    settings = load(folder / "auditor.yaml", {}, strict_permissions=True, files_must_exist=False)
    return settings.model_copy(update={"baseline": None})


def _sign(batch: Path, table: pa.Table, key: Path) -> None:
    """Sign as an honest supplier would: provenance cannot catch whom it trusts."""
    content = batch.read_bytes()
    counts = Counter(table.column("contributor").to_pylist())
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    payload = create(
        [
            FileEntry(
                name=batch.name,
                sha256=hashlib.sha256(content).hexdigest(),
                size=len(content),
                rows=table.num_rows,
            )
        ],
        source=SOURCE,
        batch_id=now.strftime("%Y-%m-%d"),
        sequence=1,
        schema_fields=schema_fields(pq.read_schema(batch)),
        created_on=now,
        expires_on=now + dt.timedelta(days=1),
        label="price_band",
        contributors=counts,
        row_provenance={"contributorId": "contributor", "rowKey": "row_id"},
    )
    batch.with_name("diamonds.manifest.dsse.json").write_bytes(sign(payload, key=key))
    batch.with_name("diamonds.contributors.json").write_bytes(contributor_roll(counts))


def _text(result: Result, scores: Sequence[Score], folder: Path) -> str:
    lines = ["What was planted, and how much of it is set aside or in a named group:"]
    for one in scores:
        seen = "found in part" if one.attack in PARTLY else "found"
        lines.append(
            f"  {one.attack:17} {one.found:4} of {one.rows:4}  {seen:13} {ATTACKS[one.attack]}"
        )
    places = [
        f"Report     {result.folder / 'report.html'}",
        f"Published  {result.published or 'nothing'}",
        f"Set aside  {result.quarantined or 'nothing'}",
        f"Try        auditor explain {result.report.run} ROW --config {folder / 'auditor.yaml'}",
    ]
    report = text.render(result.report, report_path=str(result.folder / "report.html"))
    body, _, last = report.rstrip("\n").rpartition("\n")
    return "\n".join([body.rstrip(), "", *lines, "", *places, "", last]) + "\n"
