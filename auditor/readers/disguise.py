"""Files that are two things at once, and files whose name promises another kind than they are.

A data file that is also an archive, a document or a script passes the gate as data and is something
else to the next program that opens it. Only the first and last bytes are looked at; nothing is
loaded. Sources: APPNOTE.TXT 4.3.16 (end of a zip archive), ISO 32000-1 7.5 (PDF), Albertini 2015
(abusing file formats).
"""

from __future__ import annotations

import os
import re
import struct
from typing import BinaryIO, Final

from auditor.readers.detect import Form
from auditor.readers.limits import Refused

#: Bytes from the end of a file: an end-of-archive record with the longest comment.
TAIL: Final = 22 + 0xFFFF

_END: Final = b"PK\x05\x06"
_DIRECTORY: Final = b"PK\x01\x02"
_END_RECORD: Final = struct.Struct("<4s4H2LH")
#: A PDF reader takes a header within the first 1,024 bytes and the trailer's mark within the last.
_PDF: Final = 1_024
_SCRIPT: Final = re.compile(rb"\s*(?:#!\s*/|<\?php|<script[\s>])", re.IGNORECASE)
_MARKUP: Final = re.compile(rb"\s*<(?:!doctype|html|head|body|\?xml|svg)[\s>]", re.IGNORECASE)
#: Protocol 0 is plain text: a module, a name, a mark; the last byte is the order to stop.
_TEXT_PICKLE: Final = re.compile(rb"c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n(?:p\d+\n)?\(")
_JSON: Final = re.compile(rb'\s*(?:\[\s*)?\{\s*"')


def tail_of(raw: BinaryIO, size: int) -> bytes:
    """The last bytes of a seekable stream of `size` bytes."""
    raw.seek(max(size - TAIL, 0), os.SEEK_SET)
    return raw.read(TAIL)


def refuse_disguise(form: Form, head: bytes, tail: bytes) -> None:
    """Refuse what `head` (after decompression) or `tail` (as received) give away.

    Raises:
        Refused: FILE_POLYGLOT for two formats in one file, FILE_FORMAT for text of another kind.
    """
    if _is_archive(tail):
        raise Refused("FILE_POLYGLOT", f"it is {form.format} and a zip archive at once")
    if b"%PDF-" in head[:_PDF] and b"startxref" in tail[-_PDF:]:
        raise Refused("FILE_POLYGLOT", f"it is {form.format} and a PDF document at once")
    if form.format in {"csv", "json lines"}:
        _refuse_other_text(form, head, tail)


def _refuse_other_text(form: Form, head: bytes, tail: bytes) -> None:
    if head.startswith(b"%PDF-"):
        raise Refused("FILE_FORMAT", "a PDF document")
    if _SCRIPT.match(head):
        raise Refused("FILE_FORMAT", "a script, whatever its name says")
    if _MARKUP.match(head):
        raise Refused("FILE_FORMAT", "HTML or XML, perhaps an error page in place of the data")
    if _TEXT_PICKLE.match(head) and tail.endswith(b"."):
        raise Refused(
            "FILE_FORMAT", "a pickle may run code and is never opened; save it as Parquet"
        )
    if form.format == "csv" and form.compression is None and _JSON.match(head):
        raise Refused("FILE_FORMAT", f"named {form.suffix} but it holds JSON; name it .jsonl")


def _is_archive(tail: bytes) -> bool:
    """Whether a zip archive ends where the file ends: its directory lies where the end says."""
    at = tail.rfind(_END)
    while at >= 0:
        if len(tail) - at >= _END_RECORD.size:
            _, _, _, _, entries, size, _, comment = _END_RECORD.unpack_from(tail, at)
            ends = at + _END_RECORD.size + comment == len(tail)
            if ends and entries and _directory_at(tail, at - size):
                return True
        at = tail.rfind(_END, 0, at)
    return False


def _directory_at(tail: bytes, at: int) -> bool:
    """A directory that begins before the bytes in hand is longer than any honest coincidence."""
    return at < 0 or tail.startswith(_DIRECTORY, at)
