"""Addresses that a batch was collected from, and whether they gave the same bytes before.

Whoever buys an expired domain, or answers a crawler otherwise than the people who looked (split
view, frontrunning), shows as an address with another digest. Nothing is fetched here: what is
compared is what signed manifests say.

Carlini et al. 2024, Poisoning Web-Scale Training Datasets is Practical.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from auditor.provenance.digests import sha256
from auditor.provenance.fields import Fields
from auditor.provenance.manifest import Manifest
from auditor.provenance.refused import printable
from auditor.provenance.rules import Claim


def addresses(declared: Manifest) -> Iterator[tuple[str, str]]:
    """(URI, sha256 of what it gave) of each address that the manifest names, in its order."""
    collection = Fields(declared.predicate, "predicate").optional_section("collection")
    if collection is not None and collection.has("uris"):
        for entry in collection.sections("uris"):
            yield entry.text("uri"), entry.digest("digest")


def address_key(source: str, uri: str) -> str:
    """What stands for a source's address in the log: a digest, for an address may name a person.

    By source: another supplier's word on an address must not get this one's batches refused.
    """
    return sha256(f"{source}\n{uri}".encode())


def compare_addresses(declared: Manifest, seen: Mapping[str, tuple[str, str]]) -> Iterator[Claim]:
    """Every address that gave something else before, or twice different in one manifest.

    `seen`: `address_key` -> (sha256, when it was seen first).
    """
    own: dict[str, str] = {}
    for uri, digest in addresses(declared):
        before, when = seen.get(address_key(declared.source, uri), (digest, ""))
        if own.setdefault(uri, digest) != digest:
            before, when = own[uri], "in this manifest"
        if before != digest:
            text = f'"{printable(uri)}" gave {digest}, and {before} before ({when}).'
            told = {"uri": uri, "declared": digest, "before": before, "first_seen": when}
            yield Claim("URI_DIGEST_CHANGED", text, told)
