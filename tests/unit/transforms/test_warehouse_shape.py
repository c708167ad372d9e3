"""Warehouse tables grow as the lake's do, and promise no more than the rows hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.contract import Column, Protection, Rule
from schemas.ddl import WarehouseColumn, WarehouseTable, duckdb_type
from transforms.sinks.warehouse_shape import AnewError, fit, misfits, shaped, tables_present

UUID = Rule(kind="format", value="uuid")
CITY, ZIP = pa.field("city", pa.string()), pa.field("zip code", pa.int32())


def _table(*fields: pa.Field, **sql: str) -> WarehouseTable:
    columns = tuple(
        WarehouseColumn(f.name, f.type, sql.get(f.name, duckdb_type(f.type)), not f.nullable)
        for f in fields
    )
    return WarehouseTable(name="a.t", source="a.t", columns=columns)


def _fit(
    c: duckdb.DuckDBPyConnection, table: WarehouseTable, *files: pa.Schema
) -> dict[str, tuple[str, bool]]:
    fit(c, table, tables_present(c).get("a.t"), files)
    return {n: (p.sql, p.required) for n, p in tables_present(c)["a.t"].items()}


@pytest.fixture
def c() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA a")
    return connection


def test_keys_of_structs_are_added_in_place_inside_lists_too(c: duckdb.DuckDBPyConnection) -> None:
    def fields(*inner: pa.Field) -> list[pa.Field]:
        place = pa.struct(inner)
        return [pa.field("s", place), pa.field("l", pa.list_(place))]

    old = fields(CITY)
    _fit(c, _table(*old), pa.schema(old))
    c.execute("INSERT INTO a.t VALUES ({city: 'x'}, [{city: 'y'}, NULL]), (NULL, NULL)")
    new = fields(ZIP, CITY)
    types = _fit(c, _table(*new), pa.schema(old), pa.schema(new))
    assert types["s"][0] == 'STRUCT(city VARCHAR, "zip code" INTEGER)'
    one = {"city": "x", "zip code": None}
    assert c.execute("FROM a.t").fetchall() == [(one, [one | {"city": "y"}, None]), (None, None)]
    # A key that the plan drops stays, as it does in the lake.
    assert _fit(c, _table(*fields(ZIP)), pa.schema(new)) == types
    assert _fit(c, _table(*fields(ZIP, CITY)), pa.schema(new)) == types


def test_a_column_is_required_only_if_every_file_has_it_so(c: duckdb.DuckDBPyConnection) -> None:
    have, lost = pa.field("have", pa.int64(), nullable=False), pa.field("lost", pa.int64())
    table = _table(have, lost.with_nullable(False), pa.field("late", pa.string(), nullable=False))
    files = [pa.schema([have, lost]), pa.schema([have, lost, pa.field("late", pa.string())])]
    assert [x.required for x in shaped(table, files).columns] == [True, False, False]
    assert [x.required for x in shaped(table, []).columns] == [True, True, True]
    assert _fit(c, table)["lost"] == ("BIGINT", True)
    assert _fit(c, table, *files)["lost"] == ("BIGINT", False)


def test_the_type_is_that_of_the_lake_where_the_plan_is_narrower(
    c: duckdb.DuckDBPyConnection,
) -> None:
    wide = pa.schema([("n", pa.int64()), ("d", pa.decimal128(18, 2)), ("x", pa.float64())])
    table = _table(
        pa.field("n", pa.int32()), pa.field("d", pa.decimal128(9, 2)), pa.field("x", pa.float32())
    )
    _fit(c, table)
    c.execute("INSERT INTO a.t VALUES (1, 2.25, 0.5)")
    sql = {n: kind for n, (kind, _) in _fit(c, table, wide).items()}
    assert sql == {"n": "BIGINT", "d": "DECIMAL(18,2)", "x": "DOUBLE"}
    assert c.execute("SELECT n, d::DOUBLE, x FROM a.t").fetchall() == [(1, 2.25, 0.5)]


def test_text_that_becomes_a_uuid_stays_text_and_the_other_way_is_made_anew(
    c: duckdb.DuckDBPyConnection,
) -> None:
    text = pa.field("id", pa.string())
    files = pa.schema([text])
    _fit(c, _table(text), files)
    assert _fit(c, _table(text, id="UUID"), files) == {"id": ("VARCHAR", False)}
    c.execute("DROP TABLE a.t")
    _fit(c, _table(text, id="UUID"), files)
    with pytest.raises(AnewError, match=r"id of a.t was UUID and is VARCHAR"):
        _fit(c, _table(text), files)


def test_columns_whose_texts_are_not_what_the_contract_says_are_found(tmp_path: Path) -> None:
    good, path = "c0de0000-0000-4000-8000-000000000001", tmp_path / "1.parquet"
    rows = {"a": [good, None], "b": [good, "no"], "j": ["{}", "[1]"], "k": ["{", None]}
    pq.write_table(pa.table(rows), path)
    names = [pa.field(n, pa.string()) for n in (*rows, "new")]
    table = _table(*names, a="UUID", b="UUID", j="JSON", k="JSON", new="UUID")
    found = misfits([table], {"a.t": [path.as_uri()]})
    assert found == {("a.t", "b"), ("a.t", "k")}
    kinds = {x.name: x.sql for x in shaped(table, [], found).columns}
    assert kinds == {"a": "UUID", "b": "VARCHAR", "j": "JSON", "k": "VARCHAR", "new": "UUID"}


def test_descriptions_become_comments_and_are_kept_up_to_date(
    c: duckdb.DuckDBPyConnection,
) -> None:
    table = _table(pa.field("id", pa.int64()), pa.field("n", pa.int64()))
    for said in ("It's the key", "The key"):
        first = replace(table.columns[0], description=said)
        _fit(c, replace(table, columns=(first, table.columns[1])))
        comments = {n: p.comment for n, p in tables_present(c)["a.t"].items()}
        assert comments == {"id": said, "n": ""}


def test_only_text_is_taken_for_what_the_contract_says() -> None:
    column = Column(name="id", path="id", type=pa.string(), logical="string", rules=(UUID,))
    assert duckdb_type(pa.string(), column) == "UUID"
    assert duckdb_type(pa.int64(), column) == "BIGINT"  # a measure of the same name
    assert duckdb_type(pa.string(), replace(column, protect=Protection.PSEUDONYMIZE)) == "VARCHAR"
    assert duckdb_type(pa.string(), replace(column, rules=(), open=True)) == "JSON"
