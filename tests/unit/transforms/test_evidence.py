"""Whatever the type of a column that nobody has declared, looking at it is no reason to stop."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.contract import OnChange
from tests import contracts
from transforms.changes.evidence import Beside, of_batch
from transforms.changes.meet import Meet
from transforms.changes.seen import Key
from transforms.decode.columnar import ColumnarDecoder
from transforms.sources.blocks import Block

ROWS = 40


def rep(kind: pa.DataType, *values: Any) -> pa.Array:
    return pa.array([values[i % len(values)] for i in range(ROWS)], kind)


def runs(values: pa.Array) -> pa.Array:
    return pa.RunEndEncodedArray.from_arrays([ROWS // 2, ROWS], values[:2])


def union(sparse: bool) -> pa.Array:
    kinds = pa.array([i % 2 for i in range(ROWS)], pa.int8())
    parts = [rep(pa.int64(), 1, 2), rep(pa.string(), "a", "b")]
    if sparse:
        return pa.UnionArray.from_sparse(kinds, parts)
    return pa.UnionArray.from_dense(kinds, pa.array(range(ROWS), pa.int32()), parts)


def extension(kind: Any, storage: pa.Array) -> pa.Array:
    return pa.ExtensionArray.from_storage(kind, storage)


HUGE = Decimal("1" * 70)
BYTES = (b"\xff" * 16, b"\x00" * 16, None)
COLUMNS: dict[str, pa.Array] = {
    "nothing": pa.nulls(ROWS),
    "boolean": rep(pa.bool_(), True, None),
    **{f"int{n}": rep(getattr(pa, f"int{n}")(), -1, 5, None) for n in (8, 16, 32, 64)},
    **{f"uint{n}": rep(getattr(pa, f"uint{n}")(), 2**n - 1, None) for n in (8, 16, 32, 64)},
    "half": rep(pa.float16(), 1.5, float("nan"), None),
    "float": rep(pa.float32(), 1.5, float("inf")),
    "double": rep(pa.float64(), float("nan")),
    "decimal32": rep(pa.decimal32(5, 2), Decimal("1.50"), None),
    "decimal64": rep(pa.decimal64(15, 2), Decimal("1.50")),
    "decimal128": rep(pa.decimal128(38, 0), Decimal("9" * 38)),
    "decimal256": rep(pa.decimal256(76, 2), HUGE, None),
    "decimal256_small": rep(pa.decimal256(76, 50), Decimal("1.5")),
    "text": rep(pa.string(), "a" * 100_000, "\x1b[31mred", None),
    "large_text": rep(pa.large_string(), "a", None),
    "text_view": rep(pa.string_view(), "a" * 99, None),
    "bytes": rep(pa.binary(), *BYTES),
    "large_bytes": rep(pa.large_binary(), *BYTES),
    "bytes_view": rep(pa.binary_view(), *BYTES),
    "fixed": rep(pa.binary(16), *BYTES),
    "date32": rep(pa.date32(), 2**31 - 1, -(2**31), 0, None),
    "date64": rep(pa.date64(), dt.date(2026, 1, 31), None),
    "time32s": rep(pa.time32("s"), 5, None),
    "time32ms": rep(pa.time32("ms"), 5),
    "time64us": rep(pa.time64("us"), 5),
    "time64ns": rep(pa.time64("ns"), 123_456_789, None),
    **{f"stamp_{u}": rep(pa.timestamp(u), 2**62, -(2**62), 1, None) for u in ("s", "ms", "us")},
    "stamp_ns": rep(pa.timestamp("ns"), 1_700_000_000_123_456_789, None),
    "stamp_ns_far": rep(pa.timestamp("ns"), 2**63 - 1, -(2**63) + 1),
    "stamp_zone": rep(pa.timestamp("ns", "Asia/Kolkata"), 1, None),
    "stamp_offset": rep(pa.timestamp("ms", "-03:30"), 1, None),
    **{f"duration_{u}": rep(pa.duration(u), 2**62, None, 1) for u in ("s", "ms", "us", "ns")},
    "interval": rep(pa.month_day_nano_interval(), (1, 2, 3), None),
    "list": rep(pa.list_(pa.timestamp("ns")), [1, None], [], None),
    "large_list": rep(pa.large_list(pa.large_string()), ["a"], None),
    "fixed_list": rep(pa.list_(pa.float16(), 2), [1.5, 2.5], None),
    "list_view": rep(pa.list_view(pa.string_view()), ["a"], [], None),
    "large_list_view": rep(pa.large_list_view(pa.int64()), [1], None),
    "lists": rep(pa.list_(pa.list_(pa.duration("ns"))), [[1], None], None),
    "struct": rep(pa.struct([("at", pa.timestamp("ns")), ("b", pa.binary())]), (1, b"\xff"), None),
    "large_nested": rep(pa.list_(pa.struct([("n", pa.int64())])), [{"n": 1}] * 3000, None),
    "map": rep(pa.map_(pa.binary(), pa.timestamp("ns")), [(b"\xff", 1)], None),
    "dictionary": rep(pa.string(), "a", None).dictionary_encode(),
    "dictionary_ns": rep(pa.timestamp("ns"), 1, None).dictionary_encode(),
    "runs": runs(rep(pa.timestamp("ns"), 1, 2)),
    "sparse": union(sparse=True),
    "dense": union(sparse=False),
    "uuid": extension(pa.uuid(), rep(pa.binary(16), *BYTES)),
    "json": extension(pa.json_(), rep(pa.string(), '{"a": 1}', None)),
    "bool8": extension(pa.bool8(), rep(pa.int8(), 1, 0, None)),
    "opaque": extension(pa.opaque(pa.binary(), "odd", "us"), rep(pa.binary(), *BYTES)),
    "tensor": extension(
        pa.fixed_shape_tensor(pa.int32(), [2]), rep(pa.list_(pa.int32(), 2), [1, 2])
    ),
}
NOT_READ = ("text_view", "bytes_view", "list_view", "large_list_view", "runs")
"""What `views` takes out of files, and what Parquet does not have."""
LONGEST = 100


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_any_type_is_looked_at(name: str) -> None:
    values = COLUMNS[name]
    for some in (values, values.slice(3, 7), values.slice(0, 0)):
        (said,) = of_batch(pa.record_batch({"v": some}), [Key("v")], Beside()).values() or [None]
        if said is None:
            assert some.null_count == len(some)
            continue
        assert said.proposal is not None or said.note
        assert len(said.shape) <= LONGEST
        assert said.shape.isprintable()


@pytest.mark.parametrize("mode", [None, OnChange.QUARANTINE])
@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in NOT_READ])
def test_a_record_with_a_column_of_any_type_is_met_and_kept(
    name: str, mode: OnChange | None
) -> None:
    rules = contracts.contract(contracts.column("id", "integer", pa.int64()))
    rules = rules if mode is None else replace(rules, on_change=mode)
    data = pa.record_batch({"id": pa.array(np.arange(ROWS)), "v": COLUMNS[name]})
    found = ColumnarDecoder(rules).decode(Block("file:///x.parquet", 0, data, 0))
    met = Meet(rules).columns(found)
    assert [(c.name, c.rows) for c in met.changes] == [("v", ROWS)]
    if mode is None:
        assert met.rows.num_rows == ROWS
        return
    assert met.refused is not None
    assert met.refused["record"].null_count == 0
    assert met.refused.num_rows == ROWS
