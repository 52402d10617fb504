"""Cases 1-22, 23-26 and 64-74 of the list of attacks: a real envelope, the stated code."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from auditor.provenance import attestation, dsse, keys, statement
from auditor.provenance.refused import Refused

Case = Callable[[Any], bytes]


def edited(change: Callable[[dict[str, Any]], Any]) -> Case:
    """Signed by the right key, but with a statement that breaks a rule."""
    return lambda world: world.sign(world.changed(change))


def raw(change: Callable[[bytes], bytes]) -> Case:
    """Signed by the right key, with an edit of the payload's bytes."""
    return lambda world: world.sign(change(world.payload()))


def envelope(change: Callable[[dict[str, Any]], Any]) -> Case:
    """A good envelope, edited after it was signed."""

    def build(world: Any) -> bytes:
        document = json.loads(world.sign(world.payload()))
        change(document)
        return json.dumps(document).encode()

    return build


def edit_payload(document: dict[str, Any]) -> None:
    payload = base64.b64decode(document["payload"]).replace(b'"rows":4', b'"rows":5')
    document["payload"] = base64.b64encode(payload).decode()


def rename(name: str) -> Case:
    return edited(lambda s: s["predicate"]["files"][0].update(name=name))


def drop_trailing(*path: str) -> Case:
    def change(document: dict[str, Any]) -> None:
        for part in path[:-1]:
            document = document[part]
        del document[path[-1]]

    return edited(change)


def digest(value: dict[str, str]) -> Case:
    return edited(lambda s: s["predicate"]["files"][0].update(digest=value))


def predicate(**changes: Any) -> Case:
    return edited(lambda s: s["predicate"].update(changes))


def batch(**changes: Any) -> Case:
    return edited(lambda s: s["predicate"]["batch"].update(changes))


GOOD = "0" * 64
BAD_NAMES = (
    *("../evil.parquet", "/etc/passwd", "a//b", "a/", ".hidden", "x/.git/y", "_metadata"),
    *("a/_common_METADATA", "a\\b", "label=1/x.parquet", "nul\0", "new\nline", "\u00fcnicode"),
    *("C:x", "a/b/c/d/e/f/g/h/i"),
)

REFUSED: list[tuple[str, str, Case, str]] = [
    ("1", "unsigned", lambda w: dsse.build(w.payload(), dsse.IN_TOTO, ()), "UNSIGNED"),
    ("2", "stranger", lambda w: w.sign(w.payload(), w.stranger), "SIGNATURE_THRESHOLD"),
    ("3", "payload edited", envelope(edit_payload), "SIGNATURE_THRESHOLD"),
    (
        "4",
        "payloadType changed",
        envelope(lambda e: e.update(payloadType="text/plain")),
        "DSSE_PAYLOAD_TYPE",
    ),
    (
        "5",
        "garbage under a trusted keyid",
        envelope(lambda e: e["signatures"][0].update(sig=base64.b64encode(b"x" * 64).decode())),
        "SIGNATURE_THRESHOLD",
    ),
    (
        "5b",
        "short garbage",
        envelope(lambda e: e["signatures"][0].update(sig="")),
        "SIGNATURE_THRESHOLD",
    ),
    ("8", "junk base64", envelope(lambda e: e.update(payload="!!!!")), "DSSE_BASE64"),
    (
        "8b",
        "base64 with a line break",
        envelope(lambda e: e.update(payload=e["payload"] + "\n")),
        "DSSE_BASE64",
    ),
    ("8c", "loose last bits", envelope(lambda e: e.update(payload="QR==")), "DSSE_BASE64"),
    ("8d", "not ASCII", envelope(lambda e: e.update(payload="é===")), "DSSE_BASE64"),
    (
        "9",
        "17 signatures",
        envelope(lambda e: e.update(signatures=e["signatures"] * 17)),
        "DSSE_TOO_MANY_SIGS",
    ),
    (
        "10",
        "duplicate key in the envelope",
        lambda w: w.sign(w.payload()).replace(b"{", b'{"payload":"",', 1),
        "JSON_DUPLICATE_KEY",
    ),
    (
        "10b",
        "duplicate key in the payload",
        raw(lambda p: p.replace(b'"rows":4', b'"rows":4,"rows":4')),
        "JSON_DUPLICATE_KEY",
    ),
    ("11", "NaN", raw(lambda p: p.replace(b'"rows":4', b'"rows":NaN')), "JSON_NON_FINITE"),
    ("11b", "1e999", raw(lambda p: p.replace(b'"rows":4', b'"rows":1e999')), "JSON_NON_FINITE"),
    ("12", "100,000 brackets", lambda _: b"[" * 100_000, "JSON_TOO_DEEP"),
    ("12b", "deep payload", raw(lambda _: b"[" * 10**5 + b"]" * 10**5), "JSON_TOO_DEEP"),
    (
        "13",
        "5000 digits",
        raw(lambda p: p.replace(b'"rows":4', b'"rows":' + b"9" * 5000)),
        "JSON_INT_RANGE",
    ),
    (
        "14",
        "2^53 rows",
        raw(lambda p: p.replace(b'"rows":4', b'"rows":9007199254740992')),
        "JSON_INT_RANGE",
    ),
    ("15", "empty file", lambda _: b"", "JSON_INVALID"),
    ("15b", "not UTF-8", lambda _: b'{"payload":"\xff"}', "JSON_INVALID"),
    ("15c", "BOM", lambda w: b"\xef\xbb\xbf" + w.sign(w.payload()), "JSON_INVALID"),
    ("15d", "UTF-16", lambda w: w.sign(w.payload()).decode().encode("utf-16"), "JSON_INVALID"),
    ("16", "array", lambda w: b"[" + w.sign(w.payload()) + b"]", "DSSE_FORMAT"),
    ("16b", "no signatures", envelope(lambda e: e.pop("signatures")), "DSSE_FORMAT"),
    ("16c", "signature a string", envelope(lambda e: e.update(signatures=["x"])), "DSSE_FORMAT"),
    (
        "16d",
        "keyid a number",
        envelope(lambda e: e["signatures"][0].update(keyid=1)),
        "DSSE_FORMAT",
    ),
    ("17", "16 MiB + 1", lambda _: b" " * (16 * 1024 * 1024 + 1), "JSON_TOO_LARGE"),
    ("18", "lone surrogate", rename("\ud800"), "JSON_INVALID"),
    (
        "19",
        "VSA as a manifest",
        edited(lambda s: s.update(predicateType=attestation.PREDICATE_TYPE)),
        "PREDICATE_TYPE",
    ),
    ("19b", "other statement type", edited(lambda s: s.update(_type="x")), "PREDICATE_TYPE"),
    ("20", "two subjects", edited(lambda s: s.update(subject=s["subject"] * 2)), "SUBJECT_COUNT"),
    ("20b", "no subject", edited(lambda s: s.update(subject=[])), "SUBJECT_COUNT"),
    (
        "21",
        "subject digest",
        edited(lambda s: s["subject"][0].update(digest={"sha256": GOOD})),
        "SUBJECT_DIGEST",
    ),
    ("22", "misspelt expiresOn", predicate(expiresOnn="2026-11-29T11:00:00Z"), "FIELD_UNKNOWN"),
    ("24", "other batch in the subject", batch(source="vendor-b/reviews"), "SOURCE_UNKNOWN"),
    ("24b", "other id than the subject", batch(batchId="other"), "SOURCE_MISMATCH"),
    (
        "42b",
        "expires before it is created",
        predicate(expiresOn="2026-11-22T11:00:00Z"),
        "TIME_ORDER",
    ),
    (
        "43",
        "collected after creation",
        predicate(collection={"finishedOn": "2026-11-22T11:00:01Z"}),
        "TIME_ORDER",
    ),
    (
        "43b",
        "finished before started",
        predicate(
            collection={"startedOn": "2026-11-21T00:00:01Z", "finishedOn": "2026-11-21T00:00:00Z"}
        ),
        "TIME_ORDER",
    ),
    (
        "43c",
        "fetched after creation",
        predicate(
            collection={
                "uris": [
                    {
                        "uri": "https://x.example/y",
                        "digest": {"sha256": GOOD},
                        "fetchedOn": "2026-11-22T11:00:01Z",
                    }
                ]
            }
        ),
        "TIME_ORDER",
    ),
    (
        "43d",
        "started after creation",
        predicate(collection={"startedOn": "2026-11-22T11:00:01Z"}),
        "TIME_ORDER",
    ),
    (
        "74c",
        "the last transformation gave other rows",
        predicate(transformations=[{"name": "dedup", "rows": {"in": 9, "out": 5}}]),
        "ROWS",
    ),
    (
        "71b",
        "md5 of a transformation's input",
        predicate(transformations=[{"name": "dedup", "inputs": [{"md5": "0" * 32}]}]),
        "DIGEST_ALGORITHM",
    ),
    *[
        ("44", f"a time such as {text!r}", predicate(createdOn=text), "TIME_FORMAT")
        for text in (
            "2026-11-22T11:00:00",
            "2026-11-22T11:00:00+00:00",
            "2026-11-22T11:00:00.5Z",
            "2026-11-22 11:00:00Z",
            "2026-11-22t11:00:00z",
            "2026-06-30T23:59:60Z",
            "2026-11-22T24:00:00Z",
            "2026-02-30T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "\uff12026-11-22T11:00:00Z",
            "2026-11-22T11:00:00Z\n",
        )
    ],
    *[("66", f"a name such as {n!r}", rename(n), "PATH_UNSAFE") for n in BAD_NAMES],
    (
        "67",
        "casefolded twins",
        edited(lambda s: s["predicate"]["files"][1].update(name="MORE/part-1.parquet")),
        "PATH_UNSAFE",
    ),
    (
        "67b",
        "one name twice",
        edited(lambda s: s["predicate"]["files"].append(s["predicate"]["files"][0])),
        "PATH_UNSAFE",
    ),
    ("71", "md5 only", digest({"md5": "0" * 32}), "DIGEST_ALGORITHM"),
    ("72", "uppercase", digest({"sha256": "A" * 64}), "DIGEST_ALGORITHM"),
    ("72b", "short", digest({"sha256": "a" * 63}), "DIGEST_ALGORITHM"),
    ("72c", "parent digest", predicate(parents=[{"name": "p", "digest": {}}]), "DIGEST_ALGORITHM"),
    ("73", "no files", predicate(files=[]), "FILES_EMPTY"),
    ("74", "rows lie in total", predicate(rows=5), "ROWS"),
    ("-", "negative rows", predicate(rows=-1), "FIELD_TYPE"),
    ("-", "rows true", predicate(rows=True), "FIELD_TYPE"),
    ("-", "rows a float", predicate(rows=4.0), "FIELD_TYPE"),
    ("-", "files an object", predicate(files={}), "FIELD_TYPE"),
    ("-", "unknown kind", predicate(kind="poison"), "FIELD_VALUE"),
    ("-", "source with @", batch(source="a@b"), "FIELD_VALUE"),
    ("-", "source with a way out", batch(source="../b"), "FIELD_VALUE"),
    ("-", "batch id with a newline", batch(batchId="x\ny"), "FIELD_VALUE"),
    ("-", "no expiry", drop_trailing("predicate", "expiresOn"), "FIELD_MISSING"),
    ("-", "no fingerprint", drop_trailing("predicate", "schema", "fingerprint"), "FIELD_MISSING"),
    ("-", "predicate a list", edited(lambda s: s.update(predicate=[])), "FIELD_TYPE"),
]


@pytest.mark.parametrize(
    ("build", "code"),
    [pytest.param(build, code, id=f"{n} {what}") for n, what, build, code in REFUSED],
)
def test_case_1_to_74_bad_envelope_gives_exactly_its_code(
    world: Any, codes_of: Any, build: Case, code: str
) -> None:
    verification = world.verify(build(world))
    assert codes_of(verification) == [code]
    assert not verification.verified
    assert verification.summary["status"] != "verified"
    expected = "AUD-P001" if code == "UNSIGNED" else "AUD-P002"
    assert verification.findings[0].rule == expected


ACCEPTED: list[tuple[str, str, Case]] = [
    ("0", "as signed", lambda w: w.sign(w.payload())),
    ("6", "keyid absent", envelope(lambda e: e["signatures"][0].pop("keyid"))),
    ("6b", "keyid of another key", envelope(lambda e: e["signatures"][0].update(keyid="beef"))),
    (
        "7",
        "URL-safe base64",
        envelope(
            lambda e: (
                e.update(payload=e["payload"].replace("+", "-").replace("/", "_")),
                e["signatures"][0].update(
                    sig=e["signatures"][0]["sig"].replace("+", "-").replace("/", "_")
                ),
            )
        ),
    ),
    ("9", "16 signatures", envelope(lambda e: e.update(signatures=e["signatures"] * 16))),
    ("22", "field named by a URI", predicate(**{"https://vendor.example/x": {"any": [1.5]}})),
    ("-", "unknown field in the envelope", envelope(lambda e: e.update(extra=1))),
    ("-", "a stranger signs too", lambda w: w.sign(w.payload(), w.stranger, w.key)),
]


@pytest.mark.parametrize(
    "build", [pytest.param(build, id=f"{number} {what}") for number, what, build in ACCEPTED]
)
def test_case_6_to_22_good_envelope_is_accepted(world: Any, build: Case) -> None:
    verification = world.verify(build(world))
    assert verification.findings == ()
    assert verification.verified
    assert verification.signers == (world.public.keyid,)
    assert verification.summary["status"] == "verified"


def test_no_manifest_is_the_other_rule(world: Any, codes_of: Any) -> None:
    verification = world.verify(None)
    assert codes_of(verification) == ["NO_MANIFEST"]
    assert verification.findings[0].rule == "AUD-P001"
    assert verification.summary == {"status": "none"}


def test_unsigned_manifest_is_still_compared(world: Any, codes_of: Any) -> None:
    found = world.verify(dsse.build(world.payload(), dsse.IN_TOTO, ()), files=world.received()[1:])
    assert codes_of(found) == ["UNSIGNED", "FILE_MISSING"]
    assert [finding.rule for finding in found.findings] == ["AUD-P001", "AUD-P002"]


def test_case_23_key_of_another_source(world: Any, codes_of: Any) -> None:
    both = {
        "vendor-a/reviews": (world.public,),
        "vendor-b/reviews": (keys.public_half(world.stranger),),
    }
    envelope = world.sign(world.payload(), world.stranger)
    assert codes_of(world.verify(envelope, keys=both)) == ["SIGNATURE_THRESHOLD"]


def test_case_24_own_key_but_another_source_expected(world: Any, codes_of: Any) -> None:
    found = world.verify(world.sign(world.payload()), source="vendor-b/reviews")
    assert codes_of(found) == ["SOURCE_MISMATCH"]


def test_case_25_unknown_source(world: Any, codes_of: Any) -> None:
    assert codes_of(world.verify(world.sign(world.payload()), keys={})) == ["SOURCE_UNKNOWN"]


@pytest.mark.parametrize("listed", [1, 2])
def test_case_26_one_key_twice_does_not_meet_threshold_two(
    world: Any, codes_of: Any, listed: int
) -> None:
    envelope = world.sign(world.payload(), world.key, world.key)
    known = {"vendor-a/reviews": (world.public,) * listed}
    found = world.verify(envelope, keys=known, threshold=2)
    assert codes_of(found) == ["SIGNATURE_THRESHOLD"]


def test_threshold_two_is_met_by_two_keys(world: Any) -> None:
    known = {"vendor-a/reviews": (world.public, keys.public_half(world.stranger))}
    envelope = world.sign(world.payload(), world.key, world.stranger)
    assert len(world.verify(envelope, keys=known, threshold=2).signers) == 2


def test_threshold_zero_is_a_mistake_not_a_policy(world: Any) -> None:
    with pytest.raises(ValueError, match="threshold"):
        world.verify(world.sign(world.payload()), threshold=0)


def test_case_19_manifest_offered_as_an_attestation(world: Any) -> None:
    with pytest.raises(Refused) as caught:
        statement.read(world.payload(), attestation.PREDICATE_TYPE)
    assert caught.value.code == "PREDICATE_TYPE"


def test_messages_hold_no_control_characters(world: Any) -> None:
    name = "\x1b[2J\u202eevil" + "x" * 10_000
    payload = world.changed(lambda s: s["predicate"].update({name: 1}))
    (finding,) = world.verify(world.sign(payload)).findings
    assert finding.message.isprintable()
    assert len(finding.message) < 800
