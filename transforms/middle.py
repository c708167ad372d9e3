"""The row steps of a plan, in order, as one function on record batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints.decorators import no_annotations
from typing_extensions import override

from schemas.plan import Plan, Step
from transforms.parallel import ThreadedDoFn


class StepsOutcome(NamedTuple):
    """What is left of a batch, and what each step took out of it."""

    rows: pa.RecordBatch
    removed: list[pa.RecordBatch]
    refused: list[pa.RecordBatch]


class Refined(NamedTuple):
    """Every input row, on exactly one of three sides."""

    rows: PCollection[pa.RecordBatch]
    removed: PCollection[pa.RecordBatch]
    refused: PCollection[pa.RecordBatch]


class RowSteps:
    """`derive`, `filter`, `enrich` and `python` steps of a plan, applied one after the other.

    Pickles as the plan it was made of; `setup` loads lookups and compiles expressions, once for
    each worker.
    """

    def __init__(self, plan: Plan, steps: tuple[Step, ...]) -> None:
        """Keep the description."""
        self.plan, self.steps = plan, steps

    def setup(self) -> None:
        """Make what the steps need. Errors here end the run before anything is written."""
        self._functions = [step_function(self.plan, step) for step in self.steps]

    def __call__(self, batch: pa.RecordBatch) -> StepsOutcome:
        """Apply the steps; input and output have the position columns."""
        removed, refused = [], []
        for function in self._functions:
            if not batch.num_rows:
                break
            outcome = function(batch)
            batch = outcome.rows
            if outcome.removed is not None and outcome.removed.num_rows:
                removed.append(outcome.removed)
            if outcome.refused is not None and outcome.refused.num_rows:
                refused.append(outcome.refused)
        return StepsOutcome(batch, removed, refused)


class Refine(beam.PTransform[PCollection[pa.RecordBatch], Refined]):
    """Apply row steps to batches (the same schema for every batch of the PCollection)."""

    def __init__(self, plan: Plan, steps: tuple[Step, ...], *, threads: int = 1) -> None:
        """Keep the description; see RowSteps."""
        super().__init__()
        self.plan, self.steps, self.threads = plan, steps, threads

    @override
    @no_annotations
    def expand(self, rows: PCollection[pa.RecordBatch]) -> Refined:
        steps = RowSteps(self.plan, self.steps)
        sides = rows | "Steps" >> beam.ParDo(_Refine(steps, self.threads)).with_output_types(
            pa.RecordBatch, removed=pa.RecordBatch, refused=pa.RecordBatch
        ).with_outputs("removed", "refused", main="rows")
        return Refined(sides.rows, sides.removed, sides.refused)


class _Refine(ThreadedDoFn):
    def __init__(self, steps: RowSteps, threads: int) -> None:
        super().__init__(threads)
        self.steps = steps

    @override
    def setup(self) -> None:
        super().setup()
        self.steps.setup()

    @override
    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        yield from self.submit(self.kernel, batch)

    def kernel(self, batch: pa.RecordBatch) -> Iterator[Any]:
        outcome = self.steps(batch)
        for tag in ("removed", "refused"):
            for side in getattr(outcome, tag):
                yield TaggedOutput(tag, side)
        if outcome.rows.num_rows:
            yield outcome.rows
