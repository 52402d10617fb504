"""Whose word counts for what: the signed trust policy, its keys and thresholds, its versions.

Pure: no files, no clock, no environment, no keys that sign. Import what you need from the module
that has it (`policy`, `parsing`, `thresholds`, `chain`, `terms`): the training side starts fast.
"""
