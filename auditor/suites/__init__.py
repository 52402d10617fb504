"""Expectation suites: load, judge, infer, digest. Importing this is light; `runner` is not.

`auditor.suites.runner` evaluates with Great Expectations and is imported by who needs it.
"""

from auditor.suites.inference import infer
from auditor.suites.loader import (
    KNOWN_TYPES,
    SEVERITIES,
    columns_of,
    digest,
    judge,
    load,
    to_json,
)

__all__ = ["KNOWN_TYPES", "SEVERITIES", "columns_of", "digest", "infer", "judge", "load", "to_json"]
