"""Values at known paths of many JSON texts, each text checked whole on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from transforms.decode.json_learn import learn
from transforms.decode.json_scan import Documents, Ints, scan
from transforms.decode.json_shape import (
    ARRAY,
    FALSE,
    NULL,
    NUMBER,
    OBJECT,
    TEXT,
    TRUE,
    Shape,
    Values,
)
from transforms.decode.json_tokens import (
    KEY,
    OPEN_ARRAY,
    OPEN_OBJECT,
    STRING,
    Path,
    Tokens,
    key_names,
    tokenize,
)

MOST_SHAPES: Final = 32
MOST_KEYS: Final = 64
"""Names of undeclared keys that are told apart in one go: where keys are data there is no end."""
_CACHE: Final = 1 << 19
_MANY: Final = 1024  # texts without a known shape, from which on learning pays
_SAMPLE: Final = 256  # of which so many are looked at
_FEW: Final = 8  # of which so many must have a shape to make it worth its cost
_ATTEMPTS: Final = 4
_LONGEST_REST: Final = 1 << 10  # blocks without an attempt, after failures
_TRIED: Final = 4  # shapes that are tried before quotes are looked for
_LONGEST_SKIP: Final = 15  # blocks without such a try, after one that found less than half

_FIRST_BYTE: Final = np.full(256, NUMBER, np.uint8)
_FIRST_BYTE[list(b"tfn")] = TRUE, FALSE, NULL


class Keys(NamedTuple):
    """Paths of keys that are not declared, and the texts without a fault that have all of them."""

    paths: tuple[Path, ...]
    rows: Ints


Known = Mapping[Path, frozenset[str]]


class Found(NamedTuple):
    """What was found in texts.

    Attributes:
        docs: The texts; `fault` is now whole: NONE means valid, strict JSON.
        rows: Which of them have no fault.
        values: By path; one value for each of `rows`.
        undeclared: A path and a text are together at most once.
    """

    docs: Documents
    rows: Ints
    values: dict[Path, Values]
    undeclared: tuple[Keys, ...] = ()


@dataclass(eq=False)
class Finder:
    """Finds values at the same paths again and again, and learns what the texts look like.

    Threads may share one: what is learned is replaced as a whole, and losing it costs time only.

    Attributes:
        paths: Where to look; keys may not stand in arrays.
        learns: Whether it does.
        known: Of objects at some paths (`()` is the text) the keys that are declared: there others
            are looked for.
    """

    paths: tuple[Path, ...]
    learns: bool = True
    known: Known = field(default_factory=dict)
    _shapes: tuple[Shape, ...] = field(default=(), init=False)
    _rest: int = field(default=0, init=False)
    _pause: int = field(default=0, init=False)
    _skip: int = field(default=0, init=False)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without what was learned."""
        return {"paths": self.paths, "learns": self.learns, "known": self.known}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin to learn anew."""
        self.__init__(**state)  # type: ignore[misc]

    def find(self, docs: Documents) -> Found:
        """Check every text and find its values; sets the remaining faults in `docs.fault`."""
        todo = docs.fault == 0
        parts: list[_Part] = []
        if not docs.scanned:
            parts = self._match_plain(docs, todo)
            docs = scan(docs, np.flatnonzero(todo))
            todo &= docs.fault == 0
        parts += self._match(self._shapes, docs, todo)
        self._rest -= 1
        rest = np.flatnonzero(todo)
        if len(rest) >= _MANY and self.learns and self._rest < 0:
            sample = rest[:: len(rest) // _SAMPLE]
            tokens = self._read(docs, sample, parts)
            todo[sample] = False
            parts += self._match(self._learn(tokens), docs, todo)
            rest = np.flatnonzero(todo)
        for rows in _cache_sized(docs, rest):
            self._read(docs, rows, parts)
        return _merged(docs, self.paths, parts)

    def _match_plain(self, docs: Documents, todo: np.ndarray) -> list[_Part]:
        """Try the shapes that most texts had on texts whose quotes are not known."""
        self._skip -= 1
        if not self._shapes or self._skip >= 0:
            return []
        parts, plain = [], todo & docs.plain()
        for shape in self._shapes[:_TRIED]:
            rows = np.flatnonzero(plain)
            if 8 * len(rows) <= len(docs):
                break
            parts.append(_matched(shape, docs, rows))
            plain[parts[-1].rows] = todo[parts[-1].rows] = False
        if 2 * sum(len(part.rows) for part in parts) < len(docs):
            self._skip = _LONGEST_SKIP
        return [part for part in parts if len(part.rows)]

    def _match(self, shapes: tuple[Shape, ...], docs: Documents, todo: np.ndarray) -> list[_Part]:
        """Read the texts that have one of the shapes, and clear their marks in `todo`."""
        parts = []
        for shape in shapes:
            rows = np.flatnonzero(todo & (docs.count == shape.quotes))
            if len(rows):
                parts.append(_matched(shape, docs, rows))
                todo[parts[-1].rows] = False
        return [part for part in parts if len(part.rows)]

    def _read(self, docs: Documents, rows: Ints, parts: list[_Part]) -> Tokens:
        tokens = tokenize(docs, rows)
        docs.fault[rows] = tokens.fault
        if len(tokens.sound):
            parts.append(_read_part(tokens, self.paths, self.known))
        return tokens

    def _learn(self, tokens: Tokens) -> tuple[Shape, ...]:
        """Learn the most common shapes of a sample."""
        sound = np.flatnonzero(tokens.fault == 0)
        docs, learned = tokens.docs, []
        number = docs.count[tokens.rows[sound]]
        quotes, times = np.unique(number, return_counts=True)
        for count in quotes[np.argsort(-times)][:_ATTEMPTS]:
            alike = sound[number == count]
            for _ in range(_ATTEMPTS):
                if len(alike) < _FEW:
                    break
                shape = learn(tokens, int(alike[len(alike) // 2]), self.paths, self.known)
                if shape is None:
                    break
                fits = np.isin(tokens.rows[alike], shape.match(docs, tokens.rows[alike])[0])
                if np.count_nonzero(fits) < _FEW:
                    break
                learned.append(shape)
                alike = alike[~fits]
        if learned:  # the oldest go first
            self._shapes = (*learned, *self._shapes)[:MOST_SHAPES]
        self._pause = 0 if learned else min(2 * self._pause + 1, _LONGEST_REST)
        self._rest = self._pause
        return tuple(learned)


class _Part(NamedTuple):
    """Some rows without a fault, ascending, and their values; a path that is missing is absent."""

    rows: Ints
    values: dict[Path, Values]
    undeclared: tuple[Keys, ...] = ()


def _matched(shape: Shape, docs: Documents, rows: Ints) -> _Part:
    found, values = shape.match(docs, rows)
    keys = (Keys(shape.undeclared, found),) if shape.undeclared and len(found) else ()
    return _Part(found, values, keys)


def _cache_sized(docs: Documents, rows: Ints) -> list[Ints]:
    """Cut rows into parts of few enough bytes that their tokens stay in the processor's cache."""
    if not len(rows):
        return []
    upto = np.cumsum(docs.ends[rows] - docs.starts[rows])
    cuts = np.searchsorted(upto, np.arange(_CACHE, int(upto[-1]), _CACHE), "right")
    return [part for part in np.split(rows, np.unique(cuts)) if len(part)]


def _absent(docs: Documents, rows: Ints) -> Values:
    return Values(np.zeros(len(rows), np.uint8), docs.starts[rows], docs.starts[rows])


def _merged(docs: Documents, paths: tuple[Path, ...], parts: list[_Part]) -> Found:
    """Put parts together in the order of their rows."""
    parts = sorted(parts, key=lambda part: int(part.rows[0]))
    rows = np.concatenate([part.rows for part in parts]) if parts else np.empty(0, np.int64)
    order = None if (np.diff(rows) > 0).all() else np.argsort(rows)
    values = {}
    for path in paths:
        each = [part.values.get(path) or _absent(docs, part.rows) for part in parts]
        if len(each) == 1:
            found = each[0]
        else:
            each = each or [_absent(docs, rows)]
            found = Values(*map(np.concatenate, zip(*each, strict=True)))
        values[path] = found if order is None else Values(*(x[order] for x in found))
    undeclared = tuple(keys for part in parts for keys in part.undeclared)
    return Found(docs, rows if order is None else rows[order], values, undeclared)


def _read_part(tokens: Tokens, paths: tuple[Path, ...], known: Known) -> _Part:
    """Values at paths, for each text that has tokens, and its keys that are not declared."""
    keys = np.flatnonzero(tokens.kind == KEY)
    names = key_names(tokens, keys).dictionary_encode()
    code = dict(zip(names.dictionary.to_pylist(), range(len(names.dictionary)), strict=True))
    named = names.indices.to_numpy()
    size = len(tokens.sound)
    owner = np.repeat(np.arange(size), tokens.count[tokens.sound])
    inside: dict[Path, Ints] = {(): tokens.container[tokens.first]}

    def object_at(path: Path) -> Ints:
        """Container of the object at a path, by text; -1 where there is none."""
        if path not in inside:
            texts, at = value_at(path)
            inside[path] = np.full(size, -1)
            is_object = tokens.kind[at] == OPEN_OBJECT
            inside[path][texts[is_object]] = tokens.container[at[is_object]]
        return inside[path]

    def value_at(path: Path) -> tuple[Ints, Ints]:
        """Texts that have a value at a path, and its first token."""
        at = keys[named == code.get(path[-1], -1)]
        texts = owner[at]
        own = tokens.container[at] == object_at(path[:-1])[texts]
        return texts[own], at[own] + 2  # key, colon, value

    out = {}
    for path in paths:
        texts, at = value_at(path)
        out[path] = _absent(tokens.docs, tokens.rows[tokens.sound])
        for old, new in zip(out[path], token_values(tokens, at), strict=True):
            old[texts] = new
    rows = tokens.rows[tokens.sound]
    found: list[Keys] = []
    for base, declared in known.items():
        strange = np.array([name not in declared for name in code], bool)
        within = tokens.container[keys] == object_at(base)[owner[keys]]
        at = np.flatnonzero(strange[named] & within)
        found += _by_name(base, named[at], rows[owner[keys[at]]], list(code))
    return _Part(rows, out, tuple(found))


def _by_name(base: Path, codes: Ints, rows: Ints, names: list[str]) -> list[Keys]:
    """Group keys by name; those after the first `MOST_KEYS` names stand under the empty one."""
    distinct = np.unique(codes)
    each = [Keys(((*base, names[c]),), rows[codes == c]) for c in distinct[:MOST_KEYS].tolist()]
    if len(distinct) > MOST_KEYS:
        each.append(Keys(((*base, ""),), np.unique(rows[codes > distinct[MOST_KEYS - 1]])))
    return each


def token_values(tokens: Tokens, at: Ints) -> Values:
    """Values that begin with the given tokens."""
    kind, start, end = tokens.kind[at], tokens.start[at], tokens.end[at].copy()
    found = _FIRST_BYTE[tokens.docs.data[start]]
    found[kind == STRING] = TEXT
    found[kind == OPEN_OBJECT] = OBJECT
    found[kind == OPEN_ARRAY] = ARRAY
    brackets = found >= OBJECT
    end[brackets] = tokens.closed[tokens.container[at[brackets]]] + 1
    return Values(found, start, end)
