"""Blocks to admitted rows: decode, validate, protect and the row steps that come first.

One DoFn, because the steps before the dedupe shuffle hold a block's original bytes: a refused row
keeps its record, sealed when the contract has personal data. `Decode`, `Validate` and `Protect`
exist as transforms of their own, over the same functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints.decorators import no_annotations
from typing_extensions import override

from schemas.plan import Plan, Step
from transforms.decode.decoder import make_decoder
from transforms.middle import RowSteps
from transforms.parallel import ThreadedDoFn
from transforms.progress import Progress
from transforms.protect import Protector
from transforms.sources.blocks import Block
from transforms.sources.files import Slice, read_blocks
from transforms.validate import validate

Read = tuple[str, int, int, int]
"""Source, first position, end position (not included), records in between."""


class Admitted(NamedTuple):
    """Every record of the slices, on exactly one of three sides, and what was read."""

    rows: PCollection[pa.RecordBatch]
    refused: PCollection[pa.RecordBatch]
    removed: PCollection[pa.RecordBatch]
    reads: PCollection[Read]


@dataclass(eq=False)
class Admit(beam.PTransform[PCollection[Slice], Admitted]):
    """Read slices and admit their rows.

    Attributes:
        plan: Contract, source, key reference.
        before: The steps that come before the dedupe shuffle.
        threads: Threads of the DoFn (1 on clusters).
        progress: Where counts for a person's screen go, or None.
    """

    plan: Plan
    before: tuple[Step, ...]
    threads: int = 1
    progress: Progress | None = None

    @override
    @no_annotations
    def expand(self, slices: PCollection[Slice]) -> Admitted:
        sides = slices | "Admit" >> beam.ParDo(_Admit(self)).with_output_types(
            pa.RecordBatch, refused=pa.RecordBatch, removed=pa.RecordBatch, reads=Read
        ).with_outputs("refused", "removed", "reads", main="rows")
        return Admitted(sides.rows, sides.refused, sides.removed, sides.reads)


class _Admit(ThreadedDoFn):
    def __init__(self, options: Admit) -> None:
        super().__init__(options.threads)
        self.plan, self.before, self.progress = options.plan, options.before, options.progress

    @override
    def setup(self) -> None:
        super().setup()
        self._decoder = make_decoder(self.plan.contract, self.plan.source)
        self._protector = Protector(self.plan.contract, self.plan.secret, self.plan.folder)
        self._steps = RowSteps(self.plan, self.before)
        self._steps.setup()

    @override
    def process(self, part: Slice) -> Iterator[Any]:
        for block in read_blocks(part):
            yield from self.submit(self.kernel, block)

    def kernel(self, block: Block) -> Iterator[Any]:
        decoded = self._decoder.decode(block)
        checked = validate(decoded.rows, self.plan.contract, records=decoded.records)
        records = decoded.rows.num_rows + _size(decoded.refused)
        yield TaggedOutput("reads", (block.source, block.start, block.end, records))
        for refused in (decoded.refused, checked.refused):
            if refused is not None and refused.num_rows:
                yield TaggedOutput("refused", self._protector.seal(refused))
        outcome = self._steps(self._protector.protect(checked.rows))
        for tag in ("removed", "refused"):
            for side in getattr(outcome, tag):
                yield TaggedOutput(tag, side)
        if self.progress is not None:
            self.progress.add(
                bytes=block.end - block.start,
                read=records,
                refused=_size(decoded.refused) + _size(checked.refused),
            )
        if outcome.rows.num_rows:
            yield outcome.rows


def _size(batch: pa.RecordBatch | None) -> int:
    return batch.num_rows if batch is not None else 0
