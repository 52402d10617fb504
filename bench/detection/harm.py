"""What the poison does to a model: trained on clean rows, on all rows, on what the gate published.

A fifth of the clean batch is held out before the attack is planted in the rest. Accuracy is that on
the held-out rows. Attack success is the share of held-out rows of other classes that get the
attacker's label once they carry the trigger (Gu et al.: BadNets, 2017).
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.drill import Gate, quarantined
from auditor.features import Encoder
from auditor.redteam.planting import Attack, replace
from bench.detection.cases import Case
from bench.detection.triggers import Trigger, trigger_of

Mask = npt.NDArray[np.bool_]
Weights = npt.NDArray[np.float32]

HELD_OUT: Final = 0.2
SEED: Final = 0


def _boosting() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=SEED)


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))


MODELS: Final[Mapping[str, Callable[[], Any]]] = {"boosting": _boosting, "logistic": _logistic}
#: What `fit` of each calls the weights.
_WEIGHTS: Final = {"boosting": "sample_weight", "logistic": "logisticregression__sample_weight"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """Shares of held-out rows; NaN where there is no trigger, no model or nobody to fool."""

    success: float
    accuracy: float


def measure(
    case: Case,
    attack: Attack,
    *,
    rows: Callable[[int], int],
    seed: int,
    gate: Gate,
    model: str,
) -> dict[str, dict[str, float]]:
    """`Harm` of the model trained on "clean", "all" and "gate" rows, as plain values.

    `rows` says how many poison rows a batch of so many rows gets. Where the gate published
    nothing there is no model to be harmed: both of its values are NaN.

    Raises:
        Unavailable: the batch has not what the attack needs.
    """
    kept, held = hold_out(case.batch, seed)
    planted = attack(kept, case.roles, rows=rows(kept.num_rows), seed=seed, trusted=case.trusted)
    poison = planted.mask.to_numpy(zero_copy_only=False)
    batch = case.as_batch(planted.table)
    aside = quarantined(gate.decide(batch, gate.outcomes(batch)), batch.rows)
    trigger = trigger_of(planted, kept, case.roles)
    parts = {"clean": ~poison, "all": np.ones_like(poison), "gate": ~aside}
    return {
        name: dataclasses.asdict(trained(case, planted.table, used, held, model, trigger))
        for name, used in parts.items()
    }


def hold_out(table: pa.Table, seed: int) -> tuple[pa.Table, pa.Table]:
    """The rows that stay, in order, and a seeded fifth that no attack and no model sees."""
    order = np.random.default_rng([seed, table.num_rows]).permutation(table.num_rows)
    cut = round(HELD_OUT * table.num_rows)
    held, kept = np.sort(order[:cut]), np.sort(order[cut:])
    return table.take(pa.array(kept)), table.take(pa.array(held))


def trained(
    case: Case,
    table: pa.Table,
    used: Mask,
    held: pa.Table,
    model: str,
    trigger: Trigger | None = None,
    weights: Weights | None = None,
) -> Harm:
    """What a model of the rows `used` does on held-out rows; `weights`: of each row of `table`."""
    label = str(case.roles.label)
    held = held.filter(pc.is_valid(held[label]))
    used = used & pc.is_valid(table[label]).to_numpy()
    rows = table.filter(pa.array(used))
    if not rows.num_rows or not held.num_rows:
        return Harm(success=math.nan, accuracy=math.nan)
    own = None if weights is None else weights[used]
    predict = _fitted(rows, case.roles.features, label, model, own)
    return Harm(
        success=math.nan if trigger is None else _success(predict, held, label, trigger),
        accuracy=float(np.mean(predict(held) == _texts(held, label))),
    )


def _success(
    predict: Callable[[pa.Table], npt.NDArray[np.object_]],
    held: pa.Table,
    label: str,
    trigger: Trigger,
) -> float:
    others = held.filter(pa.array(_texts(held, label) != trigger.target))
    if not others.num_rows:
        return math.nan
    return float(np.mean(predict(_stamped(others, trigger)) == trigger.target))


def _stamped(table: pa.Table, trigger: Trigger) -> pa.Table:
    """The table with the trigger's cells of a random poison row in each row."""
    rng = np.random.default_rng([SEED, table.num_rows])
    drawn = trigger.cells.take(pa.array(rng.integers(trigger.cells.num_rows, size=table.num_rows)))
    for name in drawn.column_names:
        table = replace(table, name, drawn[name])
    return table


def _fitted(
    rows: pa.Table, features: tuple[str, ...], label: str, model: str, weights: Weights | None
) -> Callable[[pa.Table], npt.NDArray[np.object_]]:
    """A function from rows to labels as text: object[n]."""
    # What is to be limited has to be loaded: scikit-learn brings OpenMP.
    import sklearn.ensemble  # noqa: F401
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    encoder = Encoder.fit(rows, features)
    texts = _texts(rows, label)
    names = np.unique(texts)
    if len(names) == 1:
        return lambda asked: np.full(asked.num_rows, names[0], dtype=object)
    more = {} if weights is None else {_WEIGHTS[model]: weights}
    with threadpool_limits(limits=1), warnings.catch_warnings():
        # Not converged after max_iter is a slightly worse model, not a wrong one.
        warnings.simplefilter("ignore")
        codes = np.searchsorted(names, texts)
        fitted = MODELS[model]().fit(encoder.transform(rows), codes, **more)

    def predict(asked: pa.Table) -> npt.NDArray[np.object_]:
        with threadpool_limits(limits=1):
            found: npt.NDArray[np.object_] = names[fitted.predict(encoder.transform(asked))]
        return found

    return predict


def _texts(table: pa.Table, label: str) -> npt.NDArray[np.object_]:
    texts: npt.NDArray[np.object_] = np.array(
        table[label].cast(pa.string()).to_pylist(), dtype=object
    )
    return texts
