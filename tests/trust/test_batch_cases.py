"""The received batch against a good manifest: files, rows, columns, contributors, time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from auditor.provenance import declare
from auditor.provenance.comparison import ReceivedFile
from auditor.provenance.digests import contributor_roll, sha256
from auditor.provenance.manifest import FileEntry
from auditor.provenance.refused import Refused
from auditor.provenance.rules import LISTED, RULES

FIRST = "part-0.parquet"
SECOND = "more/part-1.parquet"
EVIL = sha256(b"evil")


def extra(name: str, **values: Any) -> ReceivedFile:
    return ReceivedFile(name=name, **({"sha256": EVIL, "size": 4, "rows": 1} | values))


FILES: list[tuple[str, str, Any, list[str]]] = [
    ("55", "flipped byte", lambda w: w.received_but(FIRST, sha256=EVIL), ["FILE_DIGEST"]),
    ("56", "size", lambda w: w.received_but(FIRST, size=6), ["FILE_SIZE"]),
    ("57", "missing", lambda w: w.received()[1:], ["FILE_MISSING"]),
    ("58", "extra", lambda w: [*w.received(), extra("z.parquet")], ["FILE_EXTRA"]),
    ("59", "hidden extra", lambda w: [*w.received(), extra(".z")], ["FILE_EXTRA"]),
    ("60", "extra in .git", lambda w: [*w.received(), extra(".git/x")], ["FILE_EXTRA"]),
    (
        "61",
        "symlink to the same bytes",
        lambda w: w.received_but(FIRST, symlink=True),
        ["FILE_SYMLINK"],
    ),
    (
        "61b",
        "symlink that was not declared",
        lambda w: [*w.received(), extra("z", symlink=True)],
        ["FILE_SYMLINK"],
    ),
    ("68", "renamed", lambda w: w.received_but(FIRST, name="label=1/x"), ["FILE_RENAMED"]),
    (
        "68b",
        "contents swapped",
        lambda w: [
            *w.received_but(FIRST, sha256=w.received()[1].sha256)[:1],
            *w.received_but(SECOND, sha256=w.received()[0].sha256)[1:],
        ],
        ["FILE_DIGEST", "FILE_DIGEST"],
    ),
    ("74", "rows of one file", lambda w: w.received_but(SECOND, rows=2), ["ROWS"]),
    (
        "80",
        "evil and good in one file",
        lambda w: w.received_but(FIRST, sha256=EVIL, size=9),
        ["FILE_SIZE", "FILE_DIGEST"],
    ),
    ("-", "nothing received", lambda _: [], ["FILE_MISSING", "FILE_MISSING"]),
    ("79", "not parsed, no rows", lambda w: w.received_but(FIRST, rows=None), ["NOT_COMPARED"]),
    (
        "64",
        "not received",
        lambda w: w.received_but(FIRST, rows=None, sha256="", size=0),
        ["NOT_COMPARED"],
    ),
]


@pytest.mark.parametrize(
    ("files", "expected"),
    [pytest.param(files, expected, id=f"{n} {what}") for n, what, files, expected in FILES],
)
def test_case_55_to_80_files(world: Any, codes_of: Any, files: Any, expected: list[str]) -> None:
    verification = world.verify(world.sign(world.payload()), files=files(world))
    assert codes_of(verification) == expected
    assert verification.verified == (not expected)
    for finding in verification.findings:
        assert finding.rule == "AUD-P002"
        assert str(finding.evidence["file"]) in finding.message


def test_a_finding_says_what_to_do(world: Any) -> None:
    (finding,) = world.verify(world.sign(world.payload()), files=world.received()[1:]).findings
    assert "part-0.parquet" in finding.message
    assert "Ask the supplier" in finding.message


def test_hostile_names_are_shown_safely(world: Any) -> None:
    name = "\x1b]0;owned\x07\ud800" + "a" * 5000
    (finding,) = world.verify(
        world.sign(world.payload()), files=[*world.received(), extra(name)]
    ).findings
    shown = str(finding.evidence["file"])
    assert shown.isprintable()
    assert len(shown) <= 201
    assert finding.message.isprintable()


def test_many_differences_are_counted_not_listed(world: Any, codes_of: Any) -> None:
    many = [extra(f"f{i}", sha256=sha256(b"%d" % i)) for i in range(1000)]
    verification = world.verify(world.sign(world.payload()), files=[*world.received(), *many])
    assert codes_of(verification) == ["FILE_EXTRA"] * (LISTED + 1)
    assert verification.findings[-1].evidence["more"] == 1000 - LISTED


X, LABEL, WHO = ("x", "double", True), ("label", "int64", False), ("contributor_id", "string", True)
SCHEMAS: list[tuple[str, Any, list[str]]] = [
    ("75 type changed", [("x", "float", True), LABEL, WHO], ["SCHEMA"]),
    ("75 order changed", [LABEL, X, WHO], ["SCHEMA"]),
    ("75 nullable", [X, ("label", "int64", True), WHO], ["SCHEMA"]),
    ("82 duplicate names", [X, X, LABEL, WHO], ["SCHEMA", "SCHEMA"]),
    ("lone surrogate", [("\udfff", "double", True), LABEL, WHO], ["SCHEMA"]),
    ("no label, no contributor", [X], ["SCHEMA", "SCHEMA", "SCHEMA"]),
    ("nothing read", None, []),
]


@pytest.mark.parametrize(
    ("fields", "expected"), [pytest.param(f, e, id=name) for name, f, e in SCHEMAS]
)
def test_case_75_82_schema(world: Any, codes_of: Any, fields: Any, expected: list[str]) -> None:
    verification = world.verify(world.sign(world.payload()), schema_fields=fields)
    assert codes_of(verification) == expected


def test_case_69_partition_that_was_not_declared(world: Any, codes_of: Any) -> None:
    verification = world.verify(world.sign(world.payload()), partitions=("label",))
    assert codes_of(verification) == ["PATH_UNSAFE"]


def test_declared_partitions_are_accepted(world: Any) -> None:
    entry = FileEntry(name="label=1/x.parquet", sha256=sha256(b"x"), size=1, rows=4)
    payload = declare.create(
        [entry],
        source="vendor-a/reviews",
        batch_id="b",
        sequence=1,
        schema_fields=world.schema,
        created_on=datetime.fromisoformat("2026-11-22T11:00:00Z"),
        expires_on=datetime.fromisoformat("2026-11-23T11:00:00Z"),
        partitioning=("label",),
    )
    received = ReceivedFile(name=entry.name, sha256=entry.sha256, size=1, rows=4)
    verification = world.verify(world.sign(payload), files=[received], partitions=("label",))
    assert verification.verified


ROLES: list[tuple[str, Any, list[str]]] = [
    ("another label", {"label": "x", "contributor": "contributor_id"}, ["labelColumn"]),
    ("no label", {"label": None}, ["labelColumn"]),
    ("another contributor", {"label": "label", "contributor": "x"}, ["contributorId"]),
    ("no contributor", {"label": "label", "contributor": None}, ["contributorId"]),
    ("nothing known", {}, []),
]


@pytest.mark.parametrize(
    ("roles", "expected"), [pytest.param(r, e, id=name) for name, r, e in ROLES]
)
def test_roles(world: Any, codes_of: Any, roles: Any, expected: list[str]) -> None:
    verification = world.verify(world.sign(world.payload()), roles=roles)
    assert codes_of(verification) == ["SCHEMA"] * len(expected)
    assert [finding.evidence["field"] for finding in verification.findings] == expected
    for finding in verification.findings:
        assert "`roles." in finding.message


def test_a_label_that_is_not_declared_is_not_held_against_anything(world: Any) -> None:
    payload = world.payload(label=None)
    assert world.verify(world.sign(payload), roles={"label": "x"}).verified


def test_a_manifest_names_no_column_that_is_not_there(world: Any) -> None:
    with pytest.raises(Refused, match="contributorId"):
        world.payload(row_provenance={"contributorId": "nobody"})


@pytest.mark.parametrize("kind", ["validation", "predictions", "updates"])
def test_another_kind_of_batch(world: Any, codes_of: Any, kind: str) -> None:
    envelope = world.sign(world.payload(kind=kind))
    assert codes_of(world.verify(envelope)) == ["KIND_MISMATCH"]
    assert world.verify(envelope, kind=kind).verified
    assert world.verify(envelope, kind=None).verified, "nobody said what it is audited as"


def test_a_broken_file_is_one_finding_not_one_a_contributor(world: Any, codes_of: Any) -> None:
    many = {f"c{i}": 1 for i in range(50)} | {"ann": 3}
    files = world.received_but(FIRST, rows=None)
    verification = world.verify(world.sign(world.payload()), files=files, contributors=many)
    assert codes_of(verification) == ["NOT_COMPARED"]
    (finding,) = verification.findings
    assert finding.evidence["files"] == 1
    assert "1 of 2 declared files" in finding.message
    assert not verification.verified


CONTRIBUTORS: list[tuple[str, Any, list[str]]] = [
    ("87 not on the roll", {"ann": 3, "bob": 1, "eve": 9}, ["CONTRIBUTOR_UNKNOWN"]),
    ("90 other counts", {"ann": 2, "bob": 2}, ["CONTRIBUTOR_COUNT", "CONTRIBUTOR_COUNT"]),
    ("90 one is absent", {"ann": 3}, ["CONTRIBUTOR_COUNT"]),
    ("no contributor column", None, []),
]


@pytest.mark.parametrize(
    ("received", "expected"), [pytest.param(r, e, id=name) for name, r, e in CONTRIBUTORS]
)
def test_case_87_90_contributors(
    world: Any, codes_of: Any, received: Any, expected: list[str]
) -> None:
    verification = world.verify(world.sign(world.payload()), contributors=received)
    assert codes_of(verification) == expected


def test_roll_missing_or_edited(world: Any, codes_of: Any) -> None:
    envelope = world.sign(world.payload())
    assert codes_of(world.verify(envelope, roll=None)) == ["ROLL_MISSING"]
    assert codes_of(world.verify(envelope, roll=world.roll + b" ")) == ["ROLL_DIGEST"]


ROLLS: list[tuple[bytes, list[str]]] = [
    (b"[]", ["ROLL_FORMAT"]),
    (b'{"ann":-1}', ["ROLL_FORMAT"]),
    (b'{"ann":true}', ["ROLL_FORMAT"]),
    (b'{"ann":3,"ann":1}', ["JSON_DUPLICATE_KEY"]),
    (contributor_roll({"ann": 4}), ["CONTRIBUTOR_COUNT"]),
    (contributor_roll({"ann": 3, "bob": 2}), ["CONTRIBUTOR_COUNT"]),
]


@pytest.mark.parametrize(("roll", "expected"), ROLLS)
def test_roll_that_was_signed_but_is_wrong(
    world: Any, codes_of: Any, roll: bytes, expected: list[str]
) -> None:
    payload = world.changed(
        lambda s: s["predicate"]["contributors"]["table"].update(sha256=sha256(roll))
    )
    verification = world.verify(world.sign(payload), roll=roll, contributors=None)
    assert codes_of(verification) == expected


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        (timedelta(hours=-1, minutes=-5), []),
        (timedelta(hours=-1, minutes=-5, seconds=-1), ["TIME_FUTURE"]),
        (timedelta(days=7, minutes=5), []),
        (timedelta(days=7, minutes=5, seconds=1), ["EXPIRED"]),
    ],
)
def test_case_41_42_time_with_five_minutes_of_skew(
    world: Any, codes_of: Any, shift: timedelta, expected: list[str]
) -> None:
    now = datetime.fromisoformat("2026-11-22T12:00:00Z") + shift
    assert codes_of(world.verify(world.sign(world.payload()), now=now)) == expected


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"label": "lable"}, "SCHEMA"),
        ({"contributors": {"ann": 3}}, "CONTRIBUTOR_COUNT"),
        ({"source": "a b"}, "FIELD_VALUE"),
        ({"details": {"licence": {}}}, "FIELD_UNKNOWN"),
        ({"sequence": -1}, "FIELD_TYPE"),
        ({"previous": "ABC"}, "DIGEST_ALGORITHM"),
        (
            {
                "schema_fields": [("label", "int64", False), ("\ud800", "int64", True)],
                "row_provenance": None,
            },
            "JSON_INVALID",
        ),
        ({"row_provenance": {"rowKey": "nobody"}}, "SCHEMA"),
    ],
)
def test_create_refuses_what_no_reader_would_take(
    world: Any, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(Refused) as caught:
        world.payload(**changes)
    assert caught.value.code == code


def test_every_finding_is_of_a_listed_rule() -> None:
    assert [rule.id for rule in RULES] == [f"AUD-P00{n}" for n in (1, 2, 3, 4)]
