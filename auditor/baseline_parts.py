"""Parts of a baseline: cutting a batch into them, and taking rows of somebody out again. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditor.agreed_columns import differences
from auditor.baseline import FIT, Counts, Frame, Part, Piece, bin_places, bins
from auditor.baseline_content import DRAW, KEYS, PLACE, Content, as_type
from auditor.baseline_sampling import MISSING, Drawn
from auditor.batch import Batch, Roles, as_text
from auditor.copies import content_columns, take_rows
from auditor.errors import BaselineError
from auditor.rowhash import row_keys

_BIN: Final = "bin/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where rows that become trusted come from; the fields are those of `Part`."""

    name: str
    added_at: str
    role: str = FIT
    run: str | None = None
    accepted_at: str | None = None
    published: str | None = None
    reviewed_by: str | None = None


def fitting(batch: Batch, schema: pa.Schema) -> None:
    """Refuse a batch whose columns are not those of the baseline; new ones are left out.

    Raises:
        BaselineError: columns are missing, or hold another kind of value.
    """
    if not batch.rows:
        raise BaselineError("there are no rows to trust")
    odd = [one for one in differences(batch.schema, schema) if one.trusted is not None]
    if odd:
        said = "; ".join(one.message for one in odd[:5])
        raise BaselineError(f"{said}; build a new baseline from rows with the new columns")


def cut(
    batch: Batch, drawn: Drawn, frame: Frame, origin: Origin, site_key: bytes
) -> tuple[Piece, ...]:
    """One part for each source of a batch, in one pass over it and one over what is kept.

    Raises:
        BaselineError: a value does not fit the columns of the baseline.
    """
    own: list[list[pa.RecordBatch]] = [[] for _ in drawn.sources]
    content = content_columns(batch, None)
    for chunk in batch.chunks(batch.schema.names):
        rows = _row_lines(chunk.data, content, frame, site_key)
        owner = drawn.owners[chunk.start : chunk.start + rows.num_rows]
        for number in np.unique(owner):
            own[number].append(rows.filter(pa.array(owner == number)))
    sample = _sampled(batch, drawn, frame)
    owner = drawn.owners[drawn.chosen]
    return tuple(
        _piece(
            pa.Table.from_batches(lines),
            sample.filter(pa.array(owner == number)),
            frame,
            _part(origin, batch.digest, drawn.sources[number], len(drawn.sources)),
        )
        for number, lines in enumerate(own)
        if lines
    )


def without(piece: Piece, who: Literal["contributor", "source"], name: str, frame: Frame) -> Piece:
    """The part without the rows of somebody; the same object where it has none of them.

    Its counts are made again from the rows that are left.
    """
    keys = piece.content.keys.column(who)
    if not pc.any(pc.equal(keys, name)).as_py():
        return piece
    column = frame.roles.first(who)
    if column is None:
        raise BaselineError(f"no column has the role {who}")
    rows, sample = piece.content.rows(), piece.content.sample()
    kept = rows.filter(_others(rows.column(who), name))
    left = sample.filter(_others(_texts(sample, column), name))
    gone = rows.num_rows - kept.num_rows
    return _piece(kept, left, frame, replace(piece.part, removed=piece.part.removed + gone))


def contributor_labels(piece: Piece) -> Mapping[str, Counter[str]]:
    """Rows of each contributor by label. Names stand in no header: they are counted when asked."""
    found: dict[str, Counter[str]] = {}
    lanes = (piece.content.keys.column(name).to_pylist() for name in ("contributor", "label"))
    for who, label in zip(*lanes, strict=True):
        if who is not None:
            found.setdefault(who, Counter())[MISSING if label is None else label] += 1
    return found


def key_columns(
    data: pa.RecordBatch, content: Sequence[str], roles: Roles, site_key: bytes
) -> pa.RecordBatch:
    """The columns `KEYS` of a chunk, keyed over `content` and over it without the label."""
    features = [name for name in content if name != roles.label]
    whole, partly = row_keys(data, content, site_key), row_keys(data, features, site_key)
    lanes = [pa.array(lane) for lane in (whole[:, 0], whole[:, 1], partly[:, 0], partly[:, 1])]
    named = (roles.label, roles.contributor, roles.first("source"))
    text = [
        as_text(data.column(name)) if name else pa.nulls(data.num_rows, pa.string())
        for name in named
    ]
    return pa.RecordBatch.from_arrays([*lanes, *(t.cast(pa.string()) for t in text)], list(KEYS))


def _row_lines(
    data: pa.RecordBatch, content: Sequence[str], frame: Frame, site_key: bytes
) -> pa.RecordBatch:
    """Keys and bins of a chunk."""
    lines = key_columns(data, content, frame.roles, site_key)
    columns, names = list(lines.columns), list(lines.schema.names)
    # In an order of its own: a header that was read has another one than a header just made.
    for name, edges in sorted(frame.edges.items()):
        type_ = frame.schema.field(name).type
        places = bin_places(_cast(data.column(name), name, type_), edges)
        small = np.uint8 if bins(type_, edges) <= 256 else np.uint16
        columns.append(pa.array(places.astype(small)))
        names.append(_BIN + name)
    return pa.RecordBatch.from_arrays(columns, names)


def _sampled(batch: Batch, drawn: Drawn, frame: Frame) -> pa.Table:
    """The rows that are kept, as the baseline's columns, with what they drew and their place."""
    names = frame.schema.names
    table = take_rows(batch, names, drawn.chosen).combine_chunks()
    columns = [
        _cast(_one(table.column(name)), name, frame.schema.field(name).type) for name in names
    ]
    extra = [pa.array(drawn.draws[drawn.chosen]), pa.array(drawn.chosen, pa.int64())]
    schema = pa.schema([*frame.schema, (DRAW, pa.float64()), (PLACE, pa.int64())])
    return pa.table([*columns, *extra], schema=schema)


def _one(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole


def _cast(column: pa.Array, name: str, wanted: pa.DataType) -> pa.Array:
    try:
        return as_type(column, wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BaselineError(
            f"column {name[:80]!r} holds {column.type}, and not all of it fits the baseline's "
            f"{wanted}; build a new baseline"
        ) from error


def _piece(rows: pa.Table, sample: pa.Table, frame: Frame, part: Part) -> Piece:
    """The part with its counts, made from the rows themselves."""
    labels = _label_counts(rows.column("label")) if frame.roles.label else {}
    histograms = {
        name: _histogram(rows.column(_BIN + name), bins(frame.schema.field(name).type, edges))
        for name, edges in frame.edges.items()
    }
    counted = replace(part, rows=rows.num_rows, labels=labels, histograms=histograms)
    return Piece(counted, Content.of(rows, sample))


def _label_counts(column: pa.ChunkedArray) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for each in column.value_counts().to_pylist():
        counts[MISSING if each["values"] is None else each["values"]] += int(each["counts"])
    return dict(sorted(counts.items()))


def _histogram(places: pa.ChunkedArray, size: int) -> tuple[int, ...]:
    counts: Counts = np.bincount(places.to_numpy(), minlength=size)
    return tuple(int(count) for count in counts)


def _part(origin: Origin, digest: str, source: str | None, sources: int) -> Part:
    name = f"{origin.name}/{source}" if source else origin.name
    if source is None and sources > 1:
        name = f"{origin.name} (other sources)"
    return Part(
        name=name,
        digest=digest,
        rows=0,
        histograms={},
        labels={},
        source=source,
        role=origin.role,
        added_at=origin.added_at,
        run=origin.run,
        accepted_at=origin.accepted_at,
        published=origin.published,
        reviewed_by=origin.reviewed_by,
    )


def _texts(table: pa.Table, column: str) -> pa.Array:
    return as_text(_one(table.column(column)))


def _others(column: pa.Array, name: str) -> pa.Array:
    """Rows that are not of `name`; one without a name is not."""
    return pc.fill_null(pc.not_equal(column, name), True)
