"""AUD-C003: standing over batches, the cap of newcomers, records that are bad."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from auditor.batch import Roles, TableBatch
from auditor.context import Context, Record, Sent, subject_of
from auditor.detectors.reputation import Options, Reputation, Standing
from auditor.errors import Unavailable
from auditor.model import Effect, Outcome
from auditor.policy import Policy, decide

ROLES = Roles({"feature": ("x",), "contributor": ("who",)})
GOOD = Sent(rows=50, suspicious=0, quarantined=0, certain=0, vouched=True)
BAD = Sent(rows=50, suspicious=9, quarantined=9, certain=9, vouched=True)
DOUBTED = Sent(rows=50, suspicious=9, quarantined=9, certain=0, vouched=True)
CLAIMED = Sent(rows=50, suspicious=0, quarantined=0, certain=0, vouched=False)
TINY = Sent(rows=1, suspicious=0, quarantined=0, certain=0, vouched=True)


def scan(
    senders: list[str | None],
    records: dict[str, list[Sent]],
    options: Options | None = None,
    *,
    vouched: bool = True,
    seed: int = 1,
) -> Outcome:
    context = Context(
        seed=seed,
        vouched=vouched,
        contributors={subject_of(n): Record(batches=tuple(b)) for n, b in records.items()},
        settings={"AUD-C003": options or Options()},
    )
    table = pa.table({"x": np.arange(len(senders)), "who": pa.array(senders, pa.string())})
    return Reputation.load(context).scan(TableBatch(table, ROLES))


def lower(*batches: Sent) -> float:
    return Standing.of(Record(batches=batches), Options()).lower


def test_standing_is_earned_over_many_batches() -> None:
    assert lower() == pytest.approx(0.05)
    assert lower(*[GOOD] * 5) < 0.8 <= lower(*[GOOD] * 16)


@pytest.mark.parametrize("worthless", [CLAIMED, TINY, DOUBTED])
def test_what_earns_nothing(worthless: Sent) -> None:
    assert lower(*[worthless] * 100) == pytest.approx(0.05)


def test_size_does_not_matter() -> None:
    huge = Sent(rows=10**6, suspicious=0, quarantined=0, certain=0, vouched=True)
    assert lower(huge) == lower(GOOD)


def test_a_bad_batch_costs_the_standing_and_is_forgotten_slowly() -> None:
    assert lower(*[GOOD] * 30, BAD, BAD) < 0.8
    assert lower(BAD, BAD, *[GOOD] * 200) >= 0.8


def test_newcomers_share_one_cap() -> None:
    records = {"old": [GOOD] * 30}
    senders: list[str | None] = ["old"] * 80 + [f"new-{i}" for i in range(20)]
    assert scan(senders, records).findings == ()
    (found,) = scan([*senders, *[f"more-{i}" for i in range(20)]], records).findings
    assert found.rows is not None
    rows = set(found.rows.column("row").to_pylist())
    assert len(rows) == 20
    assert min(rows) >= 80
    assert found.evidence["newcomers"] == 40


def test_nobody_can_choose_the_rows_that_stay() -> None:
    records = {"old": [GOOD] * 30}
    senders: list[str | None] = ["old"] * 80 + [f"new-{i}" for i in range(60)]
    sets = []
    for seed in (1, 1, 2):
        (found,) = scan(senders, records, seed=seed).findings
        assert found.rows is not None
        sets.append(found.rows.column("row").to_pylist())
    assert sets[0] == sets[1] != sets[2]


def test_rows_without_a_name_are_newcomers() -> None:
    (found,) = scan(["old"] * 10 + [None] * 20, {"old": [GOOD] * 30}).findings
    assert found.evidence["rows_of_newcomers"] == 20


def test_without_limit_nothing_is_over_it() -> None:
    assert scan(["new"] * 10, {"old": [GOOD] * 30}, Options(newcomers=1.0)).findings == ()


def test_a_bad_record_is_named() -> None:
    records = {"old": [GOOD] * 30, "bad": [BAD] * 4}
    found = scan(["old"] * 90 + ["bad"] * 10, records).findings
    assert [f.evidence.get("contributor") for f in found] == ["bad"]
    assert found[0].rows is not None
    assert found[0].rows.column("row").to_pylist() == list(range(90, 100))


def test_it_is_noted_unless_the_policy_says_otherwise() -> None:
    outcome = scan(["old"] * 60 + ["new"] * 40, {"old": [GOOD] * 30})
    rules = {Reputation.rule.id: Reputation.rule}
    noted = decide([outcome], rules=rules, policy=Policy(), rows=100)
    assert noted.verdict == "ACCEPT"
    strict = Policy(effects={"AUD-C003": Effect.QUARANTINE})
    assert decide([outcome], rules=rules, policy=strict, rows=100).verdict == "QUARANTINE"


def test_names_that_nobody_vouches_for_have_no_standing() -> None:
    with pytest.raises(Unavailable, match="no signed roll"):
        scan(["old"] * 10, {"old": [GOOD] * 30}, vouched=False)
    with pytest.raises(Unavailable, match="earned a standing"):
        scan(["old"] * 10, {"old": [CLAIMED] * 30})
    with pytest.raises(Unavailable, match="earlier batches"):
        scan(["old"] * 10, {})
