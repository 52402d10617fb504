"""Attacks over several batches: the protocol, and how one trigger is planted again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace as with_other
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.redteam.changing import changed
from auditor.redteam.planting import Planted, classes, count_by, plain
from auditor.redteam.trigger import combination, constant, told


class Campaign(Protocol):
    """A pure function: clean batches in order of time in, a poisoned copy of each out.

    `rows` is how many poison rows a batch gets that is poisoned in full; a batch may stay as it
    is, with an empty mask. Raises `Unavailable` where the batches have not what is needed.
    """

    def __call__(
        self,
        batches: Sequence[pa.Table],
        roles: Roles,
        *,
        rows: int,
        seed: int,
        trusted: pa.Table | None = None,
    ) -> tuple[Planted, ...]:
        """Plant the campaign."""
        ...


def same_trigger(
    batches: Sequence[pa.Table],
    roles: Roles,
    rng: np.random.Generator,
    *,
    counts: Sequence[int],
    names: Sequence[Any] | None,
    cells: int,
    trusted: pa.Table | None,
    attack: str,
) -> tuple[Planted, ...]:
    """`counts[i]` rows of batch i get one trigger and one target label, the same in all batches.

    The rows are of the contributors `names`, or of anybody with None.
    """
    if not batches or not any(batch.num_rows for batch in batches):
        raise Unavailable(f"{attack} needs rows to start from")
    whole = pa.concat_tables(batches)
    every = classes(whole, roles, trusted, attack)
    target = every[int(rng.integers(len(every)))]
    trigger = combination(whole, roles, trusted, rng, cells)
    return tuple(
        _stamped(batch, roles, rng, count, names, target, trigger, attack)
        for batch, count in zip(batches, counts, strict=True)
    )


def _stamped(
    batch: pa.Table,
    roles: Roles,
    rng: np.random.Generator,
    count: int,
    names: Sequence[Any] | None,
    target: Any,
    trigger: Mapping[str, Any],
    attack: str,
) -> Planted:
    """One batch: rows of other classes first, then those that carry the target label already."""
    label = str(roles.label)
    labels = plain(batch[label])
    allowed = labels.is_valid().to_numpy().copy()
    if names is not None:
        senders = plain(batch[str(roles.contributor)])
        mine = pc.is_in(senders, value_set=pa.array(names, senders.type))
        allowed &= mine.to_numpy()
    drawn = rng.permutation(np.flatnonzero(allowed))
    same = pc.equal(labels, pa.scalar(target, labels.type)).fill_null(False).to_numpy()
    order = np.argsort(same[drawn], kind="stable")
    rows = np.sort(drawn[order][: max(count, 0)]).astype(np.int64)
    cells = {label: [target] * len(rows), **constant(trigger)(len(rows))}
    planted = changed(batch, rows, cells, attack=attack, description="")
    text = f"{len(rows)} rows with {told(trigger)} carry the label {target!r}"
    return with_other(planted, description=text if len(rows) else "as it was")


def in_all(
    batches: Sequence[pa.Table], roles: Roles, wanted: int, rng: np.random.Generator, attack: str
) -> list[Any]:
    """Contributors who are in every batch; `Unavailable` where there are none."""
    if roles.contributor is None:
        raise Unavailable(f"{attack} needs a contributor role")
    present = [set(count_by(batch[roles.contributor])) for batch in batches]
    common = sorted(set.intersection(*present), key=str) if present else []
    if not common:
        raise Unavailable(f"{attack} needs a contributor who is in every batch")
    return [common[i] for i in rng.permutation(len(common))[: max(wanted, 1)]]
