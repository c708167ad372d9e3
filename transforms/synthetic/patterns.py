"""Texts that match a regular expression, a column at a time."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from re import _parser  # type: ignore[attr-defined] # the only parser of its grammar
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import UsageError

PRINTABLE: Final = string.ascii_letters + string.digits + " !#$%&()*+,-./:;<=>?@[]^_{|}~"
"""What `.` and negated classes are made of: no quotes, no backslash, no line end."""

_MORE: Final = 8  # so many beyond the least of a repeat
_CLASSES: Final = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_WORD": string.ascii_letters + string.digits + "_",
    "CATEGORY_SPACE": " ",
}
_REPEATS: Final = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


def matching(pattern: str, count: int, rng: np.random.Generator) -> pa.StringArray:
    """Make up texts that match a pattern as a whole.

    Args:
        pattern: RE2 in what it shares with Python's: classes, groups, alternatives, repeats. Word
            boundaries and flags are not heeded: check what comes out.
        count: How many.
        rng: Where chance comes from.

    Raises:
        UsageError: The pattern has something that nothing can be made up for.
    """
    try:
        parsed = _parser.parse(pattern, re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise _unable(pattern, str(error)) from None
    return _Writer(pattern, rng).sequence(parsed, count)


class _Writer:
    def __init__(self, pattern: str, rng: np.random.Generator) -> None:
        self.pattern, self.rng = pattern, rng

    def sequence(self, nodes: Iterable[tuple[Any, Any]], count: int) -> pa.StringArray:
        parts = [self.node(str(op), argument, count) for op, argument in nodes]
        if len(parts) == 1:
            return parts[0]
        return pc.binary_join_element_wise(*parts, "") if parts else _same("", count)

    def node(self, op: str, argument: Any, count: int) -> pa.StringArray:
        if op == "LITERAL":
            return _same(chr(argument), count)
        if op == "AT":
            return _same("", count)
        if op in _REPEATS:
            least, most, inner = argument
            return self.repeat(int(least), int(most), inner, count)
        if op == "SUBPATTERN":
            return self.sequence(argument[-1], count)
        if op == "ATOMIC_GROUP":
            return self.sequence(argument, count)
        if op == "BRANCH":
            ways = [self.sequence(way, count) for way in argument[1]]
            return pc.choose(pa.array(self.rng.integers(len(ways), size=count)), *ways)
        return characters(self.alphabet(op, argument), np.ones(count, np.int64), self.rng)

    def repeat(self, low: int, most: int, inner: Any, count: int) -> pa.StringArray:
        high = min(most, low + _MORE)
        times = self.rng.integers(low, high + 1, count)
        nodes = list(inner)
        if len(nodes) == 1 and str(nodes[0][0]) in ("IN", "ANY", "NOT_LITERAL", "LITERAL"):
            return characters(self.alphabet(str(nodes[0][0]), nodes[0][1]), times, self.rng)
        parts = []
        for number in range(high):
            part = self.sequence(nodes, count)
            parts.append(part if number < low else pc.if_else(pa.array(times > number), part, ""))
        return pc.binary_join_element_wise(*parts, "") if parts else _same("", count)

    def alphabet(self, op: str, argument: Any) -> str:
        if op == "LITERAL":
            return chr(argument)
        if op == "ANY":
            return PRINTABLE
        if op == "NOT_LITERAL":
            return PRINTABLE.replace(chr(argument), "")
        if op == "IN":
            return self.members(argument)
        raise _unable(self.pattern, f"{op.lower().replace('_', ' ')} in it")

    def members(self, items: Iterable[tuple[Any, Any]]) -> str:
        found: set[str] = set()
        negated = False
        for op, argument in items:
            match str(op):
                case "NEGATE":
                    negated = True
                case "LITERAL":
                    found.add(chr(argument))
                case "RANGE":
                    found |= {chr(code) for code in range(argument[0], argument[1] + 1)}
                case _:
                    name = str(argument)
                    own = set(_CLASSES[name.replace("_NOT_", "_")])
                    found |= set(PRINTABLE) - own if "_NOT_" in name else own
        chosen = set(PRINTABLE) - found if negated else found
        if not chosen:
            raise _unable(self.pattern, "a class without a printable character")
        return "".join(sorted(chosen))


def characters(alphabet: str, lengths: np.ndarray, rng: np.random.Generator) -> pa.StringArray:
    """Make up texts of given lengths (characters) of an alphabet."""
    total = int(lengths.sum())
    picked = rng.integers(len(alphabet), size=total)
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    if alphabet.isascii():
        data = np.frombuffer(alphabet.encode(), np.uint8)[picked]
        return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(data))
    letters = (
        pa.array(list(alphabet)).take(pa.array(picked)) if total else pa.array([], pa.string())
    )
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), letters), "")


def _same(text: str, count: int) -> pa.StringArray:
    return pa.repeat(pa.scalar(text, pa.string()), count)


def _unable(pattern: str, got: str) -> UsageError:
    return UsageError(
        f"a pattern must be one that texts can be made up for; got {pattern!r} ({got}); write it "
        "with classes, groups, alternatives and repeats, or give the column an enumeration"
    )
