"""Which columns tell rows apart: by values in the sample, by names, and by what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from schemas.functions import names
from transforms.inference.fields import Sample
from transforms.inference.names import words
from transforms.inference.properties import Property

_ENDS: Final = names(
    """
    id key uuid guid code number no nr identifier hash ref
    """
)
_YEARS: Final = names(
    """
    year month week quarter yr
    """
)
_ENOUGH: Final = 20
_FEW: Final = 0.05
_TRIED: Final = 8


@dataclass(frozen=True)
class Key:
    """What tells rows apart.

    Attributes:
        names: Columns of the key; none: nothing was found that would be one for sure.
        repeated: Rows whose whole content another row has, under that key.
        maybe: Columns that are unique in the sample, though nothing says that they must be.
    """

    names: tuple[str, ...] = ()
    repeated: int = 0
    maybe: tuple[str, ...] = ()


def find_key(sample: Sample, properties: Sequence[Property]) -> Key:
    """Return the key of some records, and whether some of them are there twice."""
    frame = pl.DataFrame(
        {
            path: pl.from_arrow(p.field.values)
            for top in properties
            for path, p in top.walk()
            if "[]" not in path and p.field is not None and p.field.values is not None
        }
    )
    rows = frame.height
    exact = [p for p in properties if p.name in frame.columns and not p.nulls and _exact(p)]
    if rows < _ENOUGH:
        return Key()
    whole = frame.unique().height
    named = sorted((p for p in exact if _is_named(p)), key=lambda p: _rank(p, sample))
    for prop in named:
        twice = rows - prop.distinct
        if not twice:
            return Key((prop.name,))
        # The same rows again, as at-least-once delivery makes them, and not other rows of one key;
        # arrays and what open objects do not declare are not compared.
        if twice <= _FEW * rows and rows - whole >= 0.9 * twice:
            return Key((prop.name,), repeated=twice)
    if sample.whole and (pair := _pair(frame, exact)):
        return Key(pair)
    maybe = tuple(p.name for p in exact if p.distinct == rows and _may_be(p))
    return Key(maybe=maybe[:3])


def _exact(prop: Property) -> bool:
    distinct = prop.protect in (None, "keep", "pseudonymize")
    return distinct and prop.logical in ("string", "integer", "date", "timestamp")


def _may_be(prop: Property) -> bool:
    return prop.logical != "integer" and prop.classification != "restricted"


def _is_named(prop: Property) -> bool:
    spoken = words(prop.name)
    named = bool(spoken) and spoken[-1] in _ENDS and prop.logical in ("string", "integer")
    return named or prop.options.get("format") == "uuid"


def _rank(prop: Property, sample: Sample) -> tuple[int, int]:
    """Order candidates: `id`, then the first of the record, then others."""
    spoken = words(prop.name)
    at = next(i for i, field in enumerate(sample.fields) if field is prop.field)
    return (0 if spoken in (["id"], ["uuid"], ["key"]) else 1, at)


def _pair(frame: pl.DataFrame, exact: Sequence[Property]) -> tuple[str, str] | None:
    """Return a thing and a time that are unique together, such as country and year."""
    things = [p for p in exact if p.logical in ("string", "integer") and not _is_time(p)]
    things = [p for p in things if p.logical == "string" or _is_named(p)]
    things = [p for p in things if p.classification != "restricted"][:_TRIED]
    times = [p for p in exact if _is_time(p)][:_TRIED]
    if any(p.distinct == frame.height for p in (*things, *times)):
        return None  # with anything beside it, it would be unique as well
    for time, thing in sorted(
        ((t, p) for t in times for p in things), key=lambda pair: -pair[1].distinct
    ):
        if thing.distinct * time.distinct < frame.height or min(thing.distinct, time.distinct) < 2:
            continue
        if frame.select(thing.name, time.name).n_unique() == frame.height:
            return thing.name, time.name
    return None


def _is_time(prop: Property) -> bool:
    if prop.logical in ("date", "timestamp") or prop.strptime or prop.epoch:
        return True
    return prop.logical == "integer" and bool(set(words(prop.name)) & _YEARS)
