"""Small files beside the sample whose key a column of it holds: lookup tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from schemas.errors import SourceError
from transforms.inference.fields import Sample
from transforms.inference.names import free, identifier, pipeline_name, words
from transforms.inference.properties import Property

_FOUND: Final = 0.9
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
        add: New column -> column of the table and its logical type.
        share: Of the distinct values of `column` that the table has.
    """

    name: str
    sample: Sample
    column: str
    key: str
    add: dict[str, tuple[str, str]]
    share: float


def find_lookup(
    sample: Sample, table: Sequence[Property], rows: Sequence[Property], taken: Sequence[str]
) -> LookupTable | None:
    """Return how rows would be enriched from a sample; None if it is no lookup table of theirs.

    Args:
        sample: Read whole.
        table: Its properties.
        rows: Properties of the rows.
        taken: Names of columns that there are.

    Raises:
        SourceError: Two of its columns have one name.
    """
    if not sample.whole or sample.rows > _MOST_ROWS:
        return None
    if twice := next((field.again for field in sample.fields if field.again), None):
        msg = (
            "columns of a lookup table must have different names; got "
            f"{twice!r} twice in {sample.path}; rename one"
        )
        raise SourceError(msg)
    name = pipeline_name(sample.path)
    best: tuple[tuple[float, ...], Property, Property] | None = None
    for key in table:
        if key.nulls or key.distinct != sample.rows or key.logical not in ("string", "integer"):
            continue
        for column in rows:
            if column.logical != key.logical or column.protect not in (None, "keep"):
                continue
            share = _share(column, key)
            alike = _alike(column, key, name)
            if share >= _FOUND and (alike or key.logical == "string"):
                rank = (float(alike), share, float(column.distinct))
                if best is None or rank > best[0]:
                    best = (rank, column, key)
    if best is None:
        return None
    (_, share, _), column, key = best
    add: dict[str, tuple[str, str]] = {}
    for prop in table:
        if prop is key or prop.protect not in (None, "keep") or prop.logical in ("object", "array"):
            continue
        new = f"{name}_{identifier(prop.key)}"
        plain = not prop.options.get("format") and not prop.physical
        logical = prop.logical if prop.logical in _TYPED and plain else "string"
        add[free(new, [*taken, *add])] = (prop.key, logical)
        if len(add) == _MOST_COLUMNS:
            break
    return LookupTable(name, sample, column.name, key.key, add, share) if add else None


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
