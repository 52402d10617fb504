"""Prefect flows around the pipeline of `auditor`: audit a batch, watch an inbox, gate a training.

Thin on purpose: what is audited and decided is in `auditor`, which knows nothing of Prefect. The
modules `inbox`, `claims`, `kept` and `site` import no Prefect either.
"""
