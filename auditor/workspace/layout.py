"""Every path of one run, before and after it is visible."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Private folder in each root. The leading dot keeps it out of the globs of data loaders.
STAGING: Final = ".staging"
#: Where a published folder goes that no longer has the files its name stands for.
DAMAGED: Final = ".damaged"
#: What turns a folder of files into a published one; its proof goes before it.
ATTESTATION: Final = "attestation.dsse.json"
PROOF: Final = "proof.tlog"


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of run `run` below the three roots, each of which may be its own file system."""

    run: str
    runs: Path
    publish_to: Path
    quarantine_to: Path

    @property
    def lock(self) -> Path:
        """The mark of the run: locked while its process lives."""
        return self.runs / STAGING / f"{self.run}.lock"

    @property
    def stage(self) -> Path:
        """The run's private folder below `runs`."""
        return self.runs / STAGING / self.run

    @property
    def plan(self) -> Path:
        """The final names; there once everything is staged."""
        return self.stage / "commit_plan.json"

    @property
    def evidence(self) -> Path:
        """What becomes `runs/<run>`."""
        return self.stage / "evidence"

    @property
    def scratch(self) -> Path:
        """Private copies for the length of the run; never committed."""
        return self.stage / "scratch"

    @property
    def published(self) -> Path:
        """What becomes `publish_to/<digest>`."""
        return self.publish_to / STAGING / self.run

    @property
    def quarantined(self) -> Path:
        """What becomes `quarantine_to/<set digest>`."""
        return self.quarantine_to / STAGING / self.run

    @property
    def folder(self) -> Path:
        """The visible run."""
        return self.runs / self.run
