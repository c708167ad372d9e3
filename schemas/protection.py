"""What protection does to types: the schema of a batch before and after `transforms.protect`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import pyarrow as pa

from schemas.contract import Column, Contract, Protection
from schemas.errors import UsageError

UNITS: Final = ("year", "month", "day", "hour")
MOST_CHARACTERS: Final = 8
"""Of a text a prefix may keep so many: names and addresses are often not much longer."""
KINDS: Final = ("email", "iban", "national", "card", "phone", "ip")
"""What can be told inside a free text by its form."""


@dataclass(frozen=True, kw_only=True)
class Mask:
    """Replace the characters between the first and the last few by `fill`.

    A value with no more than `keep_first + keep_last` characters is filled whole.

    Attributes:
        within: Some of `KINDS`: only these are replaced where they stand in a text, each by its
            name in brackets, and the rest of the text stays.
    """

    keep_first: int = 0
    keep_last: int = 0
    fill: str = "*"
    within: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Generalize:
    """Round values down; exactly one of the three is set.

    Attributes:
        to: Timestamps: year, month, day or hour (UTC); dates: year or month.
        step: Numbers: down to a multiple of it, toward minus infinity; wider than the last digit.
        prefix: Strings: the first characters, `MOST_CHARACTERS` at most; with a rule
            `format: ipv4` or `ipv6`, the first bits, written as a network (`10.1.2.0/24`).
    """

    to: str | None = None
    step: int | float | None = None
    prefix: int | None = None


def mask(column: Column) -> Mask:
    """Options of a masked column; call `problem` first."""
    return Mask(**cast("dict[str, Any]", dict(column.protect_options)))


def generalize(column: Column) -> Generalize:
    """Options of a generalized column; call `problem` first."""
    return Generalize(**cast("dict[str, Any]", dict(column.protect_options)))


def address_format(column: Column) -> str | None:
    """`ipv4` or `ipv6` where the column's rules say that it holds addresses."""
    formats = {str(rule.value) for rule in column.rules if rule.kind == "format"}
    return next((name for name in ("ipv4", "ipv6") if name in formats), None)


def items(column: Column) -> Column:
    """Return the items of an array, with the array's own protection where they name none."""
    inner = column.items or Column(
        name="items", path=f"{column.path}[]", type=column.type.value_type, logical="string"
    )
    if column.protect is Protection.KEEP or inner.protect is not Protection.KEEP:
        return inner
    return replace(inner, protect=column.protect, protect_options=column.protect_options)


def problem(column: Column) -> str | None:
    """Say why this column cannot be protected as it asks, or None; nested columns not included."""
    if column.protect in (Protection.KEEP, Protection.DROP):
        return None
    if column.open or pa.types.is_struct(column.type):
        return (
            "protection of an object must be keep or drop; "
            f"got {column.protect}; protect its keys instead"
        )
    if pa.types.is_list(column.type):
        return problem(items(column))
    allowed = {
        "mask": {"keep_first", "keep_last", "fill", "within"},
        "generalize": {"to", "step", "prefix"},
    }
    options = dict(column.protect_options)
    unknown = set(options) - allowed.get(column.protect, set())
    if unknown:
        return (
            f"options of {column.protect} must be among "
            f"{sorted(allowed.get(column.protect, set()))}; got {sorted(unknown)}; remove them"
        )
    if column.protect is Protection.MASK:
        return _within_problem(column, options) or _mask_problem(options)
    return _generalize_problem(column, options) if column.protect is Protection.GENERALIZE else None


def _mask_problem(options: dict[str, object]) -> str | None:
    fill = options.get("fill", "*")
    if not isinstance(fill, str) or len(fill) != 1:
        return "fill must be one character; got something else; use fill: '*'"
    for name in ("keep_first", "keep_last"):
        if not _whole(options.get(name, 0), at_least=0):
            return f"{name} must be a whole number from 0; got {options[name]!r}; use {name}: 2"
    return None


def _within_problem(column: Column, options: dict[str, object]) -> str | None:
    if "within" not in options:
        return None
    kinds = options["within"]
    if not isinstance(kinds, tuple) or not kinds or not set(kinds) <= set(KINDS):
        return f"within must list some of {', '.join(KINDS)}; got {kinds!r}; correct it"
    if not pa.types.is_string(column.type):
        return f"within must be of texts; got {column.type}; mask the value, or drop it"
    if len(options) > 1:
        return f"within must stand alone; got {sorted(options)}; what it finds goes whole"
    return None


def _generalize_problem(column: Column, options: dict[str, object]) -> str | None:
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        units = UNITS if pa.types.is_timestamp(kind) else UNITS[:2]  # the day is all of a date
        good, must = options.get("to") in units, f"to: one of {', '.join(units)}"
    elif pa.types.is_integer(kind):
        good, must = _whole(options.get("step"), at_least=2), "step: a whole number from 2"
    elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        step = options.get("step")
        number = isinstance(step, int | float) and not isinstance(step, bool)
        finest = 0.1**kind.scale if pa.types.is_decimal(kind) else 0.0  # all digits: the value
        good = number and float(cast("float", step)) > finest * (1 + 1e-9)
        must = f"step: a number above {finest:g}"
    elif pa.types.is_string(kind):
        bits = {"ipv4": 32, "ipv6": 128}.get(address_format(column) or "", _longest(column))
        size = options.get("prefix")
        good = _whole(size, at_least=0) and cast("int", size) < bits  # all of it is the value
        must = f"prefix: a whole number from 0 to {bits - 1}"
    else:
        return f"generalize must have a meaning for the type; got {kind}; use drop or pseudonymize"
    if good and len(options) == 1:
        return None
    return (
        f"generalize of {kind} must say {must}; got {options}; set it in the protection's options"
    )


def _longest(column: Column) -> int:
    """Characters from which on a prefix would be taken for all of a text."""
    sizes = [rule.value for rule in column.rules if rule.kind == "max_length" and rule.refuse]
    return max(1, min([MOST_CHARACTERS + 1, *(s for s in sizes if isinstance(s, int))]))


def _whole(value: object, *, at_least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= at_least


def check(contract: Contract) -> None:
    """Raise UsageError naming the first column whose protection has no meaning."""
    for column in contract.leaves():
        if why := problem(column):
            msg = f"{column.path}: {why}"
            raise UsageError(msg)
        if column.items is not None and column.items.protect is Protection.DROP:
            msg = f"{column.path}: items of an array must stay; got drop; drop the array instead"
            raise UsageError(msg)
        if column.path == contract.event_time and column.protect not in (
            Protection.KEEP,
            Protection.GENERALIZE,
        ):
            msg = (
                f"{column.path}: protection of the event time must be keep or generalize; "
                f"got {column.protect}; windows are taken of it"
            )
            raise UsageError(msg)


def protected_type(column: Column) -> pa.DataType | None:
    """Arrow type after protection, or None where nothing of the column is left."""
    if column.protect is Protection.DROP:
        return None
    if column.open:
        return column.type
    if pa.types.is_struct(column.type) and column.children:
        fields = [
            column.type.field(child.name).with_type(kind)
            for child in column.children
            if (kind := protected_type(child)) is not None
        ]
        return pa.struct(fields) if fields else None
    if pa.types.is_list(column.type):
        inner = protected_type(items(column))
        return None if inner is None else pa.list_(column.type.value_field.with_type(inner))
    text = column.protect in (Protection.PSEUDONYMIZE, Protection.MASK)
    address = column.protect is Protection.GENERALIZE and address_format(column)
    return pa.string() if text or address else column.type


def path_leaves(column: Column) -> Iterator[tuple[Column, bool]]:
    """Path columns of one open object, each with whether it or an object around it is dropped."""

    def walk(at: Column, *, dropped: bool) -> Iterator[tuple[Column, bool]]:
        dropped = dropped or at.protect is Protection.DROP
        if at.children:
            for child in at.children:
                yield from walk(child, dropped=dropped)
        elif at is not column:
            yield at, dropped

    return walk(column, dropped=False)


def decoded_schema(contract: Contract) -> pa.Schema:
    """Contract columns, then path columns, as decode makes them (position columns follow)."""
    paths = [pa.field(leaf.path, leaf.type) for leaf in contract.path_columns()]
    return pa.schema([*contract.arrow_schema(), *paths])


def landed_schema(contract: Contract) -> pa.Schema:
    """Contract columns as they land: protected, the dropped ones gone, no path columns."""
    return pa.schema(
        [
            pa.field(column.name, kind, nullable=not column.required)
            for column in contract.columns
            if (kind := protected_type(column)) is not None
        ]
    )


def protected_schema(contract: Contract) -> pa.Schema:
    """Contract columns, then path columns, after protection: the input of the first step.

    Position columns (and `_event_time`, if the contract's event time is nested) follow in a batch.
    """
    paths = [
        pa.field(leaf.path, kind)
        for column in contract.columns
        if column.open
        for leaf, dropped in path_leaves(column)
        if not dropped and (kind := protected_type(leaf)) is not None
    ]
    return pa.schema([*landed_schema(contract), *paths])
