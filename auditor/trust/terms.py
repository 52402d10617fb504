"""A manifest against the terms of its source: who supplies what, from where, how much, how old.

A restriction holds for what is left out, too: where the policy names licences, a manifest without
one breaks the terms. Otherwise leaving the field out would be the way around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final
from urllib.parse import unquote, urlsplit

from auditor.provenance.fields import Fields
from auditor.provenance.manifest import Manifest
from auditor.provenance.refused import printable
from auditor.provenance.rules import Claim
from auditor.provenance.times import format_time
from auditor.trust.policy import Source

_NOTHING: Final = Fields({}, "predicate")


def claims(
    source: Source, declared: Manifest, contributors: Mapping[str, int] | None, now: datetime
) -> Iterator[Claim]:
    """Every term that the manifest breaks.

    Args:
        source: the terms.
        declared: a manifest that obeys the format.
        contributors: id -> rows of the batch, None where no column names the contributor.
        now: the time, with its zone.
    """
    predicate = Fields(declared.predicate, "predicate")
    supplier = _text(predicate, "supplier", "id")
    licence, method = _text(predicate, "license", "spdx"), _text(predicate, "collection", "method")
    yield from _allowed("SUPPLIER", "supplier", supplier, source.suppliers)
    yield from _allowed("LICENCE", "licence", licence, source.licenses)
    yield from _allowed("METHOD", "collection method", method, source.methods)
    yield from _allowed("SCHEMA", "schema", declared.schema_sha256, source.schema)
    yield from _uris(source, predicate)
    yield from _contributors(source, declared, contributors)
    yield from _limits(source, declared)
    yield from _age(source, declared, now)


def within(uri: str, prefix: str) -> bool:
    """Whether a URI lies below a prefix that ends in "/", however it is read.

    Host and port are compared as a whole, and a path with dot segments, backslashes or an encoded
    slash is below nothing: what a server makes of it is not what it looks like.
    """
    try:
        got, allowed = urlsplit(uri), urlsplit(prefix)
        same = (got.scheme, got.netloc.lower()) == (allowed.scheme, allowed.netloc)
    except ValueError:
        return False
    path = unquote(got.path)
    plain = unquote(path) == path and "\\" not in path and "%2f" not in got.path.lower()
    steps = path.split("/")
    return same and plain and not {".", ".."} & set(steps) and path.startswith(allowed.path)


def _text(predicate: Fields, section: str, name: str) -> str | None:
    """A text of an optional section; what has another type is as good as not there."""
    found = predicate.values.get(section)
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, str) else None


def _allowed(
    code: str, what: str, value: str | None, allowed: frozenset[str] | None
) -> Iterator[Claim]:
    if allowed is None or value in allowed:
        return
    found = "none is declared" if value is None else f'"{printable(value)}" is declared'
    text = f"The {what} is not one that the source may have: {found}."
    yield Claim(code, text, {"declared": value, "allowed": " ".join(sorted(allowed))})


def _uris(source: Source, predicate: Fields) -> Iterator[Claim]:
    if source.uri_prefixes is None:
        return
    collection = predicate.optional_section("collection") or _NOTHING
    uris = list(collection.sections("uris")) if collection.has("uris") else []
    if not uris:
        text = "The source is bound to addresses, and the manifest names none."
        yield Claim("URI_PREFIX", text)
    for entry in uris:
        uri = entry.text("uri")
        if not any(within(uri, prefix) for prefix in source.uri_prefixes):
            text = f'"{printable(uri)}" is not an address that the source may collect from.'
            yield Claim("URI_PREFIX", text, {"uri": uri})


def _contributors(
    source: Source, declared: Manifest, contributors: Mapping[str, int] | None
) -> Iterator[Claim]:
    named = "contributorId" in declared.row_provenance and declared.roll is not None
    if source.row_provenance == "required" and not named:
        text = "The source must name the contributor of each row, and keep a roll of them."
        yield Claim("ROW_PROVENANCE", text)
    if source.contributors is None:
        return
    if contributors is None:
        text = "The source may send rows of certain contributors only, and no column names them."
        yield Claim("ROW_PROVENANCE", text)
    for sender in sorted(set(contributors or ()) - source.contributors):
        text = f'The trust policy does not name the contributor "{printable(sender)}".'
        yield Claim("CONTRIBUTOR_UNKNOWN", text, {"contributor": sender})


def _limits(source: Source, declared: Manifest) -> Iterator[Claim]:
    limits = source.limits
    declares = (
        ("files", len(declared.files), limits.files),
        ("bytes", sum(file.size for file in declared.files), limits.bytes),
        ("rows", declared.rows, limits.rows),
    )
    for what, found, most in declares:
        if most is not None and found > most:
            text = f"The manifest declares {found} {what}, the source may send {most}."
            yield Claim("SOURCE_LIMIT", text, {"limit": what, "declared": found, "most": most})


def _age(source: Source, declared: Manifest, now: datetime) -> Iterator[Claim]:
    if source.max_age is not None and now - declared.created_on > source.max_age:
        created = format_time(declared.created_on)
        text = f"The manifest was created at {created}, longer ago than the source's max_age."
        yield Claim("MAX_AGE", text, {"created_on": created})
