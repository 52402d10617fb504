"""A classifier of labels fitted on the baseline's sample, once for all rules of a run."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.baseline import Baseline
from auditor.batch import Shared, as_text
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
