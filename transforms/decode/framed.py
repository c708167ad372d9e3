"""Messages that begin with the id of their schema: Confluent's framing, decoded by contract.

A frame is a byte 0, the schema's id (4 bytes, the highest first), then what its format says. The
messages of one schema are read together, whatever the order in which they came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from schemas.contract import Contract
from schemas.names import POSITION_NAMES
from transforms.changes.seen import Key
from transforms.decode.casts import expected
from transforms.decode.columnar import ColumnarDecoder, fits
from transforms.decode.cursors import Cursors, Ints
from transforms.decode.decoded import LOOKED_AT, Decoded, Undeclared
from transforms.decode.refusals import refusals
from transforms.decode.typed import (
    Failures,
    cut_rows,
    nested,
    nulled_rows,
    rows_of,
    undeclared_keys,
)
from transforms.schema_registry import SchemaRegistry, UnknownSchemaError, Written
from transforms.sources.streams.raw import RECORD, find_rows, payloads

FRAME_RULE: Final = "frame"
SCHEMA_RULE: Final = "schema"
FRAME_BYTES: Final = 5
_ASK_AGAIN_S: Final = 30.0

Columns = dict[str, pa.Array]


class Part(NamedTuple):
    """Messages that were read together.

    Attributes:
        rows: Which ones (numbers among those of the cursors).
        columns: What was found of each.
        undeclared: Fields of their schema that are not wanted.
        beside: These fields of some messages, if they are looked at.
    """

    rows: Ints
    columns: Columns
    undeclared: tuple[str, ...] = ()
    beside: pa.RecordBatch | None = None


class Reading(Protocol):
    """Reads the bodies of messages of one registered schema."""

    def __call__(self, c: Cursors) -> Iterator[Part]:
        """Yield columns by field; a message is in one part, or bad."""
        ...


Compile = Callable[[Written, frozenset[str]], Reading]
"""Makes a `Reading` of a schema and the names of wanted fields; ValueError: what is wrong."""


class Beside:
    """Reads fields that are not wanted, of some messages: what they are is all that is asked.

    Messages of a schema are looked at in the first batch, the second, the fourth and so on.
    """

    def __init__(self, compiling: Compile) -> None:
        """Make readers with `compiling`."""
        self.written: dict[int, Written] = {}
        self._compile = compiling
        self._times: dict[int, int] = {}

    def __call__(self, number: int, names: tuple[str, ...], c: Cursors) -> pa.RecordBatch | None:
        """Return fields of the messages of a schema; None if it is not their turn, or none can."""
        times = self._times[number] = self._times.get(number, 0) + 1
        if times & (times - 1):
            return None
        try:
            parts = list(self._compile(self.written[number], frozenset(names))(c))
        except ValueError:  # a field that is of no type of ours
            return None
        columns = parts[0].columns if parts else {}
        return pa.record_batch(list(columns.values()), list(columns)) if columns else None


class FramedDecoder:
    """Decodes framed messages to the columns of a contract, by name; pickles.

    Values fit the contract as those of files do (`columnar`); a column that a message's schema
    does not have is null. What is refused, with the message's bytes:

    - `frame`: it does not begin with 0 and an id;
    - `schema`: the registry has no such schema, or it cannot be read as columns;
    - the format's name: the bytes are not of the schema;
    - `type`: a value does not fit its column, or the schema says that none can.

    A registry that does not answer is an error: what its messages are is not known.
    """

    def __init__(
        self,
        contract: Contract,
        *,
        form: str,
        registry: SchemaRegistry,
        compiling: Compile,
        undeclared: bool = False,
    ) -> None:
        """Prepare to decode; the registry is asked when an id is first met, and then never again.

        Args:
            contract: What rows must be.
            form: Format of the messages, in words of `pipeline.yaml`.
            registry: Where the schemas are.
            compiling: Makes what reads messages.
            undeclared: Whether to tell of fields that the contract does not declare.
        """
        self.contract, self.form = contract, form
        self._registry, self._compile = registry, compiling
        self._tells = undeclared
        self._columnar = ColumnarDecoder(contract)
        self._wanted = frozenset(c.key for c in contract.columns if c.read)
        self._known: dict[int, Reading | str] = {}
        self._beside = Beside(compiling)
        self._missing: dict[int, float] = {}

    def __call__(self, raw: pa.RecordBatch) -> Decoded:
        """Decode raw messages, all of which have a payload.

        Raises:
            RegistryError: A schema could not be asked for.
        """
        data, start, end = payloads(raw)
        failures = Failures(raw.num_rows)
        framed = (end - start >= FRAME_BYTES) & (_first(data, start) == 0)
        failures.add(~framed, FRAME_RULE, "a message must begin with a 0 and the id of its schema")
        ids = _ids(data, np.where(framed, start, 0))
        parts: list[Part] = []
        for number in np.unique(ids[framed]).tolist():
            rows = np.flatnonzero(framed & (ids == number))
            cursors = Cursors(data, start[rows] + FRAME_BYTES, end[rows])
            parts += self._parts(number, rows, cursors, failures)
        columns = self._joined(parts, raw.num_rows)
        places = list(raw.select(POSITION_NAMES).columns)
        rows = rows_of(self.contract, columns, failures, places)
        bad = pa.array(failures.bad())
        dead = raw.take(bad)
        refused = refusals(
            dead.select(POSITION_NAMES).columns,
            [failures.first[i] for i in failures.bad().tolist()],
            self.form,
            dead[RECORD],
        )
        decoded = Decoded(rows, refused, partial(_records, raw), self.form)
        return decoded._replace(
            undeclared=(*_undeclared(parts, failures), *undeclared_keys(failures))
            if self._tells
            else (),
            beside=next((p.beside for p in parts if p.beside is not None), None),
            nulled=nulled_rows(failures),
            cut=cut_rows(failures),
        )

    def _parts(self, number: int, rows: Ints, c: Cursors, failures: Failures) -> Iterator[Part]:
        reading = self._reading(number)
        if isinstance(reading, str):
            failures.first |= dict.fromkeys(rows.tolist(), (SCHEMA_RULE, reading))
            return
        begin = c.at.copy()
        read = list(reading(c))
        why = (self.form, f"a message must be {self.form} of the schema that it names")
        failures.first |= dict.fromkeys(rows[c.bad].tolist(), why)
        for part in read:
            good = np.flatnonzero(~c.bad[part.rows])
            own = rows[part.rows[good]]
            found = {n: a.take(pa.array(good)) for n, a in part.columns.items()}
            own_failures = Failures(len(own))
            columns = self._cast(found, own_failures)
            failures.take(own_failures, own)
            some = None
            if self._tells and part.undeclared and len(good):
                few = part.rows[good[:LOOKED_AT]]
                some = self._beside(number, part.undeclared, c.over(begin[few], c.end[few]))
            yield Part(own, columns, part.undeclared, some)

    def _cast(self, found: Columns, failures: Failures) -> Columns:
        data = pa.record_batch(list(found.values()), list(found))
        there = {name: i for i, name in enumerate(data.schema.names)}
        places = {c.name: there[c.key] for c in self.contract.columns if c.key in there}
        for column in self.contract.columns:
            if column.name in places and not fits(data[column.key].type, column):
                what = f"of type {column.logical}" if nested(column) else expected(column)
                kind = data.schema.field(column.key).type
                reason = f"`{column.name}` must be {what}; the message's schema says {kind}"
                everything = np.ones(failures.rows, np.bool_)
                failures.wrong(everything, reason, column, self.contract)
                del places[column.name]
        return self._columnar.columns(data, failures, places)

    def _joined(self, parts: list[Part], size: int) -> Columns:
        """Put the columns of parts together, in the order of the messages."""
        wanted = {c.name: c.type for c in self.contract.columns if c.read}
        wanted |= {c.path: c.type for c in self.contract.path_columns()}
        at = np.full(size, -1)
        numbers = [part.rows for part in parts]
        order = np.concatenate(numbers) if numbers else np.empty(0, np.int64)
        at[order] = np.arange(len(order))
        straight = np.array_equal(at, np.arange(size))
        taken = pa.array(at, mask=at < 0)
        columns = {}
        for name, kind in wanted.items():
            arrays = [
                part.columns.get(name, pa.nulls(len(part.rows), kind)).cast(kind) for part in parts
            ]
            joined = pa.concat_arrays(arrays) if arrays else pa.nulls(0, kind)
            columns[name] = joined if straight else joined.take(taken)
        return columns

    def _reading(self, number: int) -> Reading | str:
        """Return what reads messages of a schema, or why none can."""
        if number in self._known:
            return self._known[number]
        if time.monotonic() < self._missing.get(number, 0.0):
            return _unknown(number)
        try:
            written = self._registry.schema(number)
        except UnknownSchemaError:
            # It may have come late to this copy of the registry.
            self._missing[number] = time.monotonic() + _ASK_AGAIN_S
            return _unknown(number)
        try:
            if written.kind != self.form.upper():
                msg = f"a schema must be of {self.form}; it is of {written.kind.lower()}"
                raise ValueError(msg)  # noqa: TRY301
            self._known[number] = self._compile(written, self._wanted)
            self._beside.written[number] = written
        except ValueError as error:
            self._known[number] = f"schema {number} must be one that can be read: {error}"
        return self._known[number]


def _undeclared(parts: list[Part], failures: Failures) -> tuple[Undeclared, ...]:
    """Say which messages have fields that are not declared."""
    good, bad = failures.good(), failures.bad()
    return tuple(
        Undeclared(
            tuple(map(Key, part.undeclared)),
            np.flatnonzero(np.isin(good, part.rows)),
            np.flatnonzero(np.isin(bad, part.rows)),
        )
        for part in parts
        if part.undeclared
    )


def _unknown(number: int) -> str:
    return f"schema {number} must be in the registry"


def _first(data: np.ndarray, start: Ints) -> np.ndarray:
    return data[np.minimum(start, len(data) - 1)] if len(data) else np.ones(len(start), np.uint8)


def _ids(data: np.ndarray, start: Ints) -> Ints:
    if len(data) < FRAME_BYTES:
        return np.zeros(len(start), np.int64)
    start = np.minimum(start, len(data) - FRAME_BYTES)
    found = data[start[:, None] + np.arange(1, FRAME_BYTES)].astype(np.int64)
    return (found << np.array([24, 16, 8, 0])).sum(axis=1)


def _records(raw: pa.RecordBatch, asked: pa.RecordBatch) -> pa.Array:
    return raw[RECORD].take(pa.array(find_rows(raw, asked)))
