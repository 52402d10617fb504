"""The kinds of values a setting can have: sizes with units, paths, keys, column names."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from auditor.provenance.digests import is_sha256
from auditor.provenance.manifest import SOURCE

#: Keys of the validation context: the folder that relative paths start from, and whether files
#: that are read must be there.
FOLDER: Final = "folder"
MUST_EXIST: Final = "must_exist"

_UNITS: Final = {
    "": 1,
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("kMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
_SIZE: Final = re.compile(r"([0-9]{1,15})(\.[0-9]{1,3})? ?([A-Za-z]*)")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_FUNCTION: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOG_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_POSTGRES: Final = re.compile(r"postgresql://[\w.-]+@[\w.-]+(:[0-9]{1,5})?/[\w-]+", re.ASCII)
_ROLE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


def size(value: object) -> int:
    """Bytes from a whole number or from text such as "8 GiB" or "500 MB"."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('must be a size such as "8 GiB"')
    found = _with_unit(value) if isinstance(value, str) else value
    if not 0 < found < 2**53:
        raise ValueError("must be more than 0 bytes and less than 8 PiB")
    return found


def _with_unit(text: str) -> int:
    parts = _SIZE.fullmatch(text.strip())
    if parts is None or parts[3] not in _UNITS:
        raise ValueError(f'must be a size such as "8 GiB" (units: {", ".join(_UNITS)[2:]})')
    unit: int = _UNITS[parts[3]]
    return int(parts[1]) * unit + int(float(parts[2] or 0) * unit)


def texts(value: object) -> tuple[str, ...]:
    """One text or a list of texts, none empty, none twice."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not all(isinstance(item, str) for item in found):
        raise ValueError("must be text or a list of texts; write numbers in quotes")
    if not found or not all(found):
        raise ValueError("must not be empty")
    if len(set(found)) < len(found):
        raise ValueError("must not name anything twice")
    return tuple(found)


def _command(value: object) -> tuple[str, ...]:
    """A program and its arguments; they go to the system as they are, through no shell."""
    if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
        raise ValueError("must be a list of texts: the program and its arguments")
    if not value or not value[0].startswith("/") or any("\0" in part for part in value):
        raise ValueError("must begin with the absolute path of a program")
    return tuple(value)


def _placed(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("must be a path")
    if _URL.match(str(value)):
        raise ValueError("must be a path on this machine, not a URL")
    if "\0" in str(value):
        raise ValueError("must be a path; this one has a NUL in it")
    folder: Path = _context(info, FOLDER, Path())
    return folder / value


def _there(path: Path, info: ValidationInfo) -> Path:
    if not _context(info, MUST_EXIST, False):
        return path
    try:
        path.stat()
    except FileNotFoundError:
        raise ValueError(f"no such file or folder: {path}") from None
    except OSError as error:
        raise ValueError(f"cannot be used: {path} ({error.strerror})") from error
    return path


def _keys(value: object, info: ValidationInfo) -> tuple[str, ...]:
    return tuple(_key(text, info) for text in texts(value))


def _key(text: str, info: ValidationInfo) -> str:
    if len(text) in {64, 66, 130} and set(text) <= set(string.hexdigits):
        return text.lower()
    return str(_there(_placed(text, info), info))


def _context(info: ValidationInfo, name: str, default: Any) -> Any:
    return (info.context or {}).get(name, default)


def _function(text: str) -> str:
    if not _FUNCTION.fullmatch(text):
        raise ValueError('must be "module:function"')
    return text


def _digest(text: str) -> str:
    if not is_sha256(text):
        raise ValueError("must be a sha256: 64 lowercase hex digits")
    return text


def _source(text: str) -> str:
    if not SOURCE.fullmatch(text):
        raise ValueError('must be a source as manifests name it, such as "vendor-a/reviews"')
    return text


def _variable(text: str) -> str:
    if not _VARIABLE.fullmatch(text):
        raise ValueError("must be the name of an environment variable")
    return text


def _variables(value: object) -> tuple[str, ...]:
    return tuple(map(_variable, texts(value))) if value else ()


def _role(text: str) -> str:
    if not _ROLE.fullmatch(text):
        raise ValueError("a role is written in small letters, digits and _")
    return text


def _log_name(text: str) -> str:
    if not _LOG_NAME.fullmatch(text):
        raise ValueError('must be a log\'s name such as "gate.example/ledger": no space, no "+"')
    return text


def _postgres(text: str) -> str:
    if not _POSTGRES.fullmatch(text):
        raise ValueError(
            'must be "postgresql://user@host:port/database"; a password goes in the variable that '
            "password_env names"
        )
    return text


_LIST: Final[dict[str, Any]] = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
}
_POSIX: Final = PlainSerializer(lambda path: path.as_posix(), return_type=str)
_PLAIN_LIST: Final = PlainSerializer(list, return_type=list[str])
_PATH: Final = WithJsonSchema({"type": "string", "format": "path"})

Size = Annotated[
    int,
    PlainValidator(size),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "examples": ["8 GiB"]}]}),
]
Count = Annotated[int, Field(gt=0, lt=2**53)]
#: A share of 1 that is neither nothing nor more than all.
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Columns = Annotated[tuple[str, ...], PlainValidator(texts), _PLAIN_LIST, WithJsonSchema(_LIST)]
Keys = Annotated[tuple[str, ...], PlainValidator(_keys), _PLAIN_LIST, WithJsonSchema(_LIST)]
Variables = Annotated[
    tuple[str, ...], PlainValidator(_variables), _PLAIN_LIST, WithJsonSchema(_LIST)
]
Command = Annotated[
    tuple[str, ...], PlainValidator(_command), _PLAIN_LIST, WithJsonSchema(_LIST["anyOf"][1])
]
#: A path that results are written to.
OutPath = Annotated[Path, PlainValidator(_placed), _POSIX, _PATH]
#: A path that something is read from: it has to be there.
InPath = Annotated[Path, PlainValidator(_placed), AfterValidator(_there), _POSIX, _PATH]
Function = Annotated[str, AfterValidator(_function)]
Digest = Annotated[str, AfterValidator(_digest)]
Source = Annotated[str, AfterValidator(_source)]
Variable = Annotated[str, AfterValidator(_variable)]
Role = Annotated[str, AfterValidator(_role)]
#: The origin of a log of ours.
LogName = Annotated[str, AfterValidator(_log_name)]
PostgresUrl = Annotated[str, AfterValidator(_postgres)]
