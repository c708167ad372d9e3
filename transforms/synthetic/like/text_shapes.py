"""Texts by their shape: which kinds of character stand where, in runs of which length."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.synthetic.texts import words

_CHOICES: Final = 256
_LONGEST: Final = 64
_TAPE_WORDS: Final = 20_000
_SPACE, _LAST = ord(" "), ord("~")


def _table(characters: str) -> np.ndarray:
    codes = np.frombuffer(characters.encode(), np.uint8)
    return codes[np.arange(_CHOICES) * len(codes) // _CHOICES]


_LOWER, _UPPER, _DIGIT, _ANY = b"aA9x"
_CLASSES: Final = {
    _LOWER: _table(string.ascii_lowercase),
    _UPPER: _table(string.ascii_uppercase),
    _DIGIT: _table(string.digits),
    _ANY: _table(string.ascii_lowercase + string.digits),
}
_HEXADECIMAL: Final = {
    _LOWER: _table("abcdef"),
    _UPPER: _table("ABCDEF"),
    _DIGIT: _table(string.digits),
    _ANY: _table("0123456789abcdef"),
}
_SHAPE: Final = np.arange(256, dtype=np.uint8)
_SHAPE[list(string.ascii_lowercase.encode())] = _LOWER
_SHAPE[list(string.ascii_uppercase.encode())] = _UPPER
_SHAPE[list(string.digits.encode())] = _DIGIT
_SHAPE[:0x20] = _SPACE
_SHAPE[0x7F:] = _LOWER
_LOOSE: Final = _SHAPE.copy()
_LOOSE[list((string.ascii_letters + string.digits).encode())] = _ANY
_LOOSE[0x7F:] = _ANY


@dataclass(frozen=True, eq=False)
class Shapes:
    """Shapes of texts, each a sequence of runs; and lengths of texts that have no common shape.

    Attributes:
        ends: Cumulative share of the shapes, of all texts; the rest is free text.
        first_run: Of each shape, and the number of all runs.
        run_lengths: For each run 256 lengths to pick from.
        run_characters: For each run 256 characters to pick from.
        free_lengths: 256 lengths of free text, in characters.
        spaced: Whether free text has spaces.
    """

    ends: np.ndarray
    first_run: np.ndarray
    run_lengths: np.ndarray
    run_characters: np.ndarray
    free_lengths: np.ndarray
    spaced: bool

    def make(self, count: int, rng: np.random.Generator) -> pa.StringArray:
        """Make up texts."""
        shape = np.searchsorted(self.ends, rng.random(count), side="right")
        shaped = np.flatnonzero(shape < len(self.ends))
        free = np.flatnonzero(shape >= len(self.ends))
        order = np.empty(count, np.int64)
        order[np.r_[shaped, free]] = np.arange(count)
        made = [self._shaped(shape[shaped], rng), self._free(len(free), rng)]
        if not len(free) or not len(shaped):
            return made[0] if len(shaped) else made[1]
        return pa.concat_arrays(made).take(pa.array(order))

    def _shaped(self, shape: np.ndarray, rng: np.random.Generator) -> pa.StringArray:
        runs = self.first_run[shape + 1] - self.first_run[shape]
        run = _ranges(self.first_run[shape], runs)
        lengths = self.run_lengths[run, _chosen(len(run), rng)]
        run_of = np.repeat(run, lengths)
        data = self.run_characters[run_of, _chosen(len(run_of), rng)]
        ends = np.r_[0, np.cumsum(lengths)]
        return _texts(ends[np.r_[0, np.cumsum(runs)]], data)

    def _free(self, count: int, rng: np.random.Generator) -> pa.StringArray:
        lengths = self.free_lengths[_chosen(count, rng)].astype(np.int64)
        tape = np.frombuffer(" ".join(words(_TAPE_WORDS, rng).to_pylist()).encode(), np.uint8)
        tape = tape if self.spaced else tape[tape != _SPACE]
        begins = (
            np.r_[0, np.flatnonzero(tape == _SPACE) + 1] if self.spaced else np.arange(len(tape))
        )
        at = _ranges(begins[rng.integers(len(begins), size=count)], lengths)
        data = tape[at % len(tape)]
        offsets = np.r_[0, np.cumsum(lengths)]
        last = offsets[1:][lengths > 0] - 1
        data[last[data[last] == _SPACE]] = ord("s")
        return _texts(offsets, data)


def shapes_of(texts: pa.StringArray, least: int, *, personal: bool) -> Shapes | None:
    """Learn the shapes of texts.

    A shape that `least` texts share is used: first exact ones (`AA-999`), of the others those
    that tell letters and digits apart from the rest (`xxxxxxxx-xxxx`), then runs of any length
    (`a.a@a.a`). Where personal, a place of a shape says only its kind of character; else it has
    the characters that `least` texts have there, or that are usual in the column.

    Returns:
        None if there are too few texts to hide one among.
    """
    count = len(texts)
    if count < least:
        return None
    plain = pc.replace_substring_regex(texts, r"[^\x00-\x7f]", "a")
    lengths = pc.utf8_length(plain).to_numpy().astype(np.int64)
    left = lengths <= _LONGEST
    found = _Found(plain, least, personal=personal)
    for exact in (_SHAPE, _LOOSE):
        left = found.fixed(plain, left, exact)
    left = found.runs(plain, left)
    rest = left | (lengths > _LONGEST)
    few = rest.sum() < least  # these are made up by the shapes of the others
    spread = np.sort(lengths if few else lengths[rest])
    spaced = pc.mean(pc.match_substring(texts, " ").cast(pa.int8())).as_py() > 0.5
    shaped = sum(found.counts)
    return found.shapes(shaped if few and shaped else count, _picked(spread), spaced=spaced)


class _Found:
    """Collects shapes, with their runs."""

    def __init__(self, texts: pa.StringArray, least: int, *, personal: bool) -> None:
        self.least, self.personal = least, personal
        self.usual = self._usual(texts)
        self.counts: list[int] = []
        self.runs_of: list[int] = []
        self.lengths: list[np.ndarray] = []
        self.characters: list[np.ndarray] = []

    def fixed(self, texts: pa.StringArray, left: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        """Take shapes of fixed length; return which texts are still without one."""
        rows = np.flatnonzero(left)
        codes, shapes, counts = _coded(_mapped(texts.take(pa.array(rows)), kinds))
        order = np.argsort(codes, kind="stable")
        starts = np.r_[0, np.cumsum(counts)]
        for number in np.flatnonzero(counts >= self.least).tolist():
            members = rows[order[starts[number] : starts[number + 1]]]
            shape = np.frombuffer(shapes[number].as_py().encode(), np.uint8)
            matrix = _data(texts.take(pa.array(members))).reshape(len(members), len(shape))
            places = [self._place(matrix[:, i], k) for i, k in enumerate(shape.tolist())]
            self._add(len(members), np.ones((len(shape), 1), np.int64), places)
            left = left.copy()
            left[members] = False
        return left

    def _place(self, column: np.ndarray, kind: int) -> np.ndarray:
        """Return what may stand at one place."""
        if kind not in self.usual:
            return np.full(_CHOICES, kind, np.uint8)
        found = None if self.personal else self._characters(column)
        return self.usual[kind] if found is None else found

    def _usual(self, texts: pa.StringArray) -> dict[int, np.ndarray]:
        """Return what may stand for a kind of character: of hexadecimal texts no other letters."""
        data = _data(texts)
        kinds = _SHAPE[data]
        if self.personal:
            other = (_LOOSE[data] == _ANY) & ~np.isin(data, list(string.hexdigits.encode()))
            return _CLASSES if other.any() else _HEXADECIMAL
        found = {kind: self._characters(data[kinds == kind]) for kind in (_LOWER, _UPPER, _DIGIT)}
        found[_ANY] = self._characters(data[_LOOSE[data] == _ANY])
        return {k: _CLASSES[k] if own is None else own for k, own in found.items()}

    def _characters(self, codes: np.ndarray) -> np.ndarray | None:
        """Return the characters that enough texts have, as often as they do; None: too few have."""
        counts = np.bincount(codes, minlength=256)
        counts[(counts < self.least) | (np.arange(256) < _SPACE) | (np.arange(256) > _LAST)] = 0
        if counts.sum() <= len(codes) / 2:
            return None
        ends = np.cumsum(counts) / counts.sum()
        return np.searchsorted(ends, (np.arange(_CHOICES) + 0.5) / _CHOICES).astype(np.uint8)

    def runs(self, texts: pa.StringArray, left: np.ndarray) -> np.ndarray:
        """Take shapes whose runs of letters or digits have any length."""
        rows = np.flatnonzero(left)
        exact = _mapped(texts.take(pa.array(rows)), _SHAPE)
        data, offsets = _data(exact), _offsets(exact)
        begins = np.ones(len(data), bool)
        begins[1:] = (data[1:] != data[:-1]) | ~np.isin(data[1:], list(_CLASSES))
        begins[offsets[:-1][np.diff(offsets) > 0]] = True
        first = np.flatnonzero(begins)
        lengths = np.diff(np.r_[first, len(data)])
        bounds = np.searchsorted(first, offsets)
        codes, shapes, counts = _coded(_texts(bounds, data[first]))
        for number in np.flatnonzero(counts >= self.least).tolist():
            members = np.flatnonzero(codes == number)
            shape = np.frombuffer(shapes[number].as_py().encode(), np.uint8)
            at = bounds[members][:, None] + np.arange(len(shape))
            spread = np.sort(lengths[at], axis=0)
            places = [self.usual.get(k, np.full(_CHOICES, k, np.uint8)) for k in shape.tolist()]
            self._add(len(members), _picked(spread).T, places)
            left = left.copy()
            left[rows[members]] = False
        return left

    def _add(self, count: int, lengths: np.ndarray, characters: list[np.ndarray]) -> None:
        self.counts.append(count)
        self.runs_of.append(len(characters))
        self.lengths.append(np.broadcast_to(lengths, (len(characters), _CHOICES)))
        self.characters += characters

    def shapes(self, count: int, free: np.ndarray, *, spaced: bool) -> Shapes:
        none = np.empty((0, _CHOICES), np.int64)
        return Shapes(
            ends=np.cumsum(self.counts) / count,
            first_run=np.r_[0, np.cumsum(self.runs_of)].astype(np.int64),
            run_lengths=np.concatenate([none, *self.lengths]).astype(np.int64),
            run_characters=np.array(self.characters, np.uint8).reshape(-1, _CHOICES),
            free_lengths=free,
            spaced=spaced,
        )


def _picked(ordered: np.ndarray) -> np.ndarray:
    """Return 256 of them, evenly spread over their order."""
    at = ((np.arange(_CHOICES) + 0.5) / _CHOICES * len(ordered)).astype(np.int64)
    return ordered[at]


def _coded(shapes: pa.StringArray) -> tuple[np.ndarray, pa.Array, np.ndarray]:
    coded = shapes.dictionary_encode()
    codes = coded.indices.to_numpy().astype(np.int64)
    return codes, coded.dictionary, np.bincount(codes, minlength=len(coded.dictionary))


def _mapped(texts: pa.StringArray, kinds: np.ndarray) -> pa.StringArray:
    """Put each character's kind in its place: of ASCII texts."""
    return _texts(_offsets(texts), kinds[_data(texts)])


def _offsets(texts: pa.StringArray) -> np.ndarray:
    raw = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return raw.astype(np.int64) - raw[0]


def _data(texts: pa.StringArray) -> np.ndarray:
    raw = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(texts.buffers()[2] or b"", np.uint8)[raw[0] : raw[-1]]


def _texts(offsets: np.ndarray, data: np.ndarray) -> pa.StringArray:
    return pa.StringArray.from_buffers(
        len(offsets) - 1,
        pa.py_buffer(offsets.astype(np.int32)),
        pa.py_buffer(np.ascontiguousarray(data)),
    )


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return start, start + 1 ... of each, as many as its length, one after the other."""
    ends = np.cumsum(lengths)
    shift = np.repeat(starts - (ends - lengths), lengths)
    return shift + np.arange(len(shift))


def _chosen(count: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, _CHOICES, count, np.uint8)
