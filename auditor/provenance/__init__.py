"""Who promised these bytes, and are they what was promised: bytes in, findings out.

Pure: no files, no clock, no environment, no keys that sign. Import what you need from the module
that has it (`manifest`, `verification`, `attestation`, `dsse`, `keys`): this file imports little so
that the step that signs and the training side start fast.
"""

from __future__ import annotations

from auditor.provenance.refused import KeyRefused, Refused

__all__ = ["KeyRefused", "Refused"]
