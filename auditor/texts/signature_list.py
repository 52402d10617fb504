"""What is known to be bad: tokens, domains, file digests, and how texts are searched for them.

Both sides are brought to one form first: without invisible characters, compatibility forms
resolved (NFKC), case folded. A token counts whole, a domain with its subdomains.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from auditor.texts.invisible import visible

#: Characters of all tokens that one pass of the search looks for.
_PATTERN: Final = 4_000
_PLAIN: Final = r"^[\t-\r\x20-\x7E]*$"
#: A dot between two letters or digits, also as browsers take it (U+3002) or escaped.
_HOSTLIKE: Final = r"[\p{L}\p{N}_-](?:[.\x{3002}]|%2[eE])[\p{L}\p{N}]|%[0-9a-fA-F]{2}"
#: What Python takes for a space, and what plain ASCII has of it.
_SPACE: Final = re.compile(r"\s")
_SPACES: Final = r"[\t-\r ]+"
#: One pass whatever the text: labels and dots together, taken apart afterwards.
_HOST: Final = re.compile(r"[\w.-]+")
_LABEL: Final = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureList:
    """A verified list. `tokens` and `domains` as `folded` and `domain` give them.

    `files` are sha256 in lowercase hex; `digest` is that of the signed payload.
    """

    name: str
    version: int
    digest: str
    created_on: datetime
    expires_on: datetime
    tokens: frozenset[str]
    domains: frozenset[str]
    files: frozenset[str]


def folded(text: str) -> str:
    """The form in which tokens are compared: NFKC of the folded case, nothing invisible."""
    once = unicodedata.normalize("NFKC", visible(text)).casefold()
    return _SPACE.sub(" ", visible(unicodedata.normalize("NFKC", once)))


def domain(text: str) -> str:
    """A domain name in the form it is compared in; `ValueError` for what is none."""
    labels = _unicode(folded(text.strip()).removeprefix("*.").rstrip(".").split("."))
    name = ".".join(labels)
    if len(labels) < 2 or len(name) > 253 or not all(_LABEL.fullmatch(one) for one in labels):
        raise ValueError("is not a domain name such as evil.example")
    return name


def token(text: str) -> str:
    """A token in the form it is compared in; `ValueError` for what nobody can search for."""
    name = " ".join(folded(text).split())
    if not name or len(name) > 200:
        raise ValueError("is not a token of 1 to 200 visible characters")
    return name


class Search:
    """The tokens and domains of a list, ready to be looked for in arrays of texts."""

    def __init__(self, listed: SignatureList) -> None:
        """Compiles the tokens; domains are looked up."""
        self._domains = listed.domains
        self._depth = 1 + max((one.count(".") for one in listed.domains), default=0)
        self._blocks = [(_re2(block), block) for block in _blocks(listed.tokens)]

    def found(self, texts: pa.Array) -> Mapping[str, frozenset[tuple[str, str]]]:
        """Distinct texts in which something listed stands -> (`token` or `domain`, which)."""
        texts = pc.drop_null(texts)
        forms = _forms(texts)
        hits: dict[str, set[tuple[str, str]]] = {}
        for kind, mask, search in self._passes(forms):
            originals, searched = (pc.filter(a, mask).to_pylist() for a in (texts, forms))
            for original, form in zip(originals, searched, strict=True):
                for name in search(form):
                    hits.setdefault(original, set()).add((kind, name))
        return {text: frozenset(claims) for text, claims in hits.items()}

    def _passes(
        self, forms: pa.Array
    ) -> Iterator[tuple[str, pa.Array, Callable[[str], Iterable[str]]]]:
        for pattern, block in self._blocks:
            yield "TOKEN", pc.match_substring_regex(forms, pattern), partial(_whole_in, block)
        if self._domains:
            yield "DOMAIN", pc.match_substring_regex(forms, _HOSTLIKE), self._listed_domains

    def _listed_domains(self, text: str) -> Iterator[str]:
        hosts = _HOST.findall(text.replace("\u3002", "."))
        if "%" in text:  # browsers decode a host before they look it up
            hosts += _HOST.findall(folded(unquote(text)))
        for host in {one.strip(".-") for one in hosts if "." in one}:
            # A listed domain is the end of a host: a cell of a million dots is no more work.
            labels = _unicode(host.rsplit(".", self._depth)[-self._depth :])
            tails = (".".join(labels[at:]) for at in range(len(labels)))
            yield from (tail for tail in tails if tail in self._domains)


def _forms(texts: pa.Array) -> pa.Array:
    """`folded` of every text: large_string[n]; what is plain ASCII stays in Arrow."""
    plain = pc.match_substring_regex(texts, _PLAIN)
    lower = pc.ascii_lower(texts)
    if pc.all(plain).as_py():
        return lower
    odd = pc.invert(plain)
    forms = pa.array([folded(text) for text in pc.filter(texts, odd).to_pylist()], texts.type)
    return pc.replace_with_mask(lower, odd, forms)


def _blocks(tokens: Iterable[str]) -> Iterator[list[str]]:
    """Tokens in groups that one pattern can hold."""
    block: list[str] = []
    for one in sorted(tokens, key=lambda each: (-len(each), each)):
        if block and sum(map(len, block)) + len(one) > _PATTERN:
            yield block
            block = []
        block.append(one)
    if block:
        yield block


def _re2(tokens: Sequence[str]) -> str:
    """A little more than the tokens as whole words; `_whole` says which it is."""
    words = [_quoted(one) for one in tokens if one[0].isalnum()]
    signs = [_quoted(one) for one in tokens if not one[0].isalnum()]
    whole = rf"(?:^|[^\p{{L}}\p{{N}}_])(?:{'|'.join(words)})"
    return "|".join([whole, *signs] if words else signs)


def _quoted(token: str) -> str:
    parts = (c if c.isalnum() else f"\\x{{{ord(c):X}}}" for c in token)
    return "".join(_SPACES if part == r"\x{20}" else part for part in parts)


def _whole_in(tokens: Iterable[str], text: str) -> Iterator[str]:
    """The tokens that stand in a text as a whole."""
    for one in tokens:
        if one.partition(" ")[0] in text and _whole(one).search(text):
            yield one


@cache
def _whole(token: str) -> re.Pattern[str]:
    """No letter or digit goes on at an end of the token that is a letter or digit."""
    before = r"(?<!\w)" if token[0].isalnum() else ""
    after = r"(?!\w)" if token[-1].isalnum() else ""
    return re.compile(before + re.escape(token).replace(r"\ ", r"\s+") + after)


def _unicode(labels: list[str]) -> list[str]:
    """The labels of a host name, international ones spelt out."""
    return [_spelt_out(label) for label in labels]


def _spelt_out(label: str) -> str:
    if not label.startswith("xn--") or len(label) > 63:
        return label
    try:
        return label[4:].encode("ascii").decode("punycode").casefold()
    except UnicodeError:
        return label
