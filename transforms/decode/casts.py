"""Read columns of text strictly as the contract's types, finding the texts that do not fit.

Nothing is rounded, cut or guessed:

- integer: `-?[0-9]+` that fits the type; leading zeros are a number's (`007` is 7); no `+`, no
  spaces, no `1.0`.
- number: decimal or scientific notation, the nearest double (or float); `NaN`, `inf` and what is
  too large for one are refused. An exact number must fit precision and scale.
- boolean: `true` or `false` in any case.
- date, time, timestamp: see `text_times`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.contract import Column
from schemas.names import TIMESTAMP
from transforms.decode.text_times import dates, times, timestamps

_PARTS: Final = 16
_FIRST_DAY: Final = -719_162  # 1 January 1
_LAST_DAY: Final = 2_932_896  # 31 December 9999
_FAILURES: Final = (pa.ArrowInvalid, pa.ArrowNotImplementedError)


class Cast(NamedTuple):
    """A column read as a type.

    Attributes:
        values: As many as there were; null where there was a null, or what does not fit.
        bad: Which ones do not fit (bool), or None if all do.
    """

    values: pa.Array
    bad: NDArray[np.bool_] | None


def expected(column: Column) -> str:
    """Say in words what a value must be to fit a column, for the reason of a refusal."""
    kind = column.type
    if pa.types.is_decimal(kind):
        return f"a number of {kind.precision - kind.scale} digits and {kind.scale} decimals"
    if column.formats:
        return f"a {column.logical} written as {' or '.join(column.formats)}"
    if pa.types.is_integer(kind):
        return f"an integer of {kind.bit_width} bits"
    return {
        "number": "a finite number",
        "boolean": "true or false",
        "date": "a date in ISO 8601",
        "time": "a time of day in ISO 8601",
        "timestamp": "a date and time in ISO 8601",
        "string": "UTF-8 text",
    }[column.logical]


def cast_text(texts: pa.Array, column: Column) -> Cast:  # a line a type
    """Read texts as a scalar column's type (see the module's text for what fits).

    Args:
        texts: `pa.string()`.
        column: A column that is neither object nor array.
    """
    kind = column.type
    if pa.types.is_string(kind):
        return Cast(texts, None)
    if pa.types.is_integer(kind):
        return _integers(texts, kind)
    if pa.types.is_floating(kind):
        return finite(isolate(lambda part: part.cast(kind), texts, kind))
    if pa.types.is_boolean(kind):
        return _unless_null(texts, _booleans(texts))
    if pa.types.is_timestamp(kind):
        return _unless_null(texts, timestamps(texts, column.formats, column.timezone))
    if pa.types.is_date(kind):
        return _unless_null(texts, dates(texts, column.formats))
    if pa.types.is_time(kind):
        return _unless_null(texts, times(texts, column.formats))
    return isolate(lambda part: part.cast(kind), texts, kind)


def isolate(cast: Callable[[pa.Array], pa.Array], values: pa.Array, kind: pa.DataType) -> Cast:
    """Apply a cast that fails as a whole, setting aside the values on which it fails.

    Costs one call where all fit; else about 16 calls for each level on the way to a failure.
    """
    try:
        return Cast(cast(values), None)
    except _FAILURES:
        if len(values) == 1:
            return Cast(pa.nulls(1, kind), np.ones(1, np.bool_))
    cuts = np.linspace(0, len(values), min(len(values), _PARTS) + 1).astype(np.int64).tolist()
    parts = [isolate(cast, values.slice(a, b - a), kind) for a, b in pairwise(cuts)]
    bad = [np.zeros(len(p.values), np.bool_) if p.bad is None else p.bad for p in parts]
    return Cast(pa.concat_arrays([p.values for p in parts]), np.concatenate(bad))


def finite(numbers: Cast) -> Cast:
    """Set aside the numbers that are infinite or none."""
    values, infinite = _set_aside(numbers.values, pc.is_finite(numbers.values))
    return _also(infinite, Cast(values, numbers.bad))


def known(times: Cast) -> Cast:
    """Set aside the dates and timestamps that are not in years 1 to 9999, as text cannot be."""
    values, unknown = _set_aside(times.values, in_calendar(times.values))
    return _also(unknown, Cast(values, times.bad))


def in_zone(local: pa.Array, timezone: str) -> pa.Array:
    """Return the instants of local times: the first of two where clocks go back.

    Raises:
        ArrowInvalid: If one is a time that clocks skip.
    """
    zoned = pc.assume_timezone(local, timezone, ambiguous="earliest", nonexistent="raise")
    return zoned.cast(TIMESTAMP)


def in_calendar(times: pa.Array) -> pa.Array:
    """Return which timestamps or dates are in years 1 to 9999 (bool), null for nulls."""
    kind = times.type
    day = {"date32": 1, "date64": 86_400_000}.get(str(kind).partition("[")[0])
    if day is None:
        day = 86_400 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
    counts = (
        times.cast(pa.int32()).cast(pa.int64())
        if pa.types.is_date32(kind)
        else times.cast(pa.int64())
    )
    first, last = max(_FIRST_DAY * day, -(2**63)), min((_LAST_DAY + 1) * day, 2**63) - 1
    return pc.and_(pc.greater_equal(counts, first), pc.less_equal(counts, last))


def _unless_null(texts: pa.Array, values: pa.Array) -> Cast:
    """Take a null where there was a text for one that does not fit."""
    if values.null_count == texts.null_count:
        return Cast(values, None)
    bad = pc.and_(pc.is_null(values), pc.is_valid(texts))
    return Cast(values, bad.to_numpy(zero_copy_only=False))


def _set_aside(values: pa.Array, fits: pa.Array) -> tuple[pa.Array, NDArray[np.bool_] | None]:
    """Make null the values that do not fit; nulls do."""
    if pc.all(fits, min_count=0).as_py():
        return values, None
    bad = ~pc.fill_null(fits, fill_value=True).to_numpy(zero_copy_only=False)
    return pc.if_else(pa.array(~bad), values, pa.scalar(None, values.type)), bad


def _also(first: NDArray[np.bool_] | None, cast: Cast) -> Cast:
    """Add failures that were found before a cast."""
    if first is None or cast.bad is None:
        return Cast(cast.values, cast.bad if first is None else first)
    return Cast(cast.values, first | cast.bad)


def _booleans(texts: pa.Array) -> pa.Array:
    lower = pc.utf8_lower(texts)
    true, false = pc.equal(lower, "true"), pc.equal(lower, "false")
    return pc.if_else(pc.or_(true, false), true, None)


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
