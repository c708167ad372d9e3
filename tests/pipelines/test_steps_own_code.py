"""Python and Enrich in a pipeline."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
from apache_beam.testing.util import assert_that

from schemas.names import POSITION_FIELDS, TIMESTAMP
from schemas.plan import FileSource, Step
from transforms.enrich import Enrich
from transforms.python_step import Python

Open = Callable[[], beam.Pipeline]


def batch(first: int, keys: list[str | None]) -> pa.RecordBatch:
    size = len(keys)
    columns = [
        pa.array(keys, pa.string()),
        pa.array(["file:///f"] * size).dictionary_encode(),
        pa.array(range(first, first + size), pa.int64()),
        pa.array([0] * size, pa.int32()),
        pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * size, TIMESTAMP),
        pa.nulls(size, TIMESTAMP),
    ]
    return pa.record_batch(
        columns, schema=pa.schema([pa.field("key", pa.string()), *POSITION_FIELDS])
    )


BATCHES = [batch(0, ["a", "b", None]), batch(3, ["c", "a"])]


def rows_are(column: str, *expected: tuple[int, object]) -> Callable[[list[pa.RecordBatch]], None]:
    def check(batches: list[pa.RecordBatch]) -> None:
        rows = [row for each in batches for row in each.to_pylist()]
        assert sorted(((row["_position"], row[column]) for row in rows), key=str) == list(expected)

    return check


def test_the_users_function_leaves_each_row_one_destiny(
    open_pipeline: Open, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "import pyarrow.compute as pc\n"
        "def keep(batch):\n"
        "    if 'c' in batch['key'].to_pylist():\n"
        "        raise ValueError('canary')\n"
        "    return batch.filter(pc.equal(batch['key'], 'a'))\n"
    )
    with open_pipeline() as root:
        out = root | beam.Create(BATCHES) | Python(step="own", call="mine:keep", folder=tmp_path)
        assert_that(out.rows, rows_are("key", (0, "a"), (4, "a")), label="rows")
        assert_that(out.removed, rows_are("destiny", (1, "filtered"), (2, "filtered")), label="out")
        why = "mine:keep must return rows; it raised ValueError"
        assert_that(out.refused, rows_are("reason", (3, why)), label="refused")


def test_a_lookup_adds_columns_and_takes_no_row_out(open_pipeline: Open, tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("code,name\na,Anna\nb,Bert\n")
    key = pa.schema({"key": pa.string()})
    step = Step(
        id="names",
        kind="enrich",
        parameters={
            "table": "names",
            "from": FileSource(path="names.csv", format="csv"),
            "on": {"key": "code"},
            "add": {"name": {"column": "name"}},
        },
        input=key,
        output=pa.schema([*key, pa.field("name", pa.string())]),
    )
    with open_pipeline() as root:
        out = root | beam.Create(BATCHES) | Enrich(step=step.id, enrich=step, folder=tmp_path)
        named = ((0, "Anna"), (1, "Bert"), (2, None), (3, None), (4, "Anna"))
        assert_that(out.rows, rows_are("name", *named), label="rows")
        assert_that(out.removed, rows_are("destiny"), label="removed")
        assert_that(out.refused, rows_are("reason"), label="refused")
