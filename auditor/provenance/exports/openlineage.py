"""OpenLineage: the making of the batch as one finished run.

https://openlineage.io/spec/2-0-2/OpenLineage.json and its facets.
"""

from __future__ import annotations

from typing import Final

from auditor.provenance.exports.facts import PRODUCER, Facts
from auditor.provenance.strict_json import Json

_SPEC: Final = "https://openlineage.io/spec"
_SCHEMA: Final = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
#: Data sets are named within it: the URI scheme that attestations use.
_NAMESPACE: Final = "dataset"


def document(facts: Facts) -> dict[str, Json]:
    """A RunEvent of type COMPLETE: parents and addresses in, the batch out."""
    said = facts.manifest
    inputs = [_input(_NAMESPACE, name, digest) for name, digest in facts.parents()]
    inputs += [_input("uri", uri, digest) for uri, digest in facts.uris()]
    return {
        "eventType": "COMPLETE",
        "eventTime": facts.created,
        "producer": PRODUCER,
        "schemaURL": _SCHEMA,
        "run": {"runId": facts.uuid("openlineage"), "facets": {}},
        "job": {"namespace": said.source, "name": f"{said.source}/{said.kind}", "facets": {}},
        "inputs": inputs,
        "outputs": [_output(facts)],
    }


def _output(facts: Facts) -> Json:
    said = facts.manifest
    statistics = _facet(
        "1-0-2/OutputStatisticsOutputDatasetFacet",
        {"rowCount": said.rows, "size": facts.size, "fileCount": len(said.files)},
    )
    owners: list[Json] = [{"name": facts.supplier, "type": "SUPPLIER"}]
    text = f"{facts.description()} Manifest sha256:{facts.envelope_sha256}."
    return {
        "namespace": _NAMESPACE,
        "name": said.name,
        "facets": {
            "version": _version(said.sha256),
            "ownership": _facet("1-0-1/OwnershipDatasetFacet", {"owners": owners}),
            "documentation": _facet("1-1-0/DocumentationDatasetFacet", {"description": text}),
        },
        "outputFacets": {"outputStatistics": statistics},
    }


def _input(namespace: str, name: str, digest: str) -> Json:
    return {"namespace": namespace, "name": name, "facets": {"version": _version(digest)}}


def _version(digest: str) -> Json:
    return _facet("1-0-1/DatasetVersionDatasetFacet", {"datasetVersion": f"sha256:{digest}"})


def _facet(schema: str, values: dict[str, Json]) -> Json:
    version, name = schema.split("/")
    url = f"{_SPEC}/facets/{version}/{name}.json#/$defs/{name}"
    return {"_producer": PRODUCER, "_schemaURL": url, **values}
