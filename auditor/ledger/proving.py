"""`Ledger`: the log of events with its proofs: checkpoints, inclusion, continuation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from auditor.errors import LedgerError
from auditor.ledger import heads, tree
from auditor.ledger.events import KEY_CHANGED, Via
from auditor.ledger.faults import LedgerTampered
from auditor.ledger.log import EventLog
from auditor.ledger.store import Session
from auditor.transparency import merkle
from auditor.transparency.checkpoint import Seen
from auditor.transparency.note import VerifierKey, last_signer
from auditor.transparency.proof import ConsistencyProof, InclusionProof
from auditor.transparency.refused import LogRefused


class Ledger(EventLog):
    """An append-only log of events, a Merkle tree over them, and signed checkpoints of the tree.

    Where `keys` may be given, they are those that may have signed checkpoints; the default is the
    ledger's own key.
    """

    def newest(self, keys: Sequence[VerifierKey] | None = None) -> Seen | None:
        """The newest checkpoint, verified; None where nothing was written yet.

        `keys` may have signed it; the default is the ledger's own key.
        """
        if not self.store.exists():
            return None
        with self.store.reading() as session:
            return self._seen(session, keys)

    def checkpoint(self) -> Seen:
        """A checkpoint over every entry there is, signed now unless there is one."""
        if not self.store.exists():
            raise LedgerError(f"{self.where}: there is no ledger yet")
        with self.store.writing() as session:
            size = self.settled(session)
            if not size:
                raise LedgerError(f"{self.where}: the ledger is empty")
            last = self._seen(session, None)
            if last is not None and last.size == size:
                return last
            return heads.sign_head(session, self.where, self.key, size)

    def sizes(self) -> tuple[int, ...]:
        """The number of entries under each checkpoint there is, rising."""
        if not self.store.exists():
            return ()
        with self.store.reading() as session:
            if session.bare:
                return ()
            return tuple(row[0] for row in session.all("SELECT size FROM checkpoint ORDER BY size"))

    def change_key(self, at: datetime, via: Via) -> VerifierKey:
        """Announce a new key in the log, signed by the old and the new one; it signs from then on.

        Other hosts that write to this log need the new key file before they can write again. A
        crash is finished by the next append. Raises `LedgerError` where there is no log yet.
        """
        seen, next_key = self.newest(), self.key.successor
        if seen is None:
            raise LedgerError(f"{self.where}: there is no ledger yet")
        next_key.make()
        new = next_key.public()
        if last_signer(seen.note, self.key.origin) == new.key_id:  # a crash came after it was said
            self.key.hand_over()
            return new
        subject = sha256(str(new).encode()).hexdigest()
        self.append(KEY_CHANGED, at=at, via=via, subject=subject, detail={"key": str(new)})
        self.key.hand_over()
        return new

    def prove(
        self,
        index: int,
        keys: Sequence[VerifierKey] | None = None,
        *,
        under: Seen | None = None,
    ) -> bytes:
        """The proof file of an entry, under the first checkpoint that covers it.

        `under` is another checkpoint of this log, say one that witnesses cosigned. Raises
        `LedgerError` where there is no such entry, or no checkpoint over it yet, and
        `LedgerTampered` where the entries are not those of the checkpoint.
        """
        entry = next(iter(self.entries(index, index + 1)), None) if index >= 0 else None
        if entry is None:
            raise LedgerError(f"{self.where}: there is no entry {index}")
        with self.store.reading() as session:
            seen = under or self._seen(session, keys, index)
            if seen is None or seen.size <= index:
                raise LedgerError(
                    f"{self.where}: no checkpoint covers entry {index} yet; the next verdict does"
                )
            hashes = tuple(
                merkle.inclusion_proof(index, seen.size, tree.node_of(session, self.where))
            )
        # A proof that does not verify would accuse an honest gate: see it before others do.
        try:
            merkle.verify_inclusion(entry.leaf, index, seen.size, hashes, seen.root)
        except LogRefused as refused:
            raise LedgerTampered(self.where, f"entry {index} ({refused})") from refused
        return InclusionProof(index, hashes, seen.note, entry.body).to_bytes()

    def proof_of(self, attestation: str) -> bytes | None:
        """The proof file of the verdict that names an attestation (hex sha256), if there is one."""
        entry = self.verdict_naming(attestation)
        return self.prove(entry.idx) if entry is not None else None

    def continuation(
        self, old: int, new: int | None = None, keys: Sequence[VerifierKey] | None = None
    ) -> bytes:
        """The proof that a checkpoint continues the log of `old` entries.

        `new` is the size of a checkpoint, default the newest. Raises `LedgerError` where there is
        none, or where `old` is not between 0 and its size.
        """
        seen = self._checkpoint_of(new, keys)
        if not 0 <= old <= seen.size:
            raise LedgerError(f"{self.where}: no proof leads from {old} entries to {seen.size}")
        with self.store.reading() as session:
            node = tree.node_of(session, self.where)
            hashes = tuple(merkle.consistency_proof(old, seen.size, node)) if old else ()
        return ConsistencyProof(old, hashes, seen.note).to_bytes()

    def _checkpoint_of(self, size: int | None, keys: Sequence[VerifierKey] | None) -> Seen:
        seen = None
        if self.store.exists():
            with self.store.reading() as session:
                seen = self._seen(session, keys, None if size is None else size - 1)
        if seen is None or size not in (None, seen.size):
            wanted = "yet" if size is None else f"of {size} entries"
            raise LedgerError(f"{self.where}: there is no checkpoint {wanted}")
        return seen

    def _seen(
        self, session: Session, keys: Sequence[VerifierKey] | None, index: int | None = None
    ) -> Seen | None:
        """The newest checkpoint, or the first over an entry; None where there is none yet."""
        if not heads.any_yet(session):
            return None
        known = keys or self.key.known()
        if index is None:
            return heads.newest(session, self.where, known)
        return heads.covering(session, self.where, known, index)
