"""Messages of a stream to typed rows: a raw batch in, rows and the refused messages out.

A JSON message is a text of its own and holds exactly one object, line ends and all: messages are
never joined to lines, so that one with two objects, or with none, cannot move those after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final, Protocol

import pyarrow as pa

from schemas.contract import Contract
from schemas.durations import format_duration
from schemas.names import ARRIVED, POSITION_NAMES
from transforms.changes.meet import Meet
from transforms.decode.attached import Attached
from transforms.decode.attached_records import with_attached
from transforms.decode.decoded import Decoded
from transforms.decode.event_time import EVENT_TIME_RULE, Completion
from transforms.decode.json_lines import LONGEST_RECORD, JsonDecoder, Texts
from transforms.decode.json_scan import Ints
from transforms.decode.json_shape import rows_of
from transforms.decode.refusals import joined, of_rows, refusals
from transforms.decode.typed import Failures
from transforms.sources.streams.raw import RECORD, find_rows, payloads

TOMBSTONE_RULE: Final = "tombstone"
_TOMBSTONE: Final = "a message must have a payload; got a tombstone (none)"


Payloads = Callable[[pa.RecordBatch], Decoded]
"""Decodes messages that have a payload, by the contract of payloads; pickles."""


class MakePayloads(Protocol):
    """Makes `Payloads`; pickles."""

    def __call__(self, contract: Contract, *, undeclared: bool) -> Payloads:
        """Make it by the contract of payloads, which looks for undeclared columns or does not."""
        ...


class JsonPayloads:
    """Decodes JSON messages."""

    def __init__(
        self, contract: Contract, *, longest: int = LONGEST_RECORD, undeclared: bool = False
    ) -> None:
        """Prepare to decode.

        Args:
            contract: What rows must be.
            longest: Bytes that a message may have.
            undeclared: See `JsonDecoder`.
        """
        self._json = JsonDecoder(contract, longest=longest, undeclared=undeclared)

    def __call__(self, raw: pa.RecordBatch) -> Decoded:
        """Decode raw messages."""
        return self._json.decode_texts(_texts(raw))


class MessageDecoder:
    """Decodes raw batches (`raw_schema`) of messages by a contract; pickles.

    Threads may share one. Rows keep the position columns of their messages, `_watermark` included.
    Records are payloads, with the key and headers that the source was asked for.
    What is refused: as the decoder of payloads and `Completion` say, and

    - `tombstone`: a message without payload; its record is null;
    - `event_time`: a row whose event time is more than `max_future_us` after its `_arrived`.
    """

    def __init__(
        self,
        contract: Contract,
        *,
        payloads: MakePayloads = JsonPayloads,
        key: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        max_future_us: int | None = None,
        meet: Meet | None = None,
    ) -> None:
        """Prepare to decode.

        Args:
            contract: What rows must be.
            payloads: Makes what decodes payloads.
            key: See `Attached`.
            headers: See `Attached`.
            max_future_us: See above; None lets any event time pass.
            meet: See `decoder.FileDecoder`.
        """
        self.contract, self.max_future_us = contract, max_future_us
        self._attached = Attached(contract, key, headers)
        self._payloads = payloads(self._attached.payload, undeclared=meet is not None)
        self._meet = meet
        self._complete = Completion(contract)

    @property
    def schema(self) -> pa.Schema:
        """Schema of the rows."""
        return self._complete.schema

    def decode(self, raw: pa.RecordBatch) -> Decoded:
        """Decode one batch; rows and refused messages keep its order within each source.

        Raises:
            SchemaChangeError: A message is not as the contract has it, which says that a run ends.
        """
        records = raw[RECORD]
        tombs = None
        if records.null_count:
            tombs = raw.filter(records.is_null())
            raw = raw.filter(records.is_valid())
        decoded = with_attached(raw, self._payloads(raw))
        if self._meet is not None:
            decoded = self._meet.columns(decoded)
        decoded = self._attached.add(raw, decoded)
        if self._meet is not None:
            decoded = self._meet.types(decoded, self._attached.places)
        decoded = self._complete(decoded)
        if self.max_future_us is not None and self.contract.event_time is not None:
            decoded = self._without_future(decoded, self.max_future_us)
        if tombs is None:
            return decoded
        refused = joined(decoded.refused, _tombstones(tombs, decoded.format))
        return decoded._replace(refused=refused)

    def _without_future(self, decoded: Decoded, most: int) -> Decoded:
        rows = decoded.rows
        times = rows[self.contract.event_time_column].cast(pa.int64()).to_numpy()
        ahead = times > rows[ARRIVED].cast(pa.int64()).to_numpy() + most
        if not ahead.any():
            return decoded
        failures = Failures(rows.num_rows)
        name = self.contract.event_time
        reason = f"`{name}` must be at most {format_duration(most)} after the message's arrival"
        failures.add(ahead, EVENT_TIME_RULE, reason)
        refused = joined(decoded.refused, of_rows(rows, failures, decoded))
        good = failures.good()
        places = {path: rows_of(at, good) for path, at in decoded.places.items()}
        return decoded._replace(rows=rows.take(pa.array(good)), refused=refused, places=places)


def _texts(raw: pa.RecordBatch) -> Texts:
    data, start, end = payloads(raw)
    places = partial(_places, raw.select(POSITION_NAMES))
    return Texts(data, start, end, None, places, partial(find_rows, raw))


def _places(places: pa.RecordBatch, rows: Ints) -> list[pa.Array]:
    if len(rows) == places.num_rows:
        return list(places.columns)
    return list(places.take(pa.array(rows)).columns)


def _tombstones(tombs: pa.RecordBatch, form: str) -> pa.RecordBatch | None:
    why = [(TOMBSTONE_RULE, _TOMBSTONE)] * tombs.num_rows
    places = tombs.select(POSITION_NAMES).columns
    return refusals(places, why, form, pa.nulls(tombs.num_rows, pa.binary()))
