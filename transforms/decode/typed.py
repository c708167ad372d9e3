"""Rows that fit the contract, put together from columns read one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.contract import Column, Contract
from schemas.names import POSITION_FIELDS
from transforms.decode.refusals import position_columns
from transforms.sources.blocks import Block


@dataclass
class Failures:
    """The first thing wrong with each row of a block.

    Attributes:
        rows: How many rows there are.
        first: By row number, (rule, reason).
    """

    rows: int
    first: dict[int, tuple[str, str]] = field(default_factory=dict)

    def add(self, bad: NDArray[np.bool_] | None, rule: str, reason: str) -> None:
        """Note that these rows (bool) break a rule, unless something was wrong with them before."""
        if bad is not None:
            for i in np.flatnonzero(bad).tolist():
                self.first.setdefault(i, (rule, reason))

    def good(self) -> NDArray[np.int64]:
        """Return the numbers of the other rows, ascending."""
        mask = np.ones(self.rows, np.bool_)
        mask[list(self.first)] = False
        return np.flatnonzero(mask)

    def bad(self) -> NDArray[np.int64]:
        """Return the numbers of the rows that break a rule, ascending."""
        return np.array(sorted(self.first), np.int64)


def nested(column: Column) -> bool:
    """Return whether a column's values have parts."""
    return column.logical in ("object", "array")


def not_declared(column: Column) -> pa.Array:
    """Return no values of a column's type."""
    return pa.nulls(0, column.type)


def rows_of(
    contract: Contract,
    block: Block,
    columns: Mapping[str, pa.Array],
    failures: Failures,
    positions: NDArray[np.int64],
    sequences: NDArray[np.int32] | None = None,
) -> pa.RecordBatch:
    """Return the rows that break no rule: columns that are read, path columns, position columns.

    Args:
        contract: Says which columns, and in which order.
        block: Where the rows are from.
        columns: By name (path columns by path), the values of all rows; null for those left out.
        failures: Which rows to leave out.
        positions: `_position` of all rows.
        sequences: `_sequence` of all rows, if not 0.
    """
    fields: list[pa.Field] = []
    arrays: list[pa.Array] = []
    wanted = [(c.name, c) for c in contract.columns if c.read]
    wanted += [(c.path, c) for c in contract.path_columns()]
    for name, column in wanted:
        fields.append(pa.field(name, column.type))
        found = columns.get(name)
        arrays.append(pa.nulls(failures.rows, column.type) if found is None else found)
    arrays += position_columns(block, positions, sequences)
    batch = pa.record_batch(arrays, schema=pa.schema([*fields, *POSITION_FIELDS]))
    return batch if not failures.first else batch.take(pa.array(failures.good()))
