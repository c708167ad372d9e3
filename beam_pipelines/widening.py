"""Whether a column's type can take values of another one, and which type takes both."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from schemas.contract import Column
from transforms.changes.proposals import Digits
from transforms.inference.properties import Property


class Wider(NamedTuple):
    """Type of a property that takes what it took before, and more."""

    logical: str
    physical: str | None = None


def wider(column: Column, found: Property, *, texts: bool) -> Wider | None:
    """Return the type that a column's values and others have in common; None if there is none.

    Args:
        column: A scalar column; it does not take all of the others.
        found: What the others are.
        texts: Whether the records hold texts only (CSV), which a text column takes whatever they
            say; a JSON number is no text.
    """
    kind, logical = column.type, found.logical
    if pa.types.is_decimal(kind):
        return _decimal(kind, found) or (Wider("string") if texts else None)
    if pa.types.is_integer(kind) and logical in ("integer", "number"):
        return Wider(logical)
    if pa.types.is_float32(kind) and logical in ("integer", "number"):
        return Wider("number")
    if pa.types.is_date(kind) and logical == "timestamp" and not column.formats:
        return Wider("timestamp")
    written = ("string", "date", "timestamp", "time")
    if texts or (column.logical in written and logical in written):
        return Wider("string")
    return None


def takes(column: Column, found: Property, *, texts: bool) -> bool:
    """Whether a column takes values of a sample that are of this type, as far as types say."""
    kind, logical = column.type, found.logical
    if column.logical == "string":
        return texts or logical in ("string", "date", "timestamp", "time")
    if pa.types.is_decimal(kind):
        same = Wider("number", _digits(kind).physical)
        return logical == "integer" or _decimal(kind, found) in (None, same)
    if column.logical == "number":
        return logical in ("integer", "number")
    return column.logical == logical or bool(column.formats)


def _decimal(kind: pa.DataType, found: Property) -> Wider | None:
    """Return the exact type that takes both, if the other is one."""
    other = Digits.of(found.physical)
    if found.logical != "number" or other is None:
        return None
    physical = _digits(kind).also(other).physical
    return None if physical is None else Wider("number", physical)


def _digits(kind: pa.DataType) -> Digits:
    return Digits(kind.precision - kind.scale, kind.scale)
