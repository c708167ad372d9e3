"""Rows back to records: what a refused row is kept as when its original bytes are not at hand."""

from __future__ import annotations

import base64
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from schemas.contract import Column, Contract


def row_records(
    batch: pa.RecordBatch, rows: NDArray[np.int64], contract: Contract
) -> pa.BinaryArray:
    """Write some rows as JSON objects that decode reads back to the same values.

    Columns of the contract that are read from records; nulls are left out; JSON text of open
    objects stands in it as it is. One row at a time: meant for the few rows that are refused.
    """
    taken = batch.take(pa.array(rows))
    columns = [column for column in contract.columns if column.read]
    values = [taken.column(column.name).to_pylist() for column in columns]
    writers = [_writer(column) for column in columns]
    records = [
        _dumps(
            {
                column.name: write(value)
                for column, write, value in zip(columns, writers, row, strict=True)
                if value is not None
            }
        )
        for row in zip(*values, strict=True)
    ]
    return pa.array(records, pa.binary())


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError


def _writer(column: Column) -> Callable[[Any], Any]:
    """Return what makes a column's Python value one that orjson writes."""
    if column.open:
        return orjson.Fragment
    if column.children:
        inside = {child.name: _writer(child) for child in column.children}
        return lambda value: {
            name: inside[name](each) if name in inside else each
            for name, each in value.items()
            if each is not None
        }
    if column.items is not None:
        item = _writer(column.items)
        return lambda value: [None if each is None else item(each) for each in value]
    return lambda value: value
