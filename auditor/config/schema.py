"""The JSON Schema of auditor.yaml, for editors that complete and explain."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from auditor.config.rules import Detectors, installed, rule_families
from auditor.config.settings import Settings
from auditor.context import Detector


def json_schema(detectors: Detectors | None = None) -> dict[str, Any]:
    """JSON Schema 2020-12 of the settings, with the options of each detector of this version."""
    detectors = installed() if detectors is None else detectors
    schema = Settings.model_json_schema()
    rules = sorted(rule_families(detectors))
    schema["$defs"]["PolicySettings"]["properties"]["effects"]["propertyNames"] = {"enum": rules}
    schema["$defs"]["PolicySettings"]["properties"]["required"]["items"] = {"enum": rules}
    own = schema["$defs"].pop("DetectorSettings")
    schema["properties"]["detectors"] = {
        "type": "object",
        "description": schema["properties"]["detectors"]["description"],
        "additionalProperties": False,
        "properties": {d.rule.id: _options(d, own) for d in detectors},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "auditor.yaml",
    }


def _options(detector: type[Detector], own: dict[str, Any]) -> dict[str, Any]:
    found = TypeAdapter[object](detector.options).json_schema()
    return {
        "type": "object",
        "title": f"{detector.rule.id}: {detector.rule.title}",
        "additionalProperties": False,
        "properties": {**own["properties"], **found.get("properties", {})},
        **{name: found[name] for name in ("description", "$defs") if name in found},
    }
