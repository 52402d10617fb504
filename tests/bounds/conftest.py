"""The small site of `tests/cli`, for the tests that kill, interrupt or starve whole runs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_PATH = Path(__file__).parents[1] / "cli" / "conftest.py"
# Test folders are no packages here, so that one of them is loaded by its path.
_SPEC = importlib.util.spec_from_file_location("whole_runs", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _MODULE
_SPEC.loader.exec_module(_MODULE)

_trusted, site_at, site, bare = _MODULE._trusted, _MODULE.site_at, _MODULE.site, _MODULE.bare
