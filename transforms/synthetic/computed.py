"""Columns that the contract computes of a record's own: a run refuses rows where it cannot."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from schemas.contract import Contract
from schemas.expressions import Place, check
from transforms.batches import one_batch
from transforms.expressions import Evaluator
from transforms.synthetic.values import at_path, breaks
from transforms.synthetic.written import nested_as_json


class Computed:
    """Computes the columns of made-up rows as decode does."""

    def __init__(self, contract: Contract) -> None:
        """Check the expressions against what is read."""
        self.contract = contract
        self.columns = tuple(column for column in contract.columns if not column.read)
        read = [(c.name, c.type) for c in contract.columns if c.read]
        self._paths = {c.path: c.type for c in contract.path_columns()}
        schema = pa.schema([*read, *self._paths.items()])
        place = Place(contract.file, 1)
        expressions = {
            c.name: check(str(c.transform), schema, place=place, expect=c.type)
            for c in self.columns
        }
        self._reads = {name for one in expressions.values() for name in one.columns}
        self._evaluator = Evaluator(expressions)

    def __call__(self, table: pa.Table) -> tuple[Mapping[str, pa.Array], np.ndarray]:
        """Return the columns, and in which rows one of them is not what the contract asks."""
        bad = np.zeros(table.num_rows, bool)
        if not self.columns:
            return {}, bad
        found = self._evaluator.evaluate(self._batch(table))
        bad[found.failed] = True
        for column in self.columns:
            values = found.columns[column.name]
            if column.required or column.name == self.contract.event_time:
                bad |= values.is_null().to_numpy(zero_copy_only=False)
            bad |= breaks(column, values)
        return found.columns, bad

    def _batch(self, table: pa.Table) -> pa.RecordBatch:
        opened = [c.name for c in self.contract.columns if c.open and c.name in self._reads]
        whole = nested_as_json(table, self.contract, opened) if opened else table
        for path in self._paths.keys() & self._reads:
            whole = whole.append_column(path, at_path(table, path.split(".")))
        return one_batch(whole)
