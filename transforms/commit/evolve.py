"""Tables made to fit the plan: columns added, spec and sort order changed, breaks refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.table import Table, Transaction
from pyiceberg.transforms import IdentityTransform, Transform, parse_transform
from pyiceberg.types import (
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    StructType,
)

from schemas import plan as plans
from schemas.errors import CommitError, UsageError
from transforms.commit.iceberg import change, iceberg_schema
from transforms.commit.patience import patience
from transforms.commit.tables import PROPERTIES

_CALL: Final = re.compile(r"^(\w+)\(\s*(?:(\d+)\s*,\s*)?(.+?)\s*\)$")


@dataclass(frozen=True)
class _Change:
    """One column to add (`new`), to widen, or to make optional (neither)."""

    path: tuple[str, ...]
    new: IcebergType | None = None
    wider: IcebergType | None = None


def refuse_breaks(catalog: Catalog, wanted: plans.Table) -> None:
    """Check that a table can be made to fit; nothing is changed.

    Raises:
        UsageError: See `Lake.prepare`.
    """
    try:
        have = catalog.load_table(wanted.name).schema()
    except (NoSuchTableError, NoSuchNamespaceError):
        return
    want = iceberg_schema(wanted.schema).as_struct()
    list(_differences(wanted.name, have.as_struct(), want, ()))


def create_or_fit(catalog: Catalog, wanted: plans.Table) -> None:
    """Make the table, or change the one that is there.

    Raises:
        UsageError: See `Lake.prepare`.
    """
    for _ in patience(20):
        try:
            table = catalog.load_table(wanted.name)
        except NoSuchTableError:
            try:
                table = catalog.create_table(
                    wanted.name, schema=wanted.schema, properties=PROPERTIES
                )
            except TableAlreadyExistsError:
                continue
        try:
            _fit(catalog, table, wanted)
        except CommitFailedException:  # Somebody else changed it: look again.
            continue
        return
    msg = f"the table {wanted.name} must hold still to be changed; it did not; run again"
    raise CommitError(msg)


def partition_field(text: str) -> tuple[str, Transform[Any, Any]]:
    """Read `column`, `day(column)` or `bucket(16, column)`.

    >>> partition_field("bucket(16, user_id)")
    ('user_id', BucketTransform(num_buckets=16))
    """
    call = _CALL.match(text)
    if call is None:
        return text, IdentityTransform()
    name, number, column = call.groups()
    return column, parse_transform(f"{name}[{number}]" if number else name)


def _fit(catalog: Catalog, table: Table, wanted: plans.Table) -> None:
    have = table.schema().as_struct()
    want = iceberg_schema(wanted.schema).as_struct()
    changes = list(_differences(wanted.name, have, want, ()))
    if changes:
        change(catalog, table, lambda transaction: _stage_columns(transaction, changes))
        table = catalog.load_table(wanted.name)
    _fit_layout(catalog, table, wanted)


def _fit_layout(catalog: Catalog, table: Table, wanted: plans.Table) -> None:
    schema, spec = table.schema(), table.spec()
    present = [(schema.find_column_name(f.source_id), f.transform) for f in spec.fields]
    fields = [partition_field(text) for text in wanted.partition_by]
    sorted_by = [schema.find_column_name(f.source_id) for f in table.sort_order().fields]

    def stage(transaction: Transaction) -> None:
        if present != fields:
            with transaction.update_spec() as update:
                for field, key in zip(spec.fields, present, strict=True):
                    if key not in fields:
                        update.remove_field(field.name)
                for key in fields:
                    if key not in present:
                        update.add_field(*key)
        if sorted_by != list(wanted.sort_by):
            with transaction.update_sort_order() as update:
                for column in wanted.sort_by:
                    update.asc(column, IdentityTransform())

    if present != fields or sorted_by != list(wanted.sort_by):
        change(catalog, table, stage)


def _stage_columns(transaction: Transaction, changes: list[_Change]) -> None:
    with transaction.update_schema() as update:
        for one in changes:
            if one.new is not None:
                update.add_column(one.path, one.new)
            elif one.wider is not None:
                update.update_column(one.path, field_type=one.wider)
            else:
                update.make_column_optional(one.path)


def _differences(
    table: str, have: StructType, want: StructType, path: tuple[str, ...]
) -> Iterator[_Change]:
    new = {field.name: field for field in want.fields}
    for field in have.fields:
        place = (*path, field.name)
        other = new.pop(field.name, None)
        if field.required and (other is None or not other.required):
            yield _Change(place)
        if other is not None:
            yield from _retyped(table, field.field_type, other.field_type, place)
    for field in new.values():
        yield _Change((*path, field.name), new=field.field_type)


def _retyped(
    table: str, have: IcebergType, want: IcebergType, path: tuple[str, ...]
) -> Iterator[_Change]:
    if isinstance(have, StructType) and isinstance(want, StructType):
        yield from _differences(table, have, want, path)
    elif isinstance(have, ListType) and isinstance(want, ListType):
        yield from _retyped(table, have.element_type, want.element_type, (*path, "element"))
    elif have == want or _widens(want, have):
        return
    elif _widens(have, want):
        yield _Change(path, wider=want)
    else:
        msg = (
            f"a column's type must stay as it was landed; got {want} for {'.'.join(path)} of "
            f"{table}, which holds {have}; give the new column another name, "
            "or remove out/ to begin anew"
        )
        raise UsageError(msg)


def _widens(narrow: IcebergType, wide: IcebergType) -> bool:
    """Whether Iceberg can promote a column, so that files already written stay readable."""
    if isinstance(narrow, DecimalType) and isinstance(wide, DecimalType):
        return narrow.scale == wide.scale and narrow.precision <= wide.precision
    pairs = ((IntegerType, LongType), (FloatType, DoubleType))
    return any(isinstance(narrow, a) and isinstance(wide, b) for a, b in pairs)
