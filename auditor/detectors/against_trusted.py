"""What the rules of the deep profile share: trusted rows to hold a batch against, and a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

from auditor.baseline import Baseline
from auditor.batch import Batch
from auditor.context import Context
from auditor.errors import Unavailable
from auditor.model import Rule

Settings = TypeVar("Settings")


@dataclass(frozen=True, slots=True)
class AgainstTrusted(Generic[Settings]):
    """A rule that needs a baseline and enough rows; `Settings` is the class in `options`."""

    baseline: Baseline
    settings: Settings
    seed: int

    rule: ClassVar[Rule]
    options: ClassVar[type[Any]]

    @classmethod
    def load(cls, context: Context) -> Self:
        """With the context's baseline.

        Raises:
            Unavailable: there is none.
        """
        if context.baseline is None:
            raise Unavailable("needs a baseline")
        return cls(context.baseline, context.options(cls.rule.id, cls.options), context.seed)

    def need_rows(self, batch: Batch) -> None:
        """Raise `Unavailable` for a batch of fewer rows than the rule can judge."""
        least = self.rule.minimum_rows
        if batch.rows < least:
            raise Unavailable(f"needs at least {least} rows, has {batch.rows}")
