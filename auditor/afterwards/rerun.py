"""The site as it was when a run began, in a private folder: settings, ledger, history, manifest.

Nothing here writes to the site. What was trusted then and is no longer to be found is said, never
replaced by what is trusted now. Shell.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auditor.afterwards.logged_runs import named_file
from auditor.baseline_files import current, digest_of, version_folder
from auditor.config import Settings
from auditor.config.fields import FOLDER, MUST_EXIST
from auditor.config.settings import LedgerSettings, OutputSettings, SigningSettings, TrustSettings
from auditor.config.validate import validate
from auditor.context import Detector
from auditor.custody import MANIFEST, ROLL, SUPPRESSIONS
from auditor.detectors import EVERY, in_profile
from auditor.errors import ConfigError, LedgerError
from auditor.formats import report_json
from auditor.history import HistoryStore, catch_up
from auditor.ledger import Entry, Ledger
from auditor.ledger.copying import copy_before
from auditor.manifests import SUFFIX, roll_beside
from auditor.model import Mode
from auditor.provenance import dsse
from auditor.provenance.digests import sha256
from auditor.provenance.refused import Refused
from auditor.readers import Source
from auditor.report_records import Report
from auditor.run import Job, Progress
from auditor.trust.chain import numbered
from auditor.trust.policy import RELEASES
from auditor.trust_files import read as read_policy
from auditor.workspace import Workspace
from auditor.workspace.durable import write_durably

_REPORT: Final = "report.json"
#: The entries that end a run.
_ENDS: Final = frozenset({"verdict", "batch.held"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A run as the ledger names it: its folder, its report, when it received the batch, its end."""

    folder: Path
    report: Report
    received: Entry
    ended: Entry

    @property
    def run(self) -> str:
        """The run's id."""
        return self.folder.name

    @property
    def data(self) -> tuple[str, ...]:
        """The paths that were given, where they were recorded; else none."""
        said = json.loads(str(self.report.reproduce.get("data", "[]")))
        return tuple(str(path) for path in said)


def recorded(folder: Path, ledger: Ledger) -> Recorded:
    """What a run left behind.

    Raises:
        LedgerError: the ledger does not know the run's report, or the report is another one.
        ConfigError: the run cannot be replayed, and why.
    """
    entries = ledger.find(run=folder.name)
    received = [entry for entry in entries if entry.name == "batch.received"]
    ended = [entry for entry in entries if entry.name in _ENDS and entry.event.refs]
    if not received or not ended:
        raise LedgerError(f"{folder.name}: the ledger knows no batch and no report of this run")
    content = named_file(folder / _REPORT, ended[-1].event.refs)
    report = report_json.loads(content)
    if report.batch_name.startswith(RELEASES):
        raise ConfigError(
            f"{folder.name}: a release follows from signed decisions; replay the run that set the "
            "rows aside"
        )
    return Recorded(folder=folder, report=report, received=received[0], ended=ended[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """A job that can be run without touching the site.

    `lost`: what the run could read and we cannot; while there is some, equal results prove nothing.
    `notes`: what a reader should know.
    """

    job: Job
    lost: tuple[str, ...]
    notes: tuple[str, ...]


def prepare(
    told: Recorded,
    sources: Sequence[Source],
    *,
    today: Settings,
    roots: Workspace,
    ledger: Ledger,
    scratch: Path,
    progress: Progress | None = None,
) -> Rerun:
    """Lay out in `scratch` what the run could see when it began.

    `today`: the settings of now. Files are taken from where they name them where the run's own
    paths lead nowhere any more; digests tell whether they are the same.

    Raises:
        ConfigError: its settings cannot be read by this version, or the site key is gone.
        LedgerError: a record is not the one that the ledger names.
    """
    lost: list[str] = []
    then = _site_of_then(told, today, scratch, lost)
    _lay_out_history(told, then, roots, ledger, lost)
    at = told.received.event.at
    job = Job(
        settings=then,
        mode=Mode(told.report.mode),
        sources=tuple(sources),
        name=told.report.batch_name,
        manifest=_manifest(told, scratch, lost),
        detectors=_detectors(told.report, then.profile),
        replay=True,
        clock=lambda: at,
        progress=progress,
    )
    return Rerun(job=job, lost=tuple(lost), notes=tuple(_meanwhile(told, ledger)))


def _site_of_then(told: Recorded, today: Settings, scratch: Path, lost: list[str]) -> Settings:
    """The settings of the run, which write to `scratch` and sign nothing."""
    settings = _found_again(_settings(told.report), today)
    if not settings.outputs.site_key.is_file():
        raise ConfigError(
            f"{settings.outputs.site_key}: the site key is not there; seeds and keyed hashes of "
            "the run cannot be made again without it"
        )
    return settings.model_copy(
        update={
            "outputs": _outputs(settings.outputs, scratch),
            "ledger": LedgerSettings(origin=settings.ledger.origin),
            "signing": SigningSettings(verifier=settings.signing.verifier),
            "baseline": _baseline(settings, told.report, lost),
            "suppressions": _suppressions(told, scratch, lost),
            "trust": _trust(settings, told.report, scratch, lost),
        }
    )


def _lay_out_history(
    told: Recorded, then: Settings, roots: Workspace, ledger: Ledger, lost: list[str]
) -> None:
    """The ledger up to when the run received its batch, and the history that follows from it."""
    path = then.outputs.ledger
    copied = copy_before(ledger, told.received.idx, path, origin=then.ledger.origin)
    store = HistoryStore(path.with_name("history.db"))
    for run in catch_up(store, copied, lambda name: (roots.runs / name,)):
        text = f"the record of run {run}: rules that compare with earlier batches lack it"
        lost.append(text)


def _detectors(report: Report, profile: str) -> tuple[type[Detector], ...] | None:
    """Those that the run had, where they are not those of its profile.

    A run that broke off lists none; then it is the profile again.
    """
    names = {rule.id for rule in report.rules}
    chosen = tuple(detector for detector in EVERY if detector.rule.id in names)
    return chosen if chosen and set(chosen) != set(in_profile(profile)) else None


def _settings(report: Report) -> Settings:
    found = validate(dict(report.settings), {FOLDER: Path.cwd(), MUST_EXIST: False})
    if isinstance(found, Settings):
        return found
    said = "; ".join(f"{'.'.join(map(str, each.path))}: {each.text}" for each in found[:3])
    raise ConfigError(
        f"the settings of run {report.run} cannot be read by this version ({said}); "
        f"install auditor {report.auditor}"
    )


def _found_again(then: Settings, today: Settings) -> Settings:
    """The settings of then, with the paths of today for what was moved since."""
    moved: dict[str, object] = {
        name: getattr(today, name)
        for name in ("baseline", "expectations")
        if _moved(getattr(then, name), getattr(today, name))
    }
    for section, field in (("trust", "policy"), ("signatures", "path"), ("outputs", "site_key")):
        old, new = getattr(then, section), getattr(today, section)
        if _moved(getattr(old, field), getattr(new, field)):
            moved[section] = old.model_copy(update={field: getattr(new, field)})
    return then.model_copy(update=moved)


def _moved(then: Path | None, today: Path | None) -> bool:
    return then is not None and today is not None and not then.exists() and today.exists()


def _outputs(outputs: OutputSettings, scratch: Path) -> OutputSettings:
    """The same names below a private folder; the site key is the site's."""
    return outputs.model_copy(
        update={
            "runs": scratch / "runs",
            "publish_to": scratch / "published",
            "quarantine_to": scratch / "quarantine",
            "ledger": scratch / "ledger.db",
        }
    )


def _baseline(settings: Settings, report: Report, lost: list[str]) -> Path | None:
    """The folder of the very version that the run was judged by, if it is kept."""
    digest, folder = report.reproduce.get("baseline_sha256", "none"), settings.baseline
    if folder is None or digest == "none":
        return folder
    kept = (version_folder(folder, str(digest)), current(folder))
    found = next((p for p in kept if p.is_dir() and digest_of(p) == digest), None)
    if found is None:
        lost.append(f"the baseline {str(digest)[:12]}: {folder} has that version no more")
    return found or folder


def _trust(settings: Settings, report: Report, scratch: Path, lost: list[str]) -> TrustSettings:
    """The trust policy in the version of then, with those before it, as files of their own."""
    trust, digest = settings.trust, report.reproduce.get("trust_policy_sha256", "none")
    if trust.policy is None or digest == "none":
        return trust
    chain = list(_versions(trust.policy))
    held = [place for place, (_, envelope) in enumerate(chain) if _payload(envelope) == digest]
    if not held:
        lost.append(f"the trust policy {str(digest)[:12]}: it is not beside {trust.policy.name}")
        return trust
    folder = scratch / "trust"
    folder.mkdir()
    name = trust.policy.name
    for version, envelope in chain[: held[0]]:
        (folder / numbered(name, version)).write_bytes(envelope)
    (folder / name).write_bytes(chain[held[0]][1])
    return trust.model_copy(update={"policy": folder / name})


def _versions(newest: Path) -> list[tuple[int, bytes]]:
    """(version, envelope) of the older files, then of the newest; not verified yet."""
    found = []
    version = 1
    while (older := read_policy(newest.with_name(numbered(newest.name, version)))) is not None:
        found.append((version, older))
        version += 1
    last = read_policy(newest)
    return found if last is None else [*found, (version, last)]


def _payload(envelope: bytes) -> str:
    try:
        return sha256(dsse.parse(envelope).payload)
    except Refused:
        return ""


def _manifest(told: Recorded, scratch: Path, lost: list[str]) -> Path:
    """The manifest and the roll as the run kept them; a path to nothing where there was none.

    What lies beside the data today does not count.
    """
    path = scratch / f"batch{SUFFIX}"
    named = told.report.provenance.get("manifest_sha256")
    if named is None:
        return path
    try:
        write_durably(path, named_file(told.folder / MANIFEST, {str(named)}))
    except LedgerError as error:
        lost.append(f"the manifest: {error}")
        return path
    if (told.folder / ROLL).is_file():  # its digest is in the manifest, which is signed
        shutil.copyfile(told.folder / ROLL, roll_beside(path))
    return path


def _suppressions(told: Recorded, scratch: Path, lost: list[str]) -> Path | None:
    """The list of then, as the run kept it."""
    digest = told.report.reproduce.get("suppressions_sha256", "none")
    if digest == "none":
        return None
    path = scratch / SUPPRESSIONS
    try:
        write_durably(path, named_file(told.folder / SUPPRESSIONS, {str(digest)}))
    except LedgerError as error:
        lost.append(f"the suppressions: {error}")
        return None
    return path


def _meanwhile(told: Recorded, ledger: Ledger) -> list[str]:
    """Verdicts of other runs between the beginning and the end of this one."""
    between = ledger.entries(told.received.idx, told.ended.idx)
    others = {e.event.run for e in between if e.name == "verdict" and e.event.run != told.run}
    names = sorted(map(str, others))
    return [f"run {run} ended while this one ran; it is left out here" for run in names]
