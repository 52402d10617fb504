"""The trust policy as the authority over manifests: closest terms first, at a given time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from auditor.provenance.authority import Terms
from auditor.provenance.dsse import Envelope
from auditor.provenance.manifest import Manifest
from auditor.provenance.refused import Refused
from auditor.provenance.rules import Claim
from auditor.trust import terms, thresholds
from auditor.trust.policy import Source, TrustedKey, TrustPolicy


@dataclass(frozen=True, slots=True)
class Vouched:
    """The keys that signed under `source`, at the time `at`."""

    keys: tuple[TrustedKey, ...]
    source: Source
    at: datetime

    @property
    def signers(self) -> tuple[str, ...]:
        """The ids of the keys that count."""
        return tuple(key.keyid for key in self.keys)

    @property
    def principals(self) -> tuple[str, ...]:
        """Whose keys they are."""
        return tuple(sorted({key.principal for key in self.keys}))

    @property
    def terms(self) -> Terms:
        """What the source has to keep to over many batches."""
        return Terms(
            sequence=self.source.sequence,
            mutable=self.source.mutable,
            rows_named=self.source.row_provenance == "required",
        )

    def claims(self, declared: Manifest, contributors: Mapping[str, int] | None) -> Iterator[Claim]:
        """Where the manifest breaks the source's terms."""
        return terms.claims(self.source, declared, contributors, self.at)


@dataclass(frozen=True, slots=True)
class PolicyAuthority:
    """Holds envelopes against a policy. `at`: now, or the ledger time of a logged document."""

    policy: TrustPolicy
    at: datetime

    def vouched(self, source: str, envelope: Envelope) -> Vouched:
        """The voucher of the closest terms whose threshold is met.

        Raises:
            Refused: SOURCE_UNKNOWN; else why the closest terms were not met.
        """
        first: Refused | None = None
        for candidate in self.policy.candidates(source):
            keys = self.policy.keys_for(candidate)
            try:
                signed = thresholds.require(envelope, keys, candidate.threshold, self.at)
            except Refused as refused:
                first = first or refused
                continue
            return Vouched(signed, candidate, self.at)
        assert first is not None  # there is at least one candidate
        raise first
