from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog

from schemas.errors import UsageError
from schemas.plan import Table
from tests.faults.world import World
from transforms.commit.evolve import create_or_fit, partition_field
from transforms.commit.files import write_files
from transforms.commit.iceberg import Files, send
from transforms.commit.lake import Lake, local_catalog, read_at
from transforms.commit.table_info import TableInfo


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = local_catalog(tmp_path)
    catalog.create_namespace("a")
    return catalog


def _fit(catalog: Catalog, fields: list[pa.Field], **layout: tuple[str, ...]) -> TableInfo:
    create_or_fit(catalog, Table(name="a.t", schema=pa.schema(fields), **layout))
    return TableInfo.of(catalog.load_table("a.t"))


def _append(catalog: Catalog, rows: pa.Table) -> None:
    table = catalog.load_table("a.t")
    send(catalog, table, Files(write_files(TableInfo.of(table), rows), []), {}, keep=10)


def _read(catalog: Catalog) -> list[dict[str, object]]:
    table = catalog.load_table("a.t")
    return read_at(table, table.current_snapshot().snapshot_id).to_pylist()


def _place(*fields: pa.Field) -> pa.Field:
    return pa.field("place", pa.struct(fields))


ID = pa.field("id", pa.int32(), nullable=False)
CITY, ZIP = pa.field("city", pa.string()), pa.field("zip", pa.int32())


def test_added_columns_are_null_in_old_rows_nested_ones_too(catalog: Catalog) -> None:
    _fit(catalog, [ID, _place(CITY)])
    _append(catalog, pa.table({"id": pa.array([1], pa.int32()), "place": [{"city": "x"}]}))
    _fit(catalog, [ID, _place(CITY, ZIP), pa.field("new", pa.string(), nullable=False)])
    two = {"id": pa.array([2], pa.int32()), "place": [{"city": "y", "zip": 7}], "new": ["n"]}
    _append(catalog, pa.table(two))
    assert sorted(_read(catalog), key=lambda r: r["id"]) == [
        {"id": 1, "place": {"city": "x", "zip": None}, "new": None},
        {"id": 2, "place": {"city": "y", "zip": 7}, "new": "n"},
    ]


def test_a_dropped_column_stays_and_is_null_in_new_rows(catalog: Catalog) -> None:
    _fit(catalog, [ID, pa.field("old", pa.string(), nullable=False)])
    _append(catalog, pa.table({"id": pa.array([1], pa.int32()), "old": ["o"]}))
    _fit(catalog, [ID])
    _append(catalog, pa.table({"id": pa.array([2], pa.int32())}))
    assert {r["id"]: r["old"] for r in _read(catalog)} == {1: "o", 2: None}


def test_numbers_may_widen_and_what_was_wider_stays(catalog: Catalog) -> None:
    narrow = [ID, pa.field("price", pa.decimal128(9, 2)), pa.field("x", pa.float64())]
    _fit(catalog, narrow)
    _append(catalog, pa.table({"id": pa.array([1], pa.int32())}))
    wide = [pa.field("id", pa.int64()), pa.field("price", pa.decimal128(18, 2))]
    info = _fit(catalog, [*wide, pa.field("x", pa.float32())])
    assert info.arrow.field("id").type == pa.int64()
    assert info.arrow.field("price").type == pa.decimal128(18, 2)
    assert info.arrow.field("x").type == pa.float64()
    big = 1 << 40
    _append(catalog, pa.table({"id": [big], "x": pa.array([0.5], pa.float32())}))
    assert {r["id"]: r["x"] for r in _read(catalog)} == {1: None, big: 0.5}


@pytest.mark.parametrize(
    ("have", "want"),
    [
        (pa.field("c", pa.string()), pa.field("c", pa.int64())),
        (pa.field("c", pa.int64()), pa.field("c", pa.float64())),
        (pa.field("c", pa.timestamp("us", "UTC")), pa.field("c", pa.string())),
        (pa.field("c", pa.list_(pa.string())), pa.field("c", pa.list_(pa.int64()))),
        (_place(CITY), _place(CITY.with_type(pa.int64()))),
        (_place(CITY), pa.field("place", pa.string())),
    ],
)
def test_a_type_that_old_files_break_is_refused_by_name(
    catalog: Catalog, have: pa.Field, want: pa.Field
) -> None:
    before = _fit(catalog, [ID, have]).schema
    with pytest.raises(UsageError, match=rf"{want.name}.*give the new column another name"):
        _fit(catalog, [ID, want, pa.field("added", pa.string())])
    assert TableInfo.of(catalog.load_table("a.t")).schema == before


def test_fitting_again_changes_nothing(catalog: Catalog) -> None:
    layout = {"partition_by": ("day(t)", "bucket(4, c)", "d"), "sort_by": ("c",)}
    fields = [pa.field("t", pa.timestamp("us", "UTC")), CITY.with_name("c"), CITY.with_name("d")]
    _fit(catalog, fields, **layout)
    at = catalog.load_table("a.t").metadata_location
    _fit(catalog, fields, **layout)
    assert catalog.load_table("a.t").metadata_location == at


def test_layout_follows_the_plan_and_old_files_stay_readable(catalog: Catalog) -> None:
    fields = [ID, CITY]
    rows = pa.table({"id": pa.array([1, 2], pa.int32()), "city": ["x", "y"]})
    _fit(catalog, fields, partition_by=("city",))
    _append(catalog, rows)
    _fit(catalog, fields, partition_by=("bucket(2, id)",), sort_by=("city", "id"))
    _append(catalog, rows)
    _fit(catalog, fields)
    _append(catalog, rows)
    table = catalog.load_table("a.t")
    assert table.spec().is_unpartitioned()
    assert table.sort_order().fields == []
    assert sorted(r["id"] for r in _read(catalog)) == [1, 1, 1, 2, 2, 2]


def test_partition_fields_are_read_as_they_are_written() -> None:
    texts = {
        "c": "identity",
        "day(t)": "day",
        "bucket(16, c)": "bucket[16]",
        "truncate( 4,c )": "truncate[4]",
        "month(t)": "month",
    }
    assert {t: str(partition_field(t)[1]) for t in texts} == texts


def test_files_of_an_older_spec_are_written_anew(tmp_path: Path) -> None:
    world = World(tmp_path)
    early = world.landed("a", 0, 60)
    name = world.plan.processed
    tables = world.plan.tables
    parted = tables | {
        name: Table(name=name, schema=tables[name].schema, partition_by=("bucket(3, id)",))
    }
    after = World(tmp_path, tables=parted)
    after.committer().commit([early], {})
    (spec,) = {f.spec_id for f in after.lake.files(name)}
    assert spec == after.lake.load(name).spec().spec_id
    assert after.wrongs(("a", 0, 60)) == []


def test_an_open_intent_outlives_a_change_of_the_spec(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.commit(("a", 0, 40))
    world.die_at("after intent", ("a", 40, 60))
    name = world.plan.processed
    tables = world.plan.tables
    parted = tables | {
        name: Table(name=name, schema=tables[name].schema, partition_by=("bucket(3, id)",))
    }
    after = World(tmp_path, tables=parted)
    after.commit(("a", 60, 90))
    assert after.wrongs(("a", 0, 90)) == []
    back = World(tmp_path)
    back.commit(("a", 90, 120))
    assert back.wrongs(("a", 0, 120)) == []


def test_an_older_run_s_spec_is_not_lost_when_a_rebuild_takes_its_files_out(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.commit(("a", 0, 60))
    name = world.plan.processed
    tables = world.plan.tables
    parted = tables | {
        name: Table(name=name, schema=tables[name].schema, partition_by=("day(at)",))
    }
    after = World(tmp_path, tables=parted)
    after.commit(("a", 60, 90))
    after.commit(("a", 0, 90), rebuild=True)
    assert after.wrongs(("a", 0, 90)) == []


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    lake = Lake(local_catalog(tmp_path), "p")
    with pytest.raises(UsageError, match=r"operations\.p_commits"):
        lake.read("processed_data.p")


def test_a_folder_that_no_uri_can_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--out"):
        local_catalog(tmp_path / "a?b")
