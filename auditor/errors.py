"""Every exception that `auditor` raises on purpose.

Bad *data* is never an exception: it is a `Finding` with a stable code. These are for bad set-up
(our own configuration, keys, baseline) and for what a detector needs and does not have.
"""


class AuditorError(Exception):
    """Base of all that is raised on purpose. The message says what, where and what to do next."""


class ConfigError(AuditorError):
    """A setting, suite or command line that cannot be used; says where: `file:line:column`."""


class BatchError(AuditorError):
    """The named input cannot be opened at all (no such path, no permission, a URL)."""


class BaselineError(AuditorError):
    """A baseline that is missing, damaged, edited or of another version."""


class LedgerError(AuditorError):
    """The ledger cannot be read or appended to."""


class UnfinishedError(AuditorError):
    """A run is decided and logged, and could not be made visible; the next run finishes it."""


class TrustError(AuditorError):
    """Our own keys or trusted configuration are unusable: weak, exposed, or of a bad format."""


class Unavailable(AuditorError):
    """A detector cannot run here and says why: "needs a baseline", "no label role"."""
