"""Every attack and variant on a single table, by the name a benchmark prints."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from auditor.redteam import (
    availability,
    backdoor,
    backdoor_jittered,
    backdoor_out_of_bounds,
    baseline_poisoning,
    bias,
    boundary_flip,
    clean_label,
    collision,
    concentrated,
    copies,
    denial,
    framing,
    gate_evasion,
    low_and_slow,
    near_copies,
    omission,
    out_of_distribution,
    out_of_range,
    perturbation,
    privacy_copy,
    random_flip,
    regression,
    reputation_farming,
    sybil,
    targeted_flip,
    unit_change,
)
from auditor.redteam.campaign import Campaign
from auditor.redteam.planting import Attack

#: `Planted.attack` is the name in `model.ATTACKS`, which several variants may share.
#: Flips, backdoors and disturbed rows change rows of the batch; copies, Sybils and what is out of
#: range add rows. Whoever needs other parameters calls the module's `plant`.
VARIANTS: Final[Mapping[str, Attack]] = MappingProxyType(
    {
        "random-flip": random_flip.plant,
        "random-flip-spread": partial(random_flip.plant, contributors=None),
        "targeted-flip": targeted_flip.plant,
        "targeted-flip-slice": partial(targeted_flip.plant, region="slice"),
        "boundary-flip": boundary_flip.plant,
        "sybil": sybil.plant,
        "near-copy": near_copies.plant,
        "near-copy-other-label": partial(near_copies.plant, label="other"),
        "backdoor": partial(backdoor.plant, place="changed", contributors=2),
        "backdoor-spread": partial(backdoor.plant, place="changed", contributors=None),
        "backdoor-added": partial(backdoor.plant, place="added", contributors=2),
        "backdoor-one-cell": partial(backdoor.plant, cells=1, place="changed", contributors=2),
        "backdoor-two-cells": partial(backdoor.plant, cells=2, place="changed", contributors=2),
        "backdoor-common-values": partial(
            backdoor.plant, common=0.02, place="changed", contributors=2
        ),
        "backdoor-out-of-bounds": backdoor_out_of_bounds.plant,
        "backdoor-jittered": backdoor_jittered.plant,
        "backdoor-jittered-spread": partial(backdoor_jittered.plant, contributors=None),
        "clean-label": clean_label.plant,
        "clean-label-spread": partial(clean_label.plant, contributors=None),
        "perturbation": perturbation.plant,
        "out-of-distribution": out_of_distribution.plant,
        "out-of-distribution-spread": partial(out_of_distribution.plant, contributors=None),
        "out-of-range": out_of_range.plant,
        "exact-copy": copies.plant_exact,
        "conflicting-copy": copies.plant_conflicting,
        "privacy-copy": privacy_copy.plant,
        "unit-change": unit_change.plant,
        "unit-change-1000": partial(unit_change.plant, factor=1000.0),
        "availability": availability.plant,
        "collision": collision.plant,
        "concentrated": concentrated.plant,
        "regression": regression.plant,
        "bias": bias.plant,
        "gate-evasion": gate_evasion.plant,
        "framing": framing.plant,
        "framing-minority": partial(framing.plant, kind="minority"),
        "framing-name": partial(framing.plant, kind="name"),
        "denial": denial.plant,
    }
)

#: What leaves rows out: no row is poison, so that there is nothing to find row by row.
OMISSIONS: Final[Mapping[str, Attack]] = MappingProxyType(
    {
        "omission": omission.plant,
        "omission-contributor": partial(omission.plant, what="contributor"),
        "omission-slice": partial(omission.plant, what="slice"),
    }
)

#: Attacks over several batches, by their names in `model.ATTACKS`.
CAMPAIGNS: Final[Mapping[str, Campaign]] = MappingProxyType(
    {
        "low-and-slow": low_and_slow.plant_over,
        "reputation-farming": reputation_farming.plant_over,
        "baseline-poisoning": baseline_poisoning.plant_over,
    }
)
