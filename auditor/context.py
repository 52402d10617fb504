"""What a detector may know besides the batch. Filled by the shell before the run; plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Any, ClassVar, Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch, Shared
from auditor.model import Evidence, Outcome, Rule
from auditor.rowhash import Words
from auditor.texts.signature_list import SignatureList

Options = TypeVar("Options")

#: Characters of a contributor's name that history keeps; a cell may hold megabytes.
NAME: Final = 200


def subject_of(name: str) -> str:
    """A contributor as history names it: a long name is cut, and told apart by its digest."""
    if len(name) <= NAME:
        return name
    return f"{name[: NAME // 2]} {sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """Earlier batches whose rows were keyed alike; this batch, if it came before, is left out.

    `rows`: how many they published. `keys`: those rows.
    """

    rows: int
    keys: Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Some of the rows of an earlier batch, in no order, as they were published.

    `rows`: features, and the columns of label and contributor where it has them.
    """

    batch: str
    rows: pa.Table


class Keys(Protocol):
    """Keyed 128-bit hashes of published rows."""

    def hold(self, keys: Words, *, features_only: bool = False) -> npt.NDArray[np.bool_]:
        """Which of `keys` uint64[n, 2] an earlier batch published: bool[n].

        `features_only`: they are keys without the label.
        """
        ...


class History(Protocol):
    """What earlier batches of this gate published."""

    def earlier(self, scheme: str) -> Earlier:
        """The rows that were keyed by `scheme` (`rowhash.scheme`); none where nothing was."""
        ...

    def recent(self, scheme: str, most: int) -> tuple[Published, ...]:
        """Samples of the newest batches with rows keyed by `scheme`, newest first.

        At most `most` rows altogether.
        """
        ...

    def tallies(self, rule: str, name: str) -> npt.NDArray[np.float64]:
        """Rows counted and exposure of each earlier batch, oldest first: float64[batches, 2]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a contributor sent in one batch, and what became of it: numbers of rows.

    `certain`: set aside by a claim that is certain. `vouched`: a signed roll named the contributor.
    """

    rows: int
    suspicious: int
    quarantined: int
    certain: int
    vouched: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A contributor in earlier batches, oldest first."""

    batches: tuple[Sent, ...]


#: (subject, name) -> what was added up.
Sums = Mapping[tuple[str, str], Evidence]
NO_SUMS: Final[Sums] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Settings, seed, baseline, suite and the site's secret for keyed hashes.

    `seed` is HMAC(site key, batch digest): fixed for a run, unknown to the sender. `expectations`
    are Great Expectations configurations (`type`, `kwargs`, ...), None where no suite applies.
    `signatures`: the verified list of what is known to be bad, None where the site names none.
    `contributors` and `cumulative` (by rule, then by subject and name) are sums over earlier
    batches; `again`: this very batch is among them. `vouched`: a signed roll names the
    contributors of this batch.
    """

    seed: int = 0
    site_key: bytes = field(default=b"", repr=False)
    baseline: Baseline | None = None
    expectations: Sequence[Mapping[str, Any]] | None = None
    signatures: SignatureList | None = None
    settings: Mapping[str, object] = field(default_factory=dict)  # rule id -> its options object
    history: History | None = None
    contributors: Mapping[str, Record] = field(default_factory=dict)
    cumulative: Mapping[str, Sums] = field(default_factory=dict)
    again: bool = False
    vouched: bool = False
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
