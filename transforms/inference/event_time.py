"""When what a record tells of happened: the column that says so, or an expression over some."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.functions import names
from transforms.inference.names import free, sql, words
from transforms.inference.properties import Property
from transforms.inference.scalars import micros
from transforms.inference.times import is_month

_BEST: Final = names(
    """
    event occurred happened observed measured
    """
)
_GOOD: Final = names(
    """
    timestamp ts time datetime date when at created
    """
)
_BAD: Final = names(
    """
    birth birthdate birthday dob born expires expiry expiration due valid until end ended
    closed updated modified deleted processed loaded ingested inserted exported last next
    arrival delivered shipped hire hired enddate duedate founded
    built established model vintage manufactured
    """
)


_COARSE: Final = ("the begin of the month.", "the begin of the year.")
_FIRST: Final = {"month": "1", "day": "1", "hour": "0", "minute": "0"}
"""What a part is that no column tells."""


@dataclass(frozen=True)
class EventTime:
    """The event time of some records.

    Attributes:
        name: The column; None: there is none, and arrival counts.
        computed: The property that is added for it.
        others: Columns that might be it as well.
        first_us: Its first value in the sample.
        last_us: Its last.
        why: In words.
    """

    name: str | None = None
    computed: Property | None = None
    others: tuple[str, ...] = ()
    first_us: int = 0
    last_us: int = 0
    why: str = ""


@dataclass(frozen=True)
class _Candidate:
    path: str
    prop: Property
    rank: int
    times: pa.Array


def find_event_time(
    properties: Sequence[Property], key: Sequence[str], chosen: str | None = None
) -> EventTime:
    """Return the event time: a column of times that no record lacks.

    Args:
        properties: Of the record.
        key: Columns that tell records apart. A year that is no part of it is one of a thing, such
            as that of a car's model.
        chosen: The column that a person named.
    """
    found = sorted(_candidates(properties), key=lambda c: c.rank)
    if chosen is not None:
        found = sorted(found, key=lambda c: c.path != chosen)
    years = [c.path for c in found if c.path not in (*key, chosen) and _is_year(c)]
    found = [c for c in found if c.path not in years]
    if not found:
        made = _of_parts(properties, key)
        coarse = made.computed is None or made.computed.description.endswith(_COARSE)
        if coarse and (lacking := _lacking(properties)):
            return EventTime(why=f"the time of arrival: {lacking}")
        if not years or made.computed is not None:
            return made
        why = f"the time of arrival: `{years[0]}` tells years, and may be those of things"
        return EventTime(why=why)
    best = found[0]
    equals = tuple(c.path for c in found[1:] if c.rank == best.rank)
    return _event_time(best, equals, [p.name for p in properties])


def _lacking(properties: Sequence[Property]) -> str:
    """Say which column would be the event time if it were there in every record; empty: none."""
    for prop in properties:
        times = prop.logical in ("timestamp", "date") and prop.protect in (None, "keep")
        if times and prop.nulls and prop.field and not set(words(prop.name)) & _BAD:
            return f"`{prop.name}` is null in {prop.nulls:,} of {prop.field.rows:,}"
    return ""


def _candidates(properties: Sequence[Property]) -> list[_Candidate]:
    found = []
    for path, prop, inside_open in _scalars(properties):
        if prop.nulls or prop.protect not in (None, "keep") or prop.transform:
            continue
        if inside_open and prop.logical != "timestamp":  # its keys are in no expression of decode
            continue
        spoken = set(words(prop.name))
        if spoken & _BAD:
            continue
        times = micros(prop)
        if times is None or not len(times):
            continue
        rank = 0 if spoken & _BEST else 2 if spoken & _GOOD else 4
        rank += 0 if prop.logical == "timestamp" else 1 if prop.epoch else 6
        found.append(_Candidate(path, prop, rank + path.count("."), times))
    return found


def _is_year(candidate: _Candidate) -> bool:
    """Whether a column is named after years, and its times are begins of such."""
    if not set(words(candidate.prop.name)) & {"year", "years", "yr"}:
        return False
    days = candidate.times.cast(pa.timestamp("us"))
    first = pc.equal(days, pc.floor_temporal(days, unit="year"))
    return bool(pc.all(first).as_py())


def _scalars(properties: Sequence[Property]) -> Iterator[tuple[str, Property, bool]]:
    """Yield what a record has once at most, with its path and whether an open object holds it."""
    for top in properties:
        for path, prop in top.walk():
            if "[]" not in path and prop.logical not in ("object", "array"):
                yield path, prop, top.open


def _event_time(best: _Candidate, equals: tuple[str, ...], names: Sequence[str]) -> EventTime:
    prop, ends = best.prop, pc.min_max(best.times).as_py()
    made = EventTime(best.path, None, equals, ends["min"], ends["max"])
    if prop.logical == "timestamp":
        return replace(made, why=f"`{best.path}`, a time in every record")
    column = ".".join(map(sql, best.path.split(".")))
    if prop.epoch:
        factor = {"s": "* 1000000", "ms": "* 1000", "us": "", "ns": "// 1000"}[prop.epoch]
        expression = f"make_timestamptz({column} {factor})".replace(" )", ")")
        what = f"computed of `{best.path}`, which counts since 1970"
    else:
        expression = f"timezone('UTC', CAST({column} AS TIMESTAMP))"
        what = f"computed of the day in `{best.path}`: its begin in UTC"
    return _computed(made, expression, what, names)


def _computed(made: EventTime, expression: str, what: str, names: Sequence[str]) -> EventTime:
    name = free("event_time", names)
    prop = Property(
        name=name,
        key=name,
        logical="timestamp",
        required=True,
        transform=expression,
        description=f"{what[0].upper()}{what[1:]}.",
    )
    return replace(made, name=name, computed=prop, why=f"`{name}`, {what}")


def _of_parts(properties: Sequence[Property], key: Sequence[str]) -> EventTime:
    """Put a time together from columns year, month, day and perhaps hour and minute.

    Without a day it is the begin of the month, and without a month that of the year; of a year
    alone only where it tells records apart, for else it may be that of a thing.
    """
    limits = {
        "year": (1, 9999),
        "month": (1, 12),
        "day": (1, 31),
        "hour": (0, 23),
        "minute": (0, 59),
    }
    parts: dict[str, Property] = {}
    for part, (low, high) in limits.items():
        for prop in properties:
            if prop.name.lower() == part and prop.logical == "integer" and not prop.nulls:
                values = None if prop.field is None else prop.field.values
                ends = None if values is None else pc.min_max(values.cast(pa.int64())).as_py()
                if ends and ends["min"] >= low and ends["max"] <= high:
                    parts[part] = prop
    if "year" not in parts:
        return _of_month(properties)
    if not {"month", "day"} <= parts.keys():
        parts = {part: parts[part] for part in ("year", "month") if part in parts}
    if len(parts) == 1 and parts["year"].name not in key:
        why = f"the time of arrival: `{parts['year'].name}` tells years, and may be those of things"
        return EventTime(why=why)
    named = [sql(parts[p].name) if p in parts else _FIRST[p] for p in limits]
    expression = f"timezone('UTC', make_timestamp({', '.join(named)}, 0))"
    texts = {p: one.field.values.cast(pa.string()) for p, one in parts.items() if one.field}  # type: ignore[union-attr]
    first = pa.repeat("01", len(texts["year"]))
    values = [
        pc.utf8_lpad(texts.get(part, first), width, "0")
        for part, width in (("year", 4), ("month", 2), ("day", 2))
    ]
    days = _days(pc.binary_join_element_wise(*values, "-"))
    if days is None:  # a day that no month has
        return EventTime(why="the time of arrival: year, month and day do not always make a day")
    what = f"computed of {', '.join(p.name for p in parts.values())}, as UTC"
    if "day" not in parts:
        what = f"{what}: the begin of the {'month' if 'month' in parts else 'year'}"
    return _computed(_between(days), expression, what, [p.name for p in properties])


def _of_month(properties: Sequence[Property]) -> EventTime:
    """Take the begin of a month that texts tell, as `2024-01`."""
    for prop in properties:
        values = None if prop.field is None else prop.field.values
        if prop.logical != "string" or prop.nulls or values is None or not is_month(values):
            continue
        days = _days(pc.binary_join_element_wise(values, "01", "-"))
        if days is None or set(words(prop.name)) & _BAD:
            continue
        expression = f"timezone('UTC', CAST({sql(prop.name)} || '-01' AS TIMESTAMP))"
        what = f"computed of the month in `{prop.name}`: its begin in UTC"
        return _computed(_between(days), expression, what, [p.name for p in properties])
    return EventTime(why="the time of arrival: no column of times is there in every record")


def _days(texts: pa.Array) -> pa.Array | None:
    """Return days as microseconds since 1970; None if a text is none."""
    try:
        return texts.cast(pa.date32()).cast(pa.timestamp("us")).cast(pa.int64())
    except pa.ArrowInvalid:
        return None


def _between(days: pa.Array) -> EventTime:
    ends = pc.min_max(days).as_py()
    return EventTime("", None, (), ends["min"], ends["max"])
