"""One poisoning signal per file. `EVERY` is the whole list, in the order of the report.

`DETECTORS` run in the standard profile, `DEEP` only in the deep one: they fit many models.

An explicit tuple: greppable, ordered, typed. No installed stranger can join a security gate.
Importing this package is light; what a detector needs is imported when it runs.
"""

from typing import Final

from auditor.context import Detector
from auditor.detectors.class_structure import ClassStructure
from auditor.detectors.collisions import Collisions
from auditor.detectors.conflicting_labels import ConflictingLabels
from auditor.detectors.contributors import Contributors
from auditor.detectors.drift import Drift
from auditor.detectors.exact_duplicates import ExactDuplicates
from auditor.detectors.group_influence import GroupInfluence
from auditor.detectors.hidden_text import HiddenText
from auditor.detectors.known_bad import KnownBad
from auditor.detectors.known_rows import KnownRows
from auditor.detectors.label_consistency import LabelConsistency
from auditor.detectors.label_slices import LabelSlices
from auditor.detectors.low_and_slow import LowAndSlow
from auditor.detectors.near_duplicates import NearDuplicates
from auditor.detectors.outliers import Outliers
from auditor.detectors.quality import Quality
from auditor.detectors.reputation import Reputation
from auditor.detectors.row_values import RowValues
from auditor.detectors.shared_rows import SharedRows
from auditor.detectors.slow_triggers import SlowTriggers
from auditor.detectors.target_residuals import TargetResiduals
from auditor.detectors.triggers import Triggers

DETECTORS: Final[tuple[type[Detector], ...]] = (
    Quality,
    HiddenText,
    KnownBad,
    ExactDuplicates,
    KnownRows,
    ConflictingLabels,
    SharedRows,
    NearDuplicates,
    LabelConsistency,
    LabelSlices,
    TargetResiduals,
    Contributors,
    Reputation,
    LowAndSlow,
    Outliers,
    Triggers,
    SlowTriggers,
    Drift,
)

#: Rules that only the deep profile runs.
DEEP: Final[tuple[type[Detector], ...]] = (GroupInfluence, RowValues, ClassStructure, Collisions)

EVERY: Final = (*DETECTORS, *DEEP)


def in_profile(profile: str) -> tuple[type[Detector], ...]:
    """The detectors of a profile, `standard` or `deep`."""
    return EVERY if profile == "deep" else DETECTORS
