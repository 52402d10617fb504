"""A manifest in the words of other tools, held against those tools where they are installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from auditor.provenance import dsse, statement
from auditor.provenance.digests import sha256
from auditor.provenance.exports import FORMS, exported
from auditor.provenance.manifest import PREDICATE_TYPE, Manifest, read
from auditor.provenance.refused import Refused

DETAILS = {
    "supplier": {"id": "vendor-a", "type": "organization"},
    "license": {"spdx": "CC-BY-4.0"},
    "collection": {
        "method": "crawl",
        "uris": [{"uri": "https://x.example/y.csv", "digest": {"sha256": "a" * 64}}],
    },
    "parents": [{"name": "vendor-a/raw@2026-11-21", "digest": {"sha256": "b" * 64}}],
}
ENVELOPE = sha256(b"the manifest's file")


@pytest.fixture(scope="module", params=["full", "bare"])
def manifest(request: pytest.FixtureRequest, world: Any) -> Manifest:
    payload = world.payload(details=DETAILS if request.param == "full" else None)
    opened = dsse.parse(world.sign(payload))
    return read(statement.read(opened.payload, PREDICATE_TYPE))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_binds_the_batch(manifest: Manifest, form: str) -> None:
    """Digests of batch, manifest and (not in lineage) files are in it; the same each time."""
    text = json.dumps(exported(manifest, ENVELOPE, form))
    assert manifest.sha256 in text
    assert ENVELOPE in text
    if form != "openlineage":
        for file in manifest.files:
            assert file.sha256 in text
            assert file.name in text
    full = "license" in manifest.predicate
    assert ("a" * 64 in text or form == "croissant") or not full
    assert ("b" * 64 in text) == full
    assert json.dumps(exported(manifest, ENVELOPE, form)) == text


def test_a_description_of_the_wrong_type_is_refused(world: Any) -> None:
    """Nothing reads the licence before: what is signed may be anything."""
    payload = world.payload(details={"license": {"spdx": ["CC-BY-4.0"]}})
    opened = dsse.parse(world.sign(payload))
    manifest = read(statement.read(opened.payload, PREDICATE_TYPE))
    with pytest.raises(Refused, match="FIELD_TYPE"):
        exported(manifest, ENVELOPE, "cyclonedx")


# RDFLib, which the library stands on, warns of itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_croissant(manifest: Manifest, tmp_path: Path) -> None:
    croissant = pytest.importorskip("mlcroissant")
    path = tmp_path / "croissant.json"
    path.write_text(json.dumps(exported(manifest, ENVELOPE, "croissant")), encoding="utf-8")
    found = croissant.Dataset(jsonld=path)
    assert not found.metadata.ctx.issues.errors
    assert found.metadata.name == manifest.name
    listed = {one.id: one.sha256 for one in found.metadata.distribution}
    assert listed == {file.name: file.sha256 for file in manifest.files}


def test_openlineage(manifest: Manifest) -> None:
    pytest.importorskip("openlineage.client")
    from openlineage.client import event_v2, facet_v2
    from openlineage.client.serde import Serde

    said: Any = exported(manifest, ENVELOPE, "openlineage")

    def facet(kind: Any, values: dict[str, Any], **made: Any) -> Any:
        plain = {n: v for n, v in values.items() if not n.startswith("_")}
        built = kind(**(plain | made))
        theirs, ours = built._get_schema(), values["_schemaURL"]
        assert theirs.rsplit("/")[-1] == ours.rsplit("/")[-1]
        return built

    versioned = facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet

    def version(of: dict[str, Any]) -> dict[str, Any]:
        values = of["facets"]["version"]
        return {"version": facet(versioned, values)}

    (out,) = said["outputs"]
    owners = facet_v2.ownership_dataset.OwnershipDatasetFacet
    owner = facet_v2.ownership_dataset.Owner
    written = facet_v2.documentation_dataset.DocumentationDatasetFacet
    counted = facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet
    ownership = out["facets"]["ownership"]
    event = event_v2.RunEvent(
        eventType=event_v2.RunState[said["eventType"]],
        eventTime=said["eventTime"],
        run=event_v2.Run(said["run"]["runId"]),
        job=event_v2.Job(said["job"]["namespace"], said["job"]["name"]),
        producer=said["producer"],
        inputs=[
            event_v2.InputDataset(one["namespace"], one["name"], facets=version(one))
            for one in said["inputs"]
        ],
        outputs=[
            event_v2.OutputDataset(
                out["namespace"],
                out["name"],
                facets={
                    **version(out),
                    "ownership": facet(
                        owners, ownership, owners=[owner(**o) for o in ownership["owners"]]
                    ),
                    "documentation": facet(written, out["facets"]["documentation"]),
                },
                outputFacets={
                    "outputStatistics": facet(counted, out["outputFacets"]["outputStatistics"])
                },
            )
        ],
    )
    theirs = json.loads(Serde.to_json(event))
    assert theirs["schemaURL"] == said["schemaURL"]
    assert _plain(theirs) == _plain(said)


def _plain(value: Any) -> Any:
    """Without what the client adds by itself: its own producer, empty parts."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {n: _plain(v) for n, v in value.items() if not n.startswith("_")}
    return {n: v for n, v in kept.items() if v not in (None, {}, [])}


def test_cyclonedx(manifest: Manifest) -> None:
    pytest.importorskip("cyclonedx")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = json.dumps(exported(manifest, ENVELOPE, "cyclonedx"))
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    broken = text.replace('"SHA-256"', '"SHA-257"')
    assert validator.validate_str(broken) is not None, "the validator looks"
