"""What the exports need of a manifest: the optional descriptions, typed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from auditor.provenance.addresses import addresses
from auditor.provenance.fields import Fields
from auditor.provenance.manifest import FileEntry, Manifest
from auditor.provenance.times import format_time

#: Who wrote the export.
PRODUCER: Final = "https://auditor.example/manifest-export"

_MEDIA: Final = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "ndjson": "application/jsonl",
    "arrow": "application/vnd.apache.arrow.file",
    "feather": "application/vnd.apache.arrow.file",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """A manifest and the digest of its file. Readers raise `Refused` (FIELD_TYPE)."""

    manifest: Manifest
    envelope_sha256: str

    @property
    def predicate(self) -> Fields:
        """Everything as it was signed."""
        return Fields(self.manifest.predicate, "predicate")

    @property
    def created(self) -> str:
        """When the manifest was made."""
        return format_time(self.manifest.created_on)

    @property
    def licence(self) -> str | None:
        """SPDX expression."""
        found = self.predicate.optional_section("license")
        return found.optional_text("spdx") if found else None

    @property
    def supplier(self) -> str:
        """Who supplied the batch; the source where nobody is named."""
        found = self.predicate.optional_section("supplier")
        return (found.optional_text("id") if found else None) or self.manifest.source

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.manifest.files)

    def parents(self) -> list[tuple[str, str]]:
        """(name, sha256) of the data sets that this one was made from."""
        if not self.predicate.has("parents"):
            return []
        return [
            (one.text("name"), one.digest("digest")) for one in self.predicate.sections("parents")
        ]

    def uris(self) -> list[tuple[str, str]]:
        """(URI, sha256) of what was collected."""
        return list(addresses(self.manifest))

    def description(self) -> str:
        """One sentence for people."""
        said = self.manifest
        return (
            f"Batch {said.batch_id} (number {said.sequence}) of {said.source}: {said.rows} rows in "
            f"{len(said.files)} files, {said.kind}, declared by {self.supplier}."
        )

    def uuid(self, form: str) -> str:
        """The same for the same manifest and form."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PRODUCER}#{form}:{self.envelope_sha256}"))


def media_type(file: FileEntry) -> str:
    """What the manifest says, else what the name says."""
    ending = file.name.rsplit(".", 1)[-1].lower()
    return file.media_type or _MEDIA.get(ending, "application/octet-stream")
