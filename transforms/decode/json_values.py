"""From values found in JSON texts to typed Arrow columns; strict: nothing is coerced or guessed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from schemas.contract import Column
from transforms.changes.seen import Key
from transforms.decode.json_find import Finder, token_values
from transforms.decode.json_numbers import numbers
from transforms.decode.json_scan import Documents, Ints, expand, scan, texts_in
from transforms.decode.json_shape import (
    ARRAY,
    FALSE,
    NULL,
    NUMBER,
    OBJECT,
    TEXT,
    TRUE,
    Values,
)
from transforms.decode.json_tokens import (
    ARRAY_COMMA,
    CLOSE_ARRAY,
    OPEN_ARRAY,
    Path,
    Tokens,
    cut,
    tokenize,
    unescaped,
)
from transforms.decode.text_times import dates, times, timestamps

_KINDS: Final = {
    NULL: "null",
    TEXT: "a string",
    NUMBER: "a number",
    TRUE: "a boolean",
    FALSE: "a boolean",
    OBJECT: "an object",
    ARRAY: "an array",
}
_FORMS: Final = {
    "string": "a JSON string",
    "boolean": "true or false",
    "array": "a JSON array",
    "timestamp": "a timestamp such as 2026-01-31T09:30:00.123Z",
    "date": "a date such as 2026-01-31",
    "time": "a time of day such as 09:30:00",
}


class Slot(NamedTuple):
    """Values of one path and the texts they lie in: those of different paths may differ."""

    docs: Documents
    values: Values


@dataclass(eq=False)
class Faults:
    """The first fault of each row: `code` is -1 or an index in `entries` (rule, reason).

    `nulled` are, by top-level column, masks of the rows in which a value was passed over;
    `undeclared` are keys inside of arrays that no contract declares, and the rows that have them.
    """

    code: np.ndarray
    entries: list[tuple[str, str]] = field(default_factory=list)
    nulled: dict[str, np.ndarray] = field(default_factory=dict)
    undeclared: dict[Key, np.ndarray] = field(default_factory=dict)

    def add(self, rows: np.ndarray, rule: str, reason: str) -> None:
        """Give a fault to the rows of a mask that have none yet."""
        if rows.any():
            self.code[rows & (self.code < 0)] = len(self.entries)
            self.entries.append((rule, reason))

    def pass_over(self, rows: np.ndarray, name: str) -> None:
        """Note that a value of a column is null in the rows of a mask, since it does not fit."""
        if rows.any():
            self.nulled[name] = rows | self.nulled.get(name, False)

    def has(self, key: Key, rows: np.ndarray) -> None:
        """Note that rows (a mask) have a key that is not declared."""
        self.undeclared[key] = rows | self.undeclared.get(key, False)


@dataclass(frozen=True, eq=False)
class Node:
    """A column that has been read and checked.

    Attributes:
        take: Values of some rows (ascending row numbers, or all for None) as an Arrow array.
        nodes: Columns below it, by path.
    """

    take: Callable[[Ints | None], pa.Array]
    nodes: dict[Path, Node] = field(default_factory=dict)


class Reader:
    """Reads one column of the contract, with all that is declared below it."""

    def __init__(
        self, column: Column, path: Path, passing: str | None = None, *, undeclared: bool = False
    ) -> None:
        """Prepare to read a column.

        Args:
            column: Which one.
            path: Where its values stand in each text.
            passing: The top-level column that it is or belongs to, if values that are not of its
                type are passed over; not inside of open objects, whose text they would stay in.
            undeclared: Whether to look for undeclared keys of objects in arrays.
        """
        self.column, self.path = column, path
        self.passing = None if column.required else passing
        passing = None if column.open else passing
        undeclared = undeclared and not column.open
        self.children = [
            Reader(c, (*path, c.name), passing, undeclared=undeclared)
            for c in column.children
            if c.read
        ]
        self.items: Reader | None = None
        if pa.types.is_list(column.type):
            items = column.items or Column(
                name="items",
                path=f"{column.path}[]",
                type=column.type.value_type,
                logical="string",
            )
            self.items = Reader(items, (), passing, undeclared=undeclared)
            self.closed = self.items.closed_objects() if undeclared else {}
            known = {at: frozenset(c.key for c in of.children) for at, of in self.closed.items()}
            self.finder = Finder(tuple(p for p in self.items.paths() if p), known=known)

    def paths(self) -> list[Path]:
        """Where its values stand, and those of its children."""
        return [self.path, *(path for child in self.children for path in child.paths())]

    def closed_objects(self) -> dict[Path, Column]:
        """Return the objects in which all keys must be declared, by where they stand in a text."""
        if not pa.types.is_struct(self.column.type):
            return {}
        below = [found for child in self.children for found in child.closed_objects().items()]
        return {self.path: self.column, **dict(below)}

    def read(self, slots: dict[Path, Slot], present: np.ndarray, faults: Faults) -> Node:
        """Check the values found and prepare them for `Node.take`.

        Args:
            slots: Of all `paths()`.
            present: Mask of the rows whose parent is there; others need no value.
            faults: Gets the rows whose value is missing though required (rule `required`), or of
                another type, or unreadable (rule `type`).
        """
        column, docs, values = self.column, *slots[self.path]
        missing = values.kind <= NULL
        if column.required:
            reason = f"`{column.path}` must be there and not null"
            faults.add(present & missing, "required", reason)
        fits = self._fits(values.kind)
        wrong = ~fits & ~missing
        if wrong.any():
            for kind, got in _KINDS.items():
                reason = f"`{column.path}` must be {self._expected()}; got {got}"
                self._wrong(wrong & (values.kind == kind), reason, faults)
        nodes = {}
        for child in self.children:
            nodes[child.path] = child.read(slots, fits, faults)
            nodes |= nodes[child.path].nodes
        if self.items is not None:
            return self._array(self.items, docs, values, fits, faults)
        if pa.types.is_struct(column.type):
            return Node(lambda rows: self._struct(nodes, fits, rows), nodes)
        if pa.types.is_string(column.type):
            strings = not column.open
            return Node(lambda rows: _texts(docs, values, fits, rows, strings=strings), nodes)
        array = self._parsed(docs, values, fits)
        unread = fits & array.is_null().to_numpy(zero_copy_only=False)
        self._wrong(unread, f"`{column.path}` must be {self._expected()}", faults)
        return Node(lambda rows: array if rows is None else array.take(pa.array(rows)), nodes)

    def _wrong(self, rows: np.ndarray, reason: str, faults: Faults) -> None:
        """Refuse the rows of a mask, or leave null what they have."""
        if self.passing is None:
            faults.add(rows, "type", reason)
        else:
            faults.pass_over(rows, self.passing)

    def _fits(self, kind: np.ndarray) -> np.ndarray:
        of = self.column.type
        if self.column.open or pa.types.is_struct(of):
            return kind == OBJECT
        if pa.types.is_list(of):
            return kind == ARRAY
        if pa.types.is_boolean(of):
            return (kind == TRUE) | (kind == FALSE)
        return kind == (NUMBER if _is_number(of) else TEXT)

    def _expected(self) -> str:
        column, of = self.column, self.column.type
        if column.formats:
            return f"a {column.logical} as text in the form {' or '.join(column.formats)}"
        if pa.types.is_decimal(of):
            return f"a JSON number that fits {of.precision} digits, {of.scale} after the point"
        if _is_number(of):
            whole = "whole " if pa.types.is_integer(of) else ""
            return f"a {whole}JSON number of {of.bit_width} bits"
        if column.open or pa.types.is_struct(of):
            return "a JSON object"
        return _FORMS["array" if pa.types.is_list(of) else column.logical]

    def _parsed(self, docs: Documents, values: Values, fits: np.ndarray) -> pa.Array:
        column, of = self.column, self.column.type
        if pa.types.is_boolean(of):
            return pa.array(values.kind == TRUE, mask=~fits)
        rows = None if fits.all() else np.flatnonzero(fits)
        texts = _texts(docs, values, fits, rows, strings=not _is_number(of))
        if _is_number(of):
            read = numbers(texts, of)
        elif pa.types.is_timestamp(of):
            read = timestamps(texts, column.formats, column.timezone)
        else:
            read = (dates if pa.types.is_date(of) else times)(texts, column.formats)
        if rows is not None:
            read = read.take(pa.array(np.cumsum(fits) - 1, mask=~fits))
        return read.cast(of)

    def _struct(self, nodes: dict[Path, Node], there: np.ndarray, rows: Ints | None) -> pa.Array:
        there = there if rows is None else there[rows]
        fields = list(self.column.type)
        arrays = [
            nodes[path].take(rows)
            if (path := (*self.path, f.name)) in nodes
            else pa.nulls(len(there), f.type)
            for f in fields
        ]
        return pa.StructArray.from_arrays(arrays, fields=fields, mask=pa.array(~there))

    def _members(self, slot: Slot, below: Faults) -> dict[Path, Slot]:
        """Return values inside of those items that are objects; `below` gets undeclared keys."""
        docs, values = slot
        if not self.finder.paths:
            return {}
        rows = np.flatnonzero(values.kind == OBJECT)
        texts = cut(docs.data, values.start[rows], values.end[rows])
        found = self.finder.find(documents(texts))  # all of them are sound
        for keys in found.undeclared:
            for path in keys.paths:
                some = np.zeros(len(values.kind), bool)
                some[rows[keys.rows]] = True
                below.has(Key(path[-1], self.closed[path[:-1]].path), some)
        there = np.zeros(len(values.kind), bool)
        there[rows] = True
        return {
            path: Slot(found.docs, _spread(inner, rows, there))
            for path, inner in found.values.items()
        }

    def _array(
        self, items: Reader, docs: Documents, values: Values, fits: np.ndarray, faults: Faults
    ) -> Node:
        rows = np.flatnonzero(fits)
        inner = scan(documents(cut(docs.data, values.start[rows], values.end[rows])))
        owner, slot = _elements(tokenize(inner, np.arange(len(rows)), OPEN_ARRAY))
        below = Faults(np.full(len(owner), -1))
        slots = {(): slot, **self._members(slot, below)}
        node = items.read(slots, np.ones(len(owner), bool), below)
        for code, (rule, reason) in enumerate(below.entries):
            bad = np.zeros(len(fits), bool)
            bad[rows[owner[below.code == code]]] = True
            faults.add(bad, rule, reason)
        for name, items_nulled in below.nulled.items():
            some = np.zeros(len(fits), bool)
            some[rows[owner[items_nulled]]] = True
            faults.pass_over(some, name)
        for key, those in below.undeclared.items():
            some = np.zeros(len(fits), bool)
            some[rows[owner[those]]] = True
            faults.has(key, some)
        sizes = np.zeros(len(fits), np.int64)
        sizes[rows] = np.bincount(owner, minlength=len(rows))
        ends = np.cumsum(sizes)

        def take(chosen: Ints | None) -> pa.Array:
            some, size, there = None, sizes, fits
            if chosen is not None:
                size, there = sizes[chosen], fits[chosen]
                some = expand(ends[chosen] - size, size)
            offsets = np.concatenate(([0], np.cumsum(size))).astype(np.int32)
            mask = None if there.all() else pa.array(~there)
            return pa.ListArray.from_arrays(
                pa.array(offsets), node.take(some), type=self.column.type, mask=mask
            )

        return Node(take)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _texts(
    docs: Documents, values: Values, there: np.ndarray, rows: Ints | None, *, strings: bool
) -> pa.Array:
    start, end = values.start, values.end
    if rows is not None:
        start, end, there = start[rows], end[rows], there[rows]
    texts = cut(docs.data, start, end, there, pa.string())
    return unescaped(docs, start, end, texts) if strings else texts


def documents(texts: pa.Array) -> Documents:
    """Describe an Arrow column of JSON texts (pa.string or pa.binary, no nulls)."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :][: len(texts) + 1]
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    edges = offsets.astype(np.int64)
    return texts_in(data[edges[0] : edges[-1]], edges[:-1] - edges[0], edges[1:] - edges[0])


def _elements(tokens: Tokens) -> tuple[Ints, Slot]:
    """Elements of texts that are arrays: which text each is of, and its value."""
    owner = np.repeat(tokens.sound, tokens.count[tokens.sound])
    root = np.full(len(tokens.rows), -1)
    root[tokens.sound] = tokens.container[tokens.first]
    before = (tokens.kind == OPEN_ARRAY) | (tokens.kind == ARRAY_COMMA)
    before &= tokens.container == root[owner]
    at = np.flatnonzero(before) + 1
    at = at[tokens.kind[at] != CLOSE_ARRAY]
    return owner[at], Slot(tokens.docs, token_values(tokens, at))


def _spread(inner: Values, rows: Ints, there: np.ndarray) -> Values:
    """Return values of some rows as those of all: where there is none, none."""
    kind = np.zeros(len(there), np.uint8)
    start, end = (np.zeros(len(kind), np.int64) for _ in range(2))
    kind[rows], start[rows], end[rows] = inner
    # An empty slice keeps the order.
    gap = np.maximum.accumulate(end)
    return Values(kind, np.where(there, start, gap), np.where(there, end, gap))
