"""How many threads numerical libraries may use while a model is fitted."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any


def threads(limit: int) -> AbstractContextManager[Any]:
    """At most `limit` threads of OpenMP and BLAS in this block.

    Threads of boosting wait for each other busily: with the default number they are 100 times
    slower on a small loaded machine. With one, sums are added in the same order each time.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[Any] = threadpool_limits(limits=limit)
    return limits
