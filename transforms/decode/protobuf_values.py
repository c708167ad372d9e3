"""Protobuf messages of one type as Arrow columns, all at once.

Source of the encoding: Protocol Buffers, "Encoding". Messages go on side by side from field to
field, in whatever order each has them; unknown fields are passed over. Absent fields: the default
of their type where the schema gives them no presence (proto3), else null. Enums become their
symbols, a number without one its digits; `Timestamp` a timestamp; wrappers what they wrap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from schemas.names import TIMESTAMP
from transforms.decode.avro_values import utf8
from transforms.decode.cursors import Cursors, Cut, Ints, zigzag
from transforms.decode.framed import Part
from transforms.decode.proto_text import (
    TIMESTAMP_NAME,
    WRAPPERS,
    Field,
    Message,
    Types,
    is_scalar,
    read_types,
)
from transforms.schema_registry import Written

_VARINT, _EIGHT, _SIZED, _FOUR = 0, 1, 2, 5
_DEEPEST: Final = 16
_WIRES: Final = {
    "double": _EIGHT,
    "fixed64": _EIGHT,
    "sfixed64": _EIGHT,
    "float": _FOUR,
    "fixed32": _FOUR,
    "sfixed32": _FOUR,
    "string": _SIZED,
    "bytes": _SIZED,
}
_FIXED: Final = {
    "double": "<f8",
    "float": "<f4",
    "fixed64": "<u8",
    "sfixed64": "<i8",
    "fixed32": "<u4",
    "sfixed32": "<i4",
}
_VARINTS: Final = {
    "int32": np.int32,
    "int64": np.int64,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "sint32": np.int32,
    "sint64": np.int64,
}
_LAST_SECOND: Final = 253_402_300_799  # of the year 9999; a Timestamp's first is of the year 1
_FIRST_SECOND: Final = -62_135_596_800
_NANOS: Final = 1_000_000_000


class ProtobufBodies:
    """Reads the bodies of a schema's messages: which of its types, then the bytes of that."""

    def __init__(self, written: Written, wanted: frozenset[str]) -> None:
        """Read the schema.

        Raises:
            ValueError: It is no `.proto` text.
        """
        self._types = read_types(written.text, (text for _, text in written.references))
        self._wanted = wanted
        self._readers: dict[tuple[int, ...], _Type | None] = {}
        # Most schemas have one type: what is wrong with it is said once, of the schema.
        self._readers[0,] = _compiled(self._types, self._types.at((0,)), wanted, ())

    def __call__(self, c: Cursors) -> Iterator[Part]:
        """Yield the columns of each type's messages."""
        for path, rows in _paths(c):
            reader = self._reader(path)
            if reader is None:
                c.fail(rows)
                continue
            own = c.over(c.at[rows], c.end[rows])
            columns = reader.columns(own)
            c.fail(rows[own.bad])
            strange = (f.name for f in self._types.at(path).fields if f.name not in self._wanted)
            yield Part(rows, columns, tuple(strange))

    def _reader(self, path: tuple[int, ...]) -> _Type | None:
        if path not in self._readers:
            try:
                message = self._types.at(path)
                self._readers[path] = _compiled(self._types, message, self._wanted, ())
            except ValueError:
                self._readers[path] = None
        return self._readers[path]


def _paths(c: Cursors) -> Iterator[tuple[tuple[int, ...], Ints]]:
    """Read which type each message is of; yield the messages of each."""
    rows = np.arange(len(c.at))
    count = c.zigzags(rows)
    c.fail(rows[(count < 0) | (count > _DEEPEST)])
    path = np.full((len(rows), _DEEPEST), -1)
    path[count == 0, 0] = 0  # the first type is written short
    for i in range(_DEEPEST):
        some = rows[(count > i) & ~c.bad]
        if not len(some):
            break
        path[some, i] = c.zigzags(some)
    good = rows[~c.bad]
    if len(good) and (path[good] == path[good[0]]).all():  # most often: sorting would cost more
        yield tuple(n for n in path[good[0]].tolist() if n >= 0), good
        return
    kinds, which = np.unique(path[good], axis=0, return_inverse=True)
    for i, kind in enumerate(kinds.tolist()):
        yield tuple(n for n in kind if n >= 0), good[which.ravel() == i]


def _compiled(
    types: Types, message: Message, wanted: frozenset[str] | None, above: tuple[str, ...]
) -> _Type:
    """Return what reads the wanted fields of a type; None: all.

    Raises:
        ValueError: A wanted field cannot be a column.
    """
    if message.name in above:
        msg = f"a message type must not be part of itself; got {message.name}"
        raise ValueError(msg)
    above = (*above, message.name)
    slots = []
    for one in message.fields:
        if wanted is None or one.name in wanted:
            key = None if one.key is None else _Slot(Field("key", 1, one.key, "implicit"), None)
            slots.append(_slot(types, one, message.name, above, key))
    return _Type(tuple(slots))


def _slot(types: Types, one: Field, scope: str, above: tuple[str, ...], key: _Slot | None) -> _Slot:
    if is_scalar(one.kind):
        return _Slot(one, None, key=key)
    full = types.resolve(one.kind, scope)
    if full in WRAPPERS:
        inner = _Type((_Slot(Field("value", 1, WRAPPERS[full], "implicit"), None),))
        return _Slot(one, inner, wrapper=True, key=key)
    if full == TIMESTAMP_NAME:
        parts = ("seconds", 1, "int64"), ("nanos", 2, "int32")
        inner = _Type(tuple(_Slot(Field(*part, "implicit"), None) for part in parts))
        return _Slot(one, inner, timestamp=True, key=key)
    symbols = types.enums.get(full)
    if symbols is not None:
        return _Slot(one, None, symbols=tuple(symbols.items()), key=key)
    if full not in types.messages:
        msg = f"a schema must have every type that it names; got none named {full}"
        raise ValueError(msg)
    return _Slot(one, _compiled(types, types.messages[full], None, above), key=key)


class _Found(NamedTuple):
    """Values of a field as they were met: whose, and what."""

    rows: list[Ints]
    values: list[Any]


@dataclass(frozen=True)
class _Type:
    """Reads messages of one type."""

    slots: tuple[_Slot, ...]

    def columns(self, c: Cursors) -> dict[str, pa.Array]:
        """Return the fields of all messages."""
        found = {slot.field.number: _Found([], []) for slot in self.slots}
        by_number = {slot.field.number: slot for slot in self.slots}
        rows = np.arange(len(c.at))
        while len(rows := rows[c.at[rows] < c.end[rows]]):
            tags = c.varints(rows)
            for tag in np.unique(tags).tolist():
                own = rows[tags == tag]
                number, wire = tag >> 3, tag & 7
                slot = by_number.get(number)
                if slot is not None and number and slot.takes(wire):
                    slot.meet(c, own, wire, found[number])
                else:
                    _skip(c, own, number, wire)
        columns = {}
        for slot in self.slots:
            columns[slot.field.name] = slot.column(c, found[slot.field.number])
        self._check_oneofs(c, columns)
        return columns

    def _check_oneofs(self, c: Cursors, columns: dict[str, pa.Array]) -> None:
        for name in {s.field.oneof for s in self.slots} - {None}:
            members = [columns[s.field.name] for s in self.slots if s.field.oneof == name]
            there = sum(
                m.is_valid().to_numpy(zero_copy_only=False).astype(np.int64) for m in members
            )
            c.fail(np.flatnonzero(np.asarray(there) > 1))


@dataclass(frozen=True)
class _Slot:
    """Reads one field."""

    field: Field
    inner: _Type | None
    wrapper: bool = False
    timestamp: bool = False
    symbols: tuple[tuple[int, str], ...] | None = None
    key: _Slot | None = None

    def takes(self, wire: int) -> bool:
        """Return whether values of a wire type are this field's."""
        packed = self.field.label == "repeated" and wire == _SIZED and self._wire != _SIZED
        return wire == self._wire or packed

    @property
    def _wire(self) -> int:
        if self.inner is not None or self.key is not None:
            return _SIZED
        return _VARINT if self.symbols is not None else _WIRES.get(self.field.kind, _VARINT)

    def meet(self, c: Cursors, rows: Ints, wire: int, found: _Found) -> None:
        """Read one occurrence of the field in each of these messages."""
        if wire == self._wire:
            found.rows.append(rows)
            found.values.append(_sized(c, rows) if wire == _SIZED else self._scalars(c, rows))
            return
        cut = _sized(c, rows)
        inside = c.over(cut.start, cut.start + cut.length)
        some = np.arange(len(rows))
        while len(some := some[inside.at[some] < inside.end[some]]):
            found.rows.append(rows[some])
            found.values.append(self._scalars(inside, some))
        c.fail(rows[inside.bad])

    def column(self, c: Cursors, found: _Found) -> pa.Array:
        """Return the field of all messages."""
        count = len(c.at)
        owner = np.concatenate([np.empty(0, np.int64), *found.rows])
        if self.field.label == "repeated":
            order = np.argsort(owner, kind="stable")
            each = self._values(c, found, owner, np.arange(len(owner)), len(owner))
            if self.key is not None:
                order = _last_of_keys(order, owner, each.field("key"))
            sizes = np.bincount(owner[order], minlength=count)
            offsets = pa.array(np.concatenate(([0], np.cumsum(sizes))).astype(np.int32))
            items = each.take(pa.array(order))
            if self.key is None:
                return pa.ListArray.from_arrays(offsets, items)
            return pa.MapArray.from_arrays(offsets, items.field("key"), items.field("value"))
        at = np.full(count, -1)
        if self.inner is not None:  # what is met again is merged: that is, read on
            owners = np.unique(owner)
            at[owners] = np.arange(len(owners))
            values = self._values(c, found, owner, np.searchsorted(owners, owner), len(owners))
        else:
            at[owner] = np.arange(len(owner))  # the last counts
            values = self._values(c, found, owner, np.arange(len(owner)), len(owner))
        if self.field.label == "required":
            c.fail(np.flatnonzero(at < 0))
        taken = values.take(pa.array(at, mask=at < 0))
        if self.field.label == "implicit" and self.inner is None and taken.null_count:
            return taken.fill_null(self._default())
        return taken

    def _values(self, c: Cursors, found: _Found, owner: Ints, target: Ints, count: int) -> pa.Array:
        """Return what was met: of messages, those of one target are one."""
        if self._wire != _SIZED:
            joined = np.concatenate([np.empty(0, self._dtype), *found.values])
            return self._arrow(joined)
        start = np.concatenate([np.empty(0, np.int64), *(cut.start for cut in found.values)])
        length = np.concatenate([np.empty(0, np.int64), *(cut.length for cut in found.values)])
        cut = Cut(start, length)
        if self.inner is None and self.key is None:
            binary = c.binaries(cut)
            return utf8(c, owner, binary) if self.field.kind == "string" else binary
        inside = c.gathered(cut, target, count)
        kind = self.inner
        if self.key is not None:
            value = Field("value", 2, self.field.kind, "implicit")
            kind = _Type(
                (self.key, _Slot(value, self.inner, self.wrapper, self.timestamp, self.symbols))
            )
        assert kind is not None  # noqa: S101  # one of them is there
        columns = kind.columns(inside)
        values = self._whole(columns, inside)
        c.fail(owner[inside.bad[target]])
        return values

    def _whole(self, columns: dict[str, pa.Array], inside: Cursors) -> pa.Array:
        if self.key is None and self.wrapper:
            return columns["value"]
        if self.key is None and self.timestamp:
            seconds, nanos = (columns[n].to_numpy() for n in ("seconds", "nanos"))
            out = (
                (seconds < _FIRST_SECOND)
                | (seconds > _LAST_SECOND)
                | (nanos < 0)
                | (nanos >= _NANOS)
            )
            inside.fail(np.flatnonzero(out))
            seconds = np.where(out, 0, seconds)
            return pa.array(seconds * 1_000_000 + nanos // 1000).cast(TIMESTAMP)
        if not columns:
            return pa.array([{}] * len(inside.at), pa.struct([]))
        return pa.StructArray.from_arrays(list(columns.values()), list(columns))

    def _scalars(self, c: Cursors, rows: Ints) -> np.ndarray:
        kind = self.field.kind
        if kind in _FIXED:
            size = np.dtype(_FIXED[kind]).itemsize
            return np.ascontiguousarray(c.words(rows, size)).view(_FIXED[kind])[:, 0]
        values = c.varints(rows)
        if kind == "bool" and self.symbols is None:
            return values != 0
        if kind in ("sint32", "sint64"):
            return zigzag(values).astype(self._dtype)
        return values.astype(self._dtype)

    @property
    def _dtype(self) -> Any:
        kind = self.field.kind
        if self.symbols is not None:
            return np.int32
        return np.bool_ if kind == "bool" else _FIXED.get(kind) or _VARINTS[kind]

    def _arrow(self, values: np.ndarray) -> pa.Array:
        if self.symbols is None:
            return pa.array(values)
        numbers, which = np.unique(values, return_inverse=True)
        names = dict(self.symbols)
        texts = pa.array([names.get(n, str(n)) for n in numbers.tolist()], pa.string())
        return texts.take(pa.array(which.ravel()))

    def _default(self) -> Any:
        if self.symbols is not None:
            return dict(self.symbols).get(0, "0")
        kind = self.field.kind
        if kind in ("string", "bytes"):
            return "" if kind == "string" else b""
        return np.zeros(1, self._dtype)[0].item()


def _last_of_keys(order: Ints, owner: Ints, keys: pa.Array) -> Ints:
    """Leave out entries of a map whose key comes again later."""
    codes = keys.dictionary_encode().indices.to_numpy().astype(np.int64)
    pairs = (owner * (len(codes) + 1) + codes)[order][::-1]
    _, last = np.unique(pairs, return_index=True)
    return order[np.sort(len(order) - 1 - last)]


def _sized(c: Cursors, rows: Ints) -> Cut:
    length = c.varints(rows)
    huge = length > np.uint64(np.iinfo(np.int64).max)
    return c.cut(rows, np.where(huge, -1, length.astype(np.int64)))


def _skip(c: Cursors, rows: Ints, number: int, wire: int) -> None:
    """Pass over a field that nobody wants."""
    if not number or wire not in (
        _VARINT,
        _EIGHT,
        _SIZED,
        _FOUR,
    ):  # groups are not written any more
        c.fail(rows)
    elif wire == _VARINT:
        c.varints(rows)
    elif wire == _SIZED:
        _sized(c, rows)
    else:
        c.cut(rows, np.full(len(rows), 8 if wire == _EIGHT else 4))
