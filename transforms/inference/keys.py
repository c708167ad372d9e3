"""Which columns tell rows apart: by values in the sample, by names, and by what they are."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from schemas.functions import names
from transforms.inference.fields import Sample
from transforms.inference.names import pipeline_name, words
from transforms.inference.properties import Property

_IDS: Final = names(
    """
    id key uuid guid identifier pid uid gid cid sid oid tid rid eid nid
    """
)
_IN_ONE_WORD: Final = re.compile(
    r"(?!(in)?valid|(un|pre)?paid|liquid|hybrid|android)[a-z]{2,}(id|num)"
)
"""`userid` and the like, where nothing parts the words."""
_NUMBERS: Final = names(
    """
    code number no nr hash ref
    """
)
_YEARS: Final = names(
    """
    year month week quarter yr
    """
)
_ORDINALS: Final = names(
    """
    seq sequence line rank replicate rep visit wave round trial block lap inning stint period
    position index step part attempt
    """
)
"""What counts the records of a thing."""
_ENOUGH: Final = 20
_MANY: Final = 1000
"""Rows of which a column with the name of a key is not unique by chance."""
_CHANCE: Final = 1e-4
_CODE: Final = "^[A-Za-z0-9_][A-Za-z0-9_:/-]{0,39}$"
_DENSE: Final = 2
_FILLED: Final = 0.2
"""Share of the pairs of things and times that few records must have."""
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
    for prop in (p for p in named if _is_meant(p, sample)):
        twice = rows - prop.distinct
        if not twice:
            return Key((prop.name,))
        # The same rows again, as at-least-once delivery makes them, and not other rows of one key;
        # arrays and what open objects do not declare are not compared.
        if twice <= _FEW * rows and rows - whole >= 0.9 * twice:
            return Key((prop.name,), repeated=twice)
    if sample.whole and (several := _several(frame, exact)):
        return Key(several)
    if (first := _first_codes(sample, exact)) is not None:
        return Key((first.name,))
    unique = [p for p in exact if p.distinct == rows and (p in named or _may_be(p))]
    return Key(maybe=tuple(p.name for p in unique[:3]))


def _exact(prop: Property) -> bool:
    distinct = prop.protect in (None, "keep", "pseudonymize")
    return distinct and prop.logical in ("string", "integer", "date", "timestamp")


def _may_be(prop: Property) -> bool:
    measured = prop.logical == "integer" and not _is_time(prop)
    return not measured and prop.classification != "restricted"


def _first_codes(sample: Sample, exact: Sequence[Property]) -> Property | None:
    """Return the first column if many records have each a code of their own in it."""
    for prop in exact:
        if prop.key == sample.fields[0].key and prop.distinct == sample.rows >= _MANY:
            coded = prop.logical == "string" and prop.classification is None and prop.field
            if coded and pc.all(pc.match_substring_regex(coded.values, _CODE)).as_py():
                return prop
    return None


def _is_named(prop: Property) -> bool:
    spoken = words(prop.name)
    named = bool(spoken) and (
        spoken[-1] in _IDS | _NUMBERS or bool(_IN_ONE_WORD.fullmatch(spoken[-1]))
    )
    named = named and prop.logical in ("string", "integer")
    return (named or prop.options.get("format") == "uuid") and prop.classification != "restricted"


def _is_meant(prop: Property, sample: Sample) -> bool:
    """Whether more speaks for a key than a name that columns of other things have, too.

    It stands first, is called `id`, or after the file (`order_id` of orders); its numbers leave few
    gaps; or the records are many.
    """
    spoken = words(prop.name)
    first = sample.fields[0].key == prop.key
    if sample.rows >= _MANY or first or _is_plain(spoken):
        return True
    about = {word.rstrip("s") for word in words(pipeline_name(sample.path))}
    if spoken[-1:] and spoken[-1] in _IDS and {w.rstrip("s") for w in spoken[:-1]} & about:
        return True
    values = None if prop.field is None else prop.field.values
    if prop.logical != "integer" or values is None:
        return False
    ends = pc.min_max(values.cast(pa.int64())).as_py()
    return bool(ends["max"] - ends["min"] < _DENSE * sample.rows)


def _is_plain(spoken: list[str]) -> bool:
    return spoken in (["id"], ["uuid"], ["key"])


def _rank(prop: Property, sample: Sample) -> tuple[int, int]:
    """Order candidates: `id`, then the first of the record, then others."""
    at = next(i for i, field in enumerate(sample.fields) if field.key == prop.key)
    return (0 if _is_plain(words(prop.name)) else 1, at)


def _several(frame: pl.DataFrame, exact: Sequence[Property]) -> tuple[str, ...]:
    """Return columns that are unique together: two, or else three; nothing if none are.

    Things and times such as country and year, or identifiers such as those of an order and of its
    line. The fewest cells come first: they are filled best.
    """
    things = [p for p in exact if p.logical in ("string", "integer") and not _is_time(p)]
    things = [p for p in things if p.logical == "string" or _is_named(p) or _counts(p)]
    things = [p for p in things if p.classification != "restricted" and not _is_measured(p)]
    some = [*things[:_TRIED], *[p for p in exact if _is_time(p)][:_TRIED]]
    if any(p.distinct == frame.height for p in some):
        return ()  # with anything beside it, it would be unique as well
    some = [p for p in some if p.distinct > 1]
    alike = {p.name: _alike(frame, p.name) for p in some}
    head = frame.head(_MANY)
    for size in (2, 3):
        sets = [s for s in combinations(some, size) if any(map(_is_time, s)) or _are_named(s)]
        for chosen in sorted(sets, key=_cells):
            names = [p.name for p in chosen]
            if not _is_sure(frame.height, _cells(chosen), math.prod(alike[n] for n in names)):
                continue
            if any(map(_is_number, chosen)) and _cells(chosen) > frame.height:
                continue
            if _are_unique(head, names) and _are_unique(frame, names):
                return tuple(names)
    return ()


def _counts(prop: Property) -> bool:
    """Whether a column has all whole numbers from 0 or 1 on: of things, or of their records."""
    values = None if prop.field is None else prop.field.values
    if prop.logical != "integer" or values is None or prop.nulls:
        return False
    ends = pc.min_max(values.cast(pa.int64())).as_py()
    return ends["min"] in (0, 1) and ends["max"] - ends["min"] + 1 == prop.distinct


def _is_number(prop: Property) -> bool:
    """Whether nothing but its numbers says that a column counts: then no combination may lack."""
    told = _is_time(prop) or _is_named(prop) or set(words(prop.name)) & _ORDINALS
    return not told and _counts(prop)


def _cells(chosen: Sequence[Property]) -> int:
    """Return how many rows could differ in some columns."""
    return math.prod(p.distinct for p in chosen)


def _are_named(chosen: Sequence[Property]) -> bool:
    return all(map(_is_named, chosen))


def _are_unique(frame: pl.DataFrame, names: Sequence[str]) -> bool:
    return frame.select(names).n_unique() == frame.height


def _is_sure(rows: int, cells: int, alike: float) -> bool:
    """Whether rows are enough to take columns for a key if no two rows are alike in them.

    Were the columns independent, of the pairs of rows a share `alike` would be alike, and none
    with the probability of a Poisson variable.
    """
    enough = rows >= min(_FILLED * cells, _MANY) and cells >= rows
    return enough and math.exp(-rows * (rows - 1) / 2 * alike) < _CHANCE


def _alike(frame: pl.DataFrame, column: str) -> float:
    """Return which share of the pairs of rows has one value in a column."""
    counts = frame[column].rename("").value_counts(name="rows")["rows"].cast(pl.Float64)
    return float((counts / frame.height).pow(2).sum())


def _is_measured(prop: Property) -> bool:
    """Whether a text is a fraction now and then: a column of numbers with other words in it."""
    values = None if prop.field is None else prop.field.values
    if values is None or not pa.types.is_string(values.type):
        return False
    return bool(pc.any(pc.match_substring_regex(values, r"^-?[0-9]+[.,][0-9]+$")).as_py())


def _is_time(prop: Property) -> bool:
    if prop.logical in ("date", "timestamp") or prop.epoch:
        return True
    return prop.logical in ("integer", "string") and bool(set(words(prop.name)) & _YEARS)
