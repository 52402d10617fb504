"""`Workspace`: the three roots, and the way to a run in them."""

from __future__ import annotations

import itertools
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from auditor.errors import ConfigError
from auditor.ulid import is_ulid
from auditor.workspace.layout import STAGING, Layout
from auditor.workspace.locks import lock_dead, lock_new, sweep
from auditor.workspace.recovery import Journal, Recovered, recover_run
from auditor.workspace.sitekey import site_key
from auditor.workspace.stage import RunStage, Step


def _silent(step: str) -> None:
    """The step that tells nobody."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where evidence, published rows and quarantined rows go; each may be its own file system.

    Raises `ConfigError` where one root is below another (a loader that reads one would read the
    other), where ledger or site key lie in one, or where others may enter `quarantine_to`.
    Nothing is made before it is used.
    """

    runs: Path
    publish_to: Path
    quarantine_to: Path
    ledger: Path
    site_key: Path

    def __post_init__(self) -> None:
        """Refuse roots that would leak into each other."""
        roots = {
            name: _real(getattr(self, name)) for name in ("runs", "publish_to", "quarantine_to")
        }
        for (one, first), (other, second) in itertools.permutations(roots.items(), 2):
            if second.is_relative_to(first):
                raise ConfigError(
                    f"outputs.{other} ({second}) lies in outputs.{one} ({first}); "
                    "the three folders must be apart, so that no loader reads one with another"
                )
        for name in ("ledger", "site_key"):
            for root, folder in roots.items():
                if _real(getattr(self, name)).is_relative_to(folder):
                    raise ConfigError(f"outputs.{name} must not lie in outputs.{root} ({folder})")
        _refuse_open_quarantine(self.quarantine_to)

    def key(self) -> bytes:
        """The site's secret, 32 bytes, made at first use; raises `TrustError` for a bad file."""
        return site_key(self.site_key)

    def begin(self, run: str, *, step: Step = _silent) -> RunStage:
        """Make the private folders of a new run and lock its mark.

        Raises `ConfigError` for an id that is no ULID or is taken, OSError where nothing can be
        written. `step` is told each step of the run that is done.
        """
        if not is_ulid(run):
            raise ConfigError(f"not a run id: {run!r}")
        layout = self._layout(run)
        if layout.folder.exists():
            raise ConfigError(f"{layout.folder}: there is a run of this id already; start another")
        self.runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        layout.lock.parent.mkdir(mode=0o700, exist_ok=True)
        stage = RunStage(layout, lock_new(layout.lock), step)
        try:
            step("begin: marked")
            layout.stage.mkdir(mode=0o700)
            layout.evidence.mkdir(mode=0o700)
            layout.scratch.mkdir(mode=0o700)
            step("begin: folders")
        except BaseException:
            stage.close()
            raise
        return stage

    def recover(self, ledger: Journal, now: datetime, *, step: Step = _silent) -> list[Recovered]:
        """Finish or remove what dead processes left; to be called at the start of every run.

        Living runs are never touched, and several processes may do this at once. Raises
        `LedgerError` or OSError where that is not possible; then no new run should start.
        """
        done: list[Recovered] = []
        for lock in sorted((self.runs / STAGING).glob("*.lock")):
            mark = lock_dead(lock) if is_ulid(lock.stem) else None
            if mark is not None:
                done.append(recover_run(self._layout(lock.stem), mark, ledger, now, step))
        sweep(self.runs / STAGING)
        return done

    def all_runs(self) -> tuple[str, ...]:
        """The ids of the visible runs, newest first."""
        if not self.runs.is_dir():
            return ()
        found = (path.name for path in self.runs.iterdir() if is_ulid(path.name))
        return tuple(sorted(found, reverse=True))

    def find_run(self, prefix: str = "latest") -> Path:
        """The folder of the newest run, or of the one whose id starts with `prefix`.

        Raises `ConfigError` where there is none, or more than one.
        """
        known = self.all_runs()
        if not known:
            raise ConfigError(f"{self.runs}: no run yet; `auditor audit DATA` makes one")
        if prefix == "latest":
            return self.runs / known[0]
        found = [run for run in known if run.startswith(prefix.upper())]
        if not prefix or not found:
            raise ConfigError(f"{self.runs}: no run {prefix!r}; the newest is {known[0]}")
        if len(found) > 1:
            raise ConfigError(f"{self.runs}: {len(found)} runs start with {prefix!r}; write more")
        return self.runs / found[0]

    def _layout(self, run: str) -> Layout:
        return Layout(run, self.runs, self.publish_to, self.quarantine_to)


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise ConfigError(f"{path}: this path leads nowhere ({error})") from error


def _refuse_open_quarantine(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{path}: quarantine_to cannot be used ({error.strerror})") from error
    if mode & 0o077:
        raise ConfigError(
            f"{path}: others may enter quarantine_to (mode {mode:04o}); `chmod 700 {path}`"
        )
