"""What a step makes of a batch: rows that go on, rows taken out on purpose, rows refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints.decorators import no_annotations
from numpy.typing import NDArray
from typing_extensions import override

from schemas.names import ARRIVED, POSITION, REFUSED, REMOVED, SEQUENCE, SOURCE, Destiny
from transforms.parallel import ThreadedDoFn

Rows = NDArray[np.integer[Any]]
"""Row numbers of a batch."""


class Outcome(NamedTuple):
    """Every row of one batch, on exactly one of three sides.

    Attributes:
        rows: What goes on, position columns included.
        removed: Schema `schemas.names.REMOVED`; None if no row was.
        refused: Schema `schemas.names.REFUSED`; None if no row was.
    """

    rows: pa.RecordBatch
    removed: pa.RecordBatch | None = None
    refused: pa.RecordBatch | None = None


Texts: TypeAlias = str | Sequence[str] | pa.StringArray
"""One text for all rows, or one for each."""

Kernel = Callable[[pa.RecordBatch], Outcome]
"""The pure function of a step; it pickles."""


def keep(batch: pa.RecordBatch, gone: Rows) -> pa.RecordBatch:
    """Return the batch without these rows; the batch itself if there are none."""
    if not len(gone):
        return batch
    mask = np.ones(batch.num_rows, bool)
    mask[gone] = False
    return batch.filter(pa.array(mask))


def removed(
    batch: pa.RecordBatch, rows: Rows, destiny: Destiny, step: str, rule: Texts
) -> pa.RecordBatch | None:
    """Say of these rows (ascending) where they went; None if there are none.

    Args:
        batch: With the position columns.
        rows: Row numbers.
        destiny: `duplicate` or `filtered`.
        step: Id of the step.
        rule: One for all rows, or one for each.
    """
    if not len(rows):
        return None
    taken = batch.select([SOURCE, POSITION, SEQUENCE]).take(pa.array(rows))
    size = len(rows)
    said = [_text(str(destiny), size), _text(step, size), _text(rule, size)]
    return pa.record_batch([*taken.columns, *said], schema=REMOVED)


def refused(
    batch: pa.RecordBatch,
    rows: Rows,
    step: str,
    rule: Texts,
    reason: Texts,
    *,
    record: pa.Array | None = None,
    format: str = "",  # noqa: A002 - the name of the column
) -> pa.RecordBatch | None:
    """Make dead letters of these rows (ascending); None if there are none.

    Args:
        batch: With the position columns.
        rows: Row numbers.
        step: Id of the step.
        rule: Short stable name, one for all rows or one for each.
        reason: `what must hold; got ...`, never a value; one for all rows or one for each.
        record: Binary, one for each row; None where it must be fetched by its position.
        format: Of the record; empty without one.
    """
    if not len(rows):
        return None
    taken = batch.select([SOURCE, POSITION, SEQUENCE, ARRIVED]).take(pa.array(rows))
    size = len(rows)
    said = [_text(step, size), _text(rule, size), _text(reason, size), _text(format, size)]
    held = pa.nulls(size, pa.binary()) if record is None else record
    return pa.record_batch([*taken.columns, *said, held], schema=REFUSED)


def _text(value: Texts, size: int) -> pa.Array:
    if isinstance(value, str):
        return pa.repeat(pa.scalar(value, pa.string()), size)
    return value if isinstance(value, pa.Array) else pa.array(value, pa.string())


def chained(first: Outcome, second: Outcome) -> Outcome:
    """Join the sides of two kernels that ran one after the other."""
    return Outcome(
        second.rows,
        _joined(first.removed, second.removed),
        _joined(first.refused, second.refused),
    )


def _joined(first: pa.RecordBatch | None, second: pa.RecordBatch | None) -> pa.RecordBatch | None:
    if first is None or second is None:
        return second if first is None else first
    both = pa.Table.from_batches([first, second]).unify_dictionaries().combine_chunks()
    return both.to_batches()[0]


class Stepped(NamedTuple):
    """Every input row, on exactly one of three sides."""

    rows: PCollection[pa.RecordBatch]
    removed: PCollection[pa.RecordBatch]
    refused: PCollection[pa.RecordBatch]


@dataclass(eq=False, kw_only=True)
class StepTransform(beam.PTransform[PCollection[pa.RecordBatch], Stepped]):
    """Base of the steps that look at one batch at a time; windows and timestamps pass through.

    Input: batches with the position columns. Empty batches do not go on.

    Attributes:
        step: Id of the step, written into `removed` and `refused`.
        threads: Threads of the DoFn (1 on clusters and outside the global window).
    """

    step: str
    threads: int = 1

    def kernel(self) -> Kernel:
        """Return the step's pure function."""
        raise NotImplementedError

    @override
    @no_annotations  # Beam infers hints for one output only
    def expand(self, rows: PCollection[pa.RecordBatch]) -> Stepped:
        out = rows | "Batches" >> beam.ParDo(
            StepDoFn(self.kernel(), self.threads)
        ).with_output_types(
            pa.RecordBatch, removed=pa.RecordBatch, refused=pa.RecordBatch
        ).with_outputs("removed", "refused", main="rows")
        return Stepped(out.rows, out.removed, out.refused)


class StepDoFn(ThreadedDoFn):
    """Runs a kernel on each batch and sends each side where it belongs."""

    def __init__(self, kernel: Kernel, threads: int = 1) -> None:
        """Run this kernel in so many threads."""
        super().__init__(threads)
        self.kernel = kernel

    @override
    def setup(self) -> None:
        super().setup()
        prepare = getattr(self.kernel, "setup", None)
        if prepare is not None:  # what a kernel reads first (a lookup, a module) may end the run
            prepare()

    @override
    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        yield from self.submit(self._sides, batch)

    def _sides(self, batch: pa.RecordBatch) -> Iterator[Any]:
        outcome = self.kernel(batch)
        if outcome.rows.num_rows:
            yield outcome.rows
        if outcome.removed is not None:
            yield TaggedOutput("removed", outcome.removed)
        if outcome.refused is not None:
            yield TaggedOutput("refused", outcome.refused)
