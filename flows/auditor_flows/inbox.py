"""What lies in an inbox, whether it is complete, and which bytes it is. No Prefect here.

A batch is one file or one folder directly in the inbox. Whoever may write there is a stranger:
nothing is followed, nothing is read that is not a plain file, every walk ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from auditor.errors import BatchError, ConfigError
from auditor.manifests import MOST_BYTES, SUFFIX, manifest_beside, roll_beside
from auditor.provenance import dsse
from auditor.provenance.manifest import Manifest, parse
from auditor.provenance.refused import Refused
from auditor.readers import Limits, Source, open_plain, read_plain, resolve
from auditor.readers.limits import plain
from auditor.readers.receive import Received, sums_digest

SUCCESS: Final = "_SUCCESS"
#: Entries of the inbox that one look takes in.
MOST_BATCHES: Final = 100_000
_DEEPEST: Final = 32
_SIDECARS: Final = (SUFFIX, ".contributors.json")
_LONGEST: Final = 200
#: Entries listed beyond twice the allowed files: folders and hidden files are no files to read.
_SPARE: Final = 1000
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One batch as a look found it.

    `fingerprint` changes with every name, size and time (mtime, and ctime, which nobody can set)
    of the batch and of its manifest and roll. `odd` names what is no plain file or folder.
    `problem` says why it cannot be read as a batch; `too_many`: the walk ended before its end.
    """

    name: str
    path: Path
    fingerprint: str
    files: int
    odd: tuple[str, ...] = ()
    marked: bool = False
    problem: str = ""
    too_many: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A batch under a name with the manifest that came along: what is audited once.

    `digest` is the batch digest of `auditor.readers` (hex sha256), as far as the bytes can be read.
    """

    name: str
    digest: str
    manifest: str = ""
    roll: str = ""
    odd: tuple[str, ...] = ()
    problem: str = ""

    @property
    def key(self) -> str:
        """Hex sha256 over all of it; the subject of claims in the ledger."""
        said = [
            "delivery", 1, self.name, self.digest, self.manifest, self.roll, self.odd, self.problem,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def require_name(name: str) -> None:
    """Raises `ConfigError` for what cannot be the name of a batch in an inbox: paths above all."""
    why = refusal(name)
    if why:
        raise ConfigError(f"{plain(name, _LONGEST)!r}: not the name of a batch in the inbox: {why}")


def refusal(name: str) -> str:
    """Why a name is not that of a batch; empty for one that is."""
    if not name or "/" in name or name in {".", ".."}:
        return "it has to be one file or folder directly in the inbox"
    if not name.isprintable() or "\\" in name:
        return "control characters or a backslash in it"
    if len(os.fsencode(name)) > _LONGEST:
        return f"longer than {_LONGEST} bytes"
    if is_beside_batches(name):
        return "hidden, or something that comes along with a batch"
    return ""


def is_beside_batches(name: str) -> bool:
    """Hidden entries, markers and temporary folders (`_...`), manifests and rolls."""
    return name.startswith((".", "_")) or name.endswith(_SIDECARS)


def entries(inbox: Path) -> list[str]:
    """The names in the inbox that may be batches, sorted; at most `MOST_BATCHES`."""
    with os.scandir(inbox) as found:
        names = (entry.name for entry in found if not is_beside_batches(entry.name))
        return sorted(islice(names, MOST_BATCHES), key=os.fsencode)


def listing(inbox: Path, name: str, limits: Limits) -> Listing:
    """List one batch without following links, 32 folders deep, to a bound on its entries.

    Raises:
        ConfigError: not a name of a batch.
        FileNotFoundError: it is not, or no longer, there.
    """
    require_name(name)
    path, lines, odd, files, problem = inbox / name, [], [], 0, ""
    top, most = path.lstat(), _SPARE + 2 * limits.files
    walk = _walk(name, name, inbox, top, 0)
    try:
        for relative, status in islice(walk, most + 1):
            lines.append(_line(relative, status))
            files += stat.S_ISREG(status.st_mode)
            if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
                odd.append(f"{stat.S_IFMT(status.st_mode):o} {relative}")
            problem = problem or _too_deep(relative, status)
    except OSError as error:
        problem = f"cannot be listed: {error.strerror}"
    too_many = len(lines) > most
    if not stat.S_ISREG(top.st_mode) and not stat.S_ISDIR(top.st_mode):
        problem = "neither a file nor a folder"
    lines += [_line(beside, status) for beside, status in _beside(inbox, name)]
    text = "\n".join(sorted(lines)) + problem
    return Listing(
        name=name,
        path=path,
        fingerprint=hashlib.sha256(os.fsencode(text)).hexdigest(),
        files=files,
        odd=tuple(sorted(ascii(one) for one in odd)),
        marked=_is_file(path / SUCCESS),
        problem=problem,
        too_many=too_many,
    )


def _walk(
    relative: str, name: str, folder: Path | int, status: os.stat_result, depth: int
) -> Iterator[tuple[str, os.stat_result]]:
    """Each entry with its status; each folder is opened in the one above: no link is followed."""
    yield relative, status
    if not stat.S_ISDIR(status.st_mode) or depth >= _DEEPEST:
        return
    where: dict[str, int] = {} if isinstance(folder, Path) else {"dir_fd": folder}
    path = folder / name if isinstance(folder, Path) else name
    descriptor = os.open(path, _FOLDER, **where)
    try:
        with os.scandir(descriptor) as found:
            for entry in found:
                inner = entry.stat(follow_symlinks=False)
                yield from _walk(
                    f"{relative}/{entry.name}", entry.name, descriptor, inner, depth + 1
                )
    finally:
        os.close(descriptor)


def _too_deep(relative: str, status: os.stat_result) -> str:
    deep = stat.S_ISDIR(status.st_mode) and relative.count("/") >= _DEEPEST
    return f"folders more than {_DEEPEST} deep" if deep else ""


def _line(relative: str, status: os.stat_result) -> str:
    said = (status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return f"{said} {relative}"


def _beside(inbox: Path, name: str) -> Iterator[tuple[str, os.stat_result]]:
    stems = dict.fromkeys([name, name.split(".")[0]])
    for beside in (f"{stem}{suffix}" for stem in stems for suffix in _SIDECARS):
        if _is_file(inbox / beside):
            yield beside, (inbox / beside).lstat()


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:  # not there, or nobody may look: for us there is none
        return False


def sources_of(listed: Listing, limits: Limits) -> tuple[Source, ...]:
    """The files to read. Of too many it names one more than allowed, for ingest to refuse.

    Raises:
        BatchError: it cannot be read as a batch; the message says why.
    """
    if listed.problem:
        raise BatchError(f"{plain(listed.name, _LONGEST)}: {listed.problem}")
    if listed.too_many:
        return tuple(Source(str(number), listed.path) for number in range(limits.files + 1))
    return resolve([str(listed.path)])


def delivery(listed: Listing, limits: Limits, *, digest: str = "") -> Delivery:
    """What was delivered; hashes every file unless `digest` is known already."""
    try:
        sources = sources_of(listed, limits)
    except BatchError as error:
        empty = sums_digest(())
        return Delivery(
            name=listed.name, digest=digest or empty, odd=listed.odd, problem=str(error)
        )
    manifest = manifest_beside(sources)
    return Delivery(
        name=listed.name,
        digest=digest or content_digest(sources, limits),
        manifest=_hashed(manifest, MOST_BYTES)[0] if manifest else "",
        roll=_hashed(roll_beside(manifest), MOST_BYTES)[0] if manifest else "",
        odd=listed.odd,
    )


def content_digest(sources: tuple[Source, ...], limits: Limits) -> str:
    """The digest that ingest will find: the same files, the same limits, the same order."""
    wanted = [source for source in sources if not source.skipped]
    if len(wanted) > limits.files:
        return sums_digest(())
    left, received = limits.bytes, []
    for source in wanted:
        found, size = _hashed(source.path, left)
        if found:
            left -= size
            received.append(Received(source.name, None, found))
    return sums_digest(received)


def _hashed(path: Path, most: int) -> tuple[str, int]:
    """Hex sha256 and size of a plain file of at most `most` bytes, else an empty string and 0."""
    try:
        opened = open_plain(path)
    except OSError:  # gone, a link, no permission: ingest will say so
        return "", 0
    with opened as file:
        size = os.fstat(file.fileno()).st_size
        return (hashlib.file_digest(file, "sha256").hexdigest(), size) if size <= most else ("", 0)


def matches_manifest(listed: Listing, limits: Limits) -> bool:
    """Whether a signed manifest is there and names exactly the files that are there, with digest.

    Who signed it is for the audit to find out; here it only says that nothing is missing.
    """
    try:
        sources = sources_of(listed, limits)
        beside = manifest_beside(sources)
        declared = _declared(read_plain(beside, MOST_BYTES)) if beside else None
    except (BatchError, Refused, OSError):
        return False
    names = {source.name for source in sources if not source.skipped}
    if declared is None or names != {file.name for file in declared.files}:
        return False
    sizes = {file.name: file.size for file in declared.files}
    if any(_size(source.path) != sizes[source.name] for source in sources if not source.skipped):
        return False
    return content_digest(sources, limits) == declared.sha256


def _declared(envelope: bytes) -> Manifest | None:
    return parse(envelope) if dsse.parse(envelope).signatures else None


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # went away: not complete
        return -1
