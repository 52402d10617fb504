"""From files, or a table in memory, to a batch pinned by digest: read once, apart, bounded."""

from __future__ import annotations

from auditor.plain_file import open_plain, read_plain
from auditor.readers.intake import ingest
from auditor.readers.limits import METADATA_NOTE, Limits
from auditor.readers.memory import ingest_table, takeable, to_arrow
from auditor.readers.record import Ingest
from auditor.readers.rules import RULES
from auditor.readers.sources import Source, resolve
from auditor.readers.staged import BLOCK, StagedBatch, VerifiedFile, block_digests

__all__ = [
    "BLOCK",
    "METADATA_NOTE",
    "RULES",
    "Ingest",
    "Limits",
    "Source",
    "StagedBatch",
    "VerifiedFile",
    "block_digests",
    "ingest",
    "ingest_table",
    "open_plain",
    "read_plain",
    "resolve",
    "takeable",
    "to_arrow",
]
