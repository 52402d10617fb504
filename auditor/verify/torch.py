"""Verified rows for PyTorch. The only module here that needs torch; nothing else imports it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from auditor.verify.tables import BATCH_ROWS
from auditor.verify.verified import Verified


class VerifiedRows(IterableDataset):  # type: ignore[misc]
    """The rows of a verified dataset as dictionaries; workers of a `DataLoader` share them out.

    Every worker reads and verifies all files. One that is not what was audited ends the epoch with
    `NotVerified`; from a worker it comes as a RuntimeError of torch that quotes it.
    """

    def __init__(
        self, verified: Verified, columns: Sequence[str] | None = None, rows: int = BATCH_ROWS
    ) -> None:
        """`columns`: only these; `rows`: how many are read at a time, and given to one worker."""
        super().__init__()
        self._verified = verified
        self._columns = columns
        self._rows = rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        own, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        for number, batch in enumerate(self._verified.batches(self._columns, self._rows)):
            if number % workers == own:
                yield from batch.to_pylist()
