"""Whole JSON texts as columns of tokens: grammar, distinct keys, values by path. No recursion.

It reads any JSON; `json_shape` is the fast way past it for texts that look alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from transforms.decode.json_scan import DEPTH_LIMIT, Documents, Fault, Ints, expand, note

Path = tuple[str, ...]

OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY, COMMA, COLON, STRING, SCALAR = range(1, 9)
KEY, ARRAY_COMMA = 9, 10
"""Classes of tokens; a string is a KEY or, as a value, a STRING; COMMA stands in objects."""

_CLASS: Final = np.full(256, SCALAR, np.uint8)
for _byte, _class in zip(b'{}[],:"', range(1, 8), strict=True):
    _CLASS[_byte] = _class
_CLASS[list(b" \t\r\n")] = 0
DEEPER: Final = np.zeros(16, np.int8)
DEEPER[[OPEN_OBJECT, OPEN_ARRAY]] = 1
DEEPER[[CLOSE_OBJECT, CLOSE_ARRAY]] = -1

_NARROW: Final = 64
NUMBER_FORM: Final = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_SCALAR_FORM: Final = f"^(?:{NUMBER_FORM}|true|false|null)$"


def _grammar() -> np.ndarray:
    """Which class may follow which: index `before * 16 + after`; before 0 is the text's start."""
    allowed = np.zeros((16, 16), bool)
    values = [OPEN_OBJECT, OPEN_ARRAY, STRING, SCALAR]
    for before in (0, COLON, OPEN_ARRAY, ARRAY_COMMA):
        allowed[before, values] = True
    allowed[OPEN_OBJECT, [KEY, CLOSE_OBJECT]] = True
    allowed[OPEN_ARRAY, CLOSE_ARRAY] = True
    allowed[COMMA, KEY] = True
    allowed[KEY, COLON] = True
    ends = [COMMA, ARRAY_COMMA, CLOSE_OBJECT, CLOSE_ARRAY]
    for before in (STRING, SCALAR, CLOSE_OBJECT, CLOSE_ARRAY):
        allowed[before, ends] = True
    return allowed.ravel()


_ALLOWED: Final = _grammar()


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokens of some texts, in order; the arrays have one entry a token unless said otherwise.

    Attributes:
        docs: The texts; positions are in its `data`.
        rows: One entry a text: its row number in `docs`.
        fault: One entry a text: its `Fault`. Texts with a fault have no tokens.
        count: One entry a text: how many tokens it has.
        start: First byte; of a string, that after its opening quote.
        end: Byte after the last; of a string, its closing quote.
        kind: Class.
        container: Ordinal of the object or array that it stands in; brackets stand in their own.
        closed: One entry a container: position of its closing bracket.
    """

    docs: Documents
    rows: Ints
    fault: np.ndarray
    count: Ints
    start: Ints
    end: Ints
    kind: np.ndarray
    container: Ints
    closed: Ints

    @property
    def first(self) -> Ints:
        """One entry a text that has tokens: index of its first one."""
        count = self.count[self.count > 0]
        return np.cumsum(count) - count

    @property
    def sound(self) -> Ints:
        """Index in `rows` of each text that has tokens."""
        return np.flatnonzero(self.count)

    def texts(self, at: Ints) -> pa.Array:
        """Bytes (pa.binary) of tokens, given by index, ascending."""
        return cut(self.docs.data, self.start[at], self.end[at])


def cut(
    data: np.ndarray,
    starts: Ints,
    ends: Ints,
    present: np.ndarray | None = None,
    kind: pa.DataType | None = None,
) -> pa.Array:
    """Copy slices of a buffer into one Arrow array.

    Args:
        data: uint8.
        starts: First byte of each slice, ascending.
        ends: Byte after each; slices do not overlap.
        present: Mask of slices; the others become null. All, if None.
        kind: pa.binary() (default) or pa.string().
    """
    size = len(starts)
    kind = kind or pa.binary()
    present = None if present is None or present.all() else present
    if not size:
        return pa.array([], kind)
    width = int(ends[0] - starts[0])
    if 0 < width <= _NARROW and present is None and (ends - starts == width).all():
        items = np.ndarray((len(data) - width + 1,), f"V{width}", data, 0, (1,))[starts]
        offsets = np.arange(0, (size + 1) * width, width, dtype=np.int32)
        return pa.Array.from_buffers(kind, size, [None, pa.py_buffer(offsets), pa.py_buffer(items)])
    offsets = np.empty(2 * size, np.int32)
    offsets[0::2] = starts
    offsets[1::2] = ends
    # Slices and what lies between them alternate; to take every other one is a copy in C++.
    whole = pa.Array.from_buffers(
        kind, 2 * size - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )
    missing = None if present is None else ~present
    return whole.take(pa.array(np.arange(0, 2 * size, 2, dtype=np.int32), mask=missing))


def tokenize(docs: Documents, rows: Ints, root: int = OPEN_OBJECT) -> Tokens:
    """Read texts wholly.

    Args:
        docs: The texts.
        rows: Which of them, ascending; none has a fault.
        root: OPEN_OBJECT or OPEN_ARRAY: what each text must be.

    Returns:
        Tokens of the texts that are valid, with faults GRAMMAR, SCALAR, RANGE, DEPTH, ROOT and
        DUPLICATE of the others.
    """
    found = _nested(_lexed(docs, rows), root)
    _check_order(found)
    _check_scalars(found)
    found = _without_faults(found)
    if _check_keys(found):
        found = _without_faults(found)
    return found


def _lexed(docs: Documents, rows: Ints) -> Tokens:
    """Split texts into tokens; kinds are classes of single bytes, containers are not set."""
    count = docs.count[rows]
    quotes = docs.quotes[expand(docs.first[rows], count)]
    opens, closes = quotes[0::2], quotes[1::2]
    # Outside of strings lie pieces: before the first string, between two, after the last. Each
    # piece but the last takes the opening quote that ends it, which stands for its string.
    pieces = count // 2 + 1
    after = np.cumsum(pieces)
    begin, end = (np.empty(int(pieces.sum()), np.int64) for _ in range(2))
    inner = np.ones(len(begin), bool)
    inner[after - pieces] = False
    begin[after - pieces], begin[inner] = docs.starts[rows], closes + 1
    inner = np.ones(len(end), bool)
    inner[after - 1] = False
    end[after - 1], end[inner] = docs.ends[rows], opens + 1
    at = expand(begin, end - begin)
    kind = _CLASS[docs.data[at]]

    total = np.concatenate(([0], np.cumsum(end - begin)))[after]  # bytes up to each text's end
    scalar = kind == SCALAR
    goes_on = np.zeros(len(at), bool)
    goes_on[1:] = scalar[1:] & scalar[:-1] & (np.diff(at) == 1)
    goes_on[total[:-1][total[:-1] < len(at)]] = False
    starts_here = (kind != 0) & ~goes_on
    last = scalar.copy()
    last[:-1] &= ~goes_on[1:]
    token = np.flatnonzero(starts_here)
    kind, start = kind[token], at[token]
    stop = start + 1
    stop[kind == SCALAR] = at[last] + 1
    string = kind == STRING
    start[string], stop[string] = opens + 1, closes
    until = np.searchsorted(token, total)
    count = np.diff(until, prepend=0)
    fault = np.zeros(len(rows), np.uint8)
    note(fault, count == 0, Fault.GRAMMAR)
    nothing = np.empty(0, np.int64)
    return Tokens(docs, rows, fault, count, start, stop, kind, nothing, nothing)


def _without_faults(tokens: Tokens) -> Tokens:
    """Drop the tokens of texts that have a fault."""
    bad = (tokens.fault != 0) & (tokens.count > 0)
    if not bad.any():
        return tokens
    keep = np.repeat(~bad, tokens.count)
    return replace(
        tokens,
        count=np.where(bad, 0, tokens.count),
        start=tokens.start[keep],
        end=tokens.end[keep],
        kind=tokens.kind[keep],
        container=tokens.container[keep] if len(tokens.container) else tokens.container,
    )


def _levels(tokens: Tokens) -> Ints:
    """Depth of each token from 1; brackets have the depth of what they enclose."""
    step = DEEPER[tokens.kind]
    depth = np.cumsum(step, dtype=np.int32)
    first = tokens.first
    base = depth[first] - step[first]
    depth -= np.repeat(base, tokens.count[tokens.count > 0])
    return depth + (step < 0)


def _nested(tokens: Tokens, root: int) -> Tokens:
    """Find each token's container; refuse texts whose brackets do not pair."""
    level = _levels(tokens)
    first, sound = tokens.first, tokens.sound
    if len(first):
        last = first + tokens.count[sound] - 1
        closing = DEEPER[tokens.kind] < 0
        leaves = (level == 1) & closing  # what would end the text
        leaves[last] = ~leaves[last]
        broken = np.logical_or.reduceat(leaves | (level < 1), first)
        deepest = np.maximum.reduceat(level, first)
        note(tokens.fault, sound[tokens.kind[first] != root], Fault.ROOT)
        note(tokens.fault, sound[deepest > DEPTH_LIMIT], Fault.DEPTH)
        note(tokens.fault, sound[broken], Fault.GRAMMAR)
        keep = np.repeat(tokens.fault[sound] == 0, tokens.count[sound])
        level = level if keep.all() else level[keep]
        tokens = _without_faults(tokens)
    order = np.argsort(level.astype(np.int16), kind="stable")
    sorted_kind = tokens.kind[order]
    opening = DEEPER[sorted_kind] > 0
    ordinal = np.cumsum(opening) - 1
    container = np.empty(len(order), np.int64)
    container[order] = ordinal
    closed = tokens.start[order[DEEPER[sorted_kind] < 0]]
    tokens = replace(tokens, container=container, closed=closed)
    is_object = sorted_kind[opening] == OPEN_OBJECT
    inside_object = is_object[container] if len(container) else np.empty(0, bool)
    crossed = inside_object & (tokens.kind == CLOSE_ARRAY)
    crossed |= ~inside_object & (tokens.kind == CLOSE_OBJECT)
    _note_tokens(tokens, crossed, Fault.GRAMMAR)
    tokens.kind[(tokens.kind == COMMA) & ~inside_object] = ARRAY_COMMA
    return tokens


def _note_tokens(tokens: Tokens, wrong: np.ndarray, found: Fault) -> None:
    """Set the fault of texts that hold a wrong token."""
    if wrong.any():
        owner = np.repeat(tokens.sound, tokens.count[tokens.sound])
        note(tokens.fault, owner[wrong], found)


def _check_order(tokens: Tokens) -> None:
    """Tell keys from string values; refuse texts whose tokens come in a wrong order."""
    kind = tokens.kind
    before = np.zeros(len(kind), np.uint8)
    before[1:] = kind[:-1]
    before[tokens.first] = 0
    kind[(kind == STRING) & ((before == OPEN_OBJECT) | (before == COMMA))] = KEY
    before[1:] = kind[:-1]
    before[tokens.first] = 0
    _note_tokens(tokens, ~_ALLOWED[before * 16 + kind], Fault.GRAMMAR)


def _check_scalars(tokens: Tokens) -> None:
    at = np.flatnonzero(tokens.kind == SCALAR)
    texts = tokens.texts(at)
    right = mask(pc.match_substring_regex(texts, _SCALAR_FORM))
    if not right.all():
        wrong = np.zeros(len(tokens.kind), bool)
        wrong[at[~right]] = True
        _note_tokens(tokens, wrong, Fault.SCALAR)
    number = right & (tokens.docs.data[tokens.start[at]] < ord("A"))
    beyond = at[number][~finite(texts.filter(pa.array(number)))]
    if len(beyond):
        wrong = np.zeros(len(tokens.kind), bool)
        wrong[beyond] = True
        _note_tokens(tokens, wrong, Fault.RANGE)


def mask(values: pa.Array) -> np.ndarray:
    """Turn Arrow booleans without nulls into a numpy mask."""
    return values.to_numpy(zero_copy_only=False)


def finite(numbers: pa.Array) -> np.ndarray:
    """Mask of JSON numbers (pa.binary) that a double can hold; one in 10**308 and less."""
    if len(numbers) and numbers.offset == 0:
        offsets, data = (
            np.frombuffer(x, t) for x, t in zip(numbers.buffers()[1:], "iB", strict=True)
        )
        short = int(np.diff(offsets[: len(numbers) + 1]).max()) < 300
        if short and not (data | 0x20 == ord("e")).any():
            return np.ones(len(numbers), bool)
    return np.isfinite(pc.cast(numbers.view(pa.string()), pa.float64()).to_numpy())


def _check_keys(tokens: Tokens) -> bool:
    """Set the fault of texts in which an object has a key twice; return whether there are any."""
    at = np.flatnonzero(tokens.kind == KEY)
    name = key_names(tokens, at).dictionary_encode()
    code = tokens.container[at] * (len(name.dictionary) + 1) + name.indices.to_numpy()
    ordered = np.sort(code)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return False
    wrong = np.zeros(len(tokens.kind), bool)
    wrong[at[np.isin(code, twice)]] = True
    _note_tokens(tokens, wrong, Fault.DUPLICATE)
    return True


def key_names(tokens: Tokens, at: Ints) -> pa.Array:
    """Names (pa.string, escapes resolved) of keys, given by token index, ascending."""
    start, end = tokens.start[at], tokens.end[at]
    return unescaped(tokens.docs, start, end, cut(tokens.docs.data, start, end, kind=pa.string()))


def unescaped(docs: Documents, starts: Ints, ends: Ints, values: pa.Array) -> pa.Array:
    """Resolve the escapes in string values that were cut at [start, end)."""
    if not len(docs.slashes):
        return values
    has = np.searchsorted(docs.slashes, starts) != np.searchsorted(docs.slashes, ends)
    if values.null_count:  # what is no string here may have escapes further down
        has &= values.is_valid().to_numpy(zero_copy_only=False)
    if not has.any():
        return values
    chosen = pa.array(has)
    parts = values.filter(chosen).view(pa.binary()).to_pylist()
    resolved = orjson.loads(b'["' + b'","'.join(parts) + b'"]')
    return pc.replace_with_mask(values, chosen, pa.array(resolved, pa.string()))
