"""One poisoning signal per file. `DETECTORS` is the whole list, in the order of the report.

An explicit tuple: greppable, ordered, typed. No installed stranger can join a security gate.
Importing this package is light; what a detector needs is imported when it runs.
"""

from typing import Final

from auditor.context import Detector
from auditor.detectors.conflicting_labels import ConflictingLabels
from auditor.detectors.contributors import Contributors
from auditor.detectors.drift import Drift
from auditor.detectors.exact_duplicates import ExactDuplicates
from auditor.detectors.known_rows import KnownRows
from auditor.detectors.label_consistency import LabelConsistency
from auditor.detectors.near_duplicates import NearDuplicates
from auditor.detectors.outliers import Outliers
from auditor.detectors.quality import Quality
from auditor.detectors.shared_rows import SharedRows
from auditor.detectors.triggers import Triggers

DETECTORS: Final[tuple[type[Detector], ...]] = (
    Quality,
    ExactDuplicates,
    KnownRows,
    ConflictingLabels,
    SharedRows,
    NearDuplicates,
    LabelConsistency,
    Contributors,
    Outliers,
    Triggers,
    Drift,
)
