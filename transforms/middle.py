"""The row steps of a plan, in order, as one function on record batches."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from schemas.plan import Plan, Step
from transforms.changes.seen import Change
from transforms.derive import DeriveKernel
from transforms.enrich import EnrichKernel
from transforms.filter import FilterKernel
from transforms.outcome import Kernel
from transforms.python_step import PythonKernel


class StepsOutcome(NamedTuple):
    """What is left of a batch, what each step took out of it, and how it was not as it must be."""

    rows: pa.RecordBatch
    removed: list[pa.RecordBatch]
    refused: list[pa.RecordBatch]
    changes: tuple[Change, ...] = ()


class RowSteps:
    """`derive`, `filter`, `enrich` and `python` steps of a plan, applied one after the other.

    Pickles without lookup tables, connections and functions of the user's: `setup` makes those,
    once for each worker.
    """

    def __init__(self, plan: Plan) -> None:
        """Make the kernels; lookup files are found, not read.

        Raises:
            PenstockError: A lookup file is missing.
        """
        self._functions = [step_kernel(plan, step) for step in plan.row_steps]

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
            made, reads = step.parameters.get("columns"), step.parameters.get("reads")
            declared = step.output if made else None
            if made and reads is not None:
                declared = pa.schema([step.output.field(name) for name in made])
            seen = None if reads is None else tuple(reads)
            return PythonKernel(step.id, step.parameters["call"], plan.folder, declared, seen)
