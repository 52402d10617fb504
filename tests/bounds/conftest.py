"""The small site of `tests/cli`, for whole runs that are killed, starved or lied to; a supplier."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_PATH = Path(__file__).parents[1] / "cli" / "conftest.py"
# Test folders are no packages here, so that one of them is loaded by its path.
_SPEC = importlib.util.spec_from_file_location("whole_runs", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _MODULE
_SPEC.loader.exec_module(_MODULE)

_trusted, site_at, site, bare = _MODULE._trusted, _MODULE.site_at, _MODULE.site, _MODULE.bare

CREATE = ("--label", "label", "--contributor", "who")


@dataclass
class Vendor:
    """A supplier with a key: writes a batch and a signed manifest beside it."""

    site: Any
    source: str = "v/stones"

    def __post_init__(self) -> None:
        assert self.site.call("keys", "generate", "vendor").code == 0
        self.trust()

    def trust(self, **manifest: Any) -> None:
        """Settings of the gate: this vendor's key speaks for two sources."""
        keys = {name: ["./vendor.pub"] for name in ("v/stones", "v/gravel")}
        self.site.configure(manifest={"keys": keys, "unsigned": "reject", **manifest})

    def declare(self, data: Path, *options: str | Path, batch_id: str = "1") -> Path:
        """Write an unsigned manifest of `data`; returns its path."""
        asked = ("manifest", "create", data, "--source", self.source, "--batch-id", batch_id)
        done = self.site.call(*asked, *(options or CREATE))
        assert done.code == 0, done.err
        return data.with_name(f"{data.name}.manifest.dsse.json")

    def sign(self, manifest: Path) -> Path:
        """Sign a manifest in place."""
        assert self.site.call("manifest", "sign", manifest, "--key", "vendor.key").code == 0
        return manifest

    def send(self, data: Path, *options: str | Path, batch_id: str = "1") -> Path:
        """Sign `data`; returns the path of the manifest."""
        return self.sign(self.declare(data, *options, batch_id=batch_id))

    def batch(self, name: str, seed: int, *options: str | Path) -> Path:
        """A new batch of honest rows named `name`, signed; returns its path. Not gated."""
        data: Path = self.site.write(f"in/{name}.parquet", self.site.rows(120, seed))
        self.send(data, *CREATE, *options, batch_id=name)
        return data

    def gate(self, data: Path, *options: str) -> int:
        """The exit code of the gate."""
        return int(self.site.call("gate", data, "-q", *options).code)

    def found(self) -> dict[str, list[dict[str, Any]]]:
        """code -> findings of AUD-P rules in the newest report."""
        codes: dict[str, list[dict[str, Any]]] = {}
        for finding in self.site.report()["findings"]:
            if finding["rule"].startswith("AUD-P"):
                codes.setdefault(str(finding["evidence"]["code"]), []).append(finding)
        return codes


@pytest.fixture
def vendor(site: Any) -> Vendor:
    """A supplier whose manifests the site demands."""
    return Vendor(site)
