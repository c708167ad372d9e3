"""A lookup adds what a plain dictionary would, and is checked before a row is touched."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import SourceError, UsageError
from schemas.names import TIMESTAMP
from schemas.plan import FileSource, Step
from transforms import lookups
from transforms.enrich import EnrichKernel, enrich
from transforms.lookups import Lookup, LookupFiles

KEYS = st.tuples(
    st.one_of(st.none(), st.sampled_from("abcé")), st.one_of(st.none(), st.integers(0, 3))
)


@settings(max_examples=60)
@given(st.lists(KEYS, unique=True), st.lists(KEYS))
def test_a_join_agrees_with_a_dictionary(
    table: list[tuple[str | None, int | None]], rows: list[tuple[str | None, int | None]]
) -> None:
    values = {key: f"value {i}" for i, key in enumerate(table) if None not in key}
    lookup = Lookup.of(
        pa.record_batch(
            {
                "s": pa.array([s for s, _ in table], pa.string()),
                "n": pa.array([n for _, n in table], pa.int64()),
                "v": pa.array([f"value {i}" for i in range(len(table))], pa.string()),
            }
        ),
        {"text": "s", "p.number": "n"},
        {"found": "v"},
        "table",
    )
    batch = pa.record_batch(
        {
            "text": pa.array([s for s, _ in rows], pa.string()),
            "p.number": pa.array([n for _, n in rows], pa.int64()),
        }
    )
    made = enrich(batch, lookup)
    assert made.schema.names == ["text", "p.number", "found"]
    assert made.select(["text", "p.number"]).equals(batch)
    assert made.column("found").to_pylist() == [values.get(row) for row in rows]


UTC = dt.UTC
KINDS: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int64(), [1, 2, -(2**63)]),
    (pa.float64(), [0.0, 1.5, -2.25]),
    (pa.bool_(), [True, False]),
    (pa.date32(), [dt.date(2026, 1, 1), dt.date(1969, 1, 1)]),
    (TIMESTAMP, [dt.datetime(2026, 1, 1, tzinfo=UTC), dt.datetime(2026, 1, 1, 1, tzinfo=UTC)]),
    (pa.decimal128(10, 2), [1, 2]),
    (pa.binary(), [b"\x00", b"a"]),
]


@pytest.mark.parametrize(("kind", "keys"), KINDS, ids=lambda v: str(v)[:20])
def test_keys_are_of_any_type(kind: pa.DataType, keys: list[Any]) -> None:
    table = pa.record_batch({"k": pa.array(keys[1:], kind), "v": pa.array(range(1, len(keys)))})
    lookup = Lookup.of(table, {"k": "k"}, {"v": "v"}, "t")
    batch = pa.record_batch({"k": pa.array([*keys, None], kind)})
    assert enrich(batch, lookup).column("v").to_pylist() == [None, *range(1, len(keys)), None]


def test_rows_with_dictionary_keys_and_sliced_batches_are_joined_too() -> None:
    lookup = Lookup.of(pa.record_batch({"k": ["a"], "v": [1]}), {"k": "k"}, {"v": "v"}, "t")
    batch = pa.record_batch({"k": pa.array(["b", "a", "a"]).dictionary_encode()})
    assert enrich(batch.slice(1), lookup).column("v").to_pylist() == [1, 1]


def test_keys_whose_hashes_meet_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "_hashes", lambda frame: np.full(frame.height, 5, np.uint64))
    table = pa.record_batch({"k": ["a", "b", "c"], "v": [1, 2, 3]})
    lookup = Lookup.of(table, {"k": "k"}, {"v": "v"}, "t")
    batch = pa.record_batch({"k": ["c", "a", "x", None, "b"]})
    assert enrich(batch, lookup).column("v").to_pylist() == [3, 1, None, None, 2]


def test_a_column_of_the_row_is_replaced_in_its_place() -> None:
    lookup = Lookup.of(pa.record_batch({"k": ["a"], "v": [1]}), {"k": "k"}, {"x": "v"}, "t")
    batch = pa.record_batch({"x": ["old"], "k": ["a"]})
    assert enrich(batch, lookup).to_pylist() == [{"x": 1, "k": "a"}]


def test_a_key_that_is_not_unique_is_refused_without_showing_it() -> None:
    table = pa.record_batch({"a": ["canary", "canary", "b", None, None], "n": [1, 1, 1, 1, 1]})
    with pytest.raises(
        SourceError, match=r"lookup t: the key \(a, n\) must be unique; got 1 rows"
    ) as error:
        Lookup.of(table, {"x": "a", "y": "n"}, {}, "t")
    assert "canary" not in str(error.value)


def step(path: str, form: str = "csv", **more: Any) -> Step:
    kinds = {"name": pa.string(), "lat": pa.float64()}
    source = pa.schema({"faa": pa.string()})
    return Step(
        id="enrich-1",
        kind="enrich",
        parameters={
            "table": "airports",
            "from": FileSource(path=path, format=form, **more),
            "on": {"faa": "code"},
            "add": {"name": {"column": "name"}, "lat": {"column": "lat"}},
        },
        input=source,
        output=pa.schema([*source, *(pa.field(n, t) for n, t in kinds.items())]),
    )


CSV = 'code,name,lat\nEWR,"Newark, NJ",40.7\nJFK,NA,\n'
ROWS = pa.record_batch({"faa": ["JFK", "EWR", "XXX"]})
ADDED = [
    {"faa": "JFK", "name": None, "lat": None},
    {"faa": "EWR", "name": "Newark, NJ", "lat": 40.7},
    {"faa": "XXX", "name": None, "lat": None},
]


def csv_file(folder: Path) -> Step:
    (folder / "t.csv").write_text(CSV)
    return step("t.csv", nulls=("", "NA"))


def gzip_file(folder: Path) -> Step:
    (folder / "t.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    return step("t.csv.gz", nulls=("", "NA"))


def zip_file(folder: Path) -> Step:
    with zipfile.ZipFile(folder / "t.csv.zip", "w") as archive:
        archive.writestr("t.csv", CSV)
    return step("t.csv.zip", nulls=("", "NA"))


def json_file(folder: Path) -> Step:
    lines = [{"code": "EWR", "name": "Newark, NJ", "lat": 40.7, "more": [1]}, {"code": "JFK"}]
    (folder / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return step("t.jsonl", "json")


def parquet_file(folder: Path) -> Step:
    table = pa.table({"code": ["EWR", "JFK"], "name": ["Newark, NJ", None], "lat": [40.7, None]})
    pq.write_table(table, folder / "t.parquet")
    return step("t.parquet", "parquet")


FILES = [csv_file, gzip_file, zip_file, json_file, parquet_file]


@pytest.mark.parametrize("write", FILES)
def test_a_table_is_read_from_every_kind_of_file(write: Any, tmp_path: Path) -> None:
    kernel = EnrichKernel(write(tmp_path), tmp_path)
    kernel.setup()
    assert kernel(ROWS).rows.to_pylist() == ADDED
    again: EnrichKernel = pickle.loads(pickle.dumps(kernel))
    assert b"Newark" not in pickle.dumps(kernel)
    assert again(ROWS).rows.to_pylist() == ADDED


@pytest.mark.parametrize("write", [csv_file, json_file, parquet_file])
def test_a_missing_column_is_named_with_what_was_meant(write: Any, tmp_path: Path) -> None:
    made = write(tmp_path)
    made.parameters["on"] = {"faa": "codes"}
    with pytest.raises(SourceError, match=r"airports: .* must hold a column 'codes'; .*'code'"):
        EnrichKernel(made, tmp_path).setup()


def test_a_value_of_another_type_ends_the_run_without_being_shown(tmp_path: Path) -> None:
    made = csv_file(tmp_path)
    (tmp_path / "t.csv").write_text("code,name,lat\nEWR,x,1.5\nJFK,x,canary\n")
    with pytest.raises(
        SourceError, match=r"got 1 that do not, the first at position 24: "
    ) as error:
        EnrichKernel(made, tmp_path).setup()
    assert "canary" not in str(error.value)
    assert "lat" in str(error.value)


def test_a_repeated_key_ends_the_run(tmp_path: Path) -> None:
    made = csv_file(tmp_path)
    (tmp_path / "t.csv").write_text(CSV + "EWR,again,1\n")
    with pytest.raises(SourceError, match=r"the key \(code\) must be unique; got 1 rows"):
        EnrichKernel(made, tmp_path).setup()


def test_all_workers_see_the_version_that_was_planned(tmp_path: Path) -> None:
    kernel = EnrichKernel(csv_file(tmp_path), tmp_path)
    (tmp_path / "t.csv").write_text(CSV.replace("40.7", "41.7") + "LGA,x,1\n")
    with pytest.raises(SourceError, match=r"t\.csv"):
        kernel.setup()


def test_a_table_that_is_not_there_is_found_missing_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"^enrich-1: lookup airports: .*nowhere\.csv.* correct from\.files\.path"
    ):
        EnrichKernel(step("nowhere.csv"), tmp_path)


def test_a_column_has_one_type(tmp_path: Path) -> None:
    made = csv_file(tmp_path)
    made.parameters["add"] = {"lat": {"column": "code"}}
    with pytest.raises(UsageError, match="must have one type; got string and double"):
        LookupFiles.of(made, tmp_path)
