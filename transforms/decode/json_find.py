"""Values at known paths of many JSON texts, each text checked whole on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from transforms.decode.json_scan import Documents, Ints
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
    learn,
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
_MANY: Final = 1024  # texts without a known shape, from which on learning pays
_SAMPLE: Final = 256  # of which so many are looked at
_FEW: Final = 8  # of which so many must have a shape to make it worth its cost
_ATTEMPTS: Final = 4
_LONGEST_REST: Final = 1 << 10  # blocks without an attempt, after failures

_FIRST_BYTE: Final = np.full(256, NUMBER, np.uint8)
_FIRST_BYTE[list(b"tfn")] = TRUE, FALSE, NULL


class Found(NamedTuple):
    """What was found in texts.

    Attributes:
        docs: The texts; `fault` is now whole: NONE means valid, strict JSON.
        values: By path; one value a text, absent from texts with a fault.
    """

    docs: Documents
    values: dict[Path, Values]


@dataclass(eq=False)
class Finder:
    """Finds values at the same paths again and again, and learns what the texts look like.

    Threads may share one: what is learned is replaced as a whole, and losing it costs time only.

    Attributes:
        paths: Where to look; keys may not stand in arrays.
        learns: Whether it does.
    """

    paths: tuple[Path, ...]
    learns: bool = True
    _shapes: tuple[Shape, ...] = field(default=(), init=False)
    _rest: int = field(default=0, init=False)
    _pause: int = field(default=0, init=False)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without what was learned."""
        return {"paths": self.paths, "learns": self.learns}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin to learn anew."""
        self.__init__(**state)  # type: ignore[misc]

    def find(self, docs: Documents) -> Found:
        """Check every text and find its values; sets the remaining faults in `docs.fault`."""
        values = {
            path: Values(np.zeros(len(docs), np.uint8), docs.starts.copy(), docs.starts.copy())
            for path in self.paths
        }
        todo = docs.fault == 0
        for shape in self._shapes:
            _match(shape, docs, todo, values)
        self._rest -= 1
        rest = np.flatnonzero(todo)
        if len(rest) >= _MANY and self._may_learn():
            sample = rest[:: len(rest) // _SAMPLE]
            learned = self._learn(self._read(docs, sample, values))
            todo[sample] = False
            for shape in learned:
                _match(shape, docs, todo, values)
            rest = np.flatnonzero(todo)
        if len(rest):
            self._read(docs, rest, values)
        return Found(docs, values)

    def _may_learn(self) -> bool:
        return self.learns and self._rest < 0 and len(self._shapes) < MOST_SHAPES

    def _read(self, docs: Documents, rows: Ints, values: dict[Path, Values]) -> Tokens:
        tokens = tokenize(docs, rows)
        docs.fault[rows] = tokens.fault
        _put_tokens(values, tokens)
        return tokens

    def _learn(self, tokens: Tokens) -> list[Shape]:
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
                shape = learn(tokens, int(alike[len(alike) // 2]), self.paths)
                if shape is None:
                    break
                fits = np.isin(tokens.rows[alike], shape.match(docs, tokens.rows[alike])[0])
                if np.count_nonzero(fits) < _FEW:
                    break
                learned.append(shape)
                alike = alike[~fits]
        self._shapes = (*self._shapes, *learned)[:MOST_SHAPES]
        self._pause = 0 if learned else min(2 * self._pause + 1, _LONGEST_REST)
        self._rest = self._pause
        return learned


def _match(shape: Shape, docs: Documents, todo: np.ndarray, values: dict[Path, Values]) -> None:
    rows = np.flatnonzero(todo & (docs.count == shape.quotes))
    if len(rows):
        rows, found = shape.match(docs, rows)
        todo[rows] = False
        _put(values, rows, found)


def _put(values: dict[Path, Values], rows: Ints, found: dict[Path, Values]) -> None:
    for path, new in found.items():
        for old, part in zip(values[path], new, strict=True):
            old[rows] = part


def _put_tokens(values: dict[Path, Values], tokens: Tokens) -> None:
    keys = np.flatnonzero(tokens.kind == KEY)
    if not len(keys) or not values:
        return
    names = key_names(tokens, keys).dictionary_encode()
    code = dict(zip(names.dictionary.to_pylist(), range(len(names.dictionary)), strict=True))
    named = names.indices.to_numpy()
    owner = np.repeat(tokens.sound, tokens.count[tokens.sound])
    first = np.zeros(len(tokens.rows), np.int64)
    first[tokens.sound] = tokens.first
    inside: dict[Path, Ints] = {(): np.full(len(tokens.rows), -1)}
    inside[()][tokens.sound] = tokens.container[tokens.first]

    def object_at(path: Path) -> Ints:
        """Container of the object at a path, by text; -1 where there is none."""
        if path not in inside:
            texts, at = value_at(path)
            inside[path] = np.full(len(tokens.rows), -1)
            is_object = tokens.kind[at] == OPEN_OBJECT
            inside[path][texts[is_object]] = tokens.container[at[is_object]]
        return inside[path]

    def value_at(path: Path) -> tuple[Ints, Ints]:
        """Texts that have a value at a path, and its first token."""
        at = keys[named == code.get(path[-1], -1)]
        texts = owner[at]
        own = tokens.container[at] == object_at(path[:-1])[texts]
        return texts[own], at[own] + 2  # key, colon, value

    for path in values:
        texts, at = value_at(path)
        _put(values, tokens.rows[texts], {path: token_values(tokens, at)})


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
