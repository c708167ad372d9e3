"""What the measures are of: their argument expressions over the rows of a batch."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import pyarrow as pa

from schemas.expressions import Expression
from schemas.plan import Aggregate, Measure
from transforms.aggregate.groups import plain
from transforms.aggregate.windows import AggregateError
from transforms.expressions import Evaluator

_COLUMN: Final = re.compile(
    r'(?:CAST\()?\(?(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>\w+))\)?(?: AS [\w(), ]+\))?'
)


def arguments(batch: pa.RecordBatch, aggregate: Aggregate) -> list[pa.Array | None]:
    """Evaluate the argument of each measure; None for count(*).

    A measure of a plain column takes it as it is, without the expression engine.

    Raises:
        AggregateError: An expression fails on a row. Such a row cannot be refused any more.
    """
    found = _evaluator(aggregate).evaluate(batch)
    if len(found.failed):
        msg = (
            f"measure {aggregate.name}.{found.names[0]} must be computable on every row; "
            f"it fails on {len(found.failed)}; use TRY_CAST, or refuse such rows with a derive step"
        )
        raise AggregateError(msg)
    out: list[pa.Array | None] = []
    for measure in aggregate.measures:
        column = _column(measure, aggregate)
        if measure.argument is None:
            out.append(None)
        else:
            out.append(
                found.columns[measure.name] if column is None else plain(batch.column(column))
            )
    return out


@lru_cache(maxsize=64)
def _evaluator_of(
    measures: tuple[tuple[str, str, pa.DataType], ...], columns: tuple[str, ...]
) -> Evaluator:
    return Evaluator(
        {
            name: Expression(text=sql, sql=sql, type=kind, columns=columns)
            for name, sql, kind in measures
        }
    )


def _evaluator(aggregate: Aggregate) -> Evaluator:
    computed = [m for m in aggregate.measures if m.argument and _column(m, aggregate) is None]
    key = tuple((m.name, m.argument, m.argument_type) for m in computed)
    return _evaluator_of(key, tuple(aggregate.input.names))


def _column(measure: Measure, aggregate: Aggregate) -> str | None:
    """Name of the column that the argument is, if it is one of the argument's very type."""
    name = _plain_column(measure.argument or "")
    at = -1 if name is None else aggregate.input.get_field_index(name)
    same = at >= 0 and aggregate.input.field(at).type == measure.argument_type
    return name if same else None


@lru_cache(maxsize=1024)
def _plain_column(sql: str) -> str | None:
    match = _COLUMN.fullmatch(sql)
    if match is None:
        return None
    return match["plain"] or match["quoted"].replace('""', '"')
