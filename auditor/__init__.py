"""Stops data poisoning before data reaches a training job.

`auditor.audit(...)` is imported when it is first used: a training job that imports
`auditor.verify` loads pyarrow and cryptography, nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.api import Audit, RejectedError, audit

__all__ = ["Audit", "RejectedError", "audit"]


def __getattr__(name: str) -> Any:
    """Import the Python API at first use."""
    if name in __all__:
        from auditor import api

        return getattr(api, name)
    raise AttributeError(f"module 'auditor' has no attribute {name!r}")
