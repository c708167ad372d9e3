"""Evaluate checked row expressions over record batches, setting aside the rows that fail."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.errors import PenstockError
from schemas.expressions import Expression
from schemas.sql_engine import BATCH, connect
from schemas.sql_types import quote
from transforms.batches import one_batch


class EvaluationError(PenstockError):
    """An expression failed on a batch as a whole, not on rows of it (memory, say)."""


class Evaluated(NamedTuple):
    """Results of all expressions over one batch.

    Attributes:
        columns: Of each expression its values, as many as the batch has rows, of exactly the type
            that the plan promised; null where it failed.
        failed: Row numbers on which at least one expression failed, ascending.
        names: For each of them the first expression that failed.
    """

    columns: dict[str, pa.Array]
    failed: NDArray[np.int64]
    names: tuple[str, ...]


class _Engine(NamedTuple):
    """What one thread evaluates on; holds the columns of its last batch."""

    connection: duckdb.DuckDBPyConnection
    relations: dict[tuple[str, pa.Schema], duckdb.DuckDBPyRelation]


class Evaluator:
    """Evaluates row expressions over batches, in the order of their rows.

    Can be pickled, and called from several threads: each opens a DuckDB connection of its own on
    first use (about 40 ms), which ends with the thread.
    """

    def __init__(self, expressions: Mapping[str, Expression]) -> None:
        """Evaluate these, all over the columns of the batch itself, none over another's result."""
        self.expressions = dict(expressions)
        read = {column for e in self.expressions.values() for column in e.columns}
        self._columns = sorted(read)
        names = self.expressions
        self._plain = _query(f"{names[n].sql} AS {quote(n)}" for n in names)
        # TRY gives null both for a null and for a failure; a struct around the value tells them.
        self._tried = _query(f"TRY(struct_pack(v := {names[n].sql})) AS {quote(n)}" for n in names)
        self._local = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        return {"expressions": self.expressions}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Evaluator.__init__(self, state["expressions"])

    def evaluate(self, batch: pa.RecordBatch) -> Evaluated:
        """Evaluate over one batch that has the columns the expressions read.

        Raises:
            EvaluationError: The batch as a whole cannot be evaluated; nothing of it is in the text.
        """
        if not self.expressions:
            return Evaluated({}, np.empty(0, np.int64), ())
        read = batch.select(self._columns)
        if not self._columns:  # DuckDB counts the rows by a column
            read = pa.record_batch({"_": pa.nulls(batch.num_rows, pa.int8())})
        try:
            values = self._run(self._plain, read)
        except duckdb.Error:
            return self._isolate(read)
        return Evaluated(self._typed(values), np.empty(0, np.int64), ())

    def _isolate(self, read: pa.RecordBatch) -> Evaluated:
        try:
            tried = self._run(self._tried, read)
        except duckdb.Error as error:
            # DuckDB's text may quote a value: only the kind of error may leave.
            msg = (
                "expressions must be computable within 1 GB for each batch; "
                f"got {type(error).__name__} in {', '.join(self.expressions)}; simplify them"
            )
            raise EvaluationError(msg) from None
        failures = {
            name: pc.is_null(tried[name]).to_numpy(zero_copy_only=False)
            for name in self.expressions
        }
        first = np.full(read.num_rows, -1)
        for at, failure in reversed(list(enumerate(failures.values()))):
            first[failure] = at
        failed = np.flatnonzero(first >= 0)
        values = {name: tried[name].flatten()[0] for name in self.expressions}
        names = tuple(self.expressions)
        return Evaluated(self._typed(values), failed, tuple(names[i] for i in first[failed]))

    def _run(self, query: str, read: pa.RecordBatch) -> dict[str, pa.Array]:
        engine = self._engine()
        engine.connection.register(BATCH, read)
        # A relation reads whatever has the name now; making it anew would double the cost of a row.
        key = (query, read.schema)
        relation = engine.relations.get(key)
        if relation is None:
            relation = engine.relations[key] = engine.connection.sql(query)
        result = one_batch(relation.to_arrow_table())
        return dict(zip(result.schema.names, result.columns, strict=True))

    def _typed(self, values: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        kinds = {name: expression.type for name, expression in self.expressions.items()}
        return {
            name: values[name] if values[name].type == kind else values[name].cast(kind)
            for name, kind in kinds.items()
        }

    def _engine(self) -> _Engine:
        found: _Engine | None = getattr(self._local, "engine", None)
        if found is None:
            found = self._local.engine = _Engine(connect(), {})
        return found


def _query(columns: Any) -> str:
    return f"SELECT {', '.join(columns)} FROM {BATCH}"  # noqa: S608 - each is checked and written by DuckDB
