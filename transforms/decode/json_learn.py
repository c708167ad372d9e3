"""Take the shape of one JSON text: what texts that look alike share with it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from transforms.decode.json_scan import DEPTH_LIMIT
from transforms.decode.json_shape import Place, Segment, Shape
from transforms.decode.json_tokens import (
    ARRAY_COMMA,
    CLOSE_ARRAY,
    CLOSE_OBJECT,
    DEEPER,
    KEY,
    OPEN_ARRAY,
    OPEN_OBJECT,
    SCALAR,
    STRING,
    Path,
    Tokens,
    key_names,
)

_NONE: Final[Mapping[Path, Container[str]]] = MappingProxyType({})
LONGEST: Final = 4096
"""Texts with more than this many bytes outside of values are not learned."""


def learn(
    tokens: Tokens, row: int, paths: Iterable[Path], known: Mapping[Path, Container[str]] = _NONE
) -> Shape | None:
    """Take the shape of one text.

    Args:
        tokens: Of some texts.
        row: Index in `tokens.rows` of a text without a fault.
        paths: Whose values the shape shall find; those that the text lacks are absent from it.
        known: Of objects at some paths (`()` is the text) the keys that are declared; elsewhere all
            are.

    Returns:
        The shape; None if no quote stands between two scalars (in nested arrays of numbers), or if
        the text has no string, more than `LONGEST` bytes outside of values, or the greatest depth.
    """
    count = int(tokens.count[row])
    first = int(tokens.count[:row].sum())
    at = np.arange(first, first + count)
    if int(np.cumsum(DEEPER[tokens.kind[at]]).max()) >= DEPTH_LIMIT:
        return None  # where it has a number another may have an array, which is one level deeper
    docs, doc = tokens.docs, int(tokens.rows[row])
    begin, end = int(docs.starts[doc]), int(docs.ends[doc])
    data = docs.data[begin:end].tobytes()
    quotes = docs.quotes[docs.first[doc] :][: docs.count[doc]] - begin
    spans = zip((tokens.start[at] - begin).tolist(), (tokens.end[at] - begin).tolist(), strict=True)
    kinds, folded = _folded(tokens.kind[at].tolist(), list(spans))
    free = [i for i, kind in enumerate(kinds) if kind in (STRING, SCALAR)]
    edges = [0, *(x for i in free for x in folded[i]), len(data)]
    if not len(quotes) or sum(edges[1::2]) - sum(edges[0::2]) > LONGEST:
        return None
    segments = []
    for low, high in zip(edges[0::2], edges[1::2], strict=True):
        quote = int(np.searchsorted(quotes, low))
        has = quote < len(quotes) and quotes[quote] < high
        if not has and high != len(data):
            return None
        offset = int(quotes[quote]) - low if has else 0
        segments.append(Segment(data[low:high], quote if has else -1, offset))
    names = key_names(tokens, at[tokens.kind[at] == KEY]).to_pylist()
    found = _places(kinds, folded, names, edges)
    scalars = tuple(n for n, i in enumerate(free) if kinds[i] == SCALAR)
    places = {path: found[path] for path in paths if path in found}
    undeclared = tuple(p for p in found if p and p[:-1] in known and p[-1] not in known[p[:-1]])
    return Shape(tuple(segments), len(quotes), places, scalars, undeclared)


def _folded(
    kinds: list[int], spans: list[tuple[int, int]]
) -> tuple[list[int], list[tuple[int, int]]]:
    """Take arrays of nothing but numbers and words for one scalar."""
    out: list[tuple[int, tuple[int, int]]] = []
    opened = -1  # where the array began that so far has nothing but scalars
    for kind, span in zip(kinds, spans, strict=True):
        out.append((kind, span))
        if kind == OPEN_ARRAY:
            opened = len(out) - 1
        elif kind == CLOSE_ARRAY and opened > 0:  # a text that is an array stays one
            out[opened:] = [(SCALAR, (out[opened][1][0], span[1]))]
            opened = -1
        elif kind not in (SCALAR, ARRAY_COMMA):
            opened = -1
    return [kind for kind, _ in out], [span for _, span in out]


def _places(
    kinds: list[int], spans: list[tuple[int, int]], names: list[str], edges: list[int]
) -> dict[Path, Place]:
    """Paths of all values that stand in no array."""
    lows = np.array(edges[0::2])

    def segment(byte: int) -> int:
        return int(np.searchsorted(lows, byte, "right")) - 1

    places: dict[Path, Place] = {}
    stack: list[tuple[Path | None, int]] = []  # open brackets: path, first byte
    inner: list[Path | None] = []  # path of the keys in them; None inside of arrays
    path: Path | None = ()
    keys = iter(names)
    for kind, (start, end) in zip(kinds, spans, strict=True):
        if kind == KEY:
            parent = inner[-1]
            name = next(keys)
            path = None if parent is None else (*parent, name)
        elif kind in (OPEN_OBJECT, OPEN_ARRAY):
            stack.append((path, start))
            inner.append(path if kind == OPEN_OBJECT else None)
            path = None
        elif kind in (CLOSE_OBJECT, CLOSE_ARRAY):
            path, begin = stack.pop()
            inner.pop()
            if path is not None:
                first, last = segment(begin), segment(end - 1)
                opened = OPEN_OBJECT if kind == CLOSE_OBJECT else OPEN_ARRAY
                offsets = begin - edges[2 * first], end - edges[2 * last]
                places[path] = Place(opened, first, offsets[0], last, offsets[1])
            if inner and inner[-1] is None:
                path = None
        elif kind in (STRING, SCALAR) and path is not None:
            last = segment(end)  # a free value lies between two segments
            width = edges[2 * last - 1] - edges[2 * last - 2]
            places[path] = Place(kind, last - 1, width, last, 0)
    return places
