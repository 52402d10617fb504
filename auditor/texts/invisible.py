"""Characters that a reader does not see, apart from where a language or an emoji needs them.

Works on Arrow arrays of texts with RE2: ordinary uses are taken out first, and what is left of the
class is hidden. Sources: Unicode 15 (Default_Ignorable_Code_Point, Bidi_Control), RFC 5892
appendix A (joiners in context), UTS #51 (emoji sequences), Boucher & Anderson 2023 (Trojan Source).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

Ranges = tuple[tuple[int, int], ...]

#: Code of a finding -> what its characters are called.
KINDS: Final = {
    "INVISIBLE_CHARACTER": "invisible characters",
    "BIDI_CONTROL": "characters that turn the direction of text",
    "CONTROL_CHARACTER": "control characters",
    "TAG_CHARACTER": "tag characters",
    "PRIVATE_CHARACTER": "private-use characters",
    "UNASSIGNED_CHARACTER": "code points without a character",
}

# U+0085 is a line break of older machines; tab and the line breaks of ASCII are not hidden.
_CONTROLS: Final[Ranges] = ((0x00, 0x08), (0x0E, 0x1F), (0x7F, 0x84), (0x86, 0x9F))
_BIDI: Final[Ranges] = ((0x61C, 0x61C), (0x200E, 0x200F), (0x202A, 0x202E), (0x2066, 0x2069))
_TAGS: Final[Ranges] = ((0xE0000, 0xE007F),)
_PRIVATE: Final[Ranges] = ((0xE000, 0xF8FF), (0xF0000, 0xFFFFD), (0x100000, 0x10FFFD))
_NONCHARACTERS: Final[Ranges] = (
    (0xFDD0, 0xFDEF),
    *((plane * 0x10000 + 0xFFFE, plane * 0x10000 + 0xFFFF) for plane in range(17)),
)
_IGNORABLE: Final[Ranges] = (
    *((0xAD, 0xAD), (0x34F, 0x34F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
    *((0x200B, 0x200D), (0x2060, 0x2065), (0x206A, 0x206F), (0x2800, 0x2800), (0x3164, 0x3164)),
    *((0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB)),
    *((0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0080, 0xE0FFF)),
)
#: Planes in which newer Unicode adds emoji and Han characters every year: not called unassigned.
_GROWING: Final[Ranges] = ((0x1F000, 0x1FAFF), (0x20000, 0x3FFFD))


def _re2(ranges: Ranges) -> str:
    return "".join(f"\\x{{{low:X}}}-\\x{{{high:X}}}" for low, high in ranges)


def _python(ranges: Ranges) -> str:
    return "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges)


_HIDDEN: Final = (*_CONTROLS, *_BIDI, *_TAGS, *_PRIVATE, *_NONCHARACTERS, *_IGNORABLE)
_ZERO_WIDTH: Final = (*_CONTROLS, *_BIDI, *_TAGS, *_IGNORABLE)
_CLASS: Final = f"[{_re2(_HIDDEN)}]"
_CLASS_PYTHON: Final = re.compile(f"[{_python(_HIDDEN)}]")
_REMOVED: Final = re.compile(f"[{_python(_ZERO_WIDTH)}]")
#: What RE2's Unicode does not know; Python's has to agree before it counts as unassigned.
_UNKNOWN: Final = r"[^\p{L}\p{M}\p{N}\p{P}\p{S}\p{Z}\p{C}]"

_EMOJI: Final = r"[\p{So}\p{Sm}\x{1F000}-\x{1FAFF}\x{2139}\x{203C}\x{2049}\x{3030}\x{303D}]"
_JOINING: Final = (
    r"[\p{Arabic}\p{Syriac}\p{Mongolian}\p{Nko}\p{Devanagari}\p{Bengali}\p{Gurmukhi}\p{Gujarati}"
    r"\p{Oriya}\p{Tamil}\p{Telugu}\p{Kannada}\p{Malayalam}\p{Sinhala}\p{Khmer}\p{Myanmar}"
    r"\p{Tibetan}\x{64B}-\x{655}\x{670}\x{951}-\x{954}]"
)
_UNSPACED: Final = r"[\p{Khmer}\p{Thai}\p{Lao}\p{Myanmar}\p{Tibetan}\p{Javanese}\p{Balinese}]"
_JAMO: Final = r"[\x{1100}-\x{115E}\x{1161}-\x{11FF}\x{A960}-\x{A97C}\x{D7B0}-\x{D7FB}]"
_RIGHT_TO_LEFT: Final = r"[\p{Hebrew}\p{Arabic}\p{Syriac}\p{Thaana}\p{Nko}]"
_NO_BIDI: Final = f"[^{_re2(_BIDI)}]"

#: (marker, pattern, what stays): a pass is made where its marker occurs. One capture is the
#: neighbour that makes the character ordinary. Chains of emoji need their pass twice.
_ORDINARY: Final = (
    (r"\x{E007F}", r"\x{1F3F4}[\x{E0030}-\x{E0039}\x{E0061}-\x{E007A}]{2,6}\x{E007F}", "🏴"),
    (r"\x{20E3}", r"([#*0-9])\x{FE0F}\x{20E3}", r"\1"),
    (r"[\x{FE0E}\x{FE0F}]", rf"({_EMOJI})[\x{{FE0E}}\x{{FE0F}}]", r"\1"),
    (
        r"[\x{FE00}-\x{FE02}\x{E0100}-\x{E01EF}]",
        r"([\p{Han}\p{Sm}\p{Myanmar}])[\x{FE00}-\x{FE02}\x{E0100}-\x{E01EF}]",
        r"\1",
    ),
    (r"\x{200D}", rf"({_EMOJI})\x{{200D}}({_EMOJI})", r"\1\2"),
    (r"\x{200D}", rf"({_EMOJI})\x{{200D}}({_EMOJI})", r"\1\2"),
    (r"[\x{200C}\x{200D}]", rf"({_JOINING})[\x{{200C}}\x{{200D}}]{{1,2}}", r"\1"),
    (r"[\x{200C}\x{200D}]", rf"[\x{{200C}}\x{{200D}}]{{1,2}}({_JOINING})", r"\1"),
    (r"\x{200B}", rf"({_UNSPACED})\x{{200B}}", r"\1"),
    (r"\x{200B}", rf"\x{{200B}}({_UNSPACED})", r"\1"),
    (r"[\x{180B}-\x{180F}]", r"(\p{Mongolian})[\x{180B}-\x{180F}]", r"\1"),
    (r"[\x{17B4}\x{17B5}]", r"([\x{1780}-\x{17B3}])[\x{17B4}\x{17B5}]", r"\1"),
    (r"[\x{115F}\x{1160}]", rf"({_JAMO})[\x{{115F}}\x{{1160}}]", r"\1"),
    (r"[\x{115F}\x{1160}]", rf"[\x{{115F}}\x{{1160}}]({_JAMO})", r"\1"),
    (r"\x{34F}", r"([\p{Hebrew}\x{591}-\x{5C7}])\x{34F}", r"\1"),
    (r"\x{2800}", r"([\x{2801}-\x{28FF}])\x{2800}+", r"\1"),
    (r"\x{2800}", r"\x{2800}+([\x{2801}-\x{28FF}])", r"\1"),
)
#: The same for texts that hold a letter of a script written from right to left: marks, and pairs
#: that are closed. Overrides turn visible letters around and are never ordinary.
_ORDINARY_RIGHT_TO_LEFT: Final = (
    (r"[\x{200E}\x{200F}\x{61C}]", ""),
    (rf"[\x{{2066}}-\x{{2068}}]({_NO_BIDI}*)\x{{2069}}", r"\1"),
    (rf"[\x{{202A}}\x{{202B}}]({_NO_BIDI}*)\x{{202C}}", r"\1"),
)


def may_hide(texts: pa.Array) -> pa.Array:
    """Texts with a character that can be hidden: bool[n]."""
    return pc.match_substring_regex(texts, _CLASS)


def may_be_unassigned(texts: pa.Array) -> pa.Array:
    """Texts with a code point that one Unicode version does not know: bool[n]."""
    return pc.match_substring_regex(texts, _UNKNOWN)


def without_ordinary(texts: pa.Array) -> pa.Array:
    """The texts without invisible characters where they belong: large_string[n]."""
    texts = texts.cast(pa.large_string())
    for marker, pattern, kept in _ORDINARY:
        if pc.any(pc.match_substring_regex(texts, marker)).as_py():
            texts = pc.replace_substring_regex(texts, pattern, kept)
    rtl = pc.match_substring_regex(texts, _RIGHT_TO_LEFT)
    if not pc.any(rtl).as_py():
        return texts
    turned = texts
    for pattern, kept in _ORDINARY_RIGHT_TO_LEFT:
        turned = pc.replace_substring_regex(turned, pattern, kept)
    return pc.if_else(rtl, turned, texts)


def hidden_in(text: str) -> set[str]:
    """Every character of the class; those that belong where they are come out before."""
    return set(_CLASS_PYTHON.findall(text))


def unassigned_in(text: str) -> set[str]:
    """Code points that no character has, without those that are hidden anyway."""
    return {c for c in set(text) if _unassigned(c) and not _CLASS_PYTHON.match(c)}


@cache
def kind_of(character: str) -> str:
    """The key of `KINDS` that a hidden character belongs to."""
    at = ord(character)
    for kind, ranges in (
        ("TAG_CHARACTER", _TAGS),
        ("BIDI_CONTROL", _BIDI),
        ("CONTROL_CHARACTER", _CONTROLS),
        ("PRIVATE_CHARACTER", _PRIVATE),
        ("INVISIBLE_CHARACTER", _IGNORABLE),
    ):
        if _within(at, ranges):
            return kind
    return "UNASSIGNED_CHARACTER"


@cache
def named(character: str) -> str:
    """`U+200B ZERO WIDTH SPACE`, or the code point alone where it has no name."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".strip()


def visible(text: str) -> str:
    """The text without what has no width, whether it belongs there or not."""
    return _REMOVED.sub("", text)


def _unassigned(character: str) -> bool:
    return unicodedata.category(character) == "Cn" and not _within(ord(character), _GROWING)


def _within(at: int, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(low <= at <= high for low, high in ranges)
