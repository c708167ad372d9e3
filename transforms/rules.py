"""One contract rule as a vectorised test of a column's values."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Column, Rule
from schemas.errors import UsageError
from transforms.formats import FORMATS, format_test

Test = Callable[[pa.Array], pa.BooleanArray | None]
"""True where a value keeps the rule, null where there is no value; None when all keep it."""


@dataclass(frozen=True)
class Check:
    """A rule ready to run.

    Attributes:
        path: Dotted path of the column; items of an array end in `[]`.
        rule: The rule's kind (`enum`, `minimum` ..., `required`).
        expected: What must hold, for people; never a value of the data.
        refuse: Whether a row that breaks it is refused; otherwise it is counted.
        test: Vectorised test; None for `required`, which needs no values.
    """

    path: str
    rule: str
    expected: str
    refuse: bool
    test: Test | None


def check(column: Column, rule: Rule, path: str) -> Check:
    """Make the test of one rule of one column.

    Raises:
        UsageError: When the rule has no meaning for the column's type, or its value is wrong.
    """
    try:
        expected, test = _BUILDERS[rule.kind](column.type, rule)
        test(pa.array([], column.type))  # what cannot run shows here, not at the first row
    except (KeyError, TypeError, ValueError, ArithmeticError, pa.ArrowException) as error:
        msg = (
            f"{path}: rule {rule.kind} must suit the column's type {column.type}; "
            f"got {rule.value!r} ({type(error).__name__}); change the rule in the contract"
        )
        raise UsageError(msg) from error
    return Check(path, rule.kind, expected, rule.refuse, test)


def _enum(kind: pa.DataType, rule: Rule) -> tuple[str, Test]:
    values = cast("tuple[object, ...]", rule.value)
    allowed = pa.array([literal(kind, value) for value in values], kind)
    shown = ", ".join(map(str, values[:10])) + (", ..." if len(values) > 10 else "")

    def test(column: pa.Array) -> pa.BooleanArray:
        return pc.or_kleene(pc.is_in(column, value_set=allowed), pc.is_null(column))

    return f"one of {shown}", test


_BOUNDS = {
    "minimum": (pc.greater_equal, "at least"),
    "maximum": (pc.less_equal, "at most"),
    "exclusive_minimum": (pc.greater, "more than"),
    "exclusive_maximum": (pc.less, "less than"),
}
_LOWER = ("minimum", "exclusive_minimum")


def _bound(kind: pa.DataType, rule: Rule) -> tuple[str, Test]:
    compare, words = _BOUNDS[rule.kind]
    expected = f"{words} {rule.value}"
    if pa.types.is_integer(kind):
        whole = _whole_bound(rule)
        if not -(2**63) <= whole < 2**63:
            keeps = (whole < 0) is (rule.kind in _LOWER)
            return expected, lambda column: None if keeps else pc.is_null(column)
        limit = pa.scalar(whole, pa.int64())
    elif pa.types.is_temporal(kind):
        limit = pa.scalar(literal(kind, rule.value), kind)
    elif pa.types.is_decimal(kind):
        limit = pa.scalar(Decimal(str(_number(rule.value))))
    elif pa.types.is_floating(kind):
        limit = pa.scalar(float(_number(rule.value)))
    else:
        raise TypeError
    return expected, lambda column: compare(column, limit)


def _whole_bound(rule: Rule) -> int:
    # Arrow would compare a 64-bit integer with a fraction as doubles, which rounds it.
    value = _number(rule.value)
    return math.ceil(value) if rule.kind in ("minimum", "exclusive_maximum") else math.floor(value)


def _number(value: object) -> int | float | Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError
    return value


def literal(kind: pa.DataType, value: object) -> object:
    """A JSON or YAML value of the contract as Python value of the column's type."""
    if pa.types.is_timestamp(kind):
        at = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(str(value))
        return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
    if pa.types.is_date(kind):
        return value if isinstance(value, dt.date) else dt.date.fromisoformat(str(value))
    if pa.types.is_time(kind):
        return value if isinstance(value, dt.time) else dt.time.fromisoformat(str(value))
    if pa.types.is_decimal(kind):
        return Decimal(str(value))
    if isinstance(value, bool) is not pa.types.is_boolean(kind):
        raise TypeError
    return value


def _multiple_of(kind: pa.DataType, rule: Rule) -> tuple[str, Test]:
    step = Decimal(str(rule.value))
    if step <= 0:
        raise ValueError
    test: Test
    if pa.types.is_integer(kind) and step == int(step):
        test = _whole_multiples(int(step))
    elif pa.types.is_decimal(kind):
        test = _decimal_multiples(step)
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        test = _float_multiples(float(step))
    else:
        raise TypeError
    return f"a multiple of {rule.value}", test


def _whole_multiples(step: int) -> Test:
    def test(column: pa.Array) -> pa.BooleanArray:
        values = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
        return pa.array(values % step == 0)

    return test


def _decimal_multiples(step: Decimal) -> Test:
    def test(column: pa.Array) -> pa.BooleanArray:
        scale = max(column.type.scale, -cast("int", step.as_tuple().exponent))
        wide = pa.decimal256(76, scale)
        values = pc.cast(column, wide)
        rounded = pc.round_to_multiple(values, multiple=pa.scalar(step, wide), round_mode="down")
        return pc.equal(values, rounded)

    return test


def _float_multiples(step: float) -> Test:
    """Within the rounding of one division, so that 0.3 is a multiple of 0.1.

    Above 2^52 steps a double cannot tell; such values pass.
    """

    def test(column: pa.Array) -> pa.BooleanArray:
        values = pc.fill_null(pc.cast(column, pa.float64()), 0.0).to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore", over="ignore"):
            steps = values / step
            close = np.abs(steps - np.rint(steps)) <= np.abs(steps) * 4 * np.finfo(float).eps
            return pa.array(np.isfinite(values) & (close | np.isinf(steps)))

    return test


def _pattern(kind: pa.DataType, rule: Rule) -> tuple[str, Test]:
    _must_be_text(kind)
    pattern = str(rule.value)
    pc.match_substring_regex(pa.array([""]), pattern)  # compiles it; an empty array would not
    return f"text matching {pattern}", lambda texts: pc.match_substring_regex(texts, pattern)


def _format(kind: pa.DataType, rule: Rule) -> tuple[str, Test]:
    _must_be_text(kind)
    if rule.value not in FORMATS:
        raise KeyError(rule.value)
    return f"text in the form of {rule.value}", format_test(str(rule.value))


def _must_be_text(kind: pa.DataType) -> None:
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise TypeError


def _size(kind: pa.DataType, rule: Rule) -> tuple[str, Test]:
    least, unit = rule.kind.split("_")
    measure: Callable[[Any], Any]
    if unit == "length":
        _must_be_text(kind)
        measure, noun = pc.utf8_length, "characters"
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        measure, noun = pc.list_value_length, "items"
    else:
        raise TypeError
    limit = int(cast("int", rule.value))
    compare, words = _BOUNDS["minimum" if least == "min" else "maximum"]
    return f"{words} {limit} {noun}", lambda column: compare(measure(column), limit)


def _unique_items(kind: pa.DataType, rule: Rule) -> tuple[str, Test]:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise TypeError
    if not rule.value:
        return "any items", lambda _: None

    def test(column: pa.Array) -> pa.BooleanArray:
        parents = item_rows(column)
        codes = _codes(column.flatten())
        pairs = np.stack([parents, codes], axis=1)
        _, first = np.unique(pairs, axis=0, return_index=True)
        keeps = np.ones(len(column), np.bool_)
        again = np.ones(len(parents), np.bool_)
        again[first] = False
        keeps[parents[again]] = False
        return pa.array(keeps)

    return "items all different", test


def item_rows(column: pa.ListArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Row of each item in `column.flatten()`, which leaves out what lies under null lists."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    return np.repeat(np.arange(len(column), dtype=np.int64), lengths)


def _codes(values: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Equal numbers for equal values; nulls are equal to each other."""
    if pa.types.is_nested(values.type):
        texts = [
            orjson.dumps(v, default=str, option=orjson.OPT_SORT_KEYS) for v in values.to_pylist()
        ]
        values = pa.array(texts, pa.binary())
    indices = values.dictionary_encode(null_encoding="encode").indices
    return indices.to_numpy(zero_copy_only=False).astype(np.int64)


_BUILDERS: dict[str, Callable[[pa.DataType, Rule], tuple[str, Test]]] = {
    "enum": _enum,
    **dict.fromkeys(_BOUNDS, _bound),
    "multiple_of": _multiple_of,
    "pattern": _pattern,
    "format": _format,
    **dict.fromkeys(("min_length", "max_length", "min_items", "max_items"), _size),
    "unique_items": _unique_items,
}
