"""What others offer, on the same rows: one suspicion a row, higher = worse.

All peers get the same encoded features. One thread each, as ours has. A peer that cannot judge a
batch raises; the trial records it as failed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bench.detection import peers_backdoor, peers_label, peers_outlier
from bench.detection.cases import Case
from bench.detection.views import View

Scores = npt.NDArray[np.float64]
#: A peer: the case (for its trusted rows and roles) and the batch in, float64[rows] out.
Peer = Callable[[Case, pa.Table], Scores]

_ALONE: Final[Mapping[str, Callable[[View], Scores]]] = {
    "cleanlab": peers_label.self_confidence,
    "cleanlab-margin": peers_label.normalized_margin,
    "datalab": peers_label.datalab,
    "datalab-outlier": peers_label.datalab_outlier,
    "datalab-near-duplicate": peers_label.datalab_near_duplicate,
    "knn-disagreement": peers_label.neighbours,
    "ecod": peers_outlier.ecod,
    "iforest": peers_outlier.iforest,
    "iforest-class": peers_outlier.iforest_class,
    "activation-clustering": peers_backdoor.activation_clustering,
    "spectral-signatures": peers_backdoor.spectral,
}
_BESIDE: Final[Mapping[str, Callable[[View], Scores]]] = {
    "ecod-baseline": peers_outlier.ecod_baseline,
    "iforest-baseline": peers_outlier.iforest_baseline,
    "iforest-class-baseline": peers_outlier.iforest_class_baseline,
    "domain-classifier": peers_outlier.domain,
}


def _peer(
    score: Callable[[View], Scores], view: Callable[[Case, pa.Table], View], doc: str | None
) -> Peer:
    def peer(case: Case, table: pa.Table) -> Scores:
        if not table.num_rows:
            return np.zeros(0)
        with _alone_and_quiet():
            return _valid(score(view(case, table)), table.num_rows)

    peer.__doc__ = doc
    return peer


@contextmanager
def _alone_and_quiet() -> Iterator[None]:
    """One thread, and no warnings of other people's code in the middle of a table."""
    # What is to be limited has to be loaded: scikit-learn brings OpenMP and SciPy's OpenBLAS.
    import sklearn.ensemble  # noqa: F401
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _valid(scores: Scores, rows: int) -> Scores:
    """The scores, if there is a number for each row: NaN would rank as never suspicious."""
    if scores.shape != (rows,):
        raise ValueError(f"{scores.shape} scores for {rows} rows")
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} of {rows} scores are not numbers")
    return scores


#: Peers that look at the trusted rows: no match for an audit without a baseline.
NEED_TRUSTED: Final = frozenset(_BESIDE)
PEERS: Final[Mapping[str, Peer]] = MappingProxyType(
    {name: _peer(score, View.alone, score.__doc__) for name, score in _ALONE.items()}
    | {name: _peer(score, View.beside, score.__doc__) for name, score in _BESIDE.items()}
)
