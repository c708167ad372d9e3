"""Avro data of one writer's schema as Arrow columns, all messages at once.

Source of the encoding: Apache Avro 1.12 specification, "Binary encoding". Types become what
`sources.avro_types` says. A message whose bytes are not of the schema is bad, alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

import numpy as np
import pyarrow as pa
from fastavro.schema import SchemaParseException, parse_schema

from schemas.names import TIMESTAMP
from transforms.decode.casts import isolate
from transforms.decode.cursors import Cursors, Ints, spread

_INTS: Final = {
    "date": (pa.date32(), 1),
    "time-millis": (pa.time32("ms"), 1),
    "timestamp-millis": (TIMESTAMP, 1000),
    "local-timestamp-millis": (pa.timestamp("us"), 1000),
    "time-micros": (pa.time64("us"), 1),
    "timestamp-micros": (TIMESTAMP, 1),
    "local-timestamp-micros": (pa.timestamp("us"), 1),
}
_WIDE: Final = {"date": "int", "time-millis": "int"}  # the others are of long
_DECIMAL_BYTES: Final = 16
_UUID_BYTES: Final = 16


class Reader(Protocol):
    """Reads the values of one type."""

    def read(self, c: Cursors, rows: Ints) -> pa.Array:
        """Return one value for each of these messages; anything for those that are bad."""
        ...

    def skip(self, c: Cursors, rows: Ints) -> None:
        """Pass over one value of each of these messages."""
        ...


@dataclass(frozen=True)
class AvroReader:
    """Reads records of a writer's schema as columns."""

    fields: tuple[tuple[str, Reader, bool], ...]

    @property
    def unwanted(self) -> tuple[str, ...]:
        """Names of the other fields."""
        return tuple(name for name, _, wanted in self.fields if not wanted)

    def __call__(self, c: Cursors) -> dict[str, pa.Array]:
        """Return the wanted columns of all messages; each must end where its record does."""
        rows = np.arange(len(c.at))
        columns = {}
        for name, reader, wanted in self.fields:
            if wanted:
                columns[name] = reader.read(c, rows)
            else:
                reader.skip(c, rows)
        c.fail(np.flatnonzero(c.at != c.end))
        return columns


def avro_reader(schema: Any, known: dict[str, Any], wanted: Collection[str]) -> AvroReader:
    """Return what reads the wanted fields of a schema.

    Args:
        schema: The writer's, as parsed JSON.
        known: Schemas that it refers to, as fastavro's `named_schemas`.
        wanted: Names of fields.

    Raises:
        ValueError: It is no Avro record; or a wanted field (any field, if it is recursive) is of a
            type that has no columns.
    """
    try:
        whole = parse_schema(schema, known, expand=True, _force=True)
    except (SchemaParseException, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"a writer's schema must be one of Avro; got {type(error).__name__}"
        raise ValueError(msg) from error
    if not isinstance(whole, dict) or whole.get("type") not in ("record", "error"):
        msg = "a writer's schema must be a record"
        raise ValueError(msg)
    fields = [(f["name"], f["name"] in wanted, f["type"]) for f in whole["fields"]]
    return AvroReader(tuple((n, _reader(kind, wanted=w), w) for n, w, kind in fields))


def _reader(schema: Any, *, wanted: bool) -> Reader:
    """Return the reader of a type whose names are put in."""
    if isinstance(schema, list):
        branches = tuple(None if s == "null" else _reader(s, wanted=wanted) for s in schema)
        if wanted and sum(one is not None for one in branches) > 1:
            msg = "an Avro union must be of null and one type"
            raise ValueError(msg)
        return _Union(branches)
    kind = schema if isinstance(schema, str) else schema["type"]
    about = {} if isinstance(schema, str) else schema
    if isinstance(kind, dict | list):
        return _reader(kind, wanted=wanted)
    if kind in ("record", "error"):
        return _Record(
            tuple((f["name"], _reader(f["type"], wanted=wanted)) for f in about["fields"])
        )
    if kind == "array":
        return _Repeated(None, _reader(about["items"], wanted=wanted))
    if kind == "map":
        return _Repeated(_Text(), _reader(about["values"], wanted=wanted))
    return _simple(kind, about)


def _simple(kind: str, about: dict[str, Any]) -> Reader:
    logical = about.get("logicalType")
    if kind in ("int", "long"):
        if logical in _INTS and _WIDE.get(logical, "long") == kind:
            return _Integers(kind == "int", *_INTS[logical])
        return _Integers(kind == "int", pa.int32() if kind == "int" else pa.int64(), 1)
    if kind in ("bytes", "fixed"):
        size = about["size"] if kind == "fixed" else None
        if logical == "decimal" and about["precision"] <= pa.decimal128(38).precision:
            return _Decimals(size, pa.decimal128(about["precision"], about.get("scale", 0)))
        return _Bytes(size, uuid=logical == "uuid" and size == _UUID_BYTES)
    if kind == "string":
        return _Text()
    if kind == "enum":
        return _Enum(pa.array(about["symbols"], pa.string()))
    if kind in _FIXED:
        return _FIXED[kind]
    msg = "an Avro schema must not be recursive"
    raise ValueError(msg)


@dataclass(frozen=True)
class _Null:
    def read(self, c: Cursors, rows: Ints) -> pa.Array:  # noqa: ARG002 - nothing is to be read
        return pa.nulls(len(rows))

    def skip(self, c: Cursors, rows: Ints) -> None:
        pass


@dataclass(frozen=True)
class _Boolean:
    def read(self, c: Cursors, rows: Ints) -> pa.Array:
        values = c.words(rows, 1)[:, 0]
        c.fail(rows[values > 1])
        return pa.array(values == 1)

    def skip(self, c: Cursors, rows: Ints) -> None:
        self.read(c, rows)


@dataclass(frozen=True)
class _Floats:
    dtype: str

    def read(self, c: Cursors, rows: Ints) -> pa.Array:
        size = np.dtype(self.dtype).itemsize
        return pa.array(np.ascontiguousarray(c.words(rows, size)).view(self.dtype)[:, 0])

    def skip(self, c: Cursors, rows: Ints) -> None:
        c.cut(rows, np.full(len(rows), np.dtype(self.dtype).itemsize))


_FIXED: Final[dict[str, Reader]] = {
    "null": _Null(),
    "boolean": _Boolean(),
    "float": _Floats("<f4"),
    "double": _Floats("<f8"),
}


@dataclass(frozen=True)
class _Integers:
    """Integers of 32 or 64 bits, times `factor`."""

    narrow: bool
    kind: pa.DataType
    factor: int

    def read(self, c: Cursors, rows: Ints) -> pa.Array:
        values = c.zigzags(rows)
        most = (1 << 31) if self.narrow else (1 << 63) // self.factor
        if self.narrow or self.factor > 1:
            out = (values < -most) | (values >= most)
            if out.any():
                c.fail(rows[out])
                values[out] = 0
        if self.narrow:
            return pa.array(values.astype(np.int32)).view(self.kind)
        return pa.array(values * self.factor).view(self.kind)

    def skip(self, c: Cursors, rows: Ints) -> None:
        c.varints(rows)


@dataclass(frozen=True)
class _Bytes:
    """Bytes of a size, or of the one that is before them."""

    size: int | None
    uuid: bool = False

    def read(self, c: Cursors, rows: Ints) -> pa.Array:
        found = c.binaries(_cut(c, rows, self.size))
        if not self.uuid:
            return found
        texts = [str(UUID(bytes=b)) if len(b) == _UUID_BYTES else None for b in found.to_pylist()]
        return pa.array(texts, pa.string())

    def skip(self, c: Cursors, rows: Ints) -> None:
        _cut(c, rows, self.size)


def _cut(c: Cursors, rows: Ints, size: int | None) -> Any:
    return c.cut(rows, c.zigzags(rows) if size is None else np.full(len(rows), size))


@dataclass(frozen=True)
class _Text:
    def read(self, c: Cursors, rows: Ints) -> pa.Array:
        return utf8(c, rows, c.binaries(_cut(c, rows, None)))

    def skip(self, c: Cursors, rows: Ints) -> None:
        _cut(c, rows, None)


def utf8(c: Cursors, rows: Ints, values: pa.Array) -> pa.Array:
    """Return bytes as text; messages in which they are none are bad."""
    texts = isolate(lambda part: part.cast(pa.string()), values, pa.string())
    if texts.bad is not None:
        c.fail(rows[texts.bad])
    return texts.values


@dataclass(frozen=True)
class _Decimals:
    """Two's complement, the highest byte first."""

    size: int | None
    kind: pa.DataType

    def read(self, c: Cursors, rows: Ints) -> pa.Array:
        cut = _cut(c, rows, self.size)
        c.fail(rows[cut.length > _DECIMAL_BYTES])
        numbers = [int.from_bytes(b, "big", signed=True) for b in c.binaries(cut).to_pylist()]
        most = 10**self.kind.precision
        out = np.array([abs(n) >= most for n in numbers], np.bool_)
        c.fail(rows[out])
        whole = [0 if o else n for n, o in zip(numbers, out.tolist(), strict=True)]
        wide = b"".join(n.to_bytes(_DECIMAL_BYTES, "little", signed=True) for n in whole)
        return pa.Array.from_buffers(self.kind, len(rows), [None, pa.py_buffer(wide)])

    def skip(self, c: Cursors, rows: Ints) -> None:
        _cut(c, rows, self.size)


@dataclass(frozen=True)
class _Enum:
    symbols: pa.Array

    def read(self, c: Cursors, rows: Ints) -> pa.Array:
        code = c.zigzags(rows)
        out = (code < 0) | (code >= len(self.symbols))
        if out.any():
            c.fail(rows[out])
        return self.symbols.take(pa.array(code, mask=out))

    def skip(self, c: Cursors, rows: Ints) -> None:
        c.varints(rows)


@dataclass(frozen=True)
class _Record:
    fields: tuple[tuple[str, Reader], ...]

    def read(self, c: Cursors, rows: Ints) -> pa.Array:
        arrays = [reader.read(c, rows) for _, reader in self.fields]
        if not arrays:
            return pa.array([{}] * len(rows), pa.struct([]))
        return pa.StructArray.from_arrays(arrays, [name for name, _ in self.fields])

    def skip(self, c: Cursors, rows: Ints) -> None:
        for _, reader in self.fields:
            reader.skip(c, rows)


@dataclass(frozen=True)
class _Union:
    """Null and types of which, where values are wanted, there is at most one."""

    branches: tuple[Reader | None, ...]

    def read(self, c: Cursors, rows: Ints) -> pa.Array:
        which = self._which(c, rows)
        found = [i for i, one in enumerate(self.branches) if one is not None]
        if not found:
            return pa.nulls(len(rows))
        there = which == found[0]
        reader = self.branches[found[0]]
        assert reader is not None  # noqa: S101  # so they were found
        return spread(reader.read(c, rows[there]), there)

    def skip(self, c: Cursors, rows: Ints) -> None:
        which = self._which(c, rows)
        for i, reader in enumerate(self.branches):
            if reader is not None:
                reader.skip(c, rows[which == i])

    def _which(self, c: Cursors, rows: Ints) -> Ints:
        which = c.zigzags(rows)
        out = (which < 0) | (which >= len(self.branches))
        if out.any():
            c.fail(rows[out])
        return which


@dataclass(frozen=True)
class _Repeated:
    """Arrays, and maps, which have a key before each value: blocks of a count and so many."""

    key: Reader | None
    value: Reader

    def read(self, c: Cursors, rows: Ints) -> pa.Array:
        owner, keys, values = self._entries(c, rows)
        order = np.argsort(owner, kind="stable")
        count = np.bincount(owner, minlength=len(rows))
        offsets = pa.array(np.concatenate(([0], np.cumsum(count))).astype(np.int32))
        at = pa.array(order)
        if self.key is None:
            return pa.ListArray.from_arrays(offsets, values.take(at))
        return pa.MapArray.from_arrays(offsets, keys.take(at), values.take(at))

    def skip(self, c: Cursors, rows: Ints) -> None:
        for now in self._steps(c, rows):
            if self.key is not None:
                self.key.skip(c, rows[now])
            self.value.skip(c, rows[now])

    def _entries(self, c: Cursors, rows: Ints) -> tuple[Ints, Any, pa.Array]:
        none: Ints = np.empty(0, np.int64)
        owners: list[Ints] = [none]
        values = [self.value.read(c, none)]
        keys = [] if self.key is None else [self.key.read(c, none)]
        for now in self._steps(c, rows):
            owners.append(now)
            if self.key is not None:
                keys.append(self.key.read(c, rows[now]))
            values.append(self.value.read(c, rows[now]))
        joined = pa.concat_arrays(keys) if keys else None
        return np.concatenate(owners), joined, pa.concat_arrays(values)

    def _steps(self, c: Cursors, rows: Ints) -> Iterator[Ints]:
        """Yield, for the first entries, the second ones and so on, which of the rows have one."""
        open_ = np.arange(len(rows))
        count = np.zeros(len(rows), np.int64)
        while len(open_):
            fresh = open_[count[open_] == 0]
            if len(fresh):
                count[fresh] = self._block(c, rows[fresh])
                open_ = open_[(count[open_] > 0) & ~c.bad[rows[open_]]]
            if len(open_):
                yield open_
                count[open_] -= 1
                open_ = open_[~c.bad[rows[open_]]]

    def _block(self, c: Cursors, rows: Ints) -> Ints:
        count = c.zigzags(rows)
        sized = count < 0
        if sized.any():
            c.varints(rows[sized])
            count = np.abs(count)
        # No count may make us work for what is not there.
        out = (count < 0) | (count > c.left(rows))
        if out.any():
            c.fail(rows[out])
            count[out] = 0
        return count
