"""Characters nobody sees, and letters that pass for others (attacks: backdoor, clean-label).

A zero-width space in twenty texts, a Cyrillic a in a common word: people who review rows see
nothing, a model sees a token of its own. Shows as code points without a glyph, controls that turn
the direction of text, private or unassigned code points, words whose letters of one script all look
like another's, and labels or names that look like another one. Ordinary uses are left alone:
joiners in Arabic and Indic scripts and in emoji, marks beside letters written right to left, and
what the trusted rows of a column hold. Misses spaces of odd width, decomposed accents, styled
letters, and triggers in plain sight.

Boucher et al. 2022 (Bad characters); Unicode TR39 (mixed scripts, confusables), TR51 (emoji).
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.baseline import Baseline
from auditor.batch import Batch
from auditor.context import Context
from auditor.errors import Unavailable
from auditor.features import is_category
from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table
from auditor.texts.claims import Claim, claims_of, plain_texts, shown, text_columns, usual_key
from auditor.texts.confusables import skeleton
from auditor.texts.invisible import KINDS

Rows = npt.NDArray[np.int64]

#: Roles whose values are names: two that look the same are one name in disguise.
NAMES: Final = ("label", "contributor", "annotator", "source")
#: Code points or words that a message lists; the rest is counted.
LISTED: Final = 5
_TEXT: Final = pa.large_string()
#: Rows that must hold something before it is usual, however few rows there are.
SEVERAL: Final = 2

_WORDS: Final = {
    "MIXED_SCRIPT": "words that mix letters of two scripts that look alike",
    "LOOKALIKE_WORD": "words in another script's letters that look Latin",
    "LOOKALIKE_VALUE": "values that look like another value",
}


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-Q002.

    `usual_share`: share of a column's trusted rows from which a character, or a mixture of scripts,
    is usual there. `common_share`: share of the batch's rows from which, without a baseline, it is
    taken for a habit of the source: a note.
    """

    usual_share: float = 0.001
    common_share: float = 0.2


@dataclass(slots=True)
class _Found:
    """What one column holds: rows by code, and rows by what was found."""

    rows: defaultdict[str, list[Rows]] = field(default_factory=lambda: defaultdict(list))
    counts: Counter[Claim] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class HiddenText:
    """AUD-Q002."""

    baseline: Baseline | None
    settings: Options

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-Q002",
        family=Family.QUALITY,
        title="Hidden or deceptive characters",
        severity=Severity.HIGH,
        effect=Effect.QUARANTINE,
        attacks=("backdoor", "clean-label"),
        references=(
            "Boucher et al. 2022, Bad characters: imperceptible NLP attacks",
            "https://www.unicode.org/reports/tr39/",
        ),
    )

    @classmethod
    def load(cls, context: Context) -> HiddenText:
        """Without a baseline what is usual in a column is judged by the batch itself."""
        return cls(context.baseline, context.options(cls.rule.id, Options))

    def scan(self, batch: Batch) -> Outcome:
        """One finding for each column and code; hidden characters in column names hold."""
        columns = text_columns(batch)
        found = list(_names_of_columns(batch.schema.names))
        if not columns and not found:
            raise Unavailable("no column of text, categories or names")
        for column in columns:
            found += self._column(batch, column)
        return Outcome(rule=self.rule.id, findings=tuple(found))

    def _column(self, batch: Batch, column: str) -> Iterator[Finding]:
        usual = self._usual(column)
        found, start = _Found(), 0
        twins = self._twins(batch, column)
        for chunk in batch.chunks([column]):
            _observe(chunk.data.column(0), start, usual, twins, found)
            start += chunk.data.num_rows
        for code in (*KINDS, *_WORDS):
            if code in found.rows:
                yield self._finding(batch, column, code, found)

    def _finding(self, batch: Batch, column: str, code: str, found: _Found) -> Finding:
        rows = np.concatenate(found.rows[code])
        what, listed = KINDS.get(code) or _WORDS[code], _listed(code, found.counts)
        habit = self._habit(code, len(rows), batch.rows)
        note = "; so many rows hold them that it may be a habit of the source" if habit else ""
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{shown(column)}: {what} in {len(rows)} rows: {listed}{note}",
            evidence={"code": code, "column": column, "found": listed, "rows": len(rows)},
            rows=row_table(np.sort(rows), 1.0),
            calibrated=not habit,
        )

    def _habit(self, code: str, rows: int, total: int) -> bool:
        known = self.baseline is not None or code == "LOOKALIKE_VALUE"
        return not known and rows > max(SEVERAL, self.settings.common_share * total)

    def _usual(self, column: str) -> frozenset[Claim]:
        """What enough trusted rows of the column hold."""
        trusted = self._trusted(column)
        if trusted is None or not len(trusted):
            return frozenset()
        found = _Found()
        _observe(trusted, 0, frozenset(), {}, found)
        held: Counter[Claim] = Counter()
        for claim, rows in found.counts.items():
            held[usual_key(claim)] += rows
        enough = max(SEVERAL, self.settings.usual_share * len(trusted))
        return frozenset(claim for claim, rows in held.items() if rows >= enough)

    def _trusted(self, column: str) -> pa.Array | None:
        if self.baseline is None or column not in self.baseline.sample.schema.names:
            return None
        values = self.baseline.sample.column(column)
        return values.combine_chunks() if is_category(values.type) else None

    def _twins(self, batch: Batch, column: str) -> Mapping[str, str]:
        """Values that look like another value of a column of names -> the value they look like."""
        if not any(column in batch.roles.columns(role) for role in NAMES):
            return {}
        odd = pa.chunked_array([_odd(c.data.column(0)) for c in batch.chunks([column])], _TEXT)
        trusted = self._trusted(column)
        known = set() if trusted is None else set(_odd(trusted).to_pylist())
        looks = {value: skeleton(value) for value in odd.unique().to_pylist() if value not in known}
        # The same text in another normal form is untidy, not a disguise.
        looks = {v: s for v, s in looks.items() if s != unicodedata.normalize("NFC", v)}
        wanted = pa.array(set(looks.values()), _TEXT)
        there: set[str] = set()
        if looks:
            columns = [c.data.column(0) for c in batch.chunks([column])]
            for values in [*columns, *([] if trusted is None else [trusted])]:
                texts = pc.unique(plain_texts(values))
                there |= set(pc.filter(texts, pc.is_in(texts, value_set=wanted)).to_pylist())
        return {value: seen for value, seen in looks.items() if seen in there}


def _names_of_columns(names: Iterable[str]) -> Iterator[Finding]:
    """A column called `label` with a zero-width space is not the label column."""
    for name in names:
        claims = claims_of(pa.array([name], _TEXT)).get(name, frozenset())
        if claims:
            found = ", ".join(sorted(what for _, what in claims)[:LISTED])
            yield Finding(
                rule=HiddenText.rule.id,
                severity=HiddenText.rule.severity,
                message=f"the name of column {shown(name)} is not what it looks like: {found}",
                evidence={"code": "COLUMN_NAME", "column": name, "found": found},
            )


def _observe(
    values: pa.Array,
    start: int,
    usual: frozenset[Claim],
    twins: Mapping[str, str],
    found: _Found,
) -> None:
    """Add what is found in consecutive rows; `start` is the position of the first."""
    encoded = pc.dictionary_encode(plain_texts(values))
    known: dict[str, frozenset[Claim]] = dict(claims_of(encoded.dictionary))
    for value in twins:
        known[value] = known.get(value, frozenset()) | {("LOOKALIKE_VALUE", shown(value))}
    claims = {v: frozenset(k for k in c if usual_key(k) not in usual) for v, c in known.items()}
    suspect = {v: c for v, c in claims.items() if c}
    if not suspect:
        return
    texts = pa.array(list(suspect), _TEXT)
    place = pc.index_in(encoded.dictionary, value_set=texts).take(encoded.indices)
    at = pc.fill_null(place, -1).to_numpy(zero_copy_only=False)
    _count(at, list(suspect.values()), start, found)


def _count(
    at: npt.NDArray[np.int32],
    claims: list[frozenset[Claim]],
    start: int,
    found: _Found,
) -> None:
    """`at`: position in `claims` of each row, -1 for rows without a claim."""
    rows = np.flatnonzero(at >= 0)
    each = np.bincount(at[rows], minlength=len(claims))
    codes: dict[str, list[int]] = defaultdict(list)
    for position, own in enumerate(claims):
        if not each[position]:
            continue
        for claim in own:
            found.counts[claim] += int(each[position])
        for code in {code for code, _ in own}:
            codes[code].append(position)
    for code, positions in codes.items():
        hit = np.zeros(len(claims), dtype=bool)
        hit[positions] = True
        found.rows[code].append(rows[hit[at[rows]]] + start)


def _listed(code: str, counts: Counter[Claim]) -> str:
    own = sorted((-rows, what) for (kind, what), rows in counts.items() if kind == code)
    text = ", ".join(f"{what} ({-rows} rows)" for rows, what in own[:LISTED])
    return text if len(own) <= LISTED else f"{text} and {len(own) - LISTED} more"


def _odd(values: pa.Array) -> pa.Array:
    """Distinct texts that are not ASCII: large_string[k]."""
    texts = pc.unique(plain_texts(values)).drop_null()
    return pc.filter(texts, pc.invert(pc.string_is_ascii(texts)))
