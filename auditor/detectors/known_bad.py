"""Rows that hold what is known to be bad (attack: backdoor, with a trigger seen before).

A signed list names tokens and domains of earlier attacks. Shows as a listed token that stands as a
whole word in a text, category, label or name, or as a listed domain or one of its subdomains in a
URL, address or name of a host; invisible characters, letter case and compatibility forms are no
way around it. Misses what nobody has listed, look-alike letters (AUD-Q002 finds those), tokens
taken apart, shortened links and domains that only a redirect shows.

The idea of indicators of compromise: MITRE ATLAS; Kurita et al. 2020 (tokens such as cf, mn, bb).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Batch
from auditor.context import Context
from auditor.errors import Unavailable
from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table
from auditor.texts.claims import plain_texts, shown, text_columns
from auditor.texts.signature_list import Search, SignatureList

Rows = npt.NDArray[np.int64]
#: Entries that are named one by one; the rest share a finding.
LISTED: Final = 50


@dataclass(frozen=True, slots=True)
class Options:
    """No settings: what is looked for stands in the list."""


@dataclass(frozen=True, slots=True)
class KnownBad:
    """AUD-Q003."""

    listed: SignatureList

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-Q003",
        family=Family.QUALITY,
        title="A known-bad token or domain",
        severity=Severity.CRITICAL,
        effect=Effect.QUARANTINE,
        attacks=("backdoor",),
        references=("Kurita et al. 2020, Weight poisoning attacks", "ATLAS AML.T0020"),
        row_local=True,
    )

    @classmethod
    def load(cls, context: Context) -> KnownBad:
        """Needs the list that `signatures` names; it was verified before the run."""
        if context.signatures is None:
            raise Unavailable("no signature list")
        return cls(context.signatures)

    def scan(self, batch: Batch) -> Outcome:
        """One finding for each entry of the list and each column that holds it."""
        search = Search(self.listed)
        rows: defaultdict[tuple[str, str, str], list[Rows]] = defaultdict(list)
        for column in text_columns(batch):
            for chunk in batch.chunks([column]):
                for (kind, entry), found in _found(search, chunk.data.column(0)).items():
                    rows[kind, entry, column].append(found + chunk.start)
        claims = {key: np.concatenate(parts) for key, parts in sorted(rows.items())}
        findings = [self._finding(*key, claims[key]) for key in list(claims)[:LISTED]]
        rest = list(claims.values())[LISTED:]
        if rest:
            findings.append(self._rest(np.unique(np.concatenate(rest)), len(rest)))
        return Outcome(rule=self.rule.id, findings=tuple(findings))

    def _finding(self, kind: str, entry: str, column: str, rows: Rows) -> Finding:
        what = "token" if kind == "TOKEN" else "domain"
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{shown(column)}: {len(rows)} rows hold the known-bad {what} {shown(entry)}",
            evidence={
                "code": f"KNOWN_BAD_{kind}",
                "column": column,
                "entry": entry,
                "list": self.listed.name,
                "version": self.listed.version,
                "rows": len(rows),
            },
            rows=row_table(rows, 1.0),
        )

    def _rest(self, rows: Rows, entries: int) -> Finding:
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{len(rows)} rows hold {entries} more known-bad tokens and domains",
            evidence={"code": "KNOWN_BAD_MORE", "entries": entries, "rows": len(rows)},
            rows=row_table(rows, 1.0),
        )


def _found(search: Search, values: pa.Array) -> dict[tuple[str, str], Rows]:
    """Entries that stand in consecutive rows -> positions of those rows."""
    encoded = pc.dictionary_encode(plain_texts(values))
    hits = search.found(encoded.dictionary)
    texts: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for text, entries in hits.items():
        for entry in entries:
            texts[entry].append(text)
    return {entry: _rows(encoded, pa.array(own, pa.large_string())) for entry, own in texts.items()}


def _rows(encoded: pa.DictionaryArray, texts: pa.Array) -> Rows:
    codes = pc.index_in(texts, value_set=encoded.dictionary)
    hit = pc.is_in(encoded.indices, value_set=codes.cast(encoded.indices.type))
    found: Rows = np.flatnonzero(hit.to_numpy(zero_copy_only=False)).astype(np.int64)
    return found
