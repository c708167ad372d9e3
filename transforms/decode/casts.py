"""Read columns of text strictly as the contract's types, finding the texts that do not fit.

Nothing is rounded, cut or guessed:

- integer: `-?[0-9]+` that fits the type; leading zeros are a number's (`007` is 7); no `+`, no
  spaces, no `1.0`.
- number: decimal or scientific notation, finite once read (`NaN`, `inf` and `1e400` are refused);
  an exact number must fit precision and scale.
- boolean: `true` or `false` in any case.
- date, time, timestamp: ISO 8601 in full (`2026-01-31`, `09:30[:00[.ffffff]]`, with `T` or a
  space between, with or without an offset), or the column's formats. A timestamp without an offset
  is local time in the column's time zone: the first of two where clocks go back, refused where
  they skip it. More than six digits of a second are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.contract import Column
from schemas.names import TIMESTAMP

_PARTS: Final = 16
_NAIVE: Final = pa.timestamp("us")
_WITH_OFFSET: Final = r"[T ][0-9:.]+(Z|[+-][0-9:]+)$"
_TIME: Final = r"^[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?$"
_DURABLE: Final = (pa.ArrowInvalid, pa.ArrowNotImplementedError)


class Cast(NamedTuple):
    """A column read as a type.

    Attributes:
        values: As many as there were texts; null where the text is null or does not fit.
        bad: Which ones do not fit (bool), or None if all do.
    """

    values: pa.Array
    bad: NDArray[np.bool_] | None


def expected(column: Column) -> str:
    """Say in words what a text must be to fit a column, for the reason of a refusal."""
    if pa.types.is_decimal(column.type):
        return (
            f"an exact number of {column.type.precision} digits, {column.type.scale} of a fraction"
        )
    if column.formats:
        return f"a {column.logical} as {' or '.join(column.formats)}"
    return {
        "integer": f"an integer of {_bits(column.type)} bits",
        "number": "a finite number",
        "boolean": "true or false",
        "date": "an ISO 8601 date",
        "time": "an ISO 8601 time of day",
        "timestamp": "an ISO 8601 date and time",
        "object": "a JSON object",
        "array": "a JSON array",
    }.get(column.logical, f"a {column.logical}")


def _bits(kind: pa.DataType) -> int:
    return kind.bit_width if pa.types.is_integer(kind) else 64


def cast_text(texts: pa.Array, column: Column) -> Cast:
    """Read texts as a scalar column's type (see the module's text for what fits).

    Args:
        texts: `pa.string()`.
        column: A column that is neither object nor array.
    """
    kind = column.type
    if pa.types.is_string(kind):
        return Cast(texts, None)
    if pa.types.is_boolean(kind):
        return _booleans(texts)
    if pa.types.is_integer(kind):
        return _integers(texts, kind)
    if pa.types.is_floating(kind):
        return _floats(texts, kind)
    if pa.types.is_decimal(kind):
        return isolate(lambda part: part.cast(kind), texts, kind)
    if column.formats:
        return _by_formats(texts, column)
    if pa.types.is_time(kind):
        return _times(texts, kind)
    if pa.types.is_timestamp(kind):
        return _timestamps(texts, column.timezone)
    return isolate(lambda part: part.cast(kind), texts, kind)


def isolate(cast: Callable[[pa.Array], pa.Array], texts: pa.Array, kind: pa.DataType) -> Cast:
    """Apply a cast that fails as a whole, setting aside the values on which it fails.

    Costs one call where all fit; else about 16 calls for each level on the way to a failure.
    """
    try:
        return Cast(cast(texts), None)
    except _DURABLE:
        if len(texts) == 1:
            return Cast(pa.nulls(1, kind), np.ones(1, np.bool_))
    cuts = np.linspace(0, len(texts), min(len(texts), _PARTS) + 1).astype(np.int64).tolist()
    parts = [
        isolate(cast, texts.slice(a, b - a), kind) for a, b in zip(cuts, cuts[1:], strict=False)
    ]
    bad = [np.zeros(len(p.values), np.bool_) if p.bad is None else p.bad for p in parts]
    return Cast(pa.concat_arrays([p.values for p in parts]), np.concatenate(bad))


def _set_aside(texts: pa.Array, fits: pa.Array) -> tuple[pa.Array, NDArray[np.bool_] | None]:
    """Make null the texts that do not fit; null texts fit."""
    bad = ~pc.fill_null(fits, True).to_numpy(zero_copy_only=False)  # noqa: FBT003
    if not bad.any():
        return texts, None
    return pc.if_else(pa.array(~bad), texts, pa.scalar(None, texts.type)), bad


def _also(first: NDArray[np.bool_] | None, cast: Cast) -> Cast:
    """Add failures that were found before a cast."""
    if first is None or cast.bad is None:
        return Cast(cast.values, cast.bad if first is None else first)
    return Cast(cast.values, first | cast.bad)


def _booleans(texts: pa.Array) -> Cast:
    lower = pc.utf8_lower(texts)
    true, false = pc.equal(lower, "true"), pc.equal(lower, "false")
    _, bad = _set_aside(texts, pc.or_(true, false))
    return Cast(true if bad is None else pc.if_else(pa.array(~bad), true, None), bad)


def _integers(texts: pa.Array, kind: pa.DataType) -> Cast:
    bad = None
    if _highest_byte(texts) > ord("9"):  # Arrow reads 0x1F too
        texts, bad = _set_aside(texts, pc.match_substring_regex(texts, "^-?[0-9]+$"))
    return _also(bad, isolate(lambda part: part.cast(kind), texts, kind))


def _highest_byte(texts: pa.Array) -> int:
    data = texts.buffers()[2]
    if data is None or not len(texts):
        return 0
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :][: len(texts) + 1]
    used = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    return int(used.max()) if len(used) else 0


def _floats(texts: pa.Array, kind: pa.DataType) -> Cast:
    found = isolate(lambda part: part.cast(kind), texts, kind)
    values, infinite = _set_aside(found.values, pc.is_finite(found.values))
    return _also(infinite, Cast(values, found.bad))


def _times(texts: pa.Array, kind: pa.DataType) -> Cast:
    texts, bad = _set_aside(texts, pc.match_substring_regex(texts, _TIME))
    dated = pc.binary_join_element_wise(pa.scalar("1970-01-01"), texts, "T")
    return _also(bad, isolate(lambda part: part.cast(_NAIVE).cast(kind), dated, kind))


def _timestamps(texts: pa.Array, timezone: str) -> Cast:
    try:
        return Cast(texts.cast(TIMESTAMP), None)
    except _DURABLE:
        pass
    try:
        return Cast(_in_zone(texts.cast(_NAIVE), timezone), None)
    except _DURABLE:
        pass
    absolute = pc.fill_null(pc.match_substring_regex(texts, _WITH_OFFSET), False)  # noqa: FBT003
    null = pa.scalar(None, texts.type)
    with_offset = pc.if_else(absolute, texts, null)
    local = pc.if_else(absolute, null, texts)
    a = isolate(lambda part: part.cast(TIMESTAMP), with_offset, TIMESTAMP)
    b = isolate(lambda part: _in_zone(part.cast(_NAIVE), timezone), local, TIMESTAMP)
    return _also(a.bad, Cast(pc.coalesce(a.values, b.values), b.bad))


def _in_zone(local: pa.Array, timezone: str) -> pa.Array:
    zoned = pc.assume_timezone(local, timezone, ambiguous="earliest", nonexistent="raise")
    return zoned.cast(TIMESTAMP)


def _by_formats(texts: pa.Array, column: Column) -> Cast:
    """Read by each form in turn what the forms before it did not read (DuckDB's strptime)."""
    values: pa.Array = pa.nulls(len(texts), column.type)
    bad: NDArray[np.bool_] | None = None
    with _engine().cursor() as connection:
        for form in column.formats:
            rest = pc.if_else(pc.is_valid(values), pa.scalar(None, texts.type), texts)
            if form.endswith("%z"):  # DuckDB's reads no Z
                rest = pc.replace_substring_regex(rest, "Z$", "+00:00")
            relation = connection.from_arrow(pa.table({"t": rest}))
            read = relation.query(
                "texts", f"SELECT try_strptime(t, {_quoted(form)}) AS v FROM texts"
            )
            found = _as_type(read.to_arrow_table()["v"].combine_chunks(), column)
            values = pc.coalesce(values, found.values)
            bad = found.bad if bad is None else bad
    _, bad = _set_aside(texts, pc.or_(pc.is_valid(values), pc.is_null(texts)))
    return Cast(values, bad)


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """Open one database in memory; each caller takes a cursor (0.2 ms, not 20)."""
    connection = duckdb.connect(config={"threads": 1, "temp_directory": ""})
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    return connection


def _as_type(read: pa.Array, column: Column) -> Cast:
    kind = column.type
    if pa.types.is_timestamp(kind) and read.type.tz is None:
        return isolate(lambda part: _in_zone(part.cast(_NAIVE), column.timezone), read, kind)
    if pa.types.is_timestamp(kind):
        return Cast(read.cast(kind), None)
    naive = read.cast(_NAIVE)
    return Cast(naive.cast(kind, safe=not pa.types.is_date(kind)), None)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
