"""Add columns computed from each row, or replace columns by such."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
from typing_extensions import override

from schemas.expressions import Expression
from transforms.expressions import Evaluated, Evaluator
from transforms.outcome import Kernel, Outcome, StepTransform, keep, refused

RULE = "expression"


@dataclass(eq=False, kw_only=True)
class Derive(StepTransform):
    """Add or replace columns by row expressions.

    Input: batches with the columns that the expressions read, and position columns. All expressions
    see the row as it came, none another's result. Output: a replaced column stays in its place,
    new ones follow the last. A row on which an expression fails (a number too large, text that is
    no date) is refused with rule `expression`. No state; order, windows and timestamps stay.

    Attributes:
        columns: Of each column its checked expression (`schemas.expressions.check`).
    """

    columns: Mapping[str, Expression]

    @override
    def kernel(self) -> Kernel:
        return DeriveKernel(self.step, self.columns)


class DeriveKernel:
    """The pure function of `Derive`."""

    def __init__(self, step: str, columns: Mapping[str, Expression]) -> None:
        """Write `step` into what is refused."""
        self.step = step
        self.evaluator = Evaluator(columns)

    def __call__(self, batch: pa.RecordBatch) -> Outcome:
        """Derive over one batch."""
        evaluated = self.evaluator.evaluate(batch)
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        fields = {field.name: field for field in batch.schema}
        for name, values in evaluated.columns.items():
            columns[name] = values
            fields[name] = pa.field(name, values.type)
        whole = pa.record_batch(list(columns.values()), schema=pa.schema(fields.values()))
        rows = keep(whole, evaluated.failed)
        return Outcome(rows, refused=refuse_failed(batch, self.step, evaluated))


def refuse_failed(batch: pa.RecordBatch, step: str, evaluated: Evaluated) -> pa.RecordBatch | None:
    """Make dead letters of the rows on which an expression failed; None if there are none."""
    reasons = [f"{name} must be computable; its expression failed" for name in evaluated.names]
    return refused(batch, evaluated.failed, step, RULE, reasons)
