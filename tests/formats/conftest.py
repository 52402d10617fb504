"""Reports to render: a realistic one, and builders for hostile and for very large ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from auditor.model import ATTACKS, Scalar
from auditor.report_records import (
    CanaryRecord,
    Charts,
    ContributorRecord,
    ControlRecord,
    DriftRecord,
    FileRecord,
    FindingRecord,
    MapPoint,
    PowerRecord,
    Report,
    RoleRecord,
    RuleRecord,
    Sample,
    SelfMeasurement,
    ShareRecord,
    TimeRecord,
)
from auditor.sample_weight import SampleWeight
from auditor.statistics import wilson

BATCH = "5b1f0c7d" * 8
COLUMNS = (
    ("sample_number", "string"),
    ("observed_at", "timestamp[us]"),
    ("station", "string"),
    ("species", "string"),
    ("island", "string"),
    ("bill_length_mm", "double"),
    ("bill_depth_mm", "double"),
    ("flipper_length_mm", "int64"),
    ("body_mass_g", "int64"),
    ("sex", "string"),
)
RULES = (
    ("AUD-I001", "File that cannot be used", "integrity", "reject", ("tampering",)),
    ("AUD-P001", "No usable signed manifest", "provenance", "hold", ("forgery",)),
    ("AUD-P002", "Batch that does not match its manifest", "provenance", "reject", ("tampering",)),
    ("AUD-Q001", "Expectation not met", "quality", "quarantine", ("out-of-range",)),
    ("AUD-D001", "Exact duplicates", "duplication", "quarantine", ("exact-copy", "replay")),
    ("AUD-D002", "Rows already in the baseline", "duplication", "quarantine", ("replay",)),
    ("AUD-D003", "Conflicting labels", "duplication", "quarantine", ("conflicting-copy",)),
    ("AUD-L001", "Label contradicts features", "label", "quarantine", ("label-flip", "injection")),
    ("AUD-F001", "Outliers", "feature", "quarantine", ("out-of-range", "perturbation")),
)


def penguin(species: str, island: str, bill: float, depth: float, mass: int) -> dict[str, Scalar]:
    return {
        "species": species,
        "island": island,
        "bill_length_mm": bill,
        "bill_depth_mm": depth,
        "flipper_length_mm": 181 + round(bill / 4),
        "body_mass_g": mass,
        "sex": None if mass % 2 else "female",
    }


def sample(row: int, values: dict[str, Scalar], near: int = 0) -> Sample:
    neighbour = {**penguin("Adelie", "Torgersen", 39.1, 18.7, 3750)}
    return Sample(
        row=row,
        file="2025-11/part-0001.parquet",
        file_row=row,
        id=f"N{row}A1",
        suspicion=0.99 - row / 1e5,
        values=values,
        neighbours=tuple({**neighbour, "body_mass_g": 3700 + 40 * at} for at in range(near)),
    )


def rules() -> tuple[RuleRecord, ...]:
    found = {"AUD-Q001": 1, "AUD-D001": 1, "AUD-D003": 1, "AUD-L001": 2, "AUD-F001": 1}
    reasons = {
        "AUD-D002": ("skipped", "needs a baseline with row hashes; this one has none"),
        "AUD-P002": ("skipped", "no manifest to compare with"),
    }
    records = []
    for at, (name, title, family, effect, attacks) in enumerate(RULES):
        status, reason = reasons.get(name, ("ran", ""))
        record = RuleRecord(
            id=name,
            title=title,
            family=family,
            status=status,
            reason=reason,
            effect=effect,
            required=name in ("AUD-I001", "AUD-L001"),
            findings=found.get(name, 0),
            seconds=0.08 * at,
            attacks=attacks,
            references=("Northcutt et al., Confident Learning, 2021",) if at == 7 else (),
        )
        records.append(record)
    return tuple(records)


def finding(rule: str, **changes: object) -> FindingRecord:
    title, family, effect = next((one[1], one[2], one[3]) for one in RULES if one[0] == rule)
    base = FindingRecord(
        id=f"{rule}-1",
        rule=rule,
        title=title,
        family=family,
        severity="medium",
        effect=effect,
        reason="",
        message="",
        p_value=None,
        rows=None,
        evidence={},
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def findings() -> tuple[FindingRecord, ...]:
    flipped = [
        sample(104 + 13 * at, penguin("Gentoo", "Torgersen", 38.6 + at, 17.9, 3651 + 9 * at), 3)
        for at in range(6)
    ]
    twin = penguin("Chinstrap", "Dream", 46.5, 17.9, 3500)
    conflict = [sample(411, twin), sample(412, {**twin, "species": "Adelie"})]
    heavy = [sample(877, penguin("Gentoo", "Biscoe", 47.3, 15.3, 63_000))]
    return (
        finding(
            "AUD-L001",
            severity="high",
            message="178 rows of station-dream carry the label Gentoo where Adelie is expected.",
            reason="More contradicting rows than the baseline's own rate allows.",
            p_value=3.2e-14,
            rows=178,
            evidence={
                "contributor": "station-dream",
                "label": "Gentoo",
                "expected_label": "Adelie",
                "expected_rows": 4.1,
                "estimated_bad_rows": 171,
            },
            samples=tuple(flipped),
        ),
        finding(
            "AUD-L001",
            id="AUD-L001-2",
            effect="note",
            reason="Within the clean rate of the baseline; noted only.",
            message="9 rows of station-biscoe look unlike their label.",
            p_value=0.21,
            rows=9,
            evidence={"contributor": "station-biscoe", "label": "Chinstrap"},
        ),
        finding(
            "AUD-D003",
            severity="high",
            message="14 pairs of rows agree in every feature and differ in the label.",
            reason="The copy that came later is set aside.",
            p_value=8.8e-9,
            rows=14,
            evidence={"contributors": "station-dream, station-torgersen", "pairs": 14},
            samples=tuple(conflict),
        ),
        finding(
            "AUD-D001",
            message="18 rows are exact copies of earlier rows, beyond the baseline's own rate.",
            reason="One of each group stays.",
            p_value=0.00071,
            rows=18,
            evidence={"groups": 6, "largest_group": 5},
            samples=(sample(52, twin), sample(53, twin), sample(54, twin)),
        ),
        finding(
            "AUD-Q001",
            severity="high",
            message="expect_column_values_to_be_between(body_mass_g, 2500, 6500): 4 rows outside.",
            rows=4,
            evidence={"expectation": "expect_column_values_to_be_between", "column": "body_mass_g"},
            samples=tuple(heavy),
        ),
        finding(
            "AUD-F001",
            severity="low",
            effect="note",
            message="31 rows lie outside the trusted range in bill_depth_mm.",
            reason="No rate on clean batches is known for this group.",
            p_value=0.04,
            rows=31,
            evidence={"columns": "bill_depth_mm", "drive": 0.72},
        ),
    )


def charts() -> Charts:
    points = [
        MapPoint(
            x=math.cos(at * 2.4) * (at % 29) / 9 + (3 if at % 3 else -2),
            y=math.sin(at * 2.4) * (at % 31) / 11 + (at % 3),
            quarantined=at % 23 == 0,
        )
        for at in range(240)
    ]
    return Charts(
        contributors=(
            ContributorRecord(
                contributor="station-dream", rows=412, quarantined=191, mean_suspicion=0.4713
            ),
            ContributorRecord(
                contributor="station-torgersen", rows=3820, quarantined=19, mean_suspicion=0.0612
            ),
            ContributorRecord(
                contributor="station-biscoe", rows=5768, quarantined=4, mean_suspicion=0.0488
            ),
        ),
        labels=(
            ShareRecord(label="Adelie", batch=0.4012, baseline=0.4393),
            ShareRecord(label="Chinstrap", batch=0.1951, baseline=0.1977),
            ShareRecord(label="Gentoo", batch=0.4037, baseline=0.363),
        ),
        drift=(
            DriftRecord(column="bill_depth_mm", psi=0.0412),
            DriftRecord(column="body_mass_g", psi=0.3127),
            DriftRecord(column="island", psi=0.1519),
            DriftRecord(column="sex", psi=0.0033),
        ),
        time=tuple(
            TimeRecord(
                start=f"2025-11-{day:02d}T00:00:00Z",
                rows=300 + 37 * (day % 7),
                quarantined=90 if day == 19 else day % 4,
            )
            for day in range(1, 31)
        ),
        map=tuple(points),
    )


def build_report() -> Report:
    files = tuple(
        FileRecord(
            name=f"2025-11/part-{at:04d}.parquet",
            sha256=f"{at:02x}9c4e7a" * 8,
            size=412_331 + 17 * at,
            rows=5000,
            format="parquet",
        )
        for at in (1, 2)
    )
    return Report(
        schema_version=1,
        run="01JD8Z3M6Q0V7W5T2R9K4X1B8C",
        auditor="0.1.0",
        created_at="2025-12-01T06:00:12Z",
        mode="gate",
        verdict="QUARANTINE",
        reasons=(
            "AUD-L001: 178 rows of `station-dream` carry a label that contradicts their features.",
            "AUD-D001, AUD-D003: 32 rows are copies, 14 of them with another label.",
            "AUD-Q001: 4 rows miss an agreed expectation.",
            "AUD-D002 was skipped: it needs a baseline with row hashes.",
        ),
        next_steps=(
            "Look at the rows set aside: `auditor quarantine show 9f2c4b1e`.",
            "Ask who runs `station-dream` what changed on 19 November.",
            "Train on the published rows; check them first with `auditor verify`.",
        ),
        batch_name="penguins-2025-11",
        batch_digest=BATCH,
        batch_kind="folder of parquet files",
        files=files,
        columns=COLUMNS,
        roles=(
            RoleRecord(role="id", columns=("sample_number",), reason="unique in every row"),
            RoleRecord(role="label", columns=("species",), reason="named in auditor.yaml"),
            RoleRecord(role="contributor", columns=("station",), reason="name and 3 values"),
            RoleRecord(role="timestamp", columns=("observed_at",), reason="only timestamp column"),
        ),
        rows_in=10_000,
        rows_published=9_786,
        rows_quarantined=214,
        sample_weight=SampleWeight(share=0.05, rule="AUD-L001", rows=286),
        set_digest="9f2c4b1e" * 8,
        published_digest="77aa01d3" * 8,
        rules=rules(),
        findings=findings(),
        power="in batches of 2,000 rows at least 90 % of planted attacks were caught from so many "
        "poison rows on: backdoor 20. Not up to 250 rows: random-flip.",
        power_by_attack=(
            PowerRecord(
                attack="backdoor", family="trigger", rows=20, caught=6, trials=6, low=0.61, high=1.0
            ),
            PowerRecord(
                attack="random-flip",
                family="label",
                rows=None,
                caught=0,
                trials=1,
                low=0.0,
                high=0.79,
            ),
            PowerRecord(
                attack="sybil",
                family="contributor",
                rows=None,
                caught=0,
                trials=0,
                low=0.0,
                high=1.0,
                reason="sybil needs a contributor role",
            ),
        ),
        false_alarms="On 200 clean resamples of the baseline 0.06 % of rows were set aside "
        "(95 % interval 0.02 to 0.11 %).",
        not_covered=("backdoor", "clean-label", "near-copy", "low-and-slow", "omission"),
        provenance={
            "manifest": "verified",
            "signed_by": "ed25519:4f1d22c09b7a",
            "source": "island-stations",
            "sequence": 41,
            "manifest_digest": "c0ffee12" * 8,
        },
        baseline={"name": "penguins", "parts": 6, "rows": 24_000, "digest": "b45e11ae" * 8},
        charts=charts(),
        reproduce={
            "seed": "HMAC(site key, batch digest)",
            "config_digest": "c0de77aa" * 8,
            "python": "3.11.9",
            "pyarrow": "20.0.0",
            "sandbox": "limits only",
        },
        settings={
            "gate": {"fail_on": "quarantine", "unsigned": "hold"},
            "detectors": {"AUD-L001": {"model": "logistic", "folds": 5}},
            "family_error": 0.01,
        },
        seconds=4.218,
        self_measurement=measured(),
    )


def measured() -> SelfMeasurement:
    def canary(family: str, name: str, planted: int, found: int, **changes: object) -> CanaryRecord:
        low, high = (round(bound, 4) for bound in wilson(found, planted))
        known = {"low": low, "high": high, "sure": False, "seeds": 1, "missed": False}
        return CanaryRecord(
            family=family, canary=name, planted=planted, found=found, **{**known, **changes}
        )

    return SelfMeasurement(
        said="2 of 3 kinds of canaries were seen in shadow copies of the batch. "
        "Not planted: numbers far outside.",
        canaries=(
            canary("integrity", "a new column", 1, 1, sure=True),
            canary("trigger", "an exact trigger", 120, 0, sure=True, seeds=2, missed=True),
            canary("label", "other labels", 60, 60),
            canary("feature", "numbers far outside", 0, 0, seeds=0, reason="time was used up"),
        ),
        control=ControlRecord(
            part="2025-10",
            rows=2000,
            set_aside=1,
            low=0.0001,
            high=0.0028,
            families=("trigger", "duplication"),
        ),
        rows=2000,
        seconds=0.62,
        share=0.147,
    )


def with_text(report: Report, text: str) -> Report:
    """Return the report with `text` in every place that can hold text of a batch."""
    first = report.findings[0]
    seen = Sample(
        row=1,
        file=text,
        file_row=1,
        id=text,
        suspicion=0.9,
        values={text: text, "species": text},
        neighbours=({text: "plain", "species": text + "x"},),
    )
    bad = replace(
        first,
        title=text,
        message=text,
        reason=text,
        evidence={"contributor": text, text: text},
        samples=(seen,),
    )
    chart = report.charts
    return replace(
        report,
        batch_name=text,
        batch_kind=text,
        reasons=(text, f"`{text}`", text),
        next_steps=(text,),
        power=text,
        self_measurement=hostile_measurement(report.self_measurement, text),
        power_by_attack=(
            replace(report.power_by_attack[-1], attack=text, family=text, reason=text),
        ),
        false_alarms=text,
        not_covered=(text,),
        not_judged=(text,),
        files=(replace(report.files[0], name=text, notes=(text,), refused=text, format=text),),
        columns=((text, text),),
        roles=(RoleRecord(role=text, columns=(text,), reason=text),),
        rules=tuple(replace(one, reason=text, title=text) for one in report.rules),
        findings=(bad, *report.findings[1:]),
        provenance={text: text},
        baseline={text: text},
        reproduce={text: text},
        settings={text: [text, {text: text}]},
        charts=replace(
            chart,
            contributors=(replace(chart.contributors[0], contributor=text),),
            labels=(replace(chart.labels[0], label=text),),
            drift=(replace(chart.drift[0], column=text),),
            time=(replace(chart.time[0], start=text),),
        ),
    )


def hostile_measurement(own: SelfMeasurement, text: str) -> SelfMeasurement:
    return replace(
        own,
        said=text,
        canaries=tuple(replace(one, family=text, canary=text, reason=text) for one in own.canaries),
        control=replace(own.control, part=text, families=(text,)),
    )


def largest(report: Report, text: str) -> Report:
    """Return a report with far more of everything than a page can hold, each cell being `text`."""
    values: dict[str, Scalar] = {f"{text}{at}": text for at in range(60)}
    rows = tuple(
        Sample(
            row=at,
            file=text,
            file_row=at,
            id=text,
            suspicion=1.0,
            values=values,
            neighbours=(values,) * 5,
        )
        for at in range(30)
    )
    one = replace(
        report.findings[0],
        message=text,
        reason=text,
        rows=10**6,
        evidence={f"{text}{at}": text for at in range(200)},
        samples=rows,
    )
    chart = report.charts
    return replace(
        report,
        reasons=(text,) * 300,
        next_steps=(text,) * 300,
        files=tuple(
            replace(report.files[0], name=f"{text}{at}", notes=(text,) * 9) for at in range(3000)
        ),
        columns=((text, text),) * 5000,
        roles=report.roles * 500,
        rules=tuple(replace(rule, reason=text) for rule in report.rules * 100),
        findings=(one,) * 400,
        not_covered=tuple(ATTACKS) * 50,
        not_judged=tuple(ATTACKS) * 50,
        self_measurement=replace(
            hostile_measurement(report.self_measurement, text),
            canaries=report.self_measurement.canaries * 1000,
        ),
        provenance={f"{text}{at}": text for at in range(2000)},
        reproduce={f"{text}{at}": text for at in range(2000)},
        settings={f"{text}{at}": text for at in range(2000)},
        charts=Charts(
            contributors=chart.contributors * 4000,
            labels=tuple(replace(chart.labels[0], label=text) for _ in range(10_000)),
            drift=tuple(replace(chart.drift[0], column=text) for _ in range(10_000)),
            time=chart.time * 1000,
            map=chart.map * 450,
        ),
    )


@pytest.fixture(scope="session")
def report() -> Report:
    return build_report()


@pytest.fixture(scope="session")
def hostile() -> Callable[[str], Report]:
    return lambda text: with_text(build_report(), text)


@pytest.fixture(scope="session")
def enormous() -> Callable[[str], Report]:
    return lambda text: largest(build_report(), text)
