"""The row steps of a plan, in order, as one function on record batches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints.decorators import no_annotations
from typing_extensions import override

from schemas.errors import UsageError
from schemas.names import ARRIVED, EVENT_TIME
from schemas.plan import Plan, Step
from transforms.derive import DeriveKernel
from transforms.enrich import EnrichKernel
from transforms.filter import FilterKernel
from transforms.outcome import Kernel
from transforms.parallel import ThreadedDoFn
from transforms.python_step import PythonKernel


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

    Pickles without lookup tables, connections and functions of the user's: `setup` makes those,
    once for each worker.
    """

    def __init__(self, plan: Plan, steps: tuple[Step, ...]) -> None:
        """Make the kernels; lookup files are found, not read.

        Raises:
            PenstockError: A lookup file is missing.
        """
        self._functions = [step_kernel(plan, step) for step in steps]

    def setup(self) -> None:
        """Read lookups and import functions, so that their errors end the run before it writes."""
        for function in self._functions:
            if isinstance(function, EnrichKernel | PythonKernel):
                function.setup()

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


def step_kernel(plan: Plan, step: Step) -> Kernel:
    """Return the pure function of a row step.

    Raises:
        SourceError: A lookup file is missing.
    """
    match step.kind:
        case "derive":
            return DeriveKernel(step.id, step.parameters["columns"])
        case "filter":
            return FilterKernel(step.id, step.parameters["keep"])
        case "enrich":
            return EnrichKernel(step, plan.folder)
        case _:
            declared = step.output if step.parameters.get("columns") else None
            return PythonKernel(step.id, step.parameters["call"], plan.folder, declared)


def around_deduplicate(
    plan: Plan,
) -> tuple[tuple[Step, ...], Step | None, tuple[Step, ...]]:
    """Return the row steps before the dedupe (all if there is none), the dedupe, those after it.

    A row is a duplicate of a *kept* row. So row steps that the file names after the dedupe come
    before it too, as far as its columns go: they look at one row at a time, and a run over two
    files then gives what a run over each of them gives (to the second run a row that the first one
    filtered is not there).

    Raises:
        UsageError: There is more than one dedupe.
    """
    at = [i for i, step in enumerate(plan.steps) if step.kind == "deduplicate"]
    if len(at) > 1:
        msg = (
            f"a pipeline must have at most one deduplicate step; got {len(at)}; "
            "name all columns in one `by`"
        )
        raise UsageError(msg)
    if not at:
        return plan.steps, None, ()
    dedupe, later = plan.steps[at[0]], plan.steps[at[0] + 1 :]
    needs = {*dedupe.parameters["by"], plan.contract.event_time_column} - {EVENT_TIME, ARRIVED}
    early = tuple(takewhile(lambda step: needs <= set(step.output.names), later))
    return (*plan.steps[: at[0]], *early), dedupe, later[len(early) :]
