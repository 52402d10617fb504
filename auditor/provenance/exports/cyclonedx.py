"""CycloneDX 1.6 (ECMA-424): the batch as a data component, its files as components of it.

https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

from auditor.provenance.exports.facts import PRODUCER, Facts, media_type
from auditor.provenance.manifest import FileEntry
from auditor.provenance.strict_json import Json


def document(facts: Facts) -> dict[str, Json]:
    """The bill of materials."""
    said = facts.manifest
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{facts.uuid('cyclonedx')}",
        "version": 1,
        "metadata": {
            "timestamp": facts.created,
            "supplier": {"name": facts.supplier},
            "component": _batch(facts),
            "properties": [_property("exporter", PRODUCER)],
        },
        "components": [_file(said.name, file) for file in said.files],
        "dependencies": [
            {"ref": said.name, "dependsOn": [_ref(said.name, file) for file in said.files]}
        ],
    }


def _batch(facts: Facts) -> Json:
    said = facts.manifest
    batch: dict[str, Json] = {
        "type": "data",
        "bom-ref": said.name,
        "name": said.source,
        "version": said.batch_id,
        "description": facts.description(),
        "hashes": _hashes(said.sha256),
        "data": [{"type": "dataset", "name": said.name, "classification": said.kind}],
        "properties": [
            _property("manifest-sha256", facts.envelope_sha256),
            _property("sequence", str(said.sequence)),
            _property("rows", str(said.rows)),
        ],
    }
    if facts.licence is not None:
        batch["licenses"] = [{"expression": facts.licence}]
    if parents := facts.parents():
        batch["pedigree"] = {"ancestors": [_parent(*one) for one in parents]}
    if uris := facts.uris():
        batch["externalReferences"] = [
            {"type": "source-distribution", "url": uri, "hashes": _hashes(digest)}
            for uri, digest in uris
        ]
    return batch


def _parent(name: str, digest: str) -> Json:
    return {"type": "data", "name": name, "hashes": _hashes(digest)}


def _file(batch: str, file: FileEntry) -> Json:
    return {
        "type": "file",
        "bom-ref": _ref(batch, file),
        "name": file.name,
        "mime-type": media_type(file),
        "hashes": _hashes(file.sha256),
        "properties": [
            _property("bytes", str(file.size)),
            _property("rows", str(file.rows)),
        ],
    }


def _ref(batch: str, file: FileEntry) -> str:
    return f"{batch}#{file.name}"


def _hashes(sha256: str) -> list[Json]:
    return [{"alg": "SHA-256", "content": sha256}]


def _property(name: str, value: str) -> Json:
    return {"name": f"auditor:{name}", "value": value}
