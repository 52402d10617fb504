"""What is hidden or deceptive in texts: which columns hold texts, and claims about each text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Batch
from auditor.features import is_category
from auditor.texts.confusables import deceptions, may_deceive
from auditor.texts.invisible import (
    hidden_in,
    kind_of,
    may_be_unassigned,
    may_hide,
    named,
    unassigned_in,
    visible,
    without_ordinary,
)

#: A code and what was found: a character by code point and name, a word with its scripts.
Claim = tuple[str, str]
#: Claims about each distinct text that has any.
Claims = Mapping[str, frozenset[Claim]]

#: Characters of a column's name or of a word in a message; a cell may hold megabytes.
SHOWN: Final = 40
#: Everything but tab, line breaks and what ASCII can print.
_ODD: Final = r"[^\t-\r\x20-\x7E]"


def text_columns(batch: Batch) -> list[str]:
    """Columns of texts in the order of the schema, without those that nobody reads."""
    ignored = set(batch.roles.columns("ignored"))
    fields = (f for f in batch.schema if f.name not in ignored)
    return [f.name for f in fields if is_category(f.type)]


def plain_texts(values: pa.Array) -> pa.Array:
    """A column of texts, dictionaries too, as large_string[n]."""
    return pc.cast(pc.cast(values, pa.string()), pa.large_string())


def claims_of(texts: pa.Array) -> Claims:
    """Claims about distinct texts with something hidden or deceptive in them."""
    found: defaultdict[str, set[Claim]] = defaultdict(set)
    odd = pc.filter(texts, pc.match_substring_regex(texts, _ODD))
    for text, left in _hiding(odd):
        found[text] |= {(kind_of(c), named(c)) for c in hidden_in(left)}
    for text in pc.filter(odd, may_be_unassigned(odd)).to_pylist():
        found[text] |= {(kind_of(c), named(c)) for c in unassigned_in(text)}
    for text in pc.filter(odd, may_deceive(odd)).to_pylist():
        for one in deceptions(visible(text)):
            code = "MIXED_SCRIPT" if one.mixed else "LOOKALIKE_WORD"
            found[text].add((code, f"{one.scripts} {shown(one.word)}"))
    return {text: frozenset(claims) for text, claims in found.items() if claims}


def _hiding(texts: pa.Array) -> Iterator[tuple[str, str]]:
    """Texts in which something is hidden, and what is left without ordinary uses."""
    texts = pc.filter(texts, may_hide(texts))
    if not len(texts):
        return
    left = without_ordinary(texts)
    still = may_hide(left)
    yield from zip(
        pc.filter(texts, still).to_pylist(), pc.filter(left, still).to_pylist(), strict=True
    )


def usual_key(claim: Claim) -> Claim:
    """What has to be usual: a character is itself, a word stands for its mixture of scripts."""
    code, what = claim
    words = code in ("MIXED_SCRIPT", "LOOKALIKE_WORD")
    return (code, what.split(" ", 1)[0]) if words else claim


def shown(text: str) -> str:
    """Text in ASCII with escapes: two letters that look alike must not look alike here."""
    cut = ascii(text[:SHOWN])
    return cut if len(text) <= SHOWN else f"{cut}..."
