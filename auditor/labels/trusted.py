"""A classifier of labels fitted on the baseline's sample, once for all rules of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auditor.baseline import Baseline
from auditor.batch import Shared, as_text
from auditor.errors import Unavailable
from auditor.features import Encoder, Matrix
from auditor.labels.model import Classes, Codes, LabelModel, fit


@dataclass(frozen=True, slots=True)
class TrustedLabels:
    """The fitted model, and the trusted rows it was fitted on.

    `matrix`: float32[n, d] of `encoder`. `codes`: int64[n], -1 where the label is not in `classes`.
    """

    classes: Classes
    encoder: Encoder
    matrix: Matrix
    codes: Codes
    model: LabelModel


def trusted_labels(
    baseline: Baseline, classes: Classes, *, model: str, seed: int, shared: Shared
) -> TrustedLabels:
    """Fit deterministically, or take what another rule of this run has fitted."""

    def fitted() -> TrustedLabels:
        sample, roles = baseline.sample, baseline.roles
        encoder = Encoder.fit(sample, roles.features)
        matrix = encoder.transform(sample)
        codes = classes.codes(as_text(sample.column(str(roles.label))).to_pylist())
        found = fit(matrix, codes, len(classes.names), model=model, seed=seed)
        return TrustedLabels(classes, encoder, matrix, codes, found)

    return shared.once(baseline, ("trusted labels", classes, model, seed), fitted)


def calibrated_with(stored: Mapping[str, Any] | None, model: str) -> Mapping[str, Any]:
    """What a rule's `calibrate` stored in the baseline, if it is of this model.

    Raises:
        Unavailable: it stored nothing, or thresholds of another model.
    """
    if not stored:
        raise Unavailable("the baseline holds no thresholds for it; build it again")
    if (other := stored.get("model")) != model:
        was = f"model {other!r}" if other else "a model that it does not name"
        raise Unavailable(
            f"the baseline was calibrated with {was}, the settings say {model!r}; build it again"
        )
    return stored
