"""What several areas share: the bundled diamonds, a baseline over them, and the context of a run.

Built once a session, and only where a test asks for it.
"""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

from auditor import calibration, samples, suites
from auditor.baseline import Baseline
from auditor.batch import Roles, TableBatch
from auditor.config import detector_options, load
from auditor.context import Context, Record, Sent
from auditor.demo import ROLES
from auditor.detectors.outliers import Options as OutlierOptions
from auditor.texts.signature_list import SignatureList

# No test asserts a time, and a loaded machine misses the default of 200 ms an example.
settings.register_profile("auditor", deadline=None)
settings.load_profile("auditor")

SITE_KEY = b"k" * 32
NOON = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)


def known_bad() -> SignatureList:
    """A list as it is after its signature was verified."""
    return SignatureList(
        name="known-bad",
        version=1,
        digest="0" * 64,
        created_on=NOON,
        expires_on=NOON + dt.timedelta(days=90),
        tokens=frozenset({"zq-trigger"}),
        domains=frozenset({"evil.example"}),
        files=frozenset({"ab" * 32}),
    )


@pytest.fixture(scope="session")
def diamonds_roles() -> Roles:
    return Roles({role: tuple(columns) for role, columns in ROLES.items()})


@pytest.fixture(scope="session")
def diamonds_trusted() -> pa.Table:
    """The oldest 1,500 trusted rows: enough for every rule, and fitted in a second or two."""
    return pq.read_table(samples.trusted()).slice(0, 1500)


@pytest.fixture(scope="session")
def diamonds_clean() -> pa.Table:
    """All incoming rows, 7,100, in which nothing was planted."""
    return pa.concat_tables([pq.read_table(path) for path in samples.incoming()])


@pytest.fixture(scope="session")
def diamonds_settings() -> dict[str, object]:
    """The defaults with small forests: these tests are about behaviour, not about power."""
    settings = dict(detector_options(load(None, {}, strict_permissions=False)))
    return settings | {"AUD-F001": OutlierOptions(trees=4)}


@pytest.fixture(scope="session")
def diamonds_baseline(
    diamonds_trusted: pa.Table, diamonds_roles: Roles, diamonds_settings: dict[str, object]
) -> Baseline:
    plan = calibration.Plan(
        name="diamonds", site_key=SITE_KEY, now=NOON, options=diamonds_settings, resamples=0
    )
    return calibration.build(TableBatch(diamonds_trusted, diamonds_roles), plan)


@pytest.fixture(scope="session")
def diamonds_context(diamonds_baseline: Baseline, diamonds_settings: dict[str, object]) -> Context:
    suite = suites.load(samples.expectations_dir() / "diamonds.json")
    return Context(
        seed=1,
        site_key=SITE_KEY,
        baseline=diamonds_baseline,
        # Two columns of the suite: each expectation costs time in every test.
        expectations=[e for e in suite if e["kwargs"].get("column") in ("carat", "cut")],
        settings=diamonds_settings,
        signatures=known_bad(),
        contributors=in_standing(diamonds_baseline),
        vouched=True,
    )


def in_standing(baseline: Baseline) -> dict[str, Record]:
    """Whoever sent trusted rows has sent thirty good batches before."""
    good = Sent(rows=100, suspicious=0, quarantined=0, certain=0, vouched=True)
    names = {str(name) for name in baseline.trusted_texts("contributor")}
    return {name: Record(batches=(good,) * 30) for name in names}
