from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.transforms import (
    BucketTransform,
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    TruncateTransform,
    YearTransform,
)
from pyiceberg.types import BinaryType, DateType, LongType, StringType, TimestamptzType

from schemas.errors import UsageError
from schemas.plan import Table
from transforms.commit.evolve import create_or_fit
from transforms.commit.lake import local_catalog
from transforms.commit.table_info import TableInfo
from transforms.sinks.lake import FileWriter
from transforms.sinks.partition import transformed

DAY_US = 86_400_000_000
TRANSFORMS = (
    IdentityTransform(),
    DayTransform(),
    HourTransform(),
    MonthTransform(),
    YearTransform(),
    BucketTransform(16),
    TruncateTransform(7),
)


@settings(max_examples=40)
@given(st.lists(st.none() | st.integers(-(10**16), 10**16), min_size=1, max_size=20))
def test_transforms_of_a_column_are_those_of_its_values(numbers: list[int | None]) -> None:
    micros = pa.array(numbers, pa.int64())
    days = [None if n is None else n // DAY_US for n in numbers]
    texts = [None if n is None else f"é{n}" for n in numbers]
    raw = [None if t is None else t.encode() for t in texts]
    columns = [
        (TimestamptzType(), micros.cast(pa.timestamp("us", "UTC")), numbers),
        (DateType(), pa.array(days, pa.int32()).cast(pa.date32()), days),
        (LongType(), micros, numbers),
        (StringType(), pa.array(texts, pa.string()), texts),
        (BinaryType(), pa.array(raw, pa.binary()), raw),
    ]
    for of, column, values in columns:
        for transform in TRANSFORMS:
            if transform.can_transform(of):
                one = transform.transform(of)
                wanted = [None if v is None else one(v) for v in values]
                assert transformed(transform, column).to_pylist() == wanted


def test_a_transform_that_does_not_fit_its_column_is_refused() -> None:
    with pytest.raises(UsageError, match="partition_by"):
        transformed(DayTransform(), pa.array(["x"]))


def _info(root: Path, schema: pa.Schema, *partition_by: str) -> TableInfo:
    catalog = local_catalog(root)
    catalog.create_namespace_if_not_exists("a")
    create_or_fit(catalog, Table(name="a.t", schema=schema, partition_by=partition_by))
    return TableInfo.of(catalog.load_table("a.t"))


@pytest.mark.parametrize(
    "value", ["../../x", "..", "/etc/x", "a\0b", "?#%2F", "x" * 5000, "", None, "null", "é/…"]
)
def test_a_partition_value_never_leaves_its_folder(tmp_path: Path, value: str | None) -> None:
    root = tmp_path / "lake"
    info = _info(root, pa.schema([("c", pa.string()), ("n", pa.int64())]), "c")
    writer = FileWriter(info)
    writer.write(pa.table({"c": [value, "other"], "n": [1, 2]}))
    files = {f.partition[0]: f for f in writer.close()}
    assert set(files) == {value, "other"}
    written = list(tmp_path.rglob("*.parquet"))
    assert len(written) == 2
    assert all(p.parent.parent == root / "a" / "t" / "data" for p in written)
    path = files[value].file_path.removeprefix("file://")
    assert Path(path) in written


def test_partitions_that_differ_only_far_into_a_value_stay_apart(tmp_path: Path) -> None:
    info = _info(tmp_path, pa.schema([("c", pa.string())]), "c")
    writer = FileWriter(info)
    writer.write(pa.table({"c": ["x" * 500 + "a", "x" * 500 + "b"]}))
    assert len({str(Path(f.file_path).parent) for f in writer.close()}) == 2


def test_a_value_that_is_not_a_number_makes_one_partition(tmp_path: Path) -> None:
    info = _info(tmp_path, pa.schema([("c", pa.float64())]), "c")
    writer = FileWriter(info)
    for _ in range(3):
        writer.write(pa.table({"c": [float("nan"), 1.0]}))
    assert sorted(f.record_count for f in writer.close()) == [3, 3]


def test_rows_are_cut_by_several_fields_and_keep_their_order(tmp_path: Path) -> None:
    times = pa.array([0, DAY_US, 1, DAY_US + 1, None], pa.int64()).cast(pa.timestamp("us", "UTC"))
    schema = pa.schema([("t", times.type), ("c", pa.string()), ("n", pa.int64())])
    info = _info(tmp_path, schema, "day(t)", "truncate(1, c)")
    writer = FileWriter(info)
    writer.write(pa.table({"t": times, "c": ["ax", "ay", "az", "b", "b"], "n": range(5)}))
    files = {tuple(f.partition[i] for i in range(2)): f for f in writer.close()}
    assert set(files) == {(0, "a"), (1, "a"), (1, "b"), (None, "b")}
    first = info.file_io().new_input(files[0, "a"].file_path).open()
    assert pq.read_table(first)["n"].to_pylist() == [0, 2]
