"""Who is named and what framing costs, on decisions made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from auditor.batch import Roles, TableBatch
from auditor.model import Effect, Finding, Severity, Verdict, row_table
from auditor.policy import Decided, Decision
from auditor.redteam.planting import Planted
from auditor.redteam.variants import VARIANTS
from bench.detection.accused import accused
from bench.detection.accused_table import print_accused
from bench.detection.cases import bundled, cut

BATCH = TableBatch(
    pa.table({"x": list(range(6)), "label": [0, 1] * 3, "contributor": list("aabbcc")}),
    Roles({"label": ("label",), "contributor": ("contributor",), "feature": ("x",)}),
)


def _decision(*found: tuple[str, str, Effect, list[int]]) -> Decision:
    decided = tuple(
        Decided(
            Finding(
                rule=rule,
                severity=Severity.HIGH,
                message=rule,
                evidence={"contributor": name} if name else {},
                rows=row_table(np.array(rows), 0.9),
            ),
            effect,
            "",
        )
        for rule, name, effect, rows in found
    )
    return Decision(Verdict.QUARANTINE, (), decided)


def _mask(*rows: int) -> np.ndarray:
    return np.isin(np.arange(BATCH.rows), rows)


def _framing(kind: str) -> Planted:
    none = pa.array([None] * BATCH.rows, pa.int64())
    return Planted(
        table=BATCH.table,
        mask=pa.array(_mask(1, 2)),
        origin=none,
        attack="framing",
        description=f"2 {kind}",
    )


def test_only_findings_with_an_effect_name_somebody() -> None:
    decision = _decision(
        ("AUD-C001", "a", Effect.QUARANTINE, [0]),
        ("AUD-G001", "a", Effect.QUARANTINE, [0, 1]),
        ("AUD-C001", "b", Effect.NOTE, [2]),
        ("AUD-T001", "", Effect.QUARANTINE, [4]),
    )
    found = accused(BATCH, decision, _mask(0, 1, 4), None)
    assert found["named"] == {"a": ["AUD-C001", "AUD-G001"]}
    assert found["senders"] == {"a": (2, 2), "c": (2, 1)}
    assert "framed" not in found


def test_rows_of_the_victim_that_are_set_aside_are_counted_without_the_poison() -> None:
    decision = _decision(
        ("AUD-D003", "", Effect.QUARANTINE, [0, 1, 5]), ("AUD-D005", "", Effect.NOTE, [0])
    )
    framing = _framing("mislabelled copies of the rows of 'a', sent by 'b'")
    framed = accused(BATCH, decision, _mask(1, 2), framing)["framed"]
    assert framed == {"victim": "a", "rows": 1, "aside": 1, "rules": {"AUD-D003": 1}}


def test_who_lent_a_name_unasked_sent_no_poison() -> None:
    framing = _framing("mislabelled rows under the name 'a'")
    found = accused(BATCH, _decision(), _mask(1, 2), framing)
    assert found["senders"] == {"b": (2, 1)}
    assert found["framed"] == {"victim": "a", "rows": 1, "aside": 0, "rules": {}}


def test_a_framing_that_names_nobody_is_an_error() -> None:
    with pytest.raises(ValueError, match="nobody is framed"):
        accused(BATCH, _decision(), _mask(1, 2), _framing("rows"))


@pytest.mark.parametrize("attack", ["framing", "framing-minority", "framing-name"])
def test_every_framing_says_whom(attack: str) -> None:
    name, table = next(bundled())
    case = cut(name, table, seed=4)
    planted = VARIANTS[attack](case.batch, case.roles, rows=20, seed=4, trusted=case.trusted)
    mask = planted.mask.to_numpy(zero_copy_only=False)
    framed = accused(case.as_batch(planted.table), _decision(), mask, planted)["framed"]
    honest = case.batch["contributor"].to_pylist().count(framed["victim"])
    assert framed["rows"] == honest > 0


def _record(**changed: Any) -> dict[str, Any]:
    return {
        "set": "s",
        "seed": 3,
        "condition": "alike",
        "attack": "random-flip",
        "size": 0.05,
        "senders": {"a": [10, 8], "b": [9, 9]},
        "named": {"a": ["AUD-C001"], "b": ["AUD-C001"]},
        **changed,
    }


def test_the_table_has_the_shares_their_bounds_and_the_misses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    missed = _record(named={"a": ["AUD-C001"], "x": ["AUD-G001"]})
    print_accused([_record()] * 3 + [missed])
    out = capsys.readouterr().out.splitlines()
    # Three of four: the 95 % lower limit of Clopper and Pearson is .249.
    assert out[3].split() == ["random-flip", "0.05", "4", "2.0", "0.75", "0.25", "0.75", "0.25"]
    assert out[5] == (
        "  random-flip 0.05, s seed 3: b not named (9 of 9 rows poison); honest x named by AUD-G001"
    )


def test_poison_of_everybody_leaves_nobody_to_name(capsys: pytest.CaptureFixture[str]) -> None:
    print_accused([_record(senders={f"c{i}": [5, 1] for i in range(6)})])
    assert capsys.readouterr().out == ""


def test_a_victim_may_lose_one_row_in_a_hundred(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"victim": "v", "rows": 200, "aside": aside, "rules": {}} for aside in (2, 3)]
    records = [_record(attack="framing", framed=one, named={"v": ["AUD-C001"]}) for one in rows]
    print_accused(records)
    line = capsys.readouterr().out.splitlines()[-2].split()
    assert line == ["framing", "0.05", "2", "200", "1.25%", "0.50", "0.97", "1.00", "none"]
