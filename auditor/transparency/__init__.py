"""Proofs about an append-only log: Merkle trees, signed notes, checkpoints, proof files.

Pure: bytes in, values out, `LogRefused` for what does not hold. No clock, no files, no database,
so that a training job can verify a proof with this package alone.
"""
