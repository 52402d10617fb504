"""Which rules a profile runs, for `audit` and for the gate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from auditor.config import Settings
from auditor.detectors import DEEP, DETECTORS, EVERY, in_profile
from auditor.model import Family, Mode
from auditor.run import Job

ONLY_DEEP = {d.rule.id for d in DEEP}


@pytest.fixture
def small(site: Any) -> Any:
    """A site whose batch is read, and rules that fit models are switched off but one."""
    names = [d.rule.id for d in EVERY if d.rule.id not in ("AUD-D001", "AUD-N002")]
    site.configure(detectors={name: {"enabled": False} for name in names})
    return site


def rows_of(count: int, seed: int) -> pa.Table:
    """Rows like the trusted ones: the label follows from x."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, count)).round(6)
    who = [f"lab-{i:02d}" for i in rng.integers(0, 12, count)]
    names = [f"n{seed}-{i}" for i in range(count)]
    return pa.table(
        {"id": names, "x": x, "y": y, "who": who, "label": np.where(x > 0, "up", "down")}
    )


def rules(site: Any) -> dict[str, str]:
    return {rule["id"]: rule["status"] for rule in site.report()["rules"]}


def test_the_standard_profile_has_no_deep_rule() -> None:
    assert {d.rule.id for d in DEEP if d.rule.family == Family.INFLUENCE} == ONLY_DEEP
    assert not ONLY_DEEP & {d.rule.id for d in DETECTORS}
    standard, deep = in_profile("standard"), in_profile("deep")
    assert standard == DETECTORS
    assert deep == (*DETECTORS, *DEEP)


def test_a_job_runs_the_profile_of_its_settings_unless_it_names_detectors() -> None:
    deep = Settings(profile="deep")
    assert Job(settings=Settings(), mode=Mode.GATE).chosen == DETECTORS
    assert Job(settings=deep, mode=Mode.GATE).chosen == EVERY
    assert Job(settings=deep, mode=Mode.GATE, detectors=DETECTORS[:1]).chosen == DETECTORS[:1]


def test_audit_runs_what_its_profile_says(small: Any) -> None:
    small.call("audit", "trusted.parquet", "-q")
    assert not ONLY_DEEP & set(rules(small))
    small.call("audit", "trusted.parquet", "-q", "--profile", "deep")
    assert rules(small)["AUD-N002"] == "ran"
    assert rules(small)["AUD-N001"] == "skipped"  # switched off
    assert small.report()["settings"]["profile"] == "deep"


def test_the_gate_runs_the_profile_of_the_settings_and_audit_may_run_less(small: Any) -> None:
    small.configure(profile="deep")
    small.call("gate", "trusted.parquet", "-q")
    assert rules(small)["AUD-N002"] == "ran"
    small.call("audit", "trusted.parquet", "-q", "--profile", "standard")
    assert not ONLY_DEEP & set(rules(small))


def test_a_required_deep_rule_is_missed_in_the_standard_profile(small: Any) -> None:
    small.configure(policy={"required": ["AUD-N002"]})
    small.write("new.parquet", rows_of(300, 7))
    done = small.call("gate", "new.parquet", "-q")
    assert done.code == 12
    assert "AUD-N002 is required and is not enabled" in small.report()["reasons"]
    small.configure(profile="deep")
    assert small.call("gate", "new.parquet", "-q").code == 0


def test_rules_of_another_profile_do_not_count_as_switched_on(small: Any) -> None:
    small.configure(detectors={d.rule.id: {"enabled": False} for d in DETECTORS})
    done = small.call("gate", "trusted.parquet")
    assert (done.code, "every rule is switched off" in done.err) == (2, True)
