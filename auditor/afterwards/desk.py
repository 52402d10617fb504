"""Where people decide about rows set aside: the site, its trust policy, the time. Shell."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from auditor import site_suppressions, suites
from auditor.afterwards import quarantined
from auditor.afterwards.quarantined import Aside
from auditor.attesting import settings_digest
from auditor.batch import OWN, as_text
from auditor.config import Settings
from auditor.errors import ConfigError, TrustError
from auditor.ledger import Ledger
from auditor.lifecycle import decisions
from auditor.lifecycle.decisions import About
from auditor.provenance.codes import CODES
from auditor.provenance.refused import Refused
from auditor.provenance.sequence import compare_clock
from auditor.roles import recorded
from auditor.site import workspace
from auditor.site_ledger import ledger_of
from auditor.trust.policy import TrustPolicy
from auditor.trust_files import Pinned, in_force
from auditor.workspace import Workspace

#: How long an emergency release lasts unless a second person stands by it.
BREAK_GLASS: Final = dt.timedelta(hours=24)


class NotDecided(TrustError):
    """A decision does not count, or cannot be made; carries a stable `code`, says what to do."""

    def __init__(self, refused: Refused) -> None:
        """Put the remedy of the code behind the message."""
        super().__init__(f"{refused} {CODES[refused.code].remedy}")
        self.code = refused.code


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where decisions are made: the site's folders and ledger, its trust policy, the time."""

    settings: Settings
    roots: Workspace
    ledger: Ledger
    policy: TrustPolicy | None
    policy_sha256: str
    now: dt.datetime

    @classmethod
    def of(cls, settings: Settings, now: dt.datetime) -> Desk:
        """The desk of a site.

        Raises:
            ConfigError, TrustError: the settings, or the trust policy, cannot be used.
        """
        roots = workspace(settings)
        ledger = ledger_of(settings)
        suite: Sequence[Mapping[str, Any]] | None = None
        if settings.expectations is not None:
            suite = suites.load(settings.expectations)
        return cls(
            settings=settings,
            roots=roots,
            ledger=ledger,
            policy=_policy(settings, ledger, now),
            policy_sha256=settings_digest(settings, suite, site_suppressions.digest_of(settings)),
            now=now.replace(microsecond=0),
        )

    def find(self, prefix: str) -> Aside:
        """The set that a run set aside; see `quarantined.find`."""
        return quarantined.find(prefix, self.roots, self.ledger)

    def refusal(self, aside: Aside, refused: Refused, what: str) -> NotDecided:
        """Log that something was refused; returns what is to be raised."""
        self.ledger.append(
            "error",
            at=self.now,
            via="cli",
            subject=aside.logged.report.batch_digest,
            refs=[aside.set_sha256],
            run=aside.run,
            detail={"code": refused.code, "refused": what},
        )
        return NotDecided(refused)

    def require_clock(self) -> None:
        """Refuse to act under a clock that is behind the ledger: what is over would count again.

        Raises:
            NotDecided: CLOCK_ROLLBACK.
        """
        for claim in compare_clock(self.ledger.latest(), self.now):
            raise NotDecided(Refused(claim.code, claim.message))

    def releasers(self) -> TrustPolicy:
        """The trust policy; raises `ConfigError` where nobody is named who may decide."""
        if self.policy is None or not self.policy.roles.releaser.principals:
            raise ConfigError(
                "who may decide about these rows is in the trust policy, under roles.releaser: "
                "make one with `auditor trust init` and set trust.policy and trust.sha256"
            )
        return self.policy

    def about(self, aside: Aside, request: str | None = None) -> About:
        """What a decision about a set has to name, as things stand."""
        return About(
            set_sha256=aside.set_sha256,
            batch=aside.logged.resource,
            batch_sha256=aside.logged.report.batch_digest,
            policy_sha256=self.policy_sha256,
            request_sha256=request,
            entry_sha256=aside.first.leaf.hex(),
        )

    def barred(self, aside: Aside) -> frozenset[str]:
        """Who may not decide: who sent these rows, or may speak for who did."""
        told = aside.logged.report.provenance
        source = told.get("source")
        names = {*str(told.get("principals", "")).split(), *_contributors(aside)}
        return decisions.barred(self.releasers(), str(source) if source else None, names)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a key file; `passphrase_env` names the variable that holds its passphrase."""

    key: Path
    passphrase_env: str | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """Why: a code of `decisions.REASONS`, words, and digests of what was looked at."""

    code: str
    reason: str
    evidence: tuple[str, ...] = ()


def _contributors(aside: Aside) -> frozenset[str]:
    """Contributor ids of the rows, as text."""
    import pyarrow.compute as pc

    roles = recorded(aside.logged.report.roles)
    columns = (*roles.columns("contributor"), *roles.columns("annotator"))
    table = aside.table()
    found: set[str] = set()
    for column in columns:
        if column in table.column_names and not column.startswith(OWN):
            found |= set(as_text(pc.unique(table.column(column)).drop_null()).to_pylist())
    return frozenset(found)


def _policy(settings: Settings, ledger: Ledger, now: dt.datetime) -> TrustPolicy | None:
    trust = settings.trust
    if trust.policy is None or trust.sha256 is None:
        return None
    return in_force(Pinned(trust.policy, trust.sha256), ledger, at=now, via="cli")
