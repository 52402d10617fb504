"""Letters of one script that look like those of another, and words that use them to deceive.

A small part of the table of Unicode TR39 (confusables.txt): Cyrillic, Greek and Armenian letters
that are hard to tell from Latin ones. Letters that only resemble each other are left out, so that
an honest text in two languages stays honest.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from auditor.texts.invisible import visible


def _pairs(theirs: str, latin: str) -> dict[str, str]:
    return dict(zip((chr(int(at, 16)) for at in theirs.split()), latin, strict=True))


#: Script -> its letters that look Latin (code points), and the Latin letters they look like.
LOOKALIKES: Final = {
    "Cyrillic": _pairs(
        "0430 0435 043E 0440 0441 0443 0445 0456 0458 0455 04BB 0501 051B 051D 04CF 0475 0410 "
        "0412 0415 0405 0406 0408 041A 041C 041D 041E 0420 0421 0422 0423 0425 050C 0474",
        "aeopcyxijshdqwlvABESIJKMHOPCTYXGV",
    ),
    "Greek": _pairs(
        "03BF 03BD 03B9 03C5 03B1 03C1 03B3 03BA 0391 0392 0395 0396 0397 0399 039A 039C 039D "
        "039F 03A1 03A4 03A5 03A7",
        "oviuapykABEZHIKMNOPTYX",
    ),
    "Armenian": _pairs("0585 0578 057D 0570 0581", "onuhg"),
}
#: Letters that look alike in a word are worth a claim from this many letters on: shorter ones
#: are units and roman numbers.
WORD: Final = 3

_TO_LATIN: Final = {ord(a): b for table in LOOKALIKES.values() for a, b in table.items()}
#: Letters that formulas use as they are: one of them at either end of a Latin word is notation.
_NOTATION: Final = frozenset(c for c in LOOKALIKES["Greek"] if c.islower() and c != "\u03bf")
_OTHERS: Final = r"[\p{Cyrillic}\p{Greek}\p{Armenian}]"
_MIXED: Final = rf"\p{{Latin}}{_OTHERS}|{_OTHERS}\p{{Latin}}"
_LETTERS: Final = "".join(chr(at) for at in _TO_LATIN)
_LOOKALIKE_WORD: Final = rf"(?:^|[^\p{{L}}])[{_LETTERS}]{{{WORD},}}(?:[^\p{{L}}]|$)"
_BLOCKS: Final = (*range(0x370, 0x590), *range(0x1C80, 0x1C90), *range(0x1F00, 0x2000))
#: Letters of those scripts that look like no other: where one stands, the script is meant.
_PLAIN: Final = "[{}]".format(
    "".join(f"\\x{{{at:X}}}" for at in _BLOCKS if chr(at).isalpha() and at not in _TO_LATIN)
)
_WORD: Final = re.compile(r"[^\W\d_]+")
#: Spaces, dashes and full-width letters that pass for those of ASCII.
_ALSO_ALIKE: Final = {
    **dict.fromkeys((160, *range(8192, 8203), 8239, 8287, 12288), " "),
    **dict.fromkeys((*range(8208, 8214), 8722, 65112, 65123), "-"),
    **{at: chr(at - 0xFEE0) for at in range(0xFF01, 0xFF5F)},
}


@dataclass(frozen=True, slots=True)
class Deception:
    """A word that is not what it looks like. `scripts`: `Latin+Cyrillic`; `mixed` inside a word."""

    scripts: str
    word: str
    mixed: bool


def may_deceive(texts: pa.Array) -> pa.Array:
    """Texts that have to be looked at word by word: bool[n]."""
    words, latin, plain = (
        pc.match_substring_regex(texts, pattern)
        for pattern in (_LOOKALIKE_WORD, "[A-Za-z]", _PLAIN)
    )
    whole = pc.and_(words, pc.and_(latin, pc.invert(plain)))
    return pc.or_(pc.match_substring_regex(texts, _MIXED), whole)


def deceptions(text: str) -> Iterator[Deception]:
    """Words of a text whose letters of one script all pass for another's."""
    words = _WORD.findall(text)
    spelt = [(word, {_script(c) for c in word} - {""}) for word in words if len(word) >= WORD]
    for word, scripts in spelt:
        other = next((s for s in LOOKALIKES if s in scripts), None)
        if len(scripts) == 2 and other and "Latin" in scripts and _disguised(word, other):
            yield Deception(f"Latin+{other}", word, mixed=True)
    yield from _whole_words(words, spelt)


def skeleton(value: str) -> str:
    """What a value looks like: without invisible characters, look-alike letters as Latin ones."""
    seen = unicodedata.normalize("NFC", visible(value))
    return seen.translate(_TO_LATIN).translate(_ALSO_ALIKE)


def _disguised(word: str, other: str) -> bool:
    table = LOOKALIKES[other]
    theirs = [c for c in word if _script(c) == other]
    latin = [c for c in word if _script(c) == "Latin"]
    if all(c in table for c in theirs):
        return not _notation(word)
    return set(latin) <= set(table.values()) and len(theirs) > len(latin)


def _notation(word: str) -> bool:
    """Single Greek letters at the ends of Latin words, as in formulas."""
    runs = [(latin, list(run)) for latin, run in groupby(word, lambda c: _script(c) == "Latin")]
    inner = [run for latin, run in runs[1:-1] if not latin]
    ends = [run for latin, run in (runs[0], runs[-1]) if not latin]
    return not inner and all(len(run) == 1 and run[0] in _NOTATION for run in ends)


def _whole_words(words: list[str], spelt: list[tuple[str, set[str]]]) -> Iterator[Deception]:
    """Words of look-alike letters only among more Latin ones, and nothing else of their script."""
    latin = sum({_script(c) for c in word} == {"Latin"} for word in words)
    for script, table in LOOKALIKES.items():
        own = [w for w, scripts in spelt if scripts == {script} and all(c in table for c in w)]
        letters = {c for word in words for c in word if _script(c) == script} if own else set()
        if latin > len(own) and letters <= set(table):
            yield from (Deception(f"Latin+{script}", word, mixed=False) for word in own)


@cache
def _script(letter: str) -> str:
    at = ord(letter)
    if at < 0x250 or 0x1E00 <= at < 0x1F00:
        return "Latin" if at not in (0xAA, 0xB5, 0xBA) else ""
    if 0x370 <= at < 0x400 or 0x1F00 <= at < 0x2000:
        return "Greek"
    if 0x400 <= at < 0x530 or 0x1C80 <= at < 0x1C90 or 0xA640 <= at < 0xA6A0:
        return "Cyrillic"
    return "Armenian" if 0x530 <= at < 0x590 else str(at >> 8)
