r"""JSON lines to typed rows: a block of bytes in, a record batch and the refused records out.

One JSON object a line, strictly as RFC 8259 has it and in UTF-8; `\n` ends a line and `\r\n` is
taken for it; a byte order mark at the start of a source and lines of white space are passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from schemas.contract import Column, Contract, OnChange, Protection
from schemas.names import EVENT_TIME, POSITION, POSITION_FIELDS, REFUSED, TIMESTAMP
from transforms.changes.seen import Key
from transforms.decode.decoded import Decoded, Undeclared
from transforms.decode.json_find import Finder, Found
from transforms.decode.json_scan import (
    REASONS,
    Documents,
    Fault,
    Ints,
    low_bytes,
    note,
    texts_in,
    utf8_faults,
)
from transforms.decode.json_shape import ABSENT, Values, rows_of
from transforms.decode.json_tokens import Path, cut
from transforms.decode.json_values import Faults, Node, Reader, Slot
from transforms.sources.blocks import Block

LONGEST_RECORD: Final = 64 << 20
STEP: Final = "decode"

_BOM: Final = b"\xef\xbb\xbf"
_NEWLINE, _RETURN, _BRACE = b"\n\r{"
_BLANK: Final = np.zeros(256, bool)
_BLANK[list(b" \t\r")] = True
_RULES: Final = {Fault.DUPLICATE: "duplicate_key"}


class Texts(NamedTuple):
    """Records that lie in one buffer, in order.

    Attributes:
        data: uint8; between two records stands no quote and no backslash.
        start: First byte of each record.
        end: The byte after it.
        lows: Positions of bytes below 0x20 that end no record; None: they are looked for.
        places: Position columns (`names.POSITION_FIELDS`) of the records with these numbers.
        find: Numbers of the records that rows (a batch with position columns) were made of.
    """

    data: np.ndarray
    start: Ints
    end: Ints
    lows: Ints | None
    places: Callable[[Ints], list[pa.Array]]
    find: Callable[[pa.RecordBatch], Ints]


class JsonDecoder:
    """Decodes blocks of JSON lines by a contract; pickles, and threads may share one.

    A record is refused, as a whole and with its bytes, under the rule

    - `json`: it is not valid UTF-8; holds a NUL byte, a lone surrogate escape, NaN, Infinity or a
      number beyond a double; is not one JSON object; nests deeper than 200; is too long;
    - `duplicate_key`: an object in it, at any depth, has a key twice (escapes resolved);
    - `required`: a required column, or required key of an object that is there, is missing or null;
    - `type`: a value is not of its column's type. Strings, dates and times must be JSON strings,
      numbers JSON numbers. An integer may be written `1.0` or `1e2`, not `1.5`. A decimal may have
      no more digits than its type. Timestamps: see `text_times`.

    Reasons name column and expected form, never a value. Keys that the contract does not declare
    are passed over, and kept in open objects alone, whose text is that of the record.
    A column with a transform is null here: it is not read from the record.
    """

    def __init__(
        self, contract: Contract, *, longest: int = LONGEST_RECORD, undeclared: bool = False
    ) -> None:
        """Prepare to decode.

        Args:
            contract: Whose columns are read.
            longest: Bytes that a record may have.
            undeclared: Whether to look for keys that the contract does not declare.
        """
        self.contract = contract
        self.longest = longest
        passing = {c.name for c in contract.columns if contract.met(c) is OnChange.DISCARD_VALUE}
        self._readers = [
            Reader(c, (c.key,), c.name if c.name in passing else None, undeclared=undeclared)
            for c in contract.columns
            if c.read
        ]
        self._protected = [
            (root.key, column)
            for root in contract.columns
            if root.open and root.read
            for column in replace(contract, columns=(root,)).path_columns()
            if column.protect is not Protection.KEEP
        ]
        self._inside: dict[Path, str] = {}
        """Of each object in which other keys are looked for, its path in the contract."""
        known: dict[Path, frozenset[str]] = {}
        if undeclared:
            known[()] = frozenset(c.key for c in contract.columns)
            closed = {at: of for r in self._readers for at, of in r.closed_objects().items()}
            known |= {at: frozenset(c.key for c in of.children) for at, of in closed.items()}
            self._inside = {(): "", **{at: of.path for at, of in closed.items()}}
        self._finder = Finder(tuple(path for r in self._readers for path in r.paths()), known=known)

    def decode(self, block: Block) -> Decoded:
        """Decode a block of text; rows and refused records keep the order of the source."""
        return self.decode_texts(_lines(block))

    def decode_texts(self, lines: Texts) -> Decoded:
        """Decode records, each a text of its own; rows and refused records keep their order."""
        bad = utf8_faults(lines.data, lines.start, lines.end)
        docs = texts_in(lines.data, lines.start, lines.end, lines.lows)
        docs.fault[bad] = Fault.UTF8
        note(docs.fault, lines.end - lines.start > self.longest, Fault.LENGTH)
        found = self._finder.find(docs)
        docs = found.docs
        below = Faults(np.full(len(found.rows), -1))
        present = np.ones(len(found.rows), bool)
        slots = {path: Slot(docs, values) for path, values in found.values.items()}
        nodes: dict[Path, Node] = {}
        for reader in self._readers:
            nodes[reader.path] = reader.read(slots, present, below)
            nodes |= nodes[reader.path].nodes

        good = below.code < 0
        kept = None if good.all() else np.flatnonzero(good)
        numbers = found.rows if kept is None else found.rows[kept]
        rows = self._rows(lines.places(numbers), len(numbers), nodes, kept)
        faults = _faults(docs, found.rows, below)
        refused = _refused(lines, faults) if len(numbers) < len(docs) else None
        records = partial(_records, lines)
        decoded = Decoded(rows, refused, records, places=self._places(found, kept))
        if below.nulled:
            nulled = {n: np.flatnonzero(mask[good]) for n, mask in below.nulled.items()}
            decoded = decoded._replace(nulled=nulled)
        strange = [
            (tuple(Key(path[-1], self._inside[path[:-1]]) for path in k.paths), k.rows)
            for k in found.undeclared
        ]
        strange += [((k,), found.rows[mask]) for k, mask in below.undeclared.items()]
        if not strange:
            return decoded
        dead = np.flatnonzero(faults.code >= 0)
        keys = [Undeclared(k, _among(numbers, at), _among(dead, at)) for k, at in strange]
        return decoded._replace(undeclared=tuple(keys))

    def _places(self, found: Found, kept: Ints | None) -> dict[str, Values]:
        """Where the values that will be protected stand in the texts of open objects."""
        out = {}
        for root, column in self._protected:
            base, values = found.values[(root,)], found.values[(root, *_keys(column))]
            there = values.kind != ABSENT
            start, end = (np.where(there, at - base.start, 0) for at in values[1:])
            place = Values(values.kind, start, end)
            out[column.path] = place if kept is None else rows_of(place, kept)
        return out

    def _rows(
        self,
        places: list[pa.Array],
        size: int,
        nodes: dict[Path, Node],
        kept: Ints | None,
    ) -> pa.RecordBatch:
        columns = [
            nodes[(c.key,)].take(kept) if c.read else pa.nulls(size, c.type)
            for c in self.contract.columns
        ]
        fields = [pa.field(c.name, c.type) for c in self.contract.columns]
        paths = {c.path: c for c in self.contract.path_columns()}
        names = {c.key: c.name for c in self.contract.columns if c.read}
        by_path = {".".join((names[p[0]], *p[1:])): node for p, node in nodes.items() if p}
        for path, column in paths.items():
            columns.append(by_path[path].take(kept))
            fields.append(pa.field(path, column.type))
        if self.contract.event_time_column == EVENT_TIME:
            columns.append(by_path[str(self.contract.event_time)].take(kept).cast(TIMESTAMP))
            fields.append(pa.field(EVENT_TIME, TIMESTAMP))
        return pa.RecordBatch.from_arrays(
            [*columns, *places],
            schema=pa.schema([*fields, *POSITION_FIELDS]),
        )


def _among(these: Ints, rows: Ints) -> Ints:
    """Where in an ascending array those of some rows (ascending) stand that are in it."""
    if not len(these):
        return these
    at = np.minimum(np.searchsorted(these, rows), len(these) - 1)
    return at[these[at] == rows]


def _keys(column: Column) -> Path:
    return tuple(column.path.split(".")[1:])


def _lines(block: Block) -> Texts:
    data = block.data
    if isinstance(data, pa.RecordBatch):
        message = "a block of JSON lines must hold bytes; got a record batch; check its source"
        raise TypeError(message)
    lows = low_bytes(data)
    newline = data[lows] == _NEWLINE
    ends, lows = (lows, lows[:0]) if newline.all() else (lows[newline], lows[~newline])
    if len(data) and data[-1] != _NEWLINE:
        ends = np.append(ends, len(data))
    starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
    position = starts + block.start
    if block.start == 0 and data[:3].tobytes() == _BOM:
        starts = np.where(starts == 0, 3, starts)
    if len(lows):
        returns = (ends > starts) & (data[ends - 1] == _RETURN)
        ends = ends - returns
        lows = np.setdiff1d(lows, ends[returns], assume_unique=True)
    blank = _blank(data, starts, ends)
    if len(blank):
        starts, ends, position = (np.delete(x, blank) for x in (starts, ends, position))
    places = partial(_position_columns, block, position)
    return Texts(data, starts, ends, lows, places, partial(_find, position))


def _blank(data: np.ndarray, starts: Ints, ends: Ints) -> Ints:
    """Rows that hold white space alone."""
    # A record begins with a brace: only lines that begin otherwise are worth a look.
    rows = np.flatnonzero(data[np.minimum(starts, len(data) - 1)] != _BRACE)
    rows = rows[
        (ends[rows] <= starts[rows]) | _BLANK[data[np.minimum(starts[rows], len(data) - 1)]]
    ]
    filled = rows[ends[rows] > starts[rows]]
    if len(filled):
        edges = np.stack((starts[filled], ends[filled]), axis=1).ravel()
        written = np.append(~_BLANK[data], False)
        rows = np.setdiff1d(rows, filled[np.logical_or.reduceat(written, edges)[0::2]])
    return rows


def _position_columns(block: Block, position: Ints, rows: Ints) -> list[pa.Array]:
    position = position[rows]
    size = len(position)
    zeros = pa.array(np.zeros(size, np.int32))
    return [
        pa.DictionaryArray.from_arrays(zeros, pa.array([block.source])),
        pa.array(position, pa.int64()),
        zeros,
        pa.array(np.full(size, block.arrived_us, np.int64)).cast(TIMESTAMP),
        pa.nulls(size, TIMESTAMP),
    ]


def _faults(docs: Documents, rows: Ints, below: Faults) -> Faults:
    """Join the faults of whole records with those of values in `rows`."""
    code = np.full(len(docs), -1)
    code[rows] = below.code
    faults = Faults(code, list(below.entries))
    for fault in np.unique(docs.fault[docs.fault != 0]).tolist():
        rule = _RULES.get(Fault(fault), "json")
        faults.add(docs.fault == fault, rule, REASONS[Fault(fault)])
    return faults


def _refused(lines: Texts, faults: Faults) -> pa.RecordBatch:
    rows = np.flatnonzero(faults.code >= 0)
    code = pa.array(faults.code[rows])
    rules, reasons = (pa.array(texts).take(code) for texts in zip(*faults.entries, strict=True))
    return pa.RecordBatch.from_arrays(
        [
            *lines.places(rows)[:-1],
            pa.repeat(STEP, len(rows)),
            rules,
            reasons,
            pa.repeat("json", len(rows)),
            cut(lines.data, lines.start[rows], lines.end[rows]),
        ],
        schema=REFUSED,
    )


def _find(position: Ints, asked: pa.RecordBatch) -> Ints:
    wanted = asked[POSITION].to_numpy()
    rows = np.minimum(np.searchsorted(position, wanted), max(len(position) - 1, 0))
    if len(wanted) and (not len(position) or (position[rows] != wanted).any()):
        message = "positions must be of this block; got others; ask the block that was decoded"
        raise ValueError(message)
    return rows


def _records(lines: Texts, asked: pa.RecordBatch) -> pa.Array:
    rows, back = np.unique(lines.find(asked), return_inverse=True)
    return cut(lines.data, lines.start[rows], lines.end[rows]).take(pa.array(back))
