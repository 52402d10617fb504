"""Croissant 1.0 (MLCommons): the files with their digests, without the meaning of columns.

A manifest binds columns by a fingerprint, so there is no record set.
https://docs.mlcommons.org/croissant/docs/croissant-spec.html
"""

from __future__ import annotations

from typing import Final

from auditor.provenance.exports.facts import Facts, media_type
from auditor.provenance.manifest import FileEntry
from auditor.provenance.strict_json import Json

#: The context of the specification (appendix 1), as a document must carry it.
_CONTEXT: Final[dict[str, Json]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def document(facts: Facts) -> dict[str, Json]:
    """The data set as JSON-LD."""
    said = facts.manifest
    written: dict[str, Json] = {
        "@context": dict(_CONTEXT),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": said.name,
        "description": facts.description(),
        "url": f"urn:sha256:{said.sha256}",
        "identifier": f"sha256:{facts.envelope_sha256}",
        "version": f"{said.sequence}.0.0",
        "datePublished": facts.created,
        "creator": {"@type": "Organization", "name": facts.supplier},
        "distribution": [_file(file) for file in said.files],
    }
    if facts.licence is not None:
        written["license"] = facts.licence
    derived = [f"urn:sha256:{digest}" for _, digest in facts.parents()]
    if derived or facts.uris():
        written["prov:wasDerivedFrom"] = [{"@id": one} for one in (*derived, *_uris(facts))]
    return written


def _uris(facts: Facts) -> list[str]:
    return [uri for uri, _ in facts.uris()]


def _file(file: FileEntry) -> Json:
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "contentUrl": file.name,
        "contentSize": f"{file.size} B",
        "encodingFormat": media_type(file),
        "sha256": file.sha256,
    }
