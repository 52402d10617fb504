"""What may become of a batch and of rows that were set aside, and who may decide it. Pure.

Events and signed statements in, states and refusals out: no clock, no files, no ledger of its own.
"""
