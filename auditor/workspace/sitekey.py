"""The site's secret for keyed hashes and seeds: 32 random bytes, made at first use."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from auditor.errors import TrustError
from auditor.private_file import read_or_make

KEY_BYTES: Final = 32


def site_key(path: Path) -> bytes:
    """The key, made where there is none; of several makers one wins and all get its key.

    Raises `TrustError` for a file that others may read or write, that is not ours, not a plain
    file, or of another length.
    """
    key = read_or_make(path, lambda: secrets.token_bytes(KEY_BYTES), "the site key")
    if len(key) != KEY_BYTES:
        raise TrustError(
            f"{path}: a site key has {KEY_BYTES} bytes, not {len(key)}; restore it from a backup "
            "(a new one makes every keyed hash of the baseline void)"
        )
    return key
