"""Values of one column of a contract, within its rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Column
from schemas.errors import UsageError
from schemas.names import TIMESTAMP
from transforms.rules import check, literal
from transforms.synthetic.patterns import characters, matching
from transforms.synthetic.texts import FORMS, skewed, words

NULLS: Final = 0.05
"""Share of nulls in a column that may have them."""

_TRIES: Final = 40
_DAY_US: Final = 86_400_000_000
_DISTINCT: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Span:
    """Where times lie that no rule bounds: [start, end), microseconds since the epoch, UTC."""

    start_us: int
    end_us: int


def column_values(
    column: Column, count: int, rng: np.random.Generator, span: Span, first: int = 0
) -> pa.Array:
    """Make up the values of a column as a record has them.

    Args:
        column: An object is a struct of its declared keys, whether it is open or not.
        count: How many.
        rng: Where chance comes from.
        span: Where times lie.
        first: Number of the first row: a unique column counts on from there.

    Raises:
        UsageError: No value was found that keeps all rules.
    """
    made = within_rules(column, count, rng, span, first)
    if column.required or column.primary_key is not None or column.unique:
        return made
    gone = rng.random(count) < NULLS
    return pc.if_else(pa.array(gone), pa.scalar(None, made.type), made)


def within_rules(
    column: Column, count: int, rng: np.random.Generator, span: Span, first: int
) -> pa.Array:
    """Make up values as `column_values`, none of them null."""
    maker = _Maker(column, rng, span)
    made = maker.make(count, first)
    for _ in range(_TRIES):
        bad = breaks(column, made)
        if not bad.any():
            return made
        made = pc.replace_with_mask(made, pa.array(bad), maker.make(int(bad.sum()), first))
    rules = ", ".join(f"{rule.kind} {rule.value!r}" for rule in column.rules)
    msg = (
        f"values of `{column.path}` must be such that can be made up within its rules; "
        f"got {rules}; give it an enumeration, or rules that leave more room"
    )
    raise UsageError(msg)


def breaks(column: Column, values: pa.Array) -> np.ndarray:
    """Return which values break a rule of their column."""
    bad = np.zeros(len(values), bool)
    for rule in () if column.open else column.rules:
        one = check(column, rule, column.path)
        kept = one.test(values) if one.test is not None else None
        if kept is not None:
            bad |= ~pc.fill_null(kept, fill_value=True).to_numpy(zero_copy_only=False)
    return bad


def on_grid(kind: pa.DataType, steps: np.ndarray, unit: Decimal) -> pa.Array:
    """Return so many times a unit as values of a type: microseconds or days of times."""
    if pa.types.is_integer(kind):
        return pa.array(steps * int(unit), kind)
    if pa.types.is_floating(kind):
        return pa.array(np.round(steps * float(unit), 9), kind)
    if pa.types.is_decimal(kind):
        least = pa.decimal128(kind.scale + 1, kind.scale)
        one = pa.scalar(Decimal(1).scaleb(-kind.scale), least)
        whole = pa.array(steps * int(unit.scaleb(kind.scale))).cast(pa.decimal128(19, 0))
        return pc.multiply(whole, one).cast(kind)
    micros = pa.array(steps * int(unit), pa.int64())
    if pa.types.is_date(kind):
        return micros.cast(pa.int32()).cast(kind)
    return micros.cast(kind)


class _Maker:
    def __init__(self, column: Column, rng: np.random.Generator, span: Span) -> None:
        self.column, self.rng, self.span = column, rng, span
        self.rules: dict[str, Any] = {rule.kind: rule.value for rule in column.rules}
        self.unique = column.unique or column.primary_key is not None

    def make(self, count: int, first: int) -> pa.Array:
        column, kind = self.column, self.column.type
        if "enum" in self.rules:
            allowed = [literal(kind, value) for value in self.rules["enum"]]
            picked = skewed(len(allowed), count, self.rng)
            return pa.array(allowed, kind).take(pa.array(picked))
        if column.open or pa.types.is_struct(kind):
            return self.object(count, first)
        if column.items is not None:
            return self.array(column.items, count, first)
        if pa.types.is_boolean(kind):
            return pa.array(self.rng.random(count) < 0.5)
        if pa.types.is_string(kind):
            return self.texts(count, first)
        return self.numbers(count, first)

    def object(self, count: int, first: int) -> pa.Array:
        children = self.column.children
        made = [column_values(child, count, self.rng, self.span, first) for child in children]
        names = [child.name for child in children]
        if not names:  # an object that says nothing of its keys
            made, names = [words(count, self.rng)], ["note"]
        return pa.StructArray.from_arrays(made, names)

    def array(self, items: Column, count: int, first: int) -> pa.Array:
        least = int(self.rules.get("min_items", 0))
        most = int(self.rules.get("max_items", least + 3))
        lengths = self.rng.integers(least, most + 1, count)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        inner = column_values(items, int(offsets[-1]), self.rng, self.span, first)
        return pa.ListArray.from_arrays(pa.array(offsets), inner)

    def texts(self, count: int, first: int) -> pa.Array:
        rules = self.rules
        number: np.ndarray
        if "format" in rules:
            return FORMS[rules["format"]](count, self.rng)
        if "pattern" in rules:
            return matching(str(rules["pattern"]), count, self.rng)
        least = int(rules.get("min_length", 0))
        most = int(rules.get("max_length", max(least, 64)))
        stem = self.column.name.rpartition("_")[0] or self.column.name
        if self.unique:
            number = np.arange(first, first + count)
        else:
            number = skewed(_DISTINCT, count, self.rng)
        named = pc.binary_join_element_wise(stem, pa.array(number).cast(pa.string()), "-")
        if not self.unique and least == 0 and most >= len(stem) + 4:
            return named
        if len(stem) + 20 <= most:
            return pc.utf8_rpad(named, least, "x")
        lengths = self.rng.integers(least, most + 1, count)
        return characters("abcdefghijklmnopqrstuvwxyz", lengths, self.rng)

    def numbers(self, count: int, first: int) -> pa.Array:
        kind = self.column.type
        unit, low, high = self.grid()
        size = high - low + 1
        if size < 1:
            msg = (
                f"rules of `{self.column.path}` must leave a value; got none between them; "
                "widen its minimum and maximum"
            )
            raise UsageError(msg)
        if self.unique:
            steps: np.ndarray = low + (np.arange(first, first + count) % size)
        else:
            steps = self.rng.integers(low, high + 1, count)
        return on_grid(kind, steps, unit)

    def grid(self) -> tuple[Decimal, int, int]:
        """Return a step, and the first and last multiple of it that the rules leave."""
        kind, rules = self.column.type, self.rules
        unit = Decimal(str(rules.get("multiple_of", self.least_step())))
        low, high = self.usual()
        bounds = {name: self.plain(rules[name]) for name in rules if name.endswith("imum")}
        least = max((v for n, v in bounds.items() if n.endswith("minimum")), default=None)
        most = min((v for n, v in bounds.items() if n.endswith("maximum")), default=None)
        if least is not None:
            low, high = least, max(high, least + (high - low)) if most is None else most
        elif most is not None:
            low, high = min(low, most - (high - low)), most
        first, last = math.ceil(low / unit), math.floor(high / unit)
        first += "exclusive_minimum" in rules and first * unit == self.plain(
            rules["exclusive_minimum"]
        )
        last -= "exclusive_maximum" in rules and last * unit == self.plain(
            rules["exclusive_maximum"]
        )
        if pa.types.is_decimal(kind):
            edge = Decimal(10) ** (kind.precision - kind.scale) - Decimal(1).scaleb(-kind.scale)
            first, last = max(first, math.ceil(-edge / unit)), min(last, math.floor(edge / unit))
        return unit, int(first), int(last)

    def least_step(self) -> Decimal:
        kind = self.column.type
        if pa.types.is_floating(kind):
            return Decimal("0.01")
        if pa.types.is_decimal(kind):
            return Decimal(1).scaleb(-kind.scale)
        if pa.types.is_timestamp(kind):
            return Decimal(1000)
        return Decimal(1_000_000 if pa.types.is_time(kind) else 1)

    def usual(self) -> tuple[Decimal, Decimal]:
        kind = self.column.type
        if pa.types.is_timestamp(kind):
            return Decimal(self.span.start_us), Decimal(self.span.end_us - 1)
        if pa.types.is_date(kind):
            days = self.span.start_us // _DAY_US, (self.span.end_us - 1) // _DAY_US
            return Decimal(days[0]), Decimal(days[1])
        if pa.types.is_time(kind):
            return Decimal(0), Decimal(_DAY_US - 1)
        if self.unique and pa.types.is_integer(kind):
            return Decimal(1), Decimal(2**31 - 1)
        return Decimal(0), Decimal(1000)

    def plain(self, value: Any) -> Decimal:
        """Return a bound as a number: microseconds or days of times, the number itself else."""
        kind = self.column.type
        if not pa.types.is_temporal(kind):
            return Decimal(str(value))
        width = pa.int32() if pa.types.is_date(kind) else pa.int64()
        return Decimal(pa.scalar(literal(kind, value), kind).cast(width).as_py())


def at_path(table: pa.Table, path: Sequence[str]) -> pa.Array:
    """Return the values of a column, or of a key in its objects."""
    values = table[path[0]].combine_chunks()
    for key in path[1:]:
        values = pc.struct_field(values, [key])
    return values


def timestamps(micros: np.ndarray) -> pa.Array:
    """Return microseconds since the epoch as timestamps in UTC."""
    return pa.array(micros, pa.int64()).cast(TIMESTAMP)
