"""What `auditor doctor` says about one thing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """How bad it is. A NOTE names something that is optional and not there."""

    OK = "ok"
    NOTE = "note"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One thing looked at. `mend` is empty exactly where the health is OK."""

    name: str
    health: Health
    found: str
    wanted: str
    mend: str = ""

    @property
    def ok(self) -> bool:
        """False only for what keeps `auditor` from working."""
        return self.health is not Health.BROKEN


def healthy(diagnoses: Iterable[Diagnosis]) -> bool:
    """Whether nothing is broken. Raises `ValueError` for no diagnosis at all."""
    looked_at = tuple(diagnoses)
    if not looked_at:
        raise ValueError("nothing was looked at: that is not healthy")
    return all(diagnosis.ok for diagnosis in looked_at)
