"""What a stream hands on: record batches of messages, not yet decoded, and what they cover."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.names import POSITION, POSITION_FIELDS, SOURCE, TIMESTAMP, WATERMARK

Ints = NDArray[np.int64]

RECORD: Final = "record"
KEY: Final = "_key"
HEADERS: Final = "_headers"

_HEADER: Final = pa.struct([pa.field("name", pa.string()), pa.field("value", pa.binary())])
KEY_FIELD: Final = pa.field(KEY, pa.binary())
HEADERS_FIELD: Final = pa.field(HEADERS, pa.list_(_HEADER))
_SPANS: Final = b"penstock.spans"


class Span(NamedTuple):
    """Positions of one source that a batch covers.

    Attributes:
        source: As in `_source`.
        start: First position that was not covered before.
        end: Position where reading goes on. Not every position in between holds a message: brokers
            keep marks of transactions there, and drop messages that were aborted or compacted.
        rows: Messages in the batch.
        lost: Whether these positions could not be read and were passed over; then `rows` is 0.
    """

    source: str
    start: int
    end: int
    rows: int
    lost: bool = False


def raw_schema(*, key: bool = False, headers: bool = False) -> pa.Schema:
    """Return the schema of raw batches.

    `record` is the payload, null where a message has none (a tombstone); `_key` and `_headers`
    (a list of name and value) only if asked for; then `names.POSITION_FIELDS`.
    """
    extra = [KEY_FIELD] * key + [HEADERS_FIELD] * headers
    return pa.schema([pa.field(RECORD, pa.binary()), *extra, *POSITION_FIELDS])


def with_spans(batch: pa.RecordBatch, spans: Iterable[Span]) -> pa.RecordBatch:
    """Return the batch with what it covers, which travels as metadata of its schema."""
    return batch.replace_schema_metadata({_SPANS: json.dumps(list(spans))})


def has_spans(batch: pa.RecordBatch) -> bool:
    """Return whether the batch says what it covers."""
    return _SPANS in (batch.schema.metadata or {})


def spans_of(batch: pa.RecordBatch) -> tuple[Span, ...]:
    """Return what a raw batch covers: for each of its sources one span of rows, and the lost ones.

    Raises:
        ValueError: The batch is not as its source made it.
    """
    found = (batch.schema.metadata or {}).get(_SPANS)
    if found is None:
        msg = "a raw batch must say what it covers; got one that was changed; ask the source's own"
        raise ValueError(msg)
    return tuple(Span(*one) for one in json.loads(found))


def with_watermark(batch: pa.RecordBatch, watermark_us: int | None) -> pa.RecordBatch:
    """Return the batch with `_watermark` of every row set: microseconds UTC, null for None."""
    value = pa.scalar(watermark_us, pa.int64()).cast(TIMESTAMP)
    at = batch.schema.get_field_index(WATERMARK)
    column = pa.repeat(value, batch.num_rows)
    metadata = batch.schema.metadata
    stamped = batch.set_column(at, batch.schema.field(at), column)
    return stamped.replace_schema_metadata(metadata)


def payloads(raw: pa.RecordBatch) -> tuple[NDArray[np.uint8], Ints, Ints]:
    """Return the bytes of all messages, and where each begins and ends in them."""
    records = raw[RECORD]
    offsets = np.frombuffer(records.buffers()[1] or b"", np.int32)
    edges = offsets[records.offset :][: len(records) + 1].astype(np.int64)
    if not len(edges):
        edges = np.zeros(1, np.int64)
    data = np.frombuffer(records.buffers()[2] or b"", np.uint8)[edges[0] : edges[-1]]
    edges -= edges[0]
    return data, edges[:-1], edges[1:]


def source_codes(batch: pa.RecordBatch, sources: Sequence[str]) -> Ints:
    """Return for each row the index of its `_source` in `sources`, -1 for one that is not there."""
    column = batch[SOURCE]
    known = pc.index_in(column.dictionary, pa.array(sources, pa.string()))
    codes = pc.fill_null(known, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes[column.indices.to_numpy()]


def find_rows(batch: pa.RecordBatch, asked: pa.RecordBatch) -> Ints:
    """Return the numbers of the rows of `batch` that stand at the places of the rows of `asked`.

    Both have `_source` (as a dictionary) and `_position`, which in `batch` is unique by source.

    Raises:
        ValueError: A place is not in the batch.
    """
    sources = batch[SOURCE].dictionary.to_pylist()
    position, wanted = batch[POSITION].to_numpy(), asked[POSITION].to_numpy()
    ranks = np.unique(position)
    key = _keys(source_codes(batch, sources), position, ranks)
    ask = _keys(source_codes(asked, sources), wanted, ranks)
    order = np.argsort(key, kind="stable")
    at = np.minimum(np.searchsorted(key[order], ask), max(len(key) - 1, 0))
    if len(ask) and (not len(key) or (key[order][at] != ask).any()):
        msg = "places must be of this batch; got others; ask the batch that was decoded"
        raise ValueError(msg)
    return order[at]


def _keys(codes: Ints, position: Ints, ranks: Ints) -> Ints:
    rank = np.minimum(np.searchsorted(ranks, position), max(len(ranks) - 1, 0))
    known = (codes >= 0) & (ranks[rank] == position) if len(ranks) else np.zeros(len(codes), bool)
    return np.where(known, codes * len(ranks) + rank, -1)
