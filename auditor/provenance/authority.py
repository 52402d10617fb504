"""Whose signatures count for a source, and on which terms: what verification has to be told.

`ConfiguredKeys` is the plain form, keys and one threshold in the settings. The trust policy
(`auditor.trust.authority`) is the full one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from auditor.provenance import dsse
from auditor.provenance.dsse import Envelope
from auditor.provenance.keys import PublicKey
from auditor.provenance.manifest import Manifest
from auditor.provenance.refused import Refused, printable
from auditor.provenance.rules import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a source has to keep to over many batches. None: what the site's settings say."""

    sequence: Literal["strict", "monotonic"] | None = None
    mutable: bool | None = None
    rows_named: bool = False  # each row must name its contributor


class Voucher(Protocol):
    """That a source vouches for an envelope, and what it may be vouched for."""

    @property
    def signers(self) -> tuple[str, ...]:
        """The ids of the keys that count."""
        ...

    @property
    def principals(self) -> tuple[str, ...]:
        """Whose keys they are; empty where that is not known."""
        ...

    @property
    def terms(self) -> Terms:
        """What the source has to keep to over many batches."""
        ...

    def claims(self, declared: Manifest, contributors: Mapping[str, int] | None) -> Iterable[Claim]:
        """Where the manifest breaks the source's terms."""
        ...


class Authority(Protocol):
    """Knows which signatures a source needs."""

    def vouched(self, source: str, envelope: Envelope) -> Voucher:
        """Demand the signatures of a source.

        Raises:
            Refused: SOURCE_UNKNOWN, SIGNATURE_THRESHOLD or a KEY code.
        """
        ...


@dataclass(frozen=True, slots=True)
class Signed:
    """Enough configured keys signed; such keys come with no terms and no names."""

    signers: tuple[str, ...]
    principals: tuple[str, ...] = ()
    terms: Terms = Terms()

    def claims(
        self,
        declared: Manifest,  # noqa: ARG002 - there are no terms to hold it against
        contributors: Mapping[str, int] | None,  # noqa: ARG002
    ) -> Iterable[Claim]:
        """None."""
        return ()


@dataclass(frozen=True, slots=True)
class ConfiguredKeys:
    """Source -> keys, and how many of them must have signed."""

    keys: Mapping[str, Sequence[PublicKey]]
    threshold: int = 1

    def __post_init__(self) -> None:
        """Refuse a threshold that would accept anything (ValueError)."""
        if self.threshold < 1:
            raise ValueError("the threshold must be at least 1")

    def vouched(self, source: str, envelope: Envelope) -> Voucher:
        """See `Authority`."""
        if source not in self.keys:
            text = f'No keys are configured for "{printable(source)}".'
            raise Refused("SOURCE_UNKNOWN", text)
        keys = self.keys[source]
        return Signed(
            dsse.verify(envelope, keys=keys, threshold=self.threshold, payload_type=dsse.IN_TOTO)
        )
