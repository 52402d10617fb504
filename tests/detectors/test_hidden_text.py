"""Hidden and deceptive characters: what is found, where they belong, what is usual in a column."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.baseline import Baseline
from auditor.batch import Roles, TableBatch
from auditor.context import Context
from auditor.detectors.hidden_text import HiddenText
from auditor.errors import Unavailable
from auditor.model import Finding
from auditor.texts.confusables import LOOKALIKES, deceptions, skeleton
from auditor.texts.invisible import KINDS, kind_of, may_hide, visible, without_ordinary

#: Languages, emoji and formulas that need what is hidden elsewhere.
ORDINARY = [
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, ZWNJ inside a word
    "\u00ab\u06a9\u062a\u0627\u0628\u00bb\u200c\u0647\u0627\u06cc",  # and behind a quotation mark
    "\u0915\u094d\u200d\u0937",  # Hindi, ZWJ behind a virama
    "\u0d28\u0d28\u0d4d\u200d",  # Malayalam, ZWJ at the end of a word
    "\u05e9\u05dc\u05d5\u05dd \u200fabc",  # Hebrew with a mark
    "\u0628 \u2066x\u2069",  # Arabic with a closed isolate
    "\u1797\u17b6\u179f\u17b6\u200b\u1781\u17d2\u1798\u17c2\u179a",  # Khmer, words kept apart
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",  # a family
    "\u2764\ufe0f\u200d\U0001f525 1\ufe0f\u20e3 \u2139\ufe0f",
    "\U0001f469\U0001f3fd\u200d\u2695\ufe0f \U0001f3f3\ufe0f\u200d\U0001f308",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # England
    "\u845b\U000e0100",  # a variant of a Han character
    "\u03bdmax, k\u03b1, \u03b2carotene, \u03b1-helix, \u03bcm",
    "Web\u043c\u0430\u0441\u0442\u0435\u0440, SQL-\u0437\u0430\u043f\u0440\u043e\u0441",
    "caf\u00e9 \u00fcber na\u00efve \u0141\u00f3d\u017a",
    "tab\tline\r\n",
]
HIDDEN = {
    "c\u200bf": "INVISIBLE_CHARACTER",
    "a\u00adb": "INVISIBLE_CHARACTER",
    "a\u200db": "INVISIBLE_CHARACTER",
    "\U0001f600\ufe0f\ufe0f": "INVISIBLE_CHARACTER",
    "\U0001f600\u200d": "INVISIBLE_CHARACTER",
    "3\ufe0f": "INVISIBLE_CHARACTER",
    "\ufeffstart": "INVISIBLE_CHARACTER",
    "ab\u202ecd": "BIDI_CONTROL",
    "\u05e1\u05dc\u05dd \u202eabc": "BIDI_CONTROL",
    "Hello \u2068name\u2069": "BIDI_CONTROL",
    "x\x00": "CONTROL_CHARACTER",
    "x\x08y": "CONTROL_CHARACTER",
    "\x85x\x91": "CONTROL_CHARACTER",
    "hi\U000e0061": "TAG_CHARACTER",
    "\ue000": "PRIVATE_CHARACTER",
    "\ufdd0": "UNASSIGNED_CHARACTER",
    "\u0378": "UNASSIGNED_CHARACTER",
    "p\u0430ypal": "MIXED_SCRIPT",
    "ab\u03bfut": "MIXED_SCRIPT",
    "de\u03bdelop": "MIXED_SCRIPT",
    "\u041co\u0441\u043a\u0432\u0430": "MIXED_SCRIPT",
    "buy \u043e\u0440\u0435 now": "LOOKALIKE_WORD",
}
FILLER = [f"a common review, number {i}" for i in range(40)]


def scan(
    texts: list[str | None], *, role: str = "text", baseline: Baseline | None = None
) -> dict[object, Finding]:
    table = pa.table({"column": pa.array(texts, pa.string())})
    detector = HiddenText.load(Context(baseline=baseline))
    found = detector.scan(TableBatch(table, Roles({role: ("column",)}))).findings
    assert all(finding.p_value is None for finding in found)
    return {finding.evidence["code"]: finding for finding in found}


def rows(finding: Finding) -> list[int]:
    assert finding.rows is not None
    return finding.rows.column("row").to_pylist()


@pytest.fixture
def trusting(diamonds_baseline: Baseline):
    """A baseline whose sample is a column of these texts."""

    def with_texts(texts: list[str]) -> Baseline:
        return replace(diamonds_baseline, sample=pa.table({"column": pa.array(texts)}))

    return with_texts


@pytest.mark.parametrize("text", ORDINARY, ids=ascii)
def test_what_a_language_needs_is_ordinary(text: str) -> None:
    assert scan([*FILLER, text]) == {}


@pytest.mark.parametrize("text", HIDDEN, ids=ascii)
def test_what_deceives_is_found(text: str) -> None:
    found = scan([*FILLER, text, None])
    assert set(found) == {HIDDEN[text]}
    assert rows(found[HIDDEN[text]]) == [len(FILLER)]


def test_code_points_and_words_are_named_in_ascii() -> None:
    found = scan([*FILLER, "a\u200bb", "a\u200bb\u2060", "p\u0430ypal"])
    message = found["INVISIBLE_CHARACTER"].message
    assert "U+200B ZERO WIDTH SPACE (2 rows), U+2060 WORD JOINER (1 rows)" in message
    assert r"Latin+Cyrillic 'p\u0430ypal'" in found["MIXED_SCRIPT"].message
    assert all(finding.message.isascii() for finding in found.values())


def test_a_label_that_looks_like_another_is_found() -> None:
    values = ["cat", "dog", "\u0441\u0430\u0441", "cac", "lab\u00a01", "lab 1", "caf\u00e9", None]
    found = scan([*values, "cafe\u0301"], role="label")
    assert rows(found["LOOKALIKE_VALUE"]) == [2, 4]
    assert "LOOKALIKE_VALUE" not in scan(values, role="text")


def test_a_name_that_looks_like_a_trusted_one_is_found(trusting) -> None:
    odd = ["lab\u201101"] * 3 + ["lab-02"] * 9
    assert rows(scan(odd, role="contributor", baseline=trusting(["lab-01"] * 9))["LOOKALIKE_VALUE"])
    assert scan(odd, role="contributor", baseline=trusting(["lab-01", "lab\u201101"])) == {}


def test_what_trusted_rows_hold_is_usual(trusting) -> None:
    texts = [*FILLER, "co\u00adoperate", "c\u200bf"]
    usual = trusting([*FILLER * 10, "a\u00adb", "c\u00add"])
    found = scan(texts, baseline=usual)
    assert rows(found["INVISIBLE_CHARACTER"]) == [len(FILLER) + 1]
    assert "SOFT HYPHEN" not in found["INVISIBLE_CHARACTER"].message


def test_a_mixture_of_scripts_is_usual_by_its_scripts(trusting) -> None:
    usual = trusting([*FILLER, "n\u043ete", "t\u0435xt"])
    assert scan([*FILLER, "p\u0430ypal"], baseline=usual) == {}
    assert set(scan([*FILLER, "ab\u03bfut"], baseline=usual)) == {"MIXED_SCRIPT"}


def test_one_trusted_row_makes_nothing_usual(trusting) -> None:
    usual = trusting([*FILLER, "a\u200bb"])
    assert set(scan([*FILLER, "a\u200bb"], baseline=usual)) == {"INVISIBLE_CHARACTER"}
    many = trusting([*FILLER * 100, "a\u200bb", "a\u200bb"])
    assert set(scan([*FILLER, "a\u200bb"], baseline=many)) == {"INVISIBLE_CHARACTER"}


def test_a_habit_of_the_source_is_a_note_without_a_baseline(trusting) -> None:
    texts = [f"so\u00adft {i}" for i in range(30)]
    assert not scan(texts)["INVISIBLE_CHARACTER"].calibrated
    assert scan([*FILLER, *texts[:3]])["INVISIBLE_CHARACTER"].calibrated
    assert scan(texts, baseline=trusting(FILLER))["INVISIBLE_CHARACTER"].calibrated


def test_the_name_of_a_column_is_looked_at() -> None:
    table = pa.table({"label": ["a"], "lab\u0435l": ["b"], "text\u200b": [1]})
    found = HiddenText.load(Context()).scan(TableBatch(table, Roles())).findings
    assert [f.evidence["column"] for f in found] == ["lab\u0435l", "text\u200b"]
    assert {f.evidence["code"] for f in found} == {"COLUMN_NAME"}
    assert all(f.rows is None for f in found)


def test_ignored_columns_and_numbers_are_left_out() -> None:
    table = pa.table({"n": [1, 2], "text": ["a\u200bb", "c"]})
    with pytest.raises(Unavailable):
        HiddenText.load(Context()).scan(TableBatch(table, Roles({"ignored": ("text",)})))


def test_columns_of_dictionaries_are_read() -> None:
    kinds = pa.array(["a\u200bb", "c", None, "c"]).dictionary_encode()
    batch = TableBatch(pa.table({"kind": kinds}), Roles({"feature": ("kind",)}), chunk_rows=3)
    finding = HiddenText.load(Context()).scan(batch).findings[0]
    assert rows(finding) == [0]


def test_hostile_cells() -> None:
    found = scan(
        [
            "x" * 1_000_000 + "\u200b",
            "p\u0430" * 100_000,
            "\x00" * 100_000,
            "\U000e0041" * 10_000,
            "".join(map(chr, range(0xE000, 0xF8FF))),
            *FILLER,
        ]
    )
    assert [rows(found[c]) for c in ("INVISIBLE_CHARACTER", "MIXED_SCRIPT")] == [[0], [1]]
    assert [rows(found[c]) for c in ("CONTROL_CHARACTER", "TAG_CHARACTER")] == [[2], [3]]
    assert rows(found["PRIVATE_CHARACTER"]) == [4]
    assert all(len(finding.message) < 1_000 for finding in found.values())


@given(st.text(max_size=30))
def test_any_text_is_read(text: str) -> None:
    for code, finding in scan([*FILLER, text]).items():
        assert rows(finding) == [len(FILLER)], code


@given(st.text(max_size=20))
def test_taking_out_what_is_ordinary_only_takes_out_what_may_be_hidden(text: str) -> None:
    left = without_ordinary(pa.array([text]))[0].as_py()
    remaining = iter(text)
    assert all(c in remaining for c in left)
    assert visible(left) == visible(text)


@given(st.characters())
def test_every_hidden_character_has_a_kind(character: str) -> None:
    hidden = may_hide(pa.array([character]))[0].as_py()
    assert kind_of(character) in KINDS
    assert not hidden or visible(character) in ("", character)


def test_look_alikes_map_to_latin_letters_and_from_no_latin_letter() -> None:
    letters = [(a, b) for table in LOOKALIKES.values() for a, b in table.items()]
    assert len({a for a, _ in letters}) == len(letters)
    assert all(b.isascii() and b.isalpha() and not a.isascii() for a, b in letters)
    assert skeleton("p\u0430yp\u0430l\u200b") == "paypal"


def test_a_text_in_two_languages_is_honest() -> None:
    text = "\u0441\u043e\u0440 \u0440\u043e\u0441 \u0442\u0435\u043a\u0441\u0442 and English words"
    assert list(deceptions(text)) == []
