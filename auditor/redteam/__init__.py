"""Attacks as seeded pure functions: a clean table in, a poisoned copy with its mask out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from auditor.redteam import backdoor, copies, label_flip, near_copies, out_of_range
from auditor.redteam.campaign import Campaign
from auditor.redteam.planting import Attack, Planted
from auditor.redteam.variants import CAMPAIGNS, OMISSIONS, VARIANTS

#: The attacks of the demo by their names in `auditor.model.ATTACKS`, in its order.
ATTACKS_BY_NAME: Final[Mapping[str, Attack]] = MappingProxyType(
    {
        "label-flip": label_flip.plant,
        "exact-copy": copies.plant_exact,
        "conflicting-copy": copies.plant_conflicting,
        "out-of-range": out_of_range.plant,
        "near-copy": near_copies.plant,
        "backdoor": backdoor.plant,
    }
)

__all__ = ["ATTACKS_BY_NAME", "CAMPAIGNS", "OMISSIONS", "VARIANTS", "Attack", "Campaign", "Planted"]
