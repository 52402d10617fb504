"""The training side: is what I load what was audited?

    table = auditor.verify.load_verified(
        "published/3f…", resource="vendor-a/reviews@2026-11-22",
        policy=Trust.pinned("trust.dsse.json", sha256="…"),
        status="status.dsse.json", seen="file:///var/lib/trainer/seen",
    )

Needs pyarrow and cryptography, nothing else. Nothing can change between what is verified and what
is used: digests are those of the very buffers that are parsed.
"""

from auditor.verify.demands import LEVELS, Demands
from auditor.verify.loading import Options, RollbackUnprotected, load_verified, verify
from auditor.verify.refused import CODES, NotVerified
from auditor.verify.trust import Trust
from auditor.verify.verified import Verified, VerifiedFile

__all__ = [
    "CODES",
    "LEVELS",
    "Demands",
    "NotVerified",
    "Options",
    "RollbackUnprotected",
    "Trust",
    "Verified",
    "VerifiedFile",
    "load_verified",
    "verify",
]
