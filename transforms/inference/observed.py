"""What was seen of a field's values, as a description: no rule is made of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from transforms.inference.properties import Property
from transforms.inference.scalars import MEASURED, micros

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Figures of a property that is not personal.

    Attributes:
        rows: How many records (or objects) were looked at.
        nulls: In how many of them there was no value.
        distinct: How many different values there were; -1: not counted.
        range: The least and the greatest number, date or time, as text; None: of none of these.
        lengths: Of texts, the fewest and the most characters; None: no text.
    """

    rows: int
    nulls: int
    distinct: int
    range: tuple[str, str] | None = None
    lengths: tuple[int, int] | None = None


def observed(prop: Property) -> Observed | None:
    """Return what was seen of a property; None: it is likely personal, or has no values alone."""
    field = prop.field
    if prop.classification or prop.protect or field is None or field.values is None:
        return None
    values = field.values.drop_null()
    return Observed(
        rows=field.rows,
        nulls=field.nulls,
        distinct=prop.distinct,
        range=_range(prop, values) if len(values) else None,
        lengths=_lengths(prop, values) if len(values) else None,
    )


def _range(prop: Property, values: pa.Array) -> tuple[str, str] | None:
    if prop.logical in ("date", "timestamp"):
        times = micros(prop)
        if times is None or times.null_count == len(times):
            return None
        ends = pc.min_max(times).as_py()
        return _time(prop, ends["min"]), _time(prop, ends["max"])
    if prop.logical not in MEASURED:
        return None
    if pa.types.is_string(values.type):
        values = values.cast(pa.int64() if prop.logical == "integer" else pa.float64())
    ends = pc.min_max(values).as_py()
    return _number(ends["min"]), _number(ends["max"])


def _time(prop: Property, at: int) -> str:
    when = _EPOCH + dt.timedelta(microseconds=at)
    return when.date().isoformat() if prop.logical == "date" else f"{when:%Y-%m-%dT%H:%M:%S}Z"


def _number(value: object) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _lengths(prop: Property, values: pa.Array) -> tuple[int, int] | None:
    if prop.logical != "string" or not pa.types.is_string(values.type):
        return None
    ends = pc.min_max(pc.utf8_length(values)).as_py()
    return ends["min"], ends["max"]
