"""Aggregates and rows for tests, and what they must give, computed one row at a time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa

from schemas.names import TIMESTAMP, WATERMARK
from schemas.plan import Aggregate, Measure, Window

Row = dict[str, Any]

TYPES = {
    "g": pa.string(),
    "h": pa.int64(),
    "x": pa.float64(),
    "i": pa.int64(),
    "d": pa.decimal128(20, 2),
    "s": pa.string(),
    "b": pa.bool_(),
    "day": pa.date32(),
    "at": TIMESTAMP,
    "raw": pa.binary(),
}
INPUT = pa.schema(list(TYPES.items()))
FIXED = Window(type="fixed", size_us=10)
GLOBAL_END = 253402300799_999_999


def measure(
    name: str, function: str, column: str | None = None, quantile: str | None = None
) -> Measure:
    """Measure a plain column, with the type that the plan gives it."""
    kind = TYPES[column] if column else None
    result = kind
    if function in ("count", "approx_count_distinct"):
        result = pa.int64()
    elif function in ("avg", "stddev", "approx_quantile"):
        result = pa.float64()
    elif function == "sum" and kind is not None and pa.types.is_decimal(kind):
        result = pa.decimal128(38, kind.scale)
    return Measure(
        name=name,
        function=function,
        argument=column,
        argument_type=kind,
        type=result,
        quantile=None if quantile is None else Decimal(quantile),
    )


def aggregate(
    *measures: Measure,
    window: Window = FIXED,
    group_by: Sequence[str] = ("g",),
    types: pa.Schema = INPUT,
) -> Aggregate:
    """Aggregate rows that have their event time in `t`."""
    return Aggregate(
        name="a",
        window=window,
        group_by=tuple(group_by),
        measures=measures,
        input=types,
        event_time="t",
        hash_key=42,
    )


def batch(rows: Iterable[Row]) -> pa.RecordBatch:
    """Rows as a record batch; `t` and `_watermark` are microseconds, missing values null."""
    rows = list(rows)
    fields = [pa.field("t", TIMESTAMP), *INPUT, pa.field(WATERMARK, TIMESTAMP)]
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in fields]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def windows_of(time: int, window: Window) -> list[int]:
    """Starts of the windows that hold a time, tried one by one."""
    if window.type == "global":
        return [0]
    period = window.period_us or window.size_us
    first = (time - window.size_us) // period * period + window.offset_us - period
    starts = range(first, time + period + 1, period)
    return [s for s in starts if s <= time < s + window.size_us]


def expected(rows: Iterable[Row], of: Aggregate) -> dict[tuple[Any, ...], Row]:
    """Finished rows by (window start, group), computed one row at a time."""
    window = of.window
    if of.sessions:
        return _expected_sessions(rows, of)
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        for start in windows_of(row["t"], window):
            mark = row.get(WATERMARK)
            closes = start + window.size_us + window.allowed_lateness_us
            if window.type != "global" and mark is not None and closes <= mark:
                continue
            groups[start, *(row.get(name) for name in of.group_by)].append(row)
    out = {}
    for key, members in groups.items():
        values = {m.name: _value(m, members) for m in of.measures}
        end = GLOBAL_END if window.type == "global" else key[0] + window.size_us
        out[key] = {**values, "window_end": end, "_rows": len(members)}
    return out


def _expected_sessions(rows: Iterable[Row], of: Aggregate) -> dict[tuple[Any, ...], Row]:
    gap, lateness = of.window.gap_us, of.window.allowed_lateness_us
    found: dict[tuple[Any, ...], list[list[Row]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["t"]):
        mark = row.get(WATERMARK)
        if mark is not None and row["t"] + gap + lateness <= mark:
            continue
        sessions = found[tuple(row.get(name) for name in of.group_by)]
        if not sessions or row["t"] - sessions[-1][-1]["t"] >= gap:
            sessions.append([])
        sessions[-1].append(row)
    return {
        (members[0]["t"], *key): {
            **{m.name: _value(m, members) for m in of.measures},
            "window_end": members[-1]["t"] + gap,
            "_rows": len(members),
        }
        for key, sessions in found.items()
        for members in sessions
    }


def _value(of: Measure, rows: list[Row]) -> Any:
    if of.argument is None:
        return len(rows)
    pairs = [(row["t"], row[of.argument]) for row in rows if row.get(of.argument) is not None]
    values = [value for _, value in pairs]
    if of.function == "count":
        return len(values)
    if of.function == "approx_count_distinct":
        return len(set(values))
    if not values:
        return None
    return _FUNCTIONS[of.function](pairs, values)


def _sum(values: list[Any]) -> Any:
    if isinstance(values[0], float):
        return to_double(sum(map(Fraction, values), Fraction(0)))
    return sum(values)


def to_double(value: Fraction) -> float:
    """Round to the nearest double, or to an infinity."""
    try:
        return value.numerator / value.denominator
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _deviation(values: list[Any]) -> float | None:
    if len(values) < 2:
        return None
    exact = [Fraction(float(value)) for value in values]
    mean = sum(exact, Fraction(0)) / len(exact)
    square = sum(((x - mean) ** 2 for x in exact), Fraction(0)) / (len(exact) - 1)
    scale = 2**400
    return math.isqrt(int(square * scale * scale)) / scale


def _key(value: Any) -> Any:
    return (math.isnan(value), value) if isinstance(value, float) else value


_FUNCTIONS: dict[str, Callable[[list[tuple[int, Any]], list[Any]], Any]] = {
    "sum": lambda _, values: _sum(values),
    "avg": lambda _, values: to_double(sum(map(Fraction, values), Fraction(0)) / len(values)),
    "stddev": lambda _, values: _deviation(values),
    "min": lambda _, values: min(values, key=_key),
    "max": lambda _, values: max(values, key=_key),
    "first": lambda pairs, _: min(pairs, key=lambda p: (p[0], _key(p[1])))[1],
    "last": lambda pairs, _: min(pairs, key=lambda p: (-p[0], _key(p[1])))[1],
}


def by_key(table: pa.Table, of: Aggregate) -> dict[tuple[Any, ...], Row]:
    """Finished rows by (window start, group); window bounds are microseconds."""
    at = table.schema.get_field_index("window_start")
    table = table.set_column(at, "window_start", table["window_start"].cast(pa.int64()))
    at = table.schema.get_field_index("window_end")
    table = table.set_column(at, "window_end", table["window_end"].cast(pa.int64()))
    rows = table.drop_columns(["_epoch", "_final"]).to_pylist()
    out = {}
    for row in rows:
        key = (row.pop("window_start"), *(row.pop(name) for name in of.group_names))
        assert key not in out
        out[key] = row
    return out
