"""Validate and Protect in a pipeline: every row on one side, and no canary on any."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import orjson
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that

from schemas.contract import Column, Contract, Protection, Rule
from schemas.errors import UsageError
from schemas.names import POSITION_FIELDS, REFUSED, TIMESTAMP
from transforms.batches import BatchCoder
from transforms.keys import resolve
from transforms.protect import Protect
from transforms.sealing import open_sealed
from transforms.validate import WARNINGS, Validate

Open = Callable[[], beam.Pipeline]
SECRET = "a secret of the pipeline tests".replace(" ", "-")
CANARY = "canary-5f0c@example.com"


def contract(protect: Protection, classification: str | None) -> Contract:
    mail = Column(
        name="mail",
        path="p.mail",
        type=pa.string(),
        logical="string",
        protect=protect,
        classification=classification,
    )
    columns = (
        Column(name="id", path="id", type=pa.string(), logical="string", required=True),
        Column(
            name="n",
            path="n",
            type=pa.int64(),
            logical="integer",
            rules=(
                Rule(kind="minimum", value=0),
                Rule(kind="maximum", value=5, refuse=False),
            ),
        ),
        Column(name="p", path="p", type=pa.string(), logical="object", open=True, children=(mail,)),
    )
    return Contract(
        id="t", name="t", version="1", file=Path("c"), columns=columns,
        event_time=None, primary_key=(), hash="",
    )  # fmt: skip


PERSONAL = contract(Protection.PSEUDONYMIZE, "restricted")
OPEN = contract(Protection.KEEP, None)


def batch(first: int, numbers: list[int]) -> pa.RecordBatch:
    size = len(numbers)
    own = {
        "id": [str(first + i) for i in range(size)],
        "n": numbers,
        "p": [orjson.dumps({"mail": CANARY, "free": i}).decode() for i in range(size)],
        "p.mail": [CANARY] * size,
    }
    when = pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * size, TIMESTAMP)
    positions = [
        pa.array(["file:///f"] * size).dictionary_encode(),
        pa.array(range(first, first + size), pa.int64()),
        pa.array([0] * size, pa.int32()),
        when,
        pa.nulls(size, TIMESTAMP),
    ]
    fields = [pa.field(name, pa.array(values).type) for name, values in own.items()]
    columns = [*map(pa.array, own.values()), *positions]
    return pa.record_batch(columns, schema=pa.schema([*fields, *POSITION_FIELDS]))


BATCHES = [batch(0, [1, -1, 9]), batch(3, [-2]), batch(4, [3])]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "keys").write_text(SECRET)
    (tmp_path / "keys").chmod(0o600)
    return tmp_path


def check(
    test: Callable[[list[dict[str, Any]], bool], None], schema: pa.Schema | None = None
) -> Callable[[list[pa.RecordBatch]], None]:
    """Give a test the rows of a side by position, and whether a canary is in its bytes."""

    def checked(batches: list[pa.RecordBatch]) -> None:
        rows = [row for each in batches for row in each.to_pylist()]
        rows.sort(key=lambda row: row.get("_position", 0))
        encoded = b"".join(map(BatchCoder().encode, batches))
        assert {each.schema for each in batches} <= {schema or each.schema for each in batches}
        test(rows, CANARY.encode() in encoded)

    return checked


def test_each_row_is_kept_or_refused_and_personal_records_are_sealed(
    open_pipeline: Open, folder: Path
) -> None:
    def kept(rows: list[dict[str, Any]], canary: bool) -> None:
        assert [row["_position"] for row in rows] == [0, 2, 4]
        assert len({row["p.mail"] for row in rows}) == 1
        key_id = resolve("file:keys", folder).newest.id
        assert all(row["p.mail"].startswith(f"{key_id}:") for row in rows)
        assert [orjson.loads(row["p"])["free"] for row in rows] == [0, 2, 0]
        assert not canary

    def refused(rows: list[dict[str, Any]], canary: bool) -> None:
        assert [row["_position"] for row in rows] == [1, 3]
        assert {row["reason"] for row in rows} == {"n must be at least 0 (minimum)"}
        ring = resolve("file:keys", folder)
        records = open_sealed(pa.array([row["record"] for row in rows]), ring).to_pylist()
        expected = {"id": "3", "n": -2, "p": {"mail": CANARY, "free": 0}}
        assert orjson.loads(records[1]) == expected
        assert not canary

    def warned(rows: list[dict[str, Any]], canary: bool) -> None:
        assert rows == [{"rule": "n: maximum", "rows": 1}]
        assert not canary

    with open_pipeline() as root:
        checked = (
            root
            | beam.Create(BATCHES)
            | Validate(contract=PERSONAL, secret="file:keys", folder=folder)
        )
        rows = checked.rows | Protect(contract=PERSONAL, secret="file:keys", folder=folder)
        assert_that(rows, check(kept), label="kept")
        assert_that(checked.refused, check(refused, REFUSED), label="refused")
        assert_that(checked.warnings, check(warned, WARNINGS), label="warned")
        for side in (checked.rows, checked.refused, checked.warnings, rows):
            assert side.element_type is pa.RecordBatch


def test_without_protection_the_canary_is_found(open_pipeline: Open) -> None:
    def found(rows: list[dict[str, Any]], canary: bool) -> None:
        assert rows
        assert canary

    with open_pipeline() as root:
        checked = root | beam.Create(BATCHES) | Validate(contract=OPEN)
        rows = checked.rows | Protect(contract=OPEN)
        assert_that(rows, check(found), label="kept")
        assert_that(checked.refused, check(found), label="refused")


def test_a_missing_key_ends_the_run(open_pipeline: Open, tmp_path: Path) -> None:
    def run() -> None:
        with open_pipeline() as root:
            _ = (
                root
                | beam.Create(BATCHES)
                | Protect(contract=PERSONAL, secret="file:keys", folder=tmp_path)
            )

    with pytest.raises((UsageError, RuntimeError), match="file:keys must be a readable file"):
        run()
