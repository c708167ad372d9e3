"""Blocks to admitted rows: decode, validate, protect and the row steps.

One DoFn, because the steps before the dedupe shuffle hold a block's original bytes: a refused row
keeps its record, sealed when the contract has personal data. `Decode`, `Validate` and `Protect`
exist as transforms of their own, over the same functions.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints.decorators import no_annotations
from typing_extensions import override

from schemas.contract import Contract
from schemas.names import POSITION, POSITION_NAMES, SOURCE
from schemas.plan import Plan
from transforms.changes.kept import noted
from transforms.changes.meet import Meet
from transforms.changes.seen import WARN, Change, Kind
from transforms.commit.landed import Landed
from transforms.decode.attached_records import ATTACHED
from transforms.decode.decoded import Decoded
from transforms.decode.decoder import make_decoder
from transforms.decode.json_shape import rows_of
from transforms.middle import RowSteps, StepsOutcome
from transforms.outcome import refused
from transforms.parallel import ThreadedDoFn
from transforms.progress import Progress
from transforms.protect import Protector
from transforms.sources.blocks import Block, LongRecord
from transforms.sources.files import Slice, scan
from transforms.sources.identity import Footprint
from transforms.validate import Checked, validate

Read = tuple[str, int, int, int]
"""Source, first position, end position (not included), records in between."""


class Admitted(NamedTuple):
    """Every record of the slices, on exactly one of three sides, and what was read.

    `changes` says how records differ from the contract; its `Landed` hold nothing else.
    """

    rows: PCollection[pa.RecordBatch]
    refused: PCollection[pa.RecordBatch]
    removed: PCollection[pa.RecordBatch]
    reads: PCollection[Read]
    footprints: PCollection[pa.RecordBatch]
    changes: PCollection[Landed]


@dataclass(eq=False)
class Admit(beam.PTransform[PCollection[Slice], Admitted]):
    """Read slices and admit their rows.

    Attributes:
        plan: Contract, source, row steps, key reference.
        threads: Threads of the DoFn (1 on clusters).
        progress: Where counts for a person's screen go, or None.
    """

    plan: Plan
    threads: int = 1
    progress: Progress | None = None

    @override
    @no_annotations
    def expand(self, slices: PCollection[Slice]) -> Admitted:
        sides = slices | "Admit" >> beam.ParDo(_Admit(self)).with_output_types(
            pa.RecordBatch,
            refused=pa.RecordBatch,
            removed=pa.RecordBatch,
            reads=Read,
            footprints=pa.RecordBatch,
            changes=Landed,
        ).with_outputs("refused", "removed", "reads", "footprints", "changes", main="rows")
        return Admitted(
            sides.rows,
            sides.refused,
            sides.removed,
            sides.reads,
            sides.footprints,
            sides.changes,
        )


class _Admit(ThreadedDoFn):
    def __init__(self, options: Admit) -> None:
        super().__init__(options.threads)
        self.plan, self.progress = options.plan, options.progress

    @override
    def setup(self) -> None:
        super().setup()
        meet = Meet(self.plan.contract, self.plan.source)
        self._decoder = make_decoder(self.plan.contract, self.plan.source, meet)
        self._protector = Protector(self.plan.contract, self.plan.secret, self.plan.folder)
        _ = self._protector.keyring  # a key that cannot be read ends the run before its first row
        self._steps = RowSteps(self.plan)
        self._steps.setup()

    @override
    def process(self, part: Slice) -> Iterator[Any]:
        footprint = yield from self._read(scan(part))
        yield TaggedOutput("footprints", footprint.to_batch())

    def _read(
        self, blocks: Generator[Block | LongRecord, None, Footprint]
    ) -> Generator[Any, None, Footprint]:
        while True:
            try:
                block = next(blocks)
            except StopIteration as end:
                return end.value
            yield from self.submit(self.kernel, block)

    def kernel(self, block: Block | LongRecord) -> Iterator[Any]:
        with noted(self.plan, {block.source: [(block.start, block.end)]}):
            decoded = self._decoder.decode(block)
        records = decoded.rows.num_rows + _size(decoded.refused) + _size(decoded.removed)
        yield TaggedOutput("reads", (block.source, block.start, block.end, records))
        outcome = admitted(decoded, self.plan.contract, self._protector, self._steps)
        for side in outcome.removed:
            yield TaggedOutput("removed", side)
        for dead in outcome.refused:
            yield TaggedOutput("refused", dead)
        if outcome.changes:
            yield TaggedOutput("changes", Landed(changes=outcome.changes))
        if self.progress is not None:
            self.progress.add(
                bytes=block.end - block.start,
                read=records,
                refused=sum(map(_size, outcome.refused)),
            )
        if outcome.rows.num_rows:
            yield outcome.rows


def admitted(
    decoded: Decoded, contract: Contract, protector: Protector, steps: RowSteps
) -> StepsOutcome:
    """Validate and protect what was decoded, and apply the row steps.

    Args:
        decoded: Rows with the position columns, and what decode refused.
        contract: What a row must be.
        protector: Its keys.
        steps: Set up.

    Returns:
        Protected rows, what a step removed, and every refused record so far, sealed where the
        contract has personal data. Each input record is in one of them. Beside them how records
        differ from the contract, rows that break a rule which only counts among it.
    """
    checked = validate(decoded.rows, contract)
    places = dict(decoded.places)
    if len(checked.numbers):
        kept = np.delete(np.arange(decoded.rows.num_rows), checked.numbers)
        places = {path: rows_of(at, kept) for path, at in places.items()}
    outcome = steps(protector.protect(checked.rows, places))
    dead = [
        decoded.refused,
        _broken(decoded, checked),
        *(with_records(one, decoded) for one in outcome.refused),
    ]
    sealed = [protector.seal(one) for one in dead if one is not None and one.num_rows]
    dropped = [] if decoded.removed is None else [decoded.removed]
    changes = (*decoded.changes, *warned(decoded, checked))
    return StepsOutcome(outcome.rows, [*dropped, *outcome.removed], sealed, changes)


def warned(decoded: Decoded, checked: Checked) -> Iterator[Change]:
    """Yield how many rows break each rule that only counts, and where the first of them stands."""
    for (path, rule), numbers in checked.warnings.items():
        first = decoded.rows.select([SOURCE, POSITION]).slice(int(numbers[0]), 1).to_pylist()[0]
        yield Change(
            kind=Kind.BROKEN,
            name=rule,
            inside=path,
            mode=WARN,
            format=decoded.format.removesuffix(ATTACHED),
            rows=len(numbers),
            source=first[SOURCE],
            position=first[POSITION],
            note=rule,
        )


def _broken(decoded: Decoded, checked: Checked) -> pa.RecordBatch | None:
    """Make dead letters, with their records, of the rows that break the contract."""
    if not len(checked.numbers):
        return None
    rows = decoded.rows.select(POSITION_NAMES).take(pa.array(checked.numbers))
    return refused(
        decoded.rows,
        checked.numbers,
        "validate",
        checked.rules,
        checked.reasons,
        record=decoded.records(rows),
        format=decoded.format,
    )


def with_records(dead: pa.RecordBatch, decoded: Decoded) -> pa.RecordBatch:
    """Add the original records of a block to what a step refused of its rows."""
    columns = dict(zip(dead.schema.names, dead.columns, strict=True))
    columns["record"] = decoded.records(dead)
    columns["format"] = pa.repeat(pa.scalar(decoded.format), dead.num_rows)
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=dead.schema)


def _size(batch: pa.RecordBatch | None) -> int:
    return batch.num_rows if batch is not None else 0
