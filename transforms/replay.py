"""Stored records of refused rows decoded again by the contract of now, each at its own position."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import groupby
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import SourceError
from schemas.names import ARRIVED, MENDED_AT, POSITION, SEQUENCE, SOURCE, TIMESTAMP, WATERMARK
from schemas.plan import Plan
from transforms.changes.seen import Kind
from transforms.commit.closing import Places
from transforms.decode.attached_records import ATTACHED, apart
from transforms.decode.decoded import Decoded
from transforms.decode.decoder import FileDecoder, make_decoder
from transforms.decode.headers import csv_names, missing, numbered
from transforms.decode.message_format import MessageFormat
from transforms.decode.messages import JsonPayloads, MessageDecoder
from transforms.outcome import refused
from transforms.replay_files import FromFiles, meeting
from transforms.sources.blocks import Block
from transforms.sources.slices import COLUMNAR
from transforms.sources.streams.raw import HEADERS_FIELD, KEY_FIELD, RECORD, raw_schema

STEP: Final = "replay"
HELD: Final = pa.schema(
    [
        pa.field(SOURCE, pa.string()),
        pa.field(POSITION, pa.int64()),
        pa.field(SEQUENCE, pa.int32()),
        pa.field(ARRIVED, TIMESTAMP),
        pa.field("format", pa.string()),
        pa.field("record", pa.binary()),
        MENDED_AT,
    ]
)
"""What is asked of a dead letter; `record` in clear."""

_PLACE: Final = (SOURCE, POSITION, SEQUENCE, ARRIVED)
_FILE: Final = "://"
_HERE: Final = pa.array(["replay"])
_NO_RECORD: Final = (
    "the lake or the source must have the record; got neither; see whether its file is there, or "
    "put the record in with `penstock dlq import`"
)
_ONE_RECORD: Final = "record must be one CSV record under its header line; put it right"
_NO_KEY: Final = (
    "a message must be stored with its key and headers to be replayed, as the contract reads them; "
    "got the payload only; put the row in at its source"
)
_NO_STREAM: Final = (
    "a message that is no plain JSON must be replayed by source.stream, which says its format, "
    "registry, key and headers; got a pipeline without it, or of another format; put it back"
)
_NO_MESSAGE: Final = (
    "record must be lines of key and headers, an empty line, then the payload; put it right"
)
_REASONS: Final = {"key": _NO_KEY, "stream": _NO_STREAM}
"""Of records that cannot be decoded, by rule."""


@dataclass(frozen=True)
class Replayer:
    """Decodes dead letters by the contract of a plan; what it cannot decode is refused again.

    Records that the lake does not hold, and rows of packed files, whose records it holds as JSON,
    are read again from their files, if these are as they were.
    JSON records and messages are each a text of their own; CSV records are read under the header
    that they were stored with, messages with the key and headers that they were stored with.

    Attributes:
        plan: The plan of now.
        files: Where records are read again.
    """

    plan: Plan
    files: FromFiles

    def __call__(self, held: pa.Table) -> Iterator[Decoded]:
        """Decode rows of HELD; each is in exactly one of `rows` and `refused`, by its place.

        `Decoded.records` gives nothing: the lake has the records.
        """
        kinds = [
            self._kind(source, form, there=there, mended=mended)
            for source, form, there, mended in zip(
                held[SOURCE].to_pylist(),
                held["format"].to_pylist(),
                held["record"].is_valid().to_pylist(),
                held[MENDED_AT.name].is_valid().to_pylist(),
                strict=True,
            )
        ]
        for kind in dict.fromkeys(kinds):
            own = held.take(pa.array([i for i, k in enumerate(kinds) if k == kind], pa.int64()))
            if kind == "file":
                yield from self._from_files(own)
            elif kind in _REASONS:
                yield self._refuse(own, kind, _REASONS[kind])
            elif kind == "csv":
                yield from self._csv(own)
            elif kind == "attached":
                yield from self._attached(own)
            else:
                decoder = self._messages() if kind == "message" else self._texts()
                yield at_home(decoder.decode(_raw(own)), own)

    @cached_property
    def _blocks(self) -> FileDecoder:
        source = replace(self.plan.source, format="csv")
        return make_decoder(self.plan.contract, source, meeting(self.plan))

    def _kind(self, source: str, form: str, *, there: bool, mended: bool) -> str:
        in_file = _FILE in source
        packed = in_file and self.plan.source.format in COLUMNAR and not mended
        if packed or not there or form == "pointer":
            return "file"
        if in_file:
            return "csv" if form == "csv" else "text"
        if form != "json" and not self._is_streamed(form):
            return "stream"
        if self.plan.stream is None:
            return "text"
        if form.endswith(ATTACHED):
            return "attached"
        kafka = self.plan.stream.kafka
        return "key" if kafka.key is not None or kafka.headers else "message"

    def _is_streamed(self, form: str) -> bool:
        stream = self.plan.stream
        return stream is not None and form.removesuffix(ATTACHED) == stream.kafka.format

    def _from_files(self, held: pa.Table) -> Iterator[Decoded]:
        left = held
        in_files = pc.match_substring(held[SOURCE], _FILE)
        for decoded in self.files(held.filter(in_files)) if in_files.to_numpy().any() else ():
            sides = (decoded.rows, decoded.refused, decoded.removed)
            for side in (one for one in sides if one is not None and one.num_rows):
                there = Places(pa.Table.from_batches([side])).at(left) >= 0
                left = left.filter(pa.array(~there))
            yield decoded
        stored = pc.and_(left["record"].is_valid(), pc.not_equal(left["format"], "pointer"))
        if (texts := left.filter(stored)).num_rows:
            yield at_home(self._texts().decode(_raw(texts)), texts)
        if (gone := left.filter(pc.invert(stored))).num_rows:
            yield self._refuse(gone, "record", _NO_RECORD)

    def _texts(self) -> MessageDecoder:
        longest = self.plan.source.max_record_bytes
        return MessageDecoder(
            self.plan.contract,
            payloads=partial(JsonPayloads, longest=longest),
            meet=meeting(self.plan),
        )

    def _messages(self) -> MessageDecoder:
        assert self.plan.stream is not None  # noqa: S101  # or nothing is a message
        form = MessageFormat(kafka=self.plan.stream.kafka, folder=self.plan.folder)
        return form(
            self.plan.contract,
            max_future_us=self.plan.stream.max_future_us,
            meet=meeting(self.plan),
        )

    def _attached(self, held: pa.Table) -> Iterator[Decoded]:
        parts = apart(held["record"].combine_chunks())
        if parts.broken.any():
            yield self._refuse(held.filter(pa.array(parts.broken)), "record", _NO_MESSAGE)
        good = pa.array(~parts.broken)
        own = held.filter(good)
        at = own.schema.get_field_index("record")
        raw = _raw(own.set_column(at, "record", parts.payloads.filter(good)))
        raw = raw.append_column(KEY_FIELD, parts.keys.filter(good))
        raw = raw.append_column(HEADERS_FIELD, parts.headers.filter(good))
        yield at_home(self._messages().decode(raw), own)

    def _csv(self, held: pa.Table) -> Iterator[Decoded]:
        """Decode CSV records: those of one header and file as a block, if it holds together."""
        by = [
            (record.partition(b"\n")[0], source, arrived)
            for record, source, arrived in zip(
                held["record"].to_pylist(),
                held[SOURCE].to_pylist(),
                held[ARRIVED].cast(pa.int64()).to_pylist(),
                strict=True,
            )
        ]
        for key, numbers in groupby(sorted(range(len(by)), key=by.__getitem__), by.__getitem__):
            own = held.take(pa.array(list(numbers), pa.int64()))
            if lacking := self._lacking(*key[:2]):
                reason = f"a file must have the column `{lacking[0]}`; got none"
                yield self._refuse(own, str(Kind.LACKING), reason)
                continue
            together = self._csv_block(own, *key)
            if together is not None:
                yield together
                continue
            for i in range(own.num_rows):
                one = own.slice(i, 1)
                alone = self._csv_block(one, *key)
                yield self._refuse(one, "csv", _ONE_RECORD) if alone is None else alone

    def _lacking(self, header: bytes, source: str) -> list[str]:
        with suppress(SourceError):  # no header: decoding it says so
            names = csv_names(header, self.plan.source.delimiter, source)
            return missing(self.plan.contract, set(numbered(names)))
        return []

    def _csv_block(self, held: pa.Table, header: bytes, source: str, at: int) -> Decoded | None:
        """Decode records side by side; None if they do not give as many, each at its place.

        Nor do records under what is no header give any.
        """
        lines = [record.partition(b"\n")[2] + b"\n" for record in held["record"].to_pylist()]
        sizes = np.array([len(line) for line in lines])
        starts = np.cumsum(sizes) - sizes
        data = np.frombuffer(b"".join(lines), np.uint8)
        try:
            decoded = self._blocks.decode(Block(source, 0, data, at, header))
        except SourceError:
            return None
        sides = [s for s in (decoded.rows, decoded.refused, decoded.removed) if s is not None]
        spots = np.concatenate([side[POSITION].to_numpy() for side in sides])
        if not np.array_equal(np.sort(spots), starts):
            return None
        return at_home(decoded, held, starts)

    def _refuse(self, held: pa.Table, rule: str, reason: str) -> Decoded:
        rows = _raw(held)
        empty = pa.RecordBatch.from_pylist([], schema=self._texts().schema)
        dead = refused(rows, np.arange(held.num_rows), STEP, rule, reason)
        return at_home(Decoded(empty, dead, _no_records), held)


def at_home(decoded: Decoded, held: pa.Table, starts: np.ndarray | None = None) -> Decoded:
    """Put what was decoded elsewhere to the places of its records.

    Args:
        decoded: Its positions are the numbers of records, or their `starts`.
        held: The records.
        starts: Ascending; None: 0, 1, 2 ...
    """
    rows = _at_home(decoded.rows, held, starts)
    dead, gone = (
        None if side is None else _at_home(side, held, starts)
        for side in (decoded.refused, decoded.removed)
    )
    return decoded._replace(rows=rows, refused=dead, removed=gone, records=_no_records)


def _at_home(batch: pa.RecordBatch, held: pa.Table, starts: np.ndarray | None) -> pa.RecordBatch:
    numbers = batch[POSITION].to_numpy()
    if starts is not None:
        numbers = np.searchsorted(starts, numbers)
    place = held.select(_PLACE).take(pa.array(numbers))
    for name in (name for name in _PLACE if name in batch.schema.names):
        index = batch.schema.get_field_index(name)
        field = batch.schema.field(index)
        column = place[name].combine_chunks()
        column = column.dictionary_encode() if name == SOURCE else column.cast(field.type)
        batch = batch.set_column(index, field, column)
    return batch


def _no_records(rows: pa.RecordBatch) -> pa.Array:
    return pa.nulls(rows.num_rows, pa.binary())


def _raw(held: pa.Table) -> pa.RecordBatch:
    """Return records as messages of one source, whose position is their number."""
    n = held.num_rows
    columns = {
        RECORD: held["record"].combine_chunks(),
        SOURCE: pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), _HERE),
        POSITION: pa.array(np.arange(n)),
        SEQUENCE: pa.array(np.zeros(n, np.int32)),
        ARRIVED: held[ARRIVED].combine_chunks(),
        WATERMARK: pa.nulls(n, TIMESTAMP),
    }
    schema = raw_schema()
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
