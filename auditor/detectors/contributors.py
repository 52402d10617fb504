"""Contributors whose labels are not what their rows lead to expect (attacks: flips, injection).

Shows as a sum: over the rows of one contributor, the labels are less likely under a model of
trusted rows than these rows explain. A contributor with hard rows is expected to look bad and is
not blamed for it; what all contributors share is drift and is taken off; honest contributors may
differ as much as trusted ones did, and as much as the middle of the batch does. Misses labels that
the features say nothing about, contributors with only a few bad rows, clean-label poison, and what
most contributors do alike.

Steinhardt, Koh, Liang 2017 and Hovy et al. 2013 (MACE) model senders and their errors; tails, see
`label_residuals`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch, Roles, Shared, as_text, read_columns, texts
from auditor.coded import coded
from auditor.context import Context
from auditor.errors import Unavailable
from auditor.features import Encoder
from auditor.labels.claims import (
    Claim,
    Expected,
    Judged,
    by_sender,
    direction,
    judge_senders,
    suspicion,
)
from auditor.labels.model import Classes, Codes, LabelModel, Model, Scores, out_of_fold
from auditor.labels.residuals import ENOUGH, Softening, trusted_spreads
from auditor.labels.trusted import calibrated_with, trusted_labels
from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table

#: More distinct values than this in a real-valued label make it a target to regress on.
CONTINUOUS = 50
#: Characters of a contributor's name in a finding; a cell may hold megabytes.
NAME = 200
#: Without a baseline: contributors with a p-value up to LOUD are left out of the softening,
#: and it is fitted again, this often at most.
LOUD = 0.05
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-C001.

    `model`: which classifier. `minimum_group`: contributors with fewer rows are judged together.
    `whole`: when all rows of a contributor are named instead of its unlikely ones; `auto`: where
    the estimated share of wrong labels is at least `whole_share`. `report_level`: corrected
    p-value below which a contributor becomes a finding.
    """

    model: Model = "logistic"
    minimum_group: int = 3
    whole: Literal["auto", "always", "never"] = "auto"
    whole_share: float = 0.75
    report_level: float = 0.05


@dataclass(frozen=True, slots=True)
class Trusted:
    """What the baseline gives.

    `spreads`: one a contrast. `known`: who sent trusted rows.
    """

    classes: Classes
    encoder: Encoder
    model: LabelModel
    softening: Softening
    spreads: tuple[float, ...]
    known: frozenset[str]

    @classmethod
    def fit(cls, baseline: Baseline, model: str, seed: int, rule: str, shared: Shared) -> Trusted:
        """Refit on the baseline's sample, deterministically; thresholds are those of `rule`."""
        stored = calibrated_with(baseline.thresholds.get(rule), model)
        classes = Classes(tuple(stored["classes"]))
        fitted = trusted_labels(baseline, classes, model=model, seed=seed, shared=shared)
        softening = Softening(float(stored["temperature"]), float(stored["noise"]))
        spreads = tuple(float(v) for v in stored["spreads"])
        known = frozenset(v for v in baseline.trusted_texts("contributor") if v is not None)
        return cls(classes, fitted.encoder, fitted.model, softening, spreads, known)


@dataclass(frozen=True, slots=True)
class Contributors:
    """AUD-C001."""

    trusted: Trusted | None
    settings: Options
    seed: int
    shared: Shared = field(default_factory=Shared)

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-C001",
        family=Family.CONTRIBUTOR,
        title="Contributors whose labels are not as expected",
        severity=Severity.HIGH,
        effect=Effect.QUARANTINE,
        attacks=("label-flip", "targeted-flip", "injection", "backdoor"),
        references=(
            "Hovy et al. 2013, Learning whom to trust with MACE",
            "Guo et al. 2017, On calibration of modern neural networks",
            "ATLAS AML.T0020",
        ),
        needs=("label", "contributor", "feature"),
    )

    @classmethod
    def load(cls, context: Context) -> Contributors:
        """Works with and without a baseline; without one contributors are held against each other.

        Raises:
            Unavailable: a baseline that was built without this rule.
        """
        settings, baseline = context.options(cls.rule.id, Options), context.baseline
        trusted = None
        if baseline is not None:
            trusted = Trusted.fit(
                baseline, settings.model, context.seed, cls.rule.id, context.shared
            )
        return cls(trusted, settings, context.seed, context.shared)

    @classmethod
    def calibrate(
        cls, sample: pa.Table, roles: Roles, settings: Options, seed: int
    ) -> dict[str, Any]:
        """How sure the model may be, and how much trusted contributors differ."""
        if roles.label is None or roles.contributor is None or not roles.features:
            raise Unavailable("needs a label, a contributor and features")
        labels = as_text(sample.column(roles.label)).to_pylist()
        senders = as_text(sample.column(roles.contributor)).to_pylist()
        classes = _classes(sample.schema, roles.label, labels)
        codes = classes.codes(labels)
        found = _out_of_fold(sample, roles, codes, len(classes.names), senders, settings, seed)
        softening = Softening.fit(found[codes >= 0], codes[codes >= 0])
        order, groups, _ = by_sender(senders, codes)
        chances = softening.apply(found[order])
        return {
            "classes": list(classes.names),
            "model": settings.model,
            "temperature": softening.temperature,
            "noise": softening.noise,
            "spreads": trusted_spreads(chances, codes[order], groups),
        }

    def scan(self, batch: Batch) -> Outcome:
        """At most one finding a contributor, one for the new and one for those with few rows."""
        label, sender = batch.roles.label, batch.roles.contributor
        if label is None or sender is None:
            raise Unavailable("needs a label role and a contributor role")
        senders = texts(batch, sender)
        if not any(value is not None for value in senders):
            raise Unavailable(f"no row has a value in contributor column {sender!r}")
        judged, enough = (
            (judge_labels(lambda: trusted, batch, self.shared, self.settings.model), True)
            if (trusted := self.trusted)
            else self._within(batch, senders)
        )
        if not len(judged.rows):
            raise Unavailable("no row has a label that trusted rows have")
        claims = self._claims(judged, [senders[i] for i in judged.rows.tolist()])
        found = [
            self._finding(judged, claim, calibrated=enough)
            for claim in claims
            if claim.p_value <= self.settings.report_level
        ]
        return Outcome(rule=self.rule.id, findings=tuple(found))

    def _within(self, batch: Batch, senders: Sequence[str | None]) -> tuple[Judged, bool]:
        """No baseline: other contributors stand in, those that stick out are left out of it.

        Also whether there are enough of them to say how honest ones differ.
        """
        label = str(batch.roles.label)
        labels = texts(batch, label)
        classes = _classes(batch.schema, label, labels)
        codes = classes.codes(labels)
        table = read_columns(batch, batch.roles.features)
        found = _out_of_fold(
            table, batch.roles, codes, len(classes.names), senders, self.settings, self.seed
        )
        rows = np.flatnonzero(codes >= 0)
        found, codes = found[rows], codes[rows]
        own = [senders[i] for i in rows.tolist()]
        calm = np.ones(len(rows), dtype=bool)
        for _ in range(ROUNDS):
            softening = Softening.fit(found[calm], codes[calm])
            judged = Judged(classes, rows, codes, softening.apply(found), len(rows))
            loud = [c.places for c in self._claims(judged, own) if c.p_value <= LOUD]
            if not loud or len(np.concatenate(loud)) > len(rows) // 2:
                break
            calm[np.concatenate(loud)] = False
        _, groups, _ = by_sender(own, codes)
        return judged, int((groups.counts >= self.settings.minimum_group).sum()) >= ENOUGH

    def _claims(self, judged: Judged, senders: Sequence[str | None]) -> list[Claim]:
        trusted = self.trusted
        expected = Expected(trusted.spreads, trusted.known) if trusted else Expected()
        return judge_senders(judged, senders, expected, minimum=self.settings.minimum_group)

    def _finding(self, judged: Judged, claim: Claim, *, calibrated: bool) -> Finding:
        rows = judged.take(claim.places)
        share, wrong = suspicion(judged, claim)
        places = self._named(claim, share, wrong)
        carried, likely = direction(rows, wrong)
        unlike = int((rows.chances.argmax(axis=1) != rows.codes).sum())
        expected = float((1.0 - rows.chances.max(axis=1)).sum())
        name = claim.name[:NAME]
        who = f"contributor {name!r}" if claim.members == 1 else f"{claim.members} {name}"
        key, value = (
            ("contributor", name) if claim.members == 1 else ("contributors", claim.members)
        )
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{who}: {unlike} of {len(wrong)} rows carry another label than expected, "
            f"{expected:.1f} by chance; mostly {carried!r} where {likely!r} was expected",
            p_value=claim.p_value,
            evidence={
                key: value,
                "rows_in_group": len(wrong),
                "unlike_expected": unlike,
                "expected": round(expected, 2),
                "estimated_bad": round(share * len(wrong)),
                "carries": carried,
                "looks_like": likely,
                "all_rows": len(places) == len(wrong),
            },
            rows=row_table(rows.rows[places], wrong[places]),
            calibrated=calibrated,
        )

    def _named(self, claim: Claim, share: float, wrong: Scores) -> Codes:
        """Which rows of a claim are set aside: all, or those that are rather wrong than not."""
        whole = self.settings.whole == "always" or (
            # A pool may hold honest contributors; only its unlikely rows are named.
            self.settings.whole == "auto"
            and claim.members == 1
            and share >= self.settings.whole_share
        )
        likely = np.flatnonzero(wrong >= (0.0 if whole else 0.5))
        return likely if len(likely) else np.array([int(wrong.argmax())])


def _out_of_fold(
    table: pa.Table,
    roles: Roles,
    codes: Codes,
    classes: int,
    senders: Sequence[str | None],
    settings: Options,
    seed: int,
) -> Scores:
    """Probabilities from models that saw neither a row nor its contributor."""
    encoder = Encoder.fit(table, roles.features)
    return out_of_fold(
        encoder.transform(table), codes, classes, model=settings.model, seed=seed, groups=senders
    )


def judge_labels(
    trusted: Callable[[], Trusted], batch: Batch, shared: Shared, model: str
) -> Judged:
    """Probabilities of the batch under the trusted model, once for all rules that want them."""
    key = ("labels by the trusted model", model)
    return shared.once(batch, key, lambda: _apply(trusted(), batch))


def _apply(trusted: Trusted, batch: Batch) -> Judged:
    """Probabilities of the batch under the trusted model, chunk by chunk."""
    missing = [c for c in trusted.encoder.names if c not in batch.schema.names]
    if missing:
        raise Unavailable(f"columns of the baseline are missing: {', '.join(missing[:5])}")
    label = str(batch.roles.label)
    code = coded(batch, label).among(trusted.classes.names)
    found = [
        trusted.model.probabilities(trusted.encoder.transform(chunk.data))
        for chunk in batch.chunks(trusted.encoder.names)
    ]
    none = np.zeros((0, len(trusted.classes.names)))  # a batch without rows has no chunk
    rows = np.flatnonzero(code >= 0)
    chances = trusted.softening.apply(np.concatenate([none, *found])[rows])
    return Judged(trusted.classes, rows, code[rows], chances, trusted.model.rows)


def _classes(schema: pa.Schema, label: str, labels: Sequence[str | None]) -> Classes:
    """The classes to model.

    Raises:
        Unavailable: a real-valued target, or fewer than two classes with enough rows.
    """
    if pa.types.is_floating(schema.field(label).type) and len(set(labels)) > CONTINUOUS:
        raise Unavailable(f"label {label!r} is a real number; this rule needs classes")
    classes = Classes.of(labels)
    if len(classes.names) < 2:
        raise Unavailable(f"label {label!r} has fewer than two classes with 10 rows")
    return classes
