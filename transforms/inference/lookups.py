"""Small files beside the sample whose key a column of it holds: lookup tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from schemas.errors import SourceError
from schemas.references import public
from transforms.inference.fields import Sample
from transforms.inference.names import behind, free, identifier, pipeline_name, words
from transforms.inference.properties import Property

_FOUND: Final = 0.9
_NAMED: Final = 0.5
"""Share of the values of a column that a table must have; enough if names speak for it, too."""
_MOST_ROWS: Final = 100_000
_MOST_COLUMNS: Final = 5
_TYPED: Final = ("integer", "number", "boolean", "date", "timestamp", "time")


@dataclass(frozen=True)
class LookupTable:
    """A table that rows are enriched from.

    Attributes:
        name: Of the table.
        sample: Its file.
        column: Of the rows.
        key: Of the table.
        add: New column -> column of the table and its logical type; empty: all are personal.
        values: How many different ones `column` has.
        found: How many of these the table has; rows with others get nulls.
    """

    name: str
    sample: Sample
    column: str
    key: str
    add: dict[str, tuple[str, str]]
    values: int
    found: int


def find_lookup(
    sample: Sample, table: Sequence[Property], rows: Sequence[Property], taken: Sequence[str]
) -> LookupTable | str:
    """Return how rows would be enriched from a sample, or why it is no lookup table of theirs.

    Args:
        sample: Read whole.
        table: Its properties.
        rows: Properties of the rows.
        taken: Names of columns that there are.

    Raises:
        SourceError: Two of its columns have one name.
    """
    if not sample.whole or sample.rows > _MOST_ROWS:
        return f"it has more than {_MOST_ROWS:,} records, or was not read whole"
    if twice := next((field.again for field in sample.fields if field.again), None):
        msg = (
            "columns of a lookup table must have different names; got "
            f"{twice!r} twice in {public(sample.path)}; rename one"
        )
        raise SourceError(msg)
    name = pipeline_name(sample.path)
    unique = [p for p in table if not p.nulls and p.distinct == sample.rows]
    keys = [p for p in unique if p.logical in ("string", "integer")]
    if not keys:
        return "no column of it is never null and different in each record"
    pairs = [_Pair(c, k, _share(c, k), _alike(c, k, name)) for k in keys for c in _asking(k, rows)]
    good = [pair for pair in pairs if not pair.fault]
    if not good:
        near = max(pairs, key=lambda pair: pair.share, default=None)
        return near.fault if near and near.share else "its keys have no value of such a column"
    best = max(good, key=lambda pair: (pair.alike, pair.share, pair.column.distinct))
    column, key = best.column, best.key
    add: dict[str, tuple[str, str]] = {}
    for number, prop in enumerate(table, 1):
        if prop is key or prop.protect not in (None, "keep") or prop.logical in ("object", "array"):
            continue
        new = behind(name, identifier(prop.key), number)
        plain = not prop.options.get("format") and not prop.physical
        logical = prop.logical if prop.logical in _TYPED and plain else "string"
        add[free(new, [*taken, *add])] = (prop.key, logical)
        if len(add) == _MOST_COLUMNS:
            break
    if not add and not any(prop.classification for prop in table if prop is not key):
        return f"beside its key `{key.key}` it has no column to add"
    return LookupTable(name, sample, column.name, key.key, add, column.distinct, best.found)


@dataclass(frozen=True)
class _Pair:
    """A column of the rows, a key of the table, and what speaks for a reference.

    Attributes:
        share: Of the values of the column that the key has.
        alike: Whether names speak for it.
    """

    column: Property
    key: Property
    share: float
    alike: bool

    @property
    def found(self) -> int:
        return round(self.share * self.column.distinct)

    @property
    def fault(self) -> str:
        """Why it is no reference; empty: it is one."""
        told = (
            f"its `{self.key.name}` has {self.found:,} of the {self.column.distinct:,} values of "
            f"`{self.column.name}`"
        )
        if self.alike:
            return "" if self.share >= _NAMED else f"{told}, less than {_NAMED:.0%}"
        if self.share < _FOUND:
            return f"{told}, less than {_FOUND:.0%} of a column that is called otherwise"
        if self.key.logical == "string":
            return ""
        return f"{told}, but numbers of columns that are called otherwise are alike by chance"


def _asking(key: Property, rows: Sequence[Property]) -> list[Property]:
    """Return the columns that could refer to a key."""
    return [p for p in rows if p.logical == key.logical and p.protect in (None, "keep")]


def _share(column: Property, key: Property) -> float:
    """Return which share of the distinct values of a column a key has."""
    if column.field is None or key.field is None:
        return 0.0
    if column.field.values is None or key.field.values is None or column.distinct < 1:
        return 0.0
    kind = pl.Int64 if key.logical == "integer" else pl.String
    values: Any = pl.from_arrow(column.field.values)
    keys: Any = pl.from_arrow(key.field.values)
    unique = values.drop_nulls().unique().cast(kind)
    return float(unique.is_in(keys.cast(kind).implode()).mean() or 0.0)


def _alike(column: Property, key: Property, table: str) -> bool:
    """Whether names speak for it: `carrier` and `carrier`, `airline_id` and `id` of airlines."""
    mine, its = words(column.name), words(key.name)
    about = {w.rstrip("s") for w in words(table)}
    return mine == its or bool({w.rstrip("s") for w in mine} & about)
