"""Edits and reads of open objects: columns of JSON texts, changed in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Column
from schemas.errors import PenstockError
from transforms.decode.json_find import Finder
from transforms.decode.json_scan import Documents, Ints, scan
from transforms.decode.json_shape import ABSENT, TEXT, Values
from transforms.decode.json_tokens import Path
from transforms.decode.json_values import Faults, Reader, Slot, documents

_SPECIAL: Final = np.zeros(256, bool)  # bytes that a JSON string holds escaped only
_SPECIAL[[*range(0x20), *b'"\\']] = True
_BLANK: Final = np.zeros(256, bool)
_BLANK[list(b" \t\r\n")] = True
_COMMA, _QUOTE = b',"'


class Edit(NamedTuple):
    """Bytes [start, end) of each text, and what takes their place in the rows of a mask.

    A null takes them out.
    """

    start: Ints
    end: Ints
    new: pa.Array
    given: np.ndarray


class JsonTextError(PenstockError):
    """A column that should hold JSON objects holds something else."""


class JsonText:
    """Functions on columns of JSON objects; keeps what it learns of the texts between calls.

    All of them take pa.string() with one JSON object a row or null (an object of decode, or of the
    lake), and raise `JsonTextError` if a row is no strict JSON object. Paths are keys from the
    text's root. Threads may share one; it pickles without what it learned.
    """

    def __init__(self) -> None:
        """Begin with nothing learned."""
        self._finders: dict[tuple[Path, ...], Finder] = {}

    def __reduce__(self) -> tuple[type[JsonText], tuple[()]]:
        """Pickle as new."""
        return (JsonText, ())

    def replace(
        self, texts: pa.Array, path: Path, new: pa.Array, *, json: bool = False
    ) -> pa.Array:
        """Put new values at a path: `replace_all` for one."""
        return self.replace_all(texts, {path: new}, json=json)

    def replace_all(
        self, texts: pa.Array, new: Mapping[Path, pa.Array], *, json: bool = False
    ) -> pa.Array:
        """Put new values at some paths, none of which is inside of another.

        Args:
            texts: JSON objects.
            new: By path, keys from the root: as many strings, numbers or booleans as there are
                texts. A text that has no value there stays as it is, and so it does for a null.
            json: Whether `new` holds JSON texts, put in as they are.

        Returns:
            The texts (pa.string); all bytes outside of the values are as they were.
        """
        docs, there, found = self._find(texts, tuple(new))
        edits = []
        for values, column in zip(found, new.values(), strict=True):
            fresh = column if there is None else column.filter(there)
            given = pc.is_valid(fresh).to_numpy(zero_copy_only=False) & (values.kind != ABSENT)
            start, end = values.start, values.end
            # A string keeps its quotes where it can: there is less to copy.
            plain = pa.types.is_string(fresh.type) and not json
            quotes = not plain or bool((values.kind[given] != TEXT).any())
            if quotes:
                start, end = start - (values.kind == TEXT), end + (values.kind == TEXT)
            pieces = fresh if json else _encoded(fresh, quotes=quotes)
            edits.append(Edit(start, end, pieces, given))
        return _scattered(spliced(docs.data, docs.starts, docs.ends, edits), there)

    def remove(self, texts: pa.Array, path: Path) -> pa.Array:
        """Take a key and its value out; texts that lack it stay as they are."""
        docs, there, (values,) = self._find(texts, (path,))
        rows = np.flatnonzero(values.kind != ABSENT)
        text = (values.kind == TEXT).astype(np.int64)
        start, end = values.start.copy(), values.end.copy()
        start[rows], end[rows] = _member(docs, (start - text)[rows], (end + text)[rows])
        nothing = pa.nulls(len(docs), pa.string())
        edit = Edit(start, end, nothing, values.kind != ABSENT)
        return _scattered(spliced(docs.data, docs.starts, docs.ends, [edit]), there)

    def extract(self, texts: pa.Array, columns: Sequence[Column]) -> dict[str, pa.Array]:
        """Read typed values, as decode did.

        Args:
            texts: JSON objects.
            columns: Path columns; the first key of each `path` names the text column and is left
                out.

        Returns:
            By `column.path`: values of the column's type; null where the text is null or has none,
            or (a text that landed under an older contract) one that does not fit the column.
        """
        readers = [Reader(c, tuple(c.path.split(".")[1:])) for c in columns]
        paths = tuple(dict.fromkeys(path for r in readers for path in r.paths()))
        docs, there, found = self._find(texts, paths)
        slots = {p: Slot(docs, values) for p, values in zip(paths, found, strict=True)}
        present = np.ones(len(docs), bool)
        out = {}
        for reader in readers:
            node = reader.read(slots, present, Faults(np.full(len(docs), -1)))
            out[reader.column.path] = _scattered(node.take(None), there)
        return out

    def _find(
        self, texts: pa.Array, paths: tuple[Path, ...]
    ) -> tuple[Documents, pa.Array | None, list[Values]]:
        there = None if texts.null_count == 0 else texts.is_valid()
        found = self._finders.setdefault(paths, Finder(paths)).find(
            documents(texts if there is None else texts.filter(there))
        )
        docs = found.docs
        if docs.fault.any():
            message = (
                "an open object must hold strict JSON objects; "
                f"got {np.count_nonzero(docs.fault)} of {len(docs)} rows that do not; "
                "look at the step that made them"
            )
            raise JsonTextError(message)
        return docs, there, [found.values[path] for path in paths]


def replace(texts: pa.Array, path: Path, new: pa.Array) -> pa.Array:
    """`JsonText.replace`, for a single call."""
    return JsonText().replace(texts, path, new)


def remove(texts: pa.Array, path: Path) -> pa.Array:
    """`JsonText.remove`, for a single call."""
    return JsonText().remove(texts, path)


def extract(texts: pa.Array, columns: Sequence[Column]) -> dict[str, pa.Array]:
    """`JsonText.extract`, for a single call."""
    return JsonText().extract(texts, columns)


def _scattered(values: pa.Array, there: pa.Array | None) -> pa.Array:
    """Put values back between the nulls that were left out."""
    if there is None:
        return values
    spread = np.cumsum(there.to_numpy(zero_copy_only=False)) - 1
    return values.take(pa.array(spread, mask=~there.to_numpy(zero_copy_only=False)))


def _encoded(values: pa.Array, *, quotes: bool) -> pa.Array:
    """JSON texts of strings, numbers or booleans; strings without the quotes if so asked."""
    if not pa.types.is_string(values.type):
        if pa.types.is_floating(values.type) and pc.all(pc.is_finite(values)).as_py() is False:
            message = (
                "numbers put into JSON must be finite; got NaN or Infinity; replace them by null"
            )
            raise JsonTextError(message)
        return values.cast(pa.string())
    data = np.frombuffer(values.buffers()[2] or b"", np.uint8)
    if _SPECIAL[data].any():
        dumped = [None if v is None else orjson.dumps(v).decode()[1:-1] for v in values.to_pylist()]
        values = pa.array(dumped, pa.string())
    return pc.binary_join_element_wise('"', values, '"', "") if quotes else values


def spliced(data: np.ndarray, starts: Ints, ends: Ints, edits: Sequence[Edit]) -> pa.Array:
    """Copy the texts [start, end) of a buffer with edits made that do not overlap."""
    size, wide = len(starts), len(edits)
    if not size:
        return pa.array([], pa.string())
    count = 2 * wide + 2
    edges = np.empty((size, count), np.int32)
    edges[:, 0], edges[:, -1] = starts, ends
    # Pieces of the old texts, then the new ones; taken in turn they lie side by side in one
    # buffer, and every so many offsets bound a whole text.
    turn = np.arange(0, count * size, count, dtype=np.int32)[:, None]
    turn = turn + np.arange(count - 1, dtype=np.int32)
    first = count * size - 1 + np.arange(size, dtype=np.int32)
    if wide == 1:
        edges[:, 1], edges[:, 2] = edits[0].start, edits[0].end
        turn[:, 1] = np.where(edits[0].given, first, turn[:, 1])
    else:
        start, end, given = (np.stack([edit[x] for edit in edits], axis=1) for x in (0, 1, 3))
        order = np.argsort(start, axis=1, kind="stable")
        edges[:, 1:-1:2] = np.take_along_axis(start, order, axis=1)
        edges[:, 2:-1:2] = np.take_along_axis(end, order, axis=1)
        given = np.take_along_axis(given, order, axis=1)
        turn[:, 1::2] = np.where(given, first[:, None] + order * size, turn[:, 1::2])
    old = pa.StringArray.from_buffers(
        count * size - 1, pa.py_buffer(edges.ravel()), pa.py_buffer(data)
    )
    pieces = pa.concat_arrays([old, *(edit.new for edit in edits)]).take(pa.array(turn.ravel()))
    offsets = np.frombuffer(pieces.buffers()[1], np.int32)[: (count - 1) * size + 1 : count - 1]
    return pa.StringArray.from_buffers(
        size, pa.py_buffer(np.ascontiguousarray(offsets)), pieces.buffers()[2]
    )


def _member(docs: Documents, start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Widen values [start, end) to their key and one comma beside it."""
    data, quotes = docs.data, scan(docs).quotes
    key_end = _back(data, _back(data, start) - 1)  # past the colon; the key's closing quote is next
    closing = np.searchsorted(quotes, key_end - 1)
    start = quotes[closing - 1]
    before, after = _back(data, start), _forth(data, end)
    follows = data[after] == _COMMA
    leads = ~follows & (data[before - 1] == _COMMA)
    return np.where(leads, before - 1, start), np.where(follows, after + 1, end)


def _back(data: np.ndarray, at: Ints) -> Ints:
    """Move back past white space."""
    at = at.copy()
    while (blank := _BLANK[data[at - 1]]).any():
        at -= blank
    return at


def _forth(data: np.ndarray, at: Ints) -> Ints:
    """Move on past white space."""
    at = at.copy()
    while (blank := _BLANK[data[at]]).any():
        at += blank
    return at
