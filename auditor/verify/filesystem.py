"""A `pyarrow.fs` file system that holds the attested files and nothing else, every byte verified.

Whatever reads through it (datasets, pandas, readers of other libraries) cannot see a file that was
not audited: listings come from the attestation, never from the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import fs

from auditor.provenance.entries import FileEntry

_READ_ONLY = "verified files can only be read"


class VerifiedFiles(fs.FileSystemHandler):  # type: ignore[misc]
    """See `pyarrow.fs.PyFileSystem`. `open_file` gives the verified bytes of an attested name."""

    def __init__(
        self, files: Sequence[FileEntry], open_file: Callable[[str], pa.NativeFile]
    ) -> None:
        self._files = {file.name: file for file in files}
        self._open = open_file

    def get_type_name(self) -> str:
        """See `FileSystemHandler`."""
        return "auditor-verified"

    def normalize_path(self, path: str) -> str:
        """Names have no leading or trailing slash."""
        return path.strip("/")

    def get_file_info(self, paths: Sequence[str]) -> list[fs.FileInfo]:
        """What the attestation says of these names."""
        return [self._info(self.normalize_path(path)) for path in paths]

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        """The attested names below a folder."""
        base = self.normalize_path(selector.base_dir)
        prefix = f"{base}/" if base else ""
        inside = [name for name in self._files if name.startswith(prefix)]
        if base and not inside and not selector.allow_not_found:
            raise FileNotFoundError(base)
        if selector.recursive:
            folders = {
                folder for name in inside for folder in _above(name) if len(folder) > len(base)
            }
            return [self._info(name) for name in sorted({*inside, *folders})]
        firsts = {prefix + name[len(prefix) :].split("/", 1)[0] for name in inside}
        return [self._info(name) for name in sorted(firsts)]

    def open_input_file(self, path: str) -> pa.NativeFile:
        """The verified bytes of a file."""
        return self._open(self._known(path))

    def open_input_stream(self, path: str) -> pa.NativeFile:
        """The same."""
        return self._open(self._known(path))

    def _known(self, path: str) -> str:
        name = self.normalize_path(path)
        if name not in self._files:
            raise FileNotFoundError(path)
        return name

    def _info(self, name: str) -> fs.FileInfo:
        if name in self._files:
            return fs.FileInfo(name, type=fs.FileType.File, size=self._files[name].size)
        folder = not name or any(known.startswith(f"{name}/") for known in self._files)
        return fs.FileInfo(name, type=fs.FileType.Directory if folder else fs.FileType.NotFound)

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise PermissionError(_READ_ONLY)

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = _refuse
    delete_file = move = copy_file = open_output_stream = open_append_stream = _refuse


def _above(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]
