"""What Iceberg's statistics say of a data file, without opening it."""

from __future__ import annotations

from typing import Any

from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.types import PrimitiveType

from schemas.names import POSITION, SOURCE
from transforms.commit.ranges import Range, Ranges


def bounds(file: DataFile, schema: Schema, column: str) -> tuple[Any, Any] | None:
    """Return the least and greatest value of a top-level column; None: unknown, or only nulls.

    Timestamps are microseconds. Strings are as the table's metrics mode keeps them.
    """
    try:
        field = schema.find_field(column)
    except ValueError:
        return None
    if not isinstance(field.field_type, PrimitiveType):
        return None
    low = (file.lower_bounds or {}).get(field.field_id)
    high = (file.upper_bounds or {}).get(field.field_id)
    if low is None or high is None:
        return None
    return from_bytes(field.field_type, low), from_bytes(field.field_type, high)


def one_source(file: DataFile, schema: Schema) -> str | None:
    """Return the source of all rows, None if the statistics do not say that there is just one."""
    found = bounds(file, schema, SOURCE)
    return found[0] if found is not None and found[0] == found[1] else None


def reach(file: DataFile, schema: Schema, known: Ranges) -> Ranges:
    """Return positions that certainly hold all of a file's: a box over sources and positions.

    Args:
        file: A data file with rows at positions of `known`.
        schema: Its table's schema.
        known: The sources that there are, and their positions.
    """
    sources, spots = bounds(file, schema, SOURCE), bounds(file, schema, POSITION)
    if sources is None or spots is None:
        return known
    box: Range = (spots[0], spots[1] + 1)
    return {s: [box] for s in known if sources[0] <= s <= sources[1]}
