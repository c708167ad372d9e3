"""Keep the rows of which a condition is true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

from schemas.expressions import Expression
from schemas.names import Destiny
from transforms.derive import refuse_failed
from transforms.expressions import Evaluator
from transforms.outcome import Kernel, Outcome, StepTransform, keep, removed

FALSE = "false"
NULL = "null"


@dataclass(eq=False, kw_only=True)
class Filter(StepTransform):
    """Keep the rows of which a condition is true.

    Input: batches with the columns that the condition reads, and position columns. Output: the same
    columns. A row of which it is false or null has destiny `filtered` (rule `false` or `null`); a
    row on which it fails is refused with rule `expression`. No state; order, windows and timestamps
    stay.

    Attributes:
        condition: A checked expression of type bool.
    """

    condition: Expression

    @override
    def kernel(self) -> Kernel:
        return FilterKernel(self.step, self.condition)


class FilterKernel:
    """The pure function of `Filter`."""

    def __init__(self, step: str, condition: Expression) -> None:
        """Write `step` into what is removed and refused."""
        self.step = step
        self.evaluator = Evaluator({"keep": condition})

    def __call__(self, batch: pa.RecordBatch) -> Outcome:
        """Filter one batch."""
        evaluated = self.evaluator.evaluate(batch)
        answer = evaluated.columns["keep"]
        true = pc.fill_null(answer, fill_value=False).to_numpy(zero_copy_only=False)
        null = pc.is_null(answer).to_numpy(zero_copy_only=False)
        out = ~true
        gone = np.flatnonzero(out)
        out[evaluated.failed] = False
        filtered = np.flatnonzero(out)
        rules = pc.if_else(pa.array(null[filtered]), NULL, FALSE)
        return Outcome(
            keep(batch, gone),
            removed(batch, filtered, Destiny.FILTERED, self.step, rules),
            refuse_failed(batch, self.step, evaluated),
        )
