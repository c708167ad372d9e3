"""Raw messages to rows: JSON documents of a record batch, with the batch's own positions."""

from __future__ import annotations

from functools import partial
from typing import Final, Protocol

import numpy as np
import pyarrow as pa

from schemas.contract import Contract
from schemas.names import POSITION, POSITION_FIELDS, SEQUENCE, SOURCE
from schemas.plan import FileSource
from transforms.decode.decoded import Decoded
from transforms.decode.decoder import make_decoder
from transforms.outcome import Outcome, chained, refused
from transforms.sources.blocks import Block

RECORD: Final = "record"
RAW: Final = pa.schema([pa.field(RECORD, pa.binary()), *POSITION_FIELDS])
"""Raw messages: one row each, in the order of each source."""

_NEWLINE, _RETURN = b"\n\r"
_EMPTY: Final = "record must be one JSON object; got nothing; send a whole object"


class Messages(Protocol):
    """Decodes raw messages; pickles."""

    def decode(self, raw: pa.RecordBatch) -> Decoded:
        """Return rows and refusals at the messages' own positions.

        `Decoded.records` takes rows (position columns), as a batch may mix sources.
        """
        ...


class JsonMessages:
    """Decodes messages that are JSON objects, by the rules of `JsonDecoder`.

    Messages are joined to lines, so that one pass of the columnar decoder reads the whole batch. A
    newline within a message becomes a carriage return: JSON takes both for white space between
    tokens, and neither within a string. An empty message is refused under rule `json`.
    """

    def __init__(self, contract: Contract) -> None:
        """Prepare to decode rows of a contract.

        Raises:
            SpecError: If an expression of the contract does not fit its columns.
        """
        self._decoder = make_decoder(contract, FileSource(path="", format="json"))

    def decode(self, raw: pa.RecordBatch) -> Decoded:
        """Decode a batch of messages (schema RAW); see `Messages`."""
        data, starts = _lines(raw[RECORD])
        # A block that does not begin its source has no byte order mark, so none is looked for.
        block = Block(source="", start=1, data=data, arrived_us=0)
        decoded = self._decoder.decode(block)
        silent = np.ones(raw.num_rows, bool)
        rows, numbers = _placed(decoded.rows, raw, starts)
        silent[numbers] = False
        dead = decoded.refused
        if dead is not None:
            dead, numbers = _placed(dead, raw, starts)
            silent[numbers] = False
        dead = chained(Outcome(rows, None, dead), Outcome(rows, None, _empty(raw, silent))).refused
        return Decoded(rows, dead, partial(_originals, raw), decoded.format)


def _placed(
    batch: pa.RecordBatch, raw: pa.RecordBatch, starts: np.ndarray
) -> tuple[pa.RecordBatch, np.ndarray]:
    """Put the position columns (and records) of the messages in the place of byte offsets."""
    numbers = np.searchsorted(starts, batch[POSITION].to_numpy() - 1, side="right") - 1
    at = pa.array(numbers)
    columns = [
        raw[name].take(at) if name in raw.schema.names else batch[name]
        for name in batch.schema.names
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema), numbers


def _originals(raw: pa.RecordBatch, rows: pa.RecordBatch) -> pa.Array:
    """Return the messages that rows stand for: few, so a plain look-up."""
    keys = (SOURCE, POSITION, SEQUENCE)
    at = {key: i for i, key in enumerate(zip(*(raw[k].to_pylist() for k in keys), strict=True))}
    wanted = zip(*(rows[k].to_pylist() for k in keys), strict=True)
    return raw[RECORD].take(pa.array([at[key] for key in wanted], pa.int64()))


def _lines(records: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Join binary values (null is empty) with newlines; return the bytes and where each begins."""
    records = records.fill_null(b"") if records.null_count else records
    offsets = np.frombuffer(records.buffers()[1], np.int32, len(records) + 1, 4 * records.offset)
    lengths = np.diff(offsets).astype(np.int64)
    starts = np.concatenate(([0], np.cumsum(lengths + 1)))
    body = np.frombuffer(records.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    data = np.empty(int(starts[-1]), np.uint8)
    ends = starts[1:] - 1
    mask = np.ones(len(data), bool)
    mask[ends] = False
    inner = np.where(body == _NEWLINE, _RETURN, body) if (body == _NEWLINE).any() else body
    data[mask] = inner
    data[ends] = _NEWLINE
    return data, starts[:-1]


def _empty(raw: pa.RecordBatch, silent: np.ndarray) -> pa.RecordBatch | None:
    """Refuse the messages that the decoder passed over: nothing but white space."""
    numbers = np.flatnonzero(silent)
    records = raw[RECORD].take(pa.array(numbers))
    return refused(raw, numbers, "decode", "json", _EMPTY, record=records, format="json")
