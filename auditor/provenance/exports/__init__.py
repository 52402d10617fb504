"""A manifest in the words of others: Croissant, OpenLineage, CycloneDX.

One way only. The export is unsigned: what vouches for the batch is the manifest, which each form
names by its digest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from auditor.provenance.exports import croissant, cyclonedx, openlineage
from auditor.provenance.exports.facts import Facts
from auditor.provenance.manifest import Manifest
from auditor.provenance.strict_json import Json

#: Name of a form -> the function that makes it: the document as plain JSON values.
FORMS: Final[Mapping[str, Callable[[Facts], dict[str, Json]]]] = {
    "croissant": croissant.document,
    "openlineage": openlineage.document,
    "cyclonedx": cyclonedx.document,
}


def exported(declared: Manifest, envelope_sha256: str, form: str) -> dict[str, Json]:
    """The manifest in a form of `FORMS`; `envelope_sha256` is the digest of its file.

    Raises:
        Refused: FIELD_TYPE for a description whose parts are not of the type they should have.
    """
    return FORMS[form](Facts(declared, envelope_sha256))
