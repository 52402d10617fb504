"""What a detector may know besides the batch. Filled by the shell before the run; plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar

from auditor.baseline import Baseline
from auditor.batch import Batch, Shared
from auditor.model import Outcome, Rule

Options = TypeVar("Options")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Settings, seed, baseline, suite and the site's secret for keyed hashes.

    `seed` is HMAC(site key, batch digest): fixed for a run, unknown to the sender. `expectations`
    are Great Expectations configurations (`type`, `kwargs`, ...), None where no suite applies.
    """

    seed: int = 0
    site_key: bytes = field(default=b"", repr=False)
    baseline: Baseline | None = None
    expectations: Sequence[Mapping[str, Any]] | None = None
    settings: Mapping[str, object] = field(default_factory=dict)  # rule id -> its options object
    shared: Shared = field(default_factory=Shared, repr=False, compare=False)

    def options(self, rule: str, default: type[Options]) -> Options:
        """The options of a rule, or `default()` where the site set none."""
        found = self.settings.get(rule)
        return found if isinstance(found, default) else default()


class Detector(Protocol):
    """The whole contract: one file, one rule, `load` and `scan`.

    `options` is a frozen dataclass with a default for each setting; `auditor.yaml` may set them
    under `detectors.<rule id>`.
    """

    rule: ClassVar[Rule]
    options: ClassVar[type]

    @classmethod
    def load(cls, context: Context) -> Detector:
        """Take what is needed from the context; raise `Unavailable` where it is not there."""
        ...

    def scan(self, batch: Batch) -> Outcome:
        """Read projected chunks and make claims. Never mutates Arrow data, never logs values."""
        ...
