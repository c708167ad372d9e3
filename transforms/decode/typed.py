"""Rows that fit the contract, put together from columns read one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.contract import Column, Contract, OnChange
from schemas.names import POSITION_FIELDS, TIMESTAMP
from transforms.changes.seen import Key
from transforms.decode.decoded import Undeclared
from transforms.sources.blocks import Block, LongRecord

K = TypeVar("K")
Mask = NDArray[np.bool_]


@dataclass
class Failures:
    """The first thing wrong with each row of a block.

    Attributes:
        rows: How many rows there are.
        first: By row number, (rule, reason).
        nulled: By column, which rows (bool) have a value that was passed over.
        cut: By column, which rows (bool) have a time that lost digits below a microsecond.
        undeclared: By key, which rows (bool) have one in an object whose keys must be declared.
    """

    rows: int
    first: dict[int, tuple[str, str]] = field(default_factory=dict)
    nulled: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    cut: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    undeclared: dict[Key, NDArray[np.bool_]] = field(default_factory=dict)

    def add(self, bad: NDArray[np.bool_] | None, rule: str, reason: str) -> None:
        """Note that these rows (bool) break a rule, unless something was wrong with them before."""
        if bad is not None:
            for i in np.flatnonzero(bad).tolist():
                self.first.setdefault(i, (rule, reason))

    def wrong(
        self,
        bad: NDArray[np.bool_] | None,
        reason: str,
        column: Column,
        contract: Contract,
        rule: str = "type",
    ) -> None:
        """Note that values (bool) are not of a column's type: pass them over, or refuse the rows.

        Args:
            bad: Which ones; what was read of them is null.
            reason: Why.
            column: A top-level column.
            contract: Says how that is met.
            rule: By which rows are refused.
        """
        if bad is None or not passes_over(column, contract):
            self.add(bad, rule, reason)
        elif bad.any():
            self.nulled[column.name] = bad | self.nulled.get(column.name, np.False_)

    def take(self, other: Failures, rows: NDArray[np.int64]) -> None:
        """Note what was wrong with some of the rows, whose numbers are given."""
        for row, said in other.first.items():
            self.first.setdefault(int(rows[row]), said)
        self._take(self.nulled, other.nulled, rows)
        self._take(self.cut, other.cut, rows)
        self._take(self.undeclared, other.undeclared, rows)

    def _take(self, own: dict[K, Mask], other: Mapping[K, Mask], rows: NDArray[np.int64]) -> None:
        for name, mask in other.items():
            own.setdefault(name, np.zeros(self.rows, np.bool_))[rows[mask]] = True

    def good(self) -> NDArray[np.int64]:
        """Return the numbers of the other rows, ascending."""
        mask = np.ones(self.rows, np.bool_)
        mask[list(self.first)] = False
        return np.flatnonzero(mask)

    def bad(self) -> NDArray[np.int64]:
        """Return the numbers of the rows that break a rule, ascending."""
        return np.array(sorted(self.first), np.int64)


def passes_over(column: Column, contract: Contract) -> bool:
    """Return whether a value that is not of a top-level column's type becomes null."""
    return contract.met(column) is OnChange.DISCARD_VALUE and not column.required


def by_row(column: Column, contract: Contract) -> bool:
    """Return whether a file that has another type for a column is met row by row."""
    modes = (OnChange.QUARANTINE, OnChange.DISCARD_ROW, OnChange.DISCARD_VALUE)
    return contract.met(column) in modes


def nulled_rows(failures: Failures) -> dict[str, NDArray[np.int64]]:
    """Return, by column, where among the good rows a value was passed over."""
    return _among_good(failures, failures.nulled)


def cut_rows(failures: Failures) -> dict[str, NDArray[np.int64]]:
    """Return, by column, where among the good rows a time lost digits."""
    return _among_good(failures, failures.cut)


def undeclared_keys(failures: Failures) -> tuple[Undeclared, ...]:
    """Say which rows have undeclared keys in objects."""
    good, bad = failures.good(), failures.bad()
    return tuple(
        Undeclared((key,), np.flatnonzero(mask[good]), np.flatnonzero(mask[bad]))
        for key, mask in failures.undeclared.items()
    )


def _among_good(
    failures: Failures, masks: Mapping[str, NDArray[np.bool_]]
) -> dict[str, NDArray[np.int64]]:
    good = failures.good()
    return {name: np.flatnonzero(mask[good]) for name, mask in masks.items()}


def nested(column: Column) -> bool:
    """Return whether a column's values have parts."""
    return column.logical in ("object", "array")


def position_columns(
    block: Block | LongRecord,
    positions: NDArray[np.int64],
    sequences: NDArray[np.int32] | None = None,
) -> list[pa.Array]:
    """Return the columns of `names.POSITION_FIELDS` for rows of a block; no watermark."""
    n = len(positions)
    return [
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([block.source])),
        pa.array(positions, pa.int64()),
        pa.array(np.zeros(n, np.int32) if sequences is None else sequences, pa.int32()),
        pa.array(np.full(n, block.arrived_us, np.int64)).cast(TIMESTAMP),
        pa.nulls(n, TIMESTAMP),
    ]


def rows_of(
    contract: Contract,
    columns: Mapping[str, pa.Array],
    failures: Failures,
    places: list[pa.Array],
) -> pa.RecordBatch:
    """Return the rows that break no rule: columns that are read, path columns, position columns.

    Args:
        contract: Says which columns, and in which order.
        columns: By name (path columns by path), the values of all rows; null for those left out.
        failures: Which rows to leave out.
        places: `position_columns` of all rows.
    """
    wanted = {c.name: c for c in contract.columns if c.read}
    wanted |= {c.path: c for c in contract.path_columns()}
    arrays = [
        columns[name] if name in columns else pa.nulls(failures.rows, column.type)
        for name, column in wanted.items()
    ]
    fields = [pa.field(name, column.type) for name, column in wanted.items()]
    schema = pa.schema([*fields, *POSITION_FIELDS])
    batch = pa.record_batch([*arrays, *places], schema=schema)
    return batch if not failures.first else batch.take(pa.array(failures.good()))
