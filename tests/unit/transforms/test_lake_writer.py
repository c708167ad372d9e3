import pickle
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table as IcebergTable

from schemas.plan import Table
from transforms.commit.bounds import bounds, one_source
from transforms.commit.evolve import create_or_fit
from transforms.commit.iceberg import Files, send
from transforms.commit.lake import files_at, local_catalog, read_at
from transforms.commit.table_info import TableInfo
from transforms.sinks.lake import FileWriter

Loaded = tuple[Catalog, IcebergTable]
UTC = pa.timestamp("us", "UTC")
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("at", UTC, nullable=False),
        pa.field("kind", pa.string()),
        pa.field("price", pa.decimal128(12, 2)),
        pa.field("place", pa.struct([("city", pa.string()), ("zip", pa.int32())])),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("_source", pa.string(), nullable=False),
        pa.field("_position", pa.int64(), nullable=False),
    ]
)


def rows(
    start: int, count: int, source: str = "file:///landing/a/very/long/name.jsonl"
) -> pa.Table:
    n = np.arange(start, start + count)
    return pa.table(
        {
            "id": [f"id-{i}" for i in n],
            "at": pa.array(n * 1000, pa.int64()).cast(UTC),
            "kind": ["view" if i % 2 else None for i in n],
            "price": pa.array(
                [None if i % 7 else Decimal(int(i)) for i in n], pa.decimal128(12, 2)
            ),
            "place": [{"city": f"c{i % 3}", "zip": int(i)} if i % 5 else None for i in n],
            "tags": [["x", None] if i % 3 else None for i in n],
            "_source": pa.array([source] * count).dictionary_encode(),
            "_position": n,
        }
    )


@pytest.fixture
def table(tmp_path: Path) -> Loaded:
    catalog = local_catalog(tmp_path / "with space é")
    catalog.create_namespace_if_not_exists("a")
    create_or_fit(catalog, Table(name="a.t", schema=SCHEMA))
    return catalog, catalog.load_table("a.t")


def test_what_is_written_is_what_iceberg_reads(table: Loaded) -> None:
    catalog, loaded = table
    writer = FileWriter(pickle.loads(pickle.dumps(TableInfo.of(loaded))))
    for start in range(0, 1000, 100):
        batch = rows(start, 100)
        writer.write(batch.combine_chunks().to_batches()[0] if start % 200 else batch)
    files = writer.close()
    send(catalog, loaded, Files(files, []), {}, keep=10)
    loaded = catalog.load_table("a.t")
    read = read_at(loaded, loaded.current_snapshot().snapshot_id).sort_by("_position")
    wanted = rows(0, 1000)
    assert read.schema.remove_metadata().equals(SCHEMA)
    assert read.to_pylist() == wanted.to_pylist()
    assert [f.record_count for f in files] == [1000]


def test_a_data_file_says_what_is_in_it(table: Loaded) -> None:
    _, loaded = table
    info = TableInfo.of(loaded)
    writer = FileWriter(info)
    writer.write(rows(5, 50))
    (file,) = writer.close()
    again = pickle.loads(pickle.dumps(file))
    assert again.spec_id == loaded.spec().spec_id
    assert bounds(again, info.schema, "at") == (5000, 54000)
    assert bounds(again, info.schema, "_position") == (5, 54)
    assert one_source(again, info.schema) == "file:///landing/a/very/long/name.jsonl"
    nulls = info.schema.find_field("kind").field_id
    assert again.null_value_counts[nulls] == 25
    assert again.file_size_in_bytes == Path(again.file_path.removeprefix("file://")).stat().st_size


def test_two_sources_in_a_file_are_told_from_one(table: Loaded) -> None:
    _, loaded = table
    info = TableInfo.of(loaded)
    writer = FileWriter(info)
    writer.write(rows(0, 3, "s3://bucket/landing/part-1"))
    writer.write(rows(0, 3, "s3://bucket/landing/part-2"))
    (file,) = writer.close()
    assert one_source(file, info.schema) is None
    assert bounds(file, info.schema, "_source") == (
        "s3://bucket/landing/part-1",
        "s3://bucket/landing/part-2",
    )


def test_field_ids_are_in_the_file_and_the_arrow_schema_is_not(table: Loaded) -> None:
    _, loaded = table
    info = TableInfo.of(loaded)
    writer = FileWriter(info)
    writer.write(rows(0, 10))
    (file,) = writer.close()
    parquet = pq.ParquetFile(file.file_path.removeprefix("file://"))
    assert b"ARROW:schema" not in (parquet.metadata.metadata or {})
    ids = {f.name: f.metadata[b"PARQUET:field_id"] for f in parquet.schema_arrow}
    assert ids == {f.name: str(f.field_id).encode() for f in info.schema.fields}
    inner = parquet.schema_arrow.field("place").type.field("city")
    assert (
        inner.metadata[b"PARQUET:field_id"]
        == str(info.schema.find_field("place.city").field_id).encode()
    )


def test_encodings_follow_the_values(table: Loaded) -> None:
    _, loaded = table
    writer = FileWriter(TableInfo.of(loaded))
    writer.write(rows(0, 10_000))
    (file,) = writer.close()
    group = pq.ParquetFile(file.file_path.removeprefix("file://")).metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert not columns["id"].has_dictionary_page
    assert columns["kind"].has_dictionary_page
    assert columns["_source"].has_dictionary_page
    assert "DELTA_BINARY_PACKED" in columns["_position"].encodings
    assert "DELTA_BINARY_PACKED" in columns["at"].encodings


def test_a_column_that_is_not_there_is_null_and_one_too_many_is_left_out(table: Loaded) -> None:
    catalog, loaded = table
    writer = FileWriter(TableInfo.of(loaded))
    writer.write(rows(0, 3).drop_columns(["kind", "place"]).append_column("a.b", [[1, 2, 3]]))
    send(catalog, loaded, Files(writer.close(), []), {}, keep=10)
    loaded = catalog.load_table("a.t")
    read = read_at(loaded, loaded.current_snapshot().snapshot_id)
    assert read["kind"].to_pylist() == [None] * 3
    assert read.column_names == SCHEMA.names


def test_a_null_in_a_required_column_is_refused(table: Loaded) -> None:
    _, loaded = table
    writer = FileWriter(TableInfo.of(loaded))
    writer.write(rows(0, 3).drop_columns(["id"]))
    with pytest.raises(pa.ArrowInvalid, match="id"):
        writer.close()


def test_batches_may_differ_in_how_they_are_encoded(table: Loaded) -> None:
    catalog, loaded = table
    writer = FileWriter(TableInfo.of(loaded), group_rows=2500)
    plain = rows(0, 1000).set_column(6, "_source", pa.array(["s"] * 1000))
    large = rows(1000, 1000).set_column(0, "id", pa.array(["i"] * 1000, pa.large_string()))
    for batch in (plain, large, rows(2000, 1000), rows(3000, 1000), plain):
        writer.write(batch)
    send(catalog, loaded, Files(writer.close(), []), {}, keep=10)
    loaded = catalog.load_table("a.t")
    read = read_at(loaded, loaded.current_snapshot().snapshot_id, ["id", "_source", "_position"])
    both = sorted(zip(read["_position"].to_pylist(), read["_source"].to_pylist(), strict=True))
    assert both[0:2] == [(0, "s"), (0, "s")]
    assert both[-1][0] == 3999
    assert len(both) == 5000


def test_files_roll_at_their_size_and_rows_of_one_call_stay_together(table: Loaded) -> None:
    _, loaded = table
    writer = FileWriter(TableInfo.of(loaded), target_bytes=30_000, group_rows=1000)
    for start in range(0, 20_000, 700):
        writer.write(rows(start, 700))
    files = writer.close()
    assert len(files) > 2
    assert sum(f.record_count for f in files) == 20_300
    assert all(f.record_count % 700 == 0 for f in files)


def test_many_partitions_keep_few_files_open_and_lose_nothing(tmp_path: Path) -> None:
    catalog = local_catalog(tmp_path)
    catalog.create_namespace_if_not_exists("a")
    wanted = Table(name="a.p", schema=SCHEMA, partition_by=("bucket(20, id)",))
    create_or_fit(catalog, wanted)
    writer = FileWriter(
        TableInfo.of(catalog.load_table("a.p")), open_files=4, buffer_bytes=20_000, group_rows=50
    )
    most = 0
    for start in range(0, 2000, 500):
        writer.write(rows(start, 500))
        most = max(most, sum(p.file is not None for p in writer._parts.values()))
        assert sum(p.bytes for p in writer._parts.values()) <= 20_000
    files = writer.close()
    assert most <= 4
    assert sum(f.record_count for f in files) == 2000
    loaded = catalog.load_table("a.p")
    send(catalog, loaded, Files(files, []), {}, keep=10)
    loaded = catalog.load_table("a.p")
    at = loaded.current_snapshot().snapshot_id
    assert sorted(read_at(loaded, at, ["_position"])["_position"].to_pylist()) == list(range(2000))
    assert len(files_at(loaded, at)) == len(files)
