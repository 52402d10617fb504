"""Known-bad tokens, domains and files: whole tokens, subdomains, signatures, and no way around."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from auditor import known_files
from auditor.batch import Roles, TableBatch
from auditor.context import Context
from auditor.detectors.known_bad import LISTED, KnownBad
from auditor.errors import Unavailable
from auditor.provenance import dsse, keys, signatures
from auditor.provenance.refused import Refused
from auditor.report_records import FileRecord
from auditor.texts.signature_list import Search, SignatureList, domain, folded, token

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=90)
KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
PUBLIC = [keys.public_half(KEY)]
TOKENS = ["cf", "<|endoftext|>", "James  Bond", "Stra\u00dfe", "$$$", "a.b"]
DOMAINS = ["evil.example", "*.B\u00fccher.example"]


def payload(tokens: Iterable[str] = TOKENS, domains: Iterable[str] = DOMAINS, **more) -> bytes:
    given = {"version": 3, "created_on": NOW, "expires_on": LATER, **more}
    return signatures.build("known-bad", tokens=tokens, domains=domains, **given)


def signed(content: bytes, *by: Ed25519PrivateKey) -> bytes:
    message = dsse.pae(dsse.IN_TOTO, content)
    made = [dsse.Signature(keys.public_half(key).keyid, key.sign(message)) for key in by]
    return dsse.build(content, dsse.IN_TOTO, made)


def listed(**entries) -> SignatureList:
    return signatures.read(payload(**entries))


def found(text: str, **entries) -> set[str]:
    hits = Search(listed(**entries)).found(pa.array([text], pa.large_string()))
    return {name for _, name in hits.get(text, frozenset())}


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("a cf b", "cf"),
        ("CF.", "cf"),
        ("c\u200bf", "cf"),
        ("\uff43\uff46", "cf"),
        ("cf\x00", "cf"),
        ("\u00e9 cf", "cf"),
        ("x<|EndOfText|>y", "<|endoftext|>"),
        ("james\n bond 007", "james bond"),
        ("STRASSE", "strasse"),
        ("\u00e9$$$", "$$$"),
        ("(a.b)", "a.b"),
        ("https://a.EVIL.example/x?y", "evil.example"),
        ("mail me@evil.example.", "evil.example"),
        ("https://good.example@evil.example:80", "evil.example"),
        ("http://ev%69l.example/", "evil.example"),
        ("http://evil%2Eexample/", "evil.example"),
        ("evil\u3002example", "evil.example"),
        ("http://xn--bcher-kva.example/", "b\u00fccher.example"),
        ("www.B\u00dcCHER.example", "b\u00fccher.example"),
    ],
    ids=ascii,
)
def test_no_spelling_is_a_way_around(text: str, entry: str) -> None:
    assert found(text) == {entry}


@pytest.mark.parametrize(
    "text",
    [
        "acfb",
        "cf1",
        "_cf_",
        "\u00e9cf",
        "xa.by",
        "notevil.example",
        "evil.example.good.org",
        "",
        "%",
    ],
    ids=ascii,
)
def test_a_part_of_a_word_or_domain_is_none(text: str) -> None:
    assert found(text) == set()


@given(st.text(max_size=40))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@given(st.text(min_size=1, max_size=20))
def test_any_token_finds_itself(text: str) -> None:
    try:
        entry = token(text)
    except ValueError:
        return
    assert entry in found(f"before {text} after", tokens=[text, "other"])


def test_many_tokens_are_found() -> None:
    many = [f"token{i}" for i in range(5_000)]
    assert found("here token4321 is", tokens=many) == {"token4321"}


@pytest.mark.parametrize("text", ["example", "a..b", "-a.example", "", "a b.example"])
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a domain"):
        domain(text)


def test_one_finding_an_entry_and_column() -> None:
    table = pa.table({"a": ["cf", None, "x", "CF evil.example"], "b": ["x", "y", "cf", "z"]})
    batch = TableBatch(table, Roles(), chunk_rows=3)
    outcome = KnownBad.load(Context(signatures=listed())).scan(batch)
    rows = {
        (f.evidence["code"], f.evidence["column"]): f.rows.column("row").to_pylist()
        for f in outcome.findings
        if f.rows is not None
    }
    assert rows == {
        ("KNOWN_BAD_DOMAIN", "a"): [3],
        ("KNOWN_BAD_TOKEN", "a"): [0, 3],
        ("KNOWN_BAD_TOKEN", "b"): [2],
    }


def test_many_entries_share_a_finding() -> None:
    names = [f"t{i}" for i in range(LISTED + 30)]
    context = Context(signatures=listed(tokens=names))
    outcome = KnownBad.load(context).scan(TableBatch(pa.table({"a": names}), Roles()))
    assert len(outcome.findings) == LISTED + 1
    assert outcome.findings[-1].evidence["entries"] == 30


def test_hostile_cells() -> None:
    cells = [
        "x" * 1_000_000 + " a.b",
        "xn--" + "a" * 100_000 + ".b",
        "x " * 500_000 + "cf",
        "a." * 100_000,
        "%" * 100_000,
        "\x00" * 1000,
        "\U000e0041" * 99,
    ]
    context = Context(signatures=listed())
    outcome = KnownBad.load(context).scan(TableBatch(pa.table({"a": cells}), Roles()))
    assert [f.rows.column("row").to_pylist() for f in outcome.findings if f.rows] == [[0], [2]]


def test_without_a_list_the_rule_is_skipped_and_without_texts_it_finds_nothing() -> None:
    with pytest.raises(Unavailable, match="no signature list"):
        KnownBad.load(Context())
    numbers = TableBatch(pa.table({"a": [1, 2]}), Roles())
    assert KnownBad.load(Context(signatures=listed())).scan(numbers).findings == ()


def test_a_known_bad_file_is_named_by_its_digest() -> None:
    files = [FileRecord(name=n, sha256=n * 64, size=1, rows=1, format="csv") for n in "abc"]
    outcome = known_files.compare(files, listed(files=["B" * 64]))
    assert [f.evidence["file"] for f in outcome.findings] == ["b"]
    assert known_files.compare(files, listed()).findings == ()
    assert known_files.compare(files, None).skipped == "no signature list"


def test_a_signed_list_is_read() -> None:
    envelope = signed(payload(), KEY, OTHER)
    read = signatures.verify(envelope, keys=PUBLIC, threshold=1, now=NOW)
    assert (read.name, read.version) == ("known-bad", 3)
    assert read.tokens == {token(text) for text in TOKENS}


@pytest.mark.parametrize(
    ("envelope", "now", "code"),
    [
        (signed(payload()), NOW, "UNSIGNED"),
        (signed(payload(), OTHER), NOW, "SIGNATURE_THRESHOLD"),
        (signed(payload(), KEY), LATER, "EXPIRED"),
        (signed(payload(), KEY), NOW - dt.timedelta(days=1), "TIME_FUTURE"),
        (signed(payload().replace(b'"cf"', b'"cg"'), KEY), NOW, "SUBJECT_DIGEST"),
        (signed(payload().replace(b'"version"', b'"vresion"'), KEY), NOW, "FIELD_UNKNOWN"),
        (
            signed(payload().replace(b"known-bad/v1", b"dataset-batch/v1"), KEY),
            NOW,
            "PREDICATE_TYPE",
        ),
        (b"{}", NOW, "DSSE_FORMAT"),
        (b"\x00", NOW, "JSON_INVALID"),
    ],
)
def test_a_list_that_nobody_vouches_for_is_refused(
    envelope: bytes, now: dt.datetime, code: str
) -> None:
    with pytest.raises(Refused) as refused:
        signatures.verify(envelope, keys=PUBLIC, threshold=1, now=now)
    assert refused.value.code == code


@pytest.mark.parametrize("bad", [{"tokens": [], "domains": []}, {"expires_on": NOW}])
def test_a_list_that_says_nothing_is_not_made(bad: dict) -> None:
    with pytest.raises(Refused):
        payload(**bad)


@pytest.mark.parametrize("bad", [{"tokens": ["\u200b"]}, {"domains": ["x"]}, {"files": ["12"]}])
def test_an_entry_that_cannot_be_found_is_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="is not a"):
        payload(**bad)
