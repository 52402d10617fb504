"""The batch manifest: what a supplier promises about a batch, as typed values.

An in-toto statement with one subject, the whole batch, and the predicate `dataset-batch/v1`. The
subject's digest binds the names and bytes of all files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from auditor.provenance import dsse, entries, statement
from auditor.provenance.digests import subject_digest
from auditor.provenance.entries import FileEntry as FileEntry
from auditor.provenance.fields import Fields
from auditor.provenance.paths import require_distinct, require_safe
from auditor.provenance.refused import Refused, printable
from auditor.provenance.statement import Statement
from auditor.provenance.strict_json import Json

PREDICATE_TYPE: Final = "https://auditor.example/attestation/dataset-batch/v1"
KINDS: Final = ("training", "validation", "predictions", "updates")
MODES: Final = ("append", "snapshot")

#: The predicate's own fields. Any other name must be a URI: a signed but misspelt `expiresOnn`
#: must not be ignored.
_FIELDS: Final = frozenset(
    {
        *("kind", "batch", "supplier", "contributors", "collection", "license", "use"),
        *("transformations", "parents", "schema", "rows", "files", "createdOn", "expiresOn"),
    }
)
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]+")
#: No `@` in source or id: `source@batchId` is the subject's name and must split in one way only.
_NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}"
SOURCE: Final = re.compile(f"{_NAME}(?:/{_NAME}){{0,4}}")
_BATCH_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RollEntry:
    """Digest of the contributor roll and the number of contributors on it."""

    sha256: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest that obeys every rule of the format. It says nothing about who signed it.

    `sha256` is the subject's digest, `previous` that of the batch before. `row_provenance` maps
    `sourceId`, `contributorId`, `rowKey` to columns. `predicate` holds everything as it was read,
    with fields that nothing here interprets (licence, use, collection).
    """

    kind: str
    source: str
    batch_id: str
    sequence: int
    mode: str
    previous: str | None
    sha256: str
    files: tuple[FileEntry, ...]
    rows: int
    schema_sha256: str
    label: str | None
    row_provenance: Mapping[str, str]
    partitioning: tuple[str, ...]
    roll: RollEntry | None
    created_on: datetime
    expires_on: datetime
    predicate: Mapping[str, Json]

    @property
    def name(self) -> str:
        """`source@batch_id`, the name of the subject."""
        return f"{self.source}@{self.batch_id}"

    @property
    def parents(self) -> tuple[str, ...]:
        """Digests of the batches that it was made from."""
        fields = Fields(self.predicate, "predicate")
        listed = fields.sections("parents") if fields.has("parents") else ()
        return tuple(parent.digest("digest") for parent in listed)


def parse(envelope: bytes) -> Manifest:
    """Read the manifest inside an envelope by all rules of the format, **without its signatures**.

    Raises:
        Refused: with the code of the first rule that is broken.
    """
    opened = dsse.parse(envelope)
    opened.require_type(dsse.IN_TOTO)
    return read(statement.read(opened.payload, PREDICATE_TYPE))


def source_of(signed: Statement) -> str:
    """The source that a statement claims, needed to know whose keys may sign it."""
    return _shaped(signed.predicate.section("batch"), "source", SOURCE)


def read(signed: Statement) -> Manifest:
    """The typed manifest of a statement; see `parse`."""
    predicate = signed.predicate
    _require_known(predicate)
    _read_descriptions(predicate)
    batch, schema = predicate.section("batch"), predicate.section("schema")
    manifest = Manifest(
        kind=_one_of(predicate, "kind", KINDS),
        source=source_of(signed),
        batch_id=_shaped(batch, "batchId", _BATCH_ID),
        sequence=batch.count("sequence"),
        mode=_one_of(batch, "mode", MODES),
        previous=batch.digest("previousManifest") if batch.has("previousManifest") else None,
        sha256=signed.subject()[1],
        files=tuple(entries.read(entry) for entry in predicate.sections("files")),
        rows=predicate.count("rows"),
        schema_sha256=schema.digest("fingerprint"),
        label=schema.optional_text("labelColumn"),
        row_provenance=_columns(schema.optional_section("rowProvenance")),
        partitioning=schema.texts("partitioning") if schema.has("partitioning") else (),
        roll=_roll(predicate.optional_section("contributors")),
        created_on=predicate.time("createdOn"),
        expires_on=predicate.time("expiresOn"),
        predicate=predicate.values,
    )
    _require_consistent(manifest, signed.subject()[0])
    return manifest


def _require_known(predicate: Fields) -> None:
    for name in predicate.values:
        if name not in _FIELDS and not _URI.fullmatch(name):
            raise Refused("FIELD_UNKNOWN", f'"{printable(name)}" is not a field of a manifest.')


def _one_of(fields: Fields, name: str, allowed: tuple[str, ...]) -> str:
    value = fields.text(name)
    if value not in allowed:
        choice = ", ".join(allowed)
        raise Refused("FIELD_VALUE", f'{name} is "{printable(value)}"; it is one of {choice}.')
    return value


def _shaped(fields: Fields, name: str, shape: re.Pattern[str]) -> str:
    value = fields.text(name)
    if not shape.fullmatch(value):
        raise Refused("FIELD_VALUE", f'{name} "{printable(value)}" has characters not allowed.')
    return value


def _columns(fields: Fields | None) -> dict[str, str]:
    return {name: fields.text(name) for name in fields.values if fields.has(name)} if fields else {}


def _roll(fields: Fields | None) -> RollEntry | None:
    return RollEntry(sha256=fields.digest("table"), count=fields.count("count")) if fields else None


def _read_descriptions(predicate: Fields) -> None:
    """Judge times and digests in the optional parts, so that none is signed in a loose form."""
    if collection := predicate.optional_section("collection"):
        _require_order(collection)
        for uri in collection.sections("uris") if collection.has("uris") else ():
            uri.text("uri")
            uri.digest("digest")
            if uri.has("fetchedOn"):
                uri.time("fetchedOn")
    for step in predicate.sections("transformations") if predicate.has("transformations") else ():
        _read_step(step)
    if predicate.has("parents"):
        for parent in predicate.sections("parents"):
            parent.text("name")
            parent.digest("digest")


def _read_step(step: Fields) -> None:
    """One step on the way from what was collected to the batch."""
    step.text("name")
    if step.has("parametersDigest"):
        step.digest("parametersDigest")
    for one in step.sections("inputs") if step.has("inputs") else ():
        Fields({"input": dict(one.values)}, one.where).digest("input")
    if rows := step.optional_section("rows"):
        rows.count("in")
        rows.count("out")


def _require_order(collection: Fields) -> None:
    if not collection.has("finishedOn"):
        return
    finished = collection.time("finishedOn")
    if collection.has("startedOn") and collection.time("startedOn") > finished:
        raise Refused("TIME_ORDER", "The collection finished before it started.")


def _require_consistent(manifest: Manifest, subject: str) -> None:
    if subject != manifest.name:
        raise Refused("SOURCE_MISMATCH", f'The subject "{printable(subject)}" is another batch.')
    if not manifest.files:
        raise Refused("FILES_EMPTY", "The list of files is empty.")
    for file in manifest.files:
        require_safe(file.name, manifest.partitioning)
    require_distinct(file.name for file in manifest.files)
    if subject_digest(manifest.files) != manifest.sha256:
        raise Refused("SUBJECT_DIGEST", "The list of files has another digest.")
    if (listed := sum(file.rows for file in manifest.files)) != manifest.rows:
        raise Refused("ROWS", f"The files add up to {listed} rows, not {manifest.rows}.")
    _require_last_step(manifest)
    _require_times(manifest)


def _require_last_step(manifest: Manifest) -> None:
    """The rows that the last step gave are those of the batch."""
    predicate = Fields(manifest.predicate, "predicate")
    steps = list(predicate.sections("transformations")) if predicate.has("transformations") else []
    rows = steps[-1].optional_section("rows") if steps else None
    if rows is not None and (out := rows.count("out")) != manifest.rows:
        raise Refused("ROWS", f"The last transformation gave {out} rows, not {manifest.rows}.")


def _require_times(manifest: Manifest) -> None:
    if manifest.created_on >= manifest.expires_on:
        raise Refused("TIME_ORDER", "The manifest expires before it is created.")
    collection = Fields(manifest.predicate, "predicate").optional_section("collection")
    if collection is None:
        return
    for name in ("startedOn", "finishedOn"):
        if collection.has(name) and collection.time(name) > manifest.created_on:
            text = f"The collection has {name} after the manifest was created."
            raise Refused("TIME_ORDER", text)
    for uri in collection.sections("uris") if collection.has("uris") else ():
        if uri.has("fetchedOn") and uri.time("fetchedOn") > manifest.created_on:
            raise Refused("TIME_ORDER", "An address was fetched after the manifest was created.")
