"""What kind of file this is: magic bytes first, then the name. Never by trying to load it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from auditor.readers.limits import Refused

#: Bytes from the start of a file that are enough to recognise it.
HEAD: Final = 4_096

_COMPRESSIONS: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bz2"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\xfd7zXZ\x00", "xz"),
)
_COMPRESSED_NAMES: Final = frozenset({".gz", ".bz2", ".zst", ".lz4", ".xz"})
_BINARY: Final = (
    (b"PAR1", "parquet"),
    (b"ARROW1\x00\x00", "arrow file"),
    (b"\xff\xff\xff\xff", "arrow stream"),
)
_TEXT_NAMES: Final[Mapping[str, str]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".psv": "csv",
    ".txt": "csv",
    ".jsonl": "json lines",
    ".ndjson": "json lines",
    ".json": "json lines",
}
_BINARY_NAMES: Final[Mapping[str, str]] = {
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".arrow": "Arrow IPC",
    ".arrows": "Arrow IPC",
    ".feather": "Arrow IPC",
    ".ipc": "Arrow IPC",
}
#: What we recognise in order to say why it is refused. None of it is ever loaded.
_REFUSED: Final = (
    (b"PARE", "a Parquet file with an encrypted footer; decrypt it first"),
    (b"\x93NUMPY", "a NumPy file, which may carry pickled objects; save it as Parquet"),
    (b"FEA1", "a Feather version 1 file; save it as Parquet or Feather version 2"),
    (b"PK\x03\x04", "a zip archive (xlsx, npz, ...); export it as CSV or Parquet"),
    (b"ORC", "an ORC file; save it as Parquet"),
    (b"Obj\x01", "an Avro file; save it as Parquet"),
    (b"\x89HDF", "an HDF5 file; save it as Parquet"),
    (b"SQLite format 3", "a SQLite database; export the table as CSV or Parquet"),
    (b"%PDF", "a PDF document"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"PK\x07\x08", "a part of a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (b"\xd0\xcf\x11\xe0", "an old Office document; export it as CSV or Parquet"),
    (b"\x7fELF", "a program (ELF)"),
    (b"MZ", "a program (Windows)"),
    (b"\xca\xfe\xba\xbe", "a program (Java or macOS)"),
    (b"\xcf\xfa\xed\xfe", "a program (macOS)"),
    (b"\xce\xfa\xed\xfe", "a program (macOS)"),
    (b"\x00asm", "a program (WebAssembly)"),
    (b"\x89PNG", "an image (PNG)"),
    (b"\xff\xd8\xff", "an image (JPEG)"),
    (b"GIF8", "an image (GIF)"),
    (b"GGUF", "weights of a model (GGUF)"),
)
_PICKLES: Final = frozenset(b"\x80" + bytes([version]) for version in range(2, 6))
_PICKLE_NAMES: Final = frozenset({".pkl", ".pickle", ".joblib", ".npy", ".npz", ".pt", ".pth"})


@dataclass(frozen=True, slots=True)
class Form:
    """Format and compression of a file. `suffix` is the extension without that of compression."""

    format: str
    compression: str | None
    suffix: str
    notes: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """For the report: `csv`, `csv, gzip`, `parquet`."""
        return f"{self.format}, {self.compression}" if self.compression else self.format


def compression_of(head: bytes) -> str | None:
    """The compression whose magic bytes these are, or None."""
    if _readable(head):
        return None
    return next((name for magic, name in _COMPRESSIONS if head.startswith(magic)), None)


def recognise(name: str, head: bytes, compression: str | None = None) -> Form:
    """The form of the file `name` that starts (after decompression) with `head`.

    Raises:
        Refused: FILE_FORMAT, with what the file is and what to do.
    """
    suffix = _suffix(name)
    if suffix in _TEXT_NAMES and head and _readable(head):
        return Form(_TEXT_NAMES[suffix], compression, suffix)
    _refuse_foreign(head, suffix)
    binary = next((kind for magic, kind in _BINARY if head.startswith(magic)), None)
    if binary and compression:
        raise Refused("FILE_FORMAT", f"{binary} inside {compression}; decompress it first")
    if binary:
        expected = _BINARY_NAMES.get(suffix, "").lower().split(" ")[0]
        odd = not expected or not binary.startswith(expected)
        return Form(
            binary, None, suffix, (f"it is {binary}, whatever its name says",) if odd else ()
        )
    return Form(_text_format(suffix, head), compression, suffix)


def _text_format(suffix: str, head: bytes) -> str:
    if suffix in _BINARY_NAMES:
        raise Refused("FILE_FORMAT", f"named {suffix} but it is not a {_BINARY_NAMES[suffix]} file")
    if suffix in _TEXT_NAMES:
        return _TEXT_NAMES[suffix]
    if not suffix and head.lstrip()[:1] == b"{":
        return "json lines"
    raise Refused(
        "FILE_FORMAT",
        f"{suffix or 'no extension'}: not a known format; use .parquet, .csv, .jsonl or .arrow",
    )


def _refuse_foreign(head: bytes, suffix: str) -> None:
    if not head:
        raise Refused("FILE_FORMAT", "the file is empty (0 bytes)")
    for magic, what in _REFUSED:
        if head.startswith(magic):
            raise Refused("FILE_FORMAT", what)
    if suffix in _PICKLE_NAMES or head[:2] in _PICKLES:
        raise Refused(
            "FILE_FORMAT",
            "a pickle may run code and is never opened; save it as Parquet",
        )


def _readable(head: bytes) -> bool:
    """No control bytes: a CSV whose first column is called `ORC` or `PAR1` is still a CSV."""
    return not any(byte < 9 or 13 < byte < 32 for byte in head)


def _suffix(name: str) -> str:
    path = PurePosixPath(name)
    if path.suffix.lower() in _COMPRESSED_NAMES:
        path = path.with_suffix("")
    return path.suffix.lower()
