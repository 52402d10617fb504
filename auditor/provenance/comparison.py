"""What was received, held against what was declared: every difference is a claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from auditor.model import Scalar
from auditor.provenance import strict_json
from auditor.provenance.digests import schema_fingerprint, sha256
from auditor.provenance.manifest import FileEntry, Manifest
from auditor.provenance.refused import Refused, printable
from auditor.provenance.rules import Claim

#: Fields of `rowProvenance` -> the role that the named column must play.
_ROLES: Final = {"contributorId": "contributor"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedFile:
    """A file as it was received: name relative to the batch with `/`, sha256 hex, size in bytes.

    `sha256` is empty where the file was not received, `rows` is None where it was not parsed.
    `symlink` is true where the name, or a folder above it, is a symbolic link; the other values
    are then not looked at.
    """

    name: str
    sha256: str = ""
    size: int = 0
    rows: int | None = None
    symlink: bool = False


def compare_files(manifest: Manifest, received: Sequence[ReceivedFile]) -> Iterator[Claim]:
    """Missing, extra, renamed, symlinked and changed files, in C-locale order of their names."""
    declared = {file.name: file for file in manifest.files}
    arrived = {file.name: file for file in received}
    for file in sorted(received, key=lambda file: file.name.encode("utf-8", "surrogatepass")):
        if file.symlink:
            yield _claim("FILE_SYMLINK", file.name, "is a symbolic link.")
        elif file.name in declared:
            yield from _compare_file(declared[file.name], file)
    missing = [file for name, file in sorted(declared.items()) if name not in arrived]
    extra = [f for name, f in sorted(arrived.items()) if name not in declared and not f.symlink]
    yield from _misplaced(missing, extra)


def _compare_file(declared: FileEntry, received: ReceivedFile) -> Iterator[Claim]:
    name = declared.name
    if not received.sha256:  # nothing was read: `not_compared` says so, once for all files
        return
    if received.size != declared.size:
        text = f"has {received.size} bytes, declared are {declared.size}."
        sizes = {"declared": declared.size, "received": received.size}
        yield _claim("FILE_SIZE", name, text, **sizes)
    if received.sha256 != declared.sha256:
        digests = {"declared": declared.sha256, "received": received.sha256}
        yield _claim("FILE_DIGEST", name, "has other bytes than declared.", **digests)
    if received.rows is not None and received.rows != declared.rows:
        text = f"has {received.rows} rows, declared are {declared.rows}."
        rows = {"declared": declared.rows, "received": received.rows}
        yield _claim("ROWS", name, text, **rows)


def _misplaced(missing: Sequence[FileEntry], extra: Sequence[ReceivedFile]) -> Iterator[Claim]:
    """Pair a missing file with an extra one of the same bytes: that one was renamed."""
    by_digest: dict[str, list[ReceivedFile]] = {}
    for found in extra:
        by_digest.setdefault(found.sha256, []).append(found)
    renamed: set[str] = set()
    for file in missing:
        if twins := by_digest.get(file.sha256):
            other = twins.pop(0).name
            renamed.add(other)
            text = f'arrived as "{printable(other)}".'
            yield _claim("FILE_RENAMED", file.name, text, received=other)
        else:
            yield _claim("FILE_MISSING", file.name, "was not received.")
    for found in extra:
        if found.name not in renamed:
            yield _claim("FILE_EXTRA", found.name, "is not declared.")


def not_compared(manifest: Manifest, received: Sequence[ReceivedFile]) -> Iterator[Claim]:
    """One claim for all declared files that are there and were not read.

    Their rows, and those of the contributors in them, cannot be counted: a difference in each of
    these numbers would only say again that a file is broken.
    """
    declared = {file.name for file in manifest.files}
    unread = sorted(f.name for f in received if f.rows is None and f.name in declared)
    if unread:
        text = (
            f"{len(unread)} of {len(declared)} declared files could not be read, the first is "
            f'"{printable(unread[0])}"; their rows and contributors were not compared.'
        )
        yield Claim("NOT_COMPARED", text, {"file": unread[0], "files": len(unread)})


def compare_kind(manifest: Manifest, kind: str | None) -> Iterator[Claim]:
    """What the rows are declared for against what they are audited for (None: not known)."""
    if kind is not None and manifest.kind != kind:
        text = f"The manifest is of a {manifest.kind} batch, this one is audited as {kind}."
        yield Claim("KIND_MISMATCH", text, {"declared": manifest.kind, "received": kind})


def compare_roles(
    manifest: Manifest,
    fields: Sequence[tuple[str, str, bool]] | None,
    roles: Mapping[str, str | None],
) -> Iterator[Claim]:
    """Columns that the manifest names, against the columns that are there and their roles.

    Args:
        manifest: the manifest.
        fields: (name, arrow type, nullable) of each column; None where nothing was read.
        roles: role -> the column that plays it in the audit, None where no column does. A role
            that is not in it is not compared.
    """
    if fields is None:
        return
    there = {name for name, _, _ in fields}
    for name, role, column in _named_columns(manifest):
        evidence = {"field": name, "declared": column}
        if column not in there:
            text = f'The manifest names "{printable(column)}" as {name}; there is no such column.'
            yield Claim("SCHEMA", text, evidence)
        elif role in roles and roles[role] != column:
            played = roles[role]
            by = "no column" if played is None else f'"{printable(played)}"'
            text = (
                f'The manifest names "{printable(column)}" as {name}, '
                f"but {by} is audited as the {role} (`roles.{role}`)."
            )
            yield Claim("SCHEMA", text, evidence | {"received": played})


def _named_columns(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """(field of the manifest, role, column) for each column that it names."""
    if manifest.label is not None:
        yield "labelColumn", "label", manifest.label
    for name, column in sorted(manifest.row_provenance.items()):
        yield name, _ROLES.get(name, ""), column


def compare_schema(
    manifest: Manifest,
    fields: Sequence[tuple[str, str, bool]] | None,
    partitions: Sequence[str],
) -> Iterator[Claim]:
    """The schema's fingerprint, column names that are there twice, undeclared hive keys."""
    for key in partitions:
        if key not in manifest.partitioning:
            text = f'The files were read with the partition "{printable(key)}", not declared.'
            yield Claim("PATH_UNSAFE", text, {"partition": key})
    if fields is None:
        return
    for name, count in Counter(name for name, _, _ in fields).items():
        if count > 1:
            text = f'{count} columns are named "{printable(name)}".'
            yield Claim("SCHEMA", text, {"column": name})
    try:
        found = schema_fingerprint(fields)
    except Refused as refused:
        yield Claim("SCHEMA", refused.message)
        return
    if found != manifest.schema_sha256:
        digests = {"declared": manifest.schema_sha256, "received": found}
        yield Claim("SCHEMA", "The columns or their types are not those declared.", digests)


def compare_contributors(
    manifest: Manifest, received: Mapping[str, int] | None, roll: bytes | None
) -> Iterator[Claim]:
    """The roll against its digest, and the batch's contributors against the roll."""
    if manifest.roll is None:
        return
    if roll is None:
        yield Claim("ROLL_MISSING", "The contributor roll was not received.")
        return
    if (found := sha256(roll)) != manifest.roll.sha256:
        digests = {"declared": manifest.roll.sha256, "received": found}
        yield Claim("ROLL_DIGEST", "The contributor roll has other bytes than declared.", digests)
        return
    try:
        listed = read_roll(roll)
    except Refused as refused:
        yield Claim.of(refused)
        return
    yield from _compare_totals(manifest, manifest.roll.count, listed)
    if received is not None:
        yield from _compare_rows(listed, received)


def read_roll(roll: bytes) -> dict[str, int]:
    """The roll as id -> rows.

    Raises:
        Refused: ROLL_FORMAT or a JSON code.
    """
    document = strict_json.loads(roll)
    if not isinstance(document, dict):
        raise Refused("ROLL_FORMAT", "The contributor roll is not an object.")
    listed: dict[str, int] = {}
    for name, rows in document.items():
        if not isinstance(rows, int) or isinstance(rows, bool) or rows < 0:
            raise Refused("ROLL_FORMAT", f'The rows of "{printable(name)}" are not a number.')
        listed[name] = rows
    return listed


def _compare_totals(manifest: Manifest, count: int, listed: Mapping[str, int]) -> Iterator[Claim]:
    if len(listed) != count:
        text = f"The roll lists {len(listed)} contributors, declared are {count}."
        yield Claim("CONTRIBUTOR_COUNT", text)
    if (rows := sum(listed.values())) != manifest.rows:
        text = f"The roll adds up to {rows} rows, declared are {manifest.rows}."
        yield Claim("CONTRIBUTOR_COUNT", text)


def _compare_rows(listed: Mapping[str, int], received: Mapping[str, int]) -> Iterator[Claim]:
    for name in sorted(set(listed) | set(received)):
        declared, found = listed.get(name), received.get(name, 0)
        shown = printable(name)
        if declared is None:
            text = f'{found} rows come from "{shown}", who is not on the roll.'
            yield Claim("CONTRIBUTOR_UNKNOWN", text, {"contributor": name, "received": found})
        elif declared != found:
            text = f'{found} rows come from "{shown}", declared are {declared}.'
            counts: dict[str, Scalar] = {
                "contributor": name,
                "declared": declared,
                "received": found,
            }
            yield Claim("CONTRIBUTOR_COUNT", text, counts)


def _claim(code: str, name: str, text: str, **evidence: str | int) -> Claim:
    return Claim(code, f'The file "{printable(name)}" {text}', {"file": name, **evidence})
