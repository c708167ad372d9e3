"""Warehouse tables made to fit: the plan says which columns, the lake's files which types.

A lake's table only ever grows: columns and struct fields are added, numbers widen, required columns
become optional. Each data file has the shape that its table had when it was written, so the footers
of the files that are loaded say what the warehouse's table must be able to hold. What contract and
plan say beyond that (a text is a UUID, a column is required) holds as far as the rows do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.ddl import (
    SAID,
    WarehouseColumn,
    WarehouseTable,
    comment,
    create_table,
    duckdb_type,
    quote,
    quoted_table,
    text,
)
from transforms.sinks.duckdb_file import WarehouseError, told

Loose = frozenset[tuple[str, str]]
"""(table, column) whose texts are not all of the type that the contract says."""


class AnewError(Exception):
    """The pipeline's tables must be made anew from the lake; says why, never leaves this room."""


@dataclass(frozen=True)
class Present:
    """A column as it is in the file."""

    sql: str
    required: bool
    comment: str


Tables = dict[str, dict[str, Present]]
"""Full name -> column name -> column."""


class Footers(dict[str, pa.Schema]):
    """Path -> Arrow schema of a data file, each read once."""

    def __missing__(self, path: str) -> pa.Schema:
        try:
            self[path] = pq.read_schema(local(path)).remove_metadata()
        except (OSError, pa.ArrowException) as error:
            msg = (
                "the data files that a commit of the lake names must be readable; got "
                f"{type(error).__name__}; restore the lake's files, and run `penstock load`"
            )
            raise WarehouseError(msg) from None
        return self[path]


def local(uri: str) -> str:
    """Return the path of a local file."""
    return uri.removeprefix("file://")


def tables_present(c: duckdb.DuckDBPyConnection) -> Tables:
    """Return all tables of the file."""
    out: Tables = {}
    rows = c.execute(
        "SELECT schema_name || '.' || table_name, column_name, data_type, is_nullable, comment "
        "FROM duckdb_columns() WHERE database_name = current_database() AND NOT internal "
        "ORDER BY ALL"
    ).fetchall()
    for name, column, sql, nullable, said in rows:
        out.setdefault(name, {})[column] = Present(sql, not nullable, said or "")
    return out


def shaped(
    table: WarehouseTable, schemas: Iterable[pa.Schema], loose: Loose = frozenset()
) -> WarehouseTable:
    """Return the table as it must be to hold rows of files with these schemas.

    A column has the widest of its types in plan and files, and is required if it is in all of them.
    """
    kinds = list(dict.fromkeys(schemas))
    return replace(table, columns=tuple(_shaped(table, c, kinds, loose) for c in table.columns))


def _shaped(
    table: WarehouseTable, column: WarehouseColumn, schemas: Sequence[pa.Schema], loose: Loose
) -> WarehouseColumn:
    fields = [s.field(column.name) for s in schemas if column.name in s.names]
    arrow = widest([column.arrow, *(f.type for f in fields)])
    said = column.sql in SAID and (table.name, column.name) not in loose
    return replace(
        column,
        arrow=arrow,
        sql=column.sql if said and pa.types.is_string(arrow) else duckdb_type(arrow),
        required=column.required
        and len(fields) == len(schemas)
        and not any(f.nullable for f in fields),
    )


def widest(types: Sequence[pa.DataType]) -> pa.DataType:
    """Return the type that holds all of these; the last one if there is none."""
    plain = list(dict.fromkeys(_plain(t) for t in types))
    if len(plain) == 1:
        return plain[0]
    try:
        both = pa.unify_schemas(
            [pa.schema([("c", t)]) for t in plain], promote_options="permissive"
        )
    except pa.ArrowException:
        return plain[-1]
    return both.field(0).type


def _plain(of: pa.DataType) -> pa.DataType:
    return of.value_type if pa.types.is_dictionary(of) else of


def fit(
    c: duckdb.DuckDBPyConnection,
    table: WarehouseTable,
    there: dict[str, Present] | None,
    schemas: Sequence[pa.Schema],
    loose: Loose = frozenset(),
) -> WarehouseTable:
    """Make the table, or change the one that is there, so that it takes rows of these files.

    Args:
        c: Open, in a transaction.
        table: As the plan has it.
        there: Its present columns, None if it must be made.
        schemas: Of the files to be loaded; without any only columns of the plan are added.
        loose: Columns that stay plain text.

    Returns:
        The table with the types that it has now.

    Raises:
        AnewError: A column's type cannot be changed in place without losing something.
        WarehouseError: DuckDB refuses a change.
    """
    wanted = shaped(table, schemas, loose)
    with told(table.name, [column.name for column in table.columns]):
        if there is None:
            c.execute(create_table(wanted))
            return wanted
        made = replace(wanted, columns=tuple(_typed(c, wanted, there, schemas)))
        for statement in _changes(made, there):
            c.execute(statement)
    return made


def _typed(
    c: duckdb.DuckDBPyConnection,
    table: WarehouseTable,
    there: dict[str, Present],
    schemas: Sequence[pa.Schema],
) -> Iterator[WarehouseColumn]:
    """Yield the columns with the types they must have in the table that is there."""
    for column in table.columns:
        have = there.get(column.name)
        if have is None or (schemas and _same(have.sql, column.sql)):
            yield column
        elif not schemas or (have.sql == "VARCHAR" and column.sql in SAID):
            yield replace(column, sql=have.sql)
        else:
            yield _grown(c, table, column, have)


def _grown(
    c: duckdb.DuckDBPyConnection, table: WarehouseTable, column: WarehouseColumn, have: Present
) -> WarehouseColumn:
    query = f"SELECT {quote(column.name)} FROM {quoted_table(table.name)} LIMIT 0"  # noqa: S608
    held = c.sql(query).to_arrow_table().schema.field(0).type
    arrow = widest([held, column.arrow])
    if {have.sql, column.sql} & set(SAID) or widest([arrow, held]) != arrow:
        why = f"{column.name} of {table.name} was {have.sql} and is {column.sql}"
        raise AnewError(why)
    return replace(column, arrow=arrow, sql=duckdb_type(arrow))


def _same(one: str, other: str) -> bool:
    """Whether two texts are one type; DuckDB quotes names only where it must."""
    return one.replace('"', "") == other.replace('"', "")


def _changes(table: WarehouseTable, there: dict[str, Present]) -> Iterator[str]:
    alter = f"ALTER TABLE {quoted_table(table.name)}"
    names = {column.name: column for column in table.columns}
    for name, have in there.items():
        column = names.get(name)
        if have.required and (column is None or not column.required):
            yield f"{alter} ALTER COLUMN {quote(name)} DROP NOT NULL"
    for column in table.columns:
        present = there.get(column.name)
        if present is None:
            yield f"{alter} ADD COLUMN {quote(column.name)} {column.sql}"
        elif not _same(present.sql, column.sql):
            yield f"{alter} ALTER COLUMN {quote(column.name)} SET DATA TYPE {column.sql}"
        if column.description and (present is None or present.comment != column.description):
            yield comment(table, column)


def misfits(tables: Iterable[WarehouseTable], added: dict[str, list[str]]) -> Loose:
    """Find the columns of these files whose texts are not all of the type the contract says."""
    found = set()
    with duckdb.connect() as c, told():
        for table in tables:
            files = added.get(table.source, [])
            there = {n for f in files for n in Footers()[f].names}
            for column in table.columns:
                if column.sql not in SAID or column.name not in there:
                    continue
                name, paths = quote(column.name), ", ".join(text(local(f)) for f in files)
                query = (
                    f"SELECT count(*) FROM read_parquet([{paths}], union_by_name = true, "  # noqa: S608
                    f"hive_partitioning = false) WHERE TRY_CAST({name} AS {column.sql}) IS NULL "
                    f"AND {name} IS NOT NULL"
                )
                if c.execute(query).fetchall() != [(0,)]:
                    found.add((table.name, column.name))
    return frozenset(found)
