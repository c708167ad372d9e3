"""Parcels whose ids are answered, written to a few files: what one commit takes of one shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.names import POSITION, SEQUENCE, SOURCE, WATERMARK
from schemas.plan import Aggregate, Plan
from transforms.aggregate.partials import merge_all, partial
from transforms.aggregate.windows import late
from transforms.batches import one_batch
from transforms.changes.kept import Evidence
from transforms.commit.doubtful import MARK, Doubtful
from transforms.commit.landed import Landed
from transforms.commit.ranges import merged
from transforms.commit.removed import Removed, fold_removed
from transforms.commit.table_info import TableInfo
from transforms.continuous.parcels import Answer, Parcel, answered
from transforms.land import UnbalancedError, with_constants
from transforms.outcome import Outcome
from transforms.sinks.fit import fitted
from transforms.sinks.lake import FileWriter

_PLACE: Final = {SOURCE: pa.string(), POSITION: pa.int64(), SEQUENCE: pa.int32()}


@dataclass(frozen=True, kw_only=True)
class Shipment:
    """What one shard hands to the committer; small, and it pickles.

    Attributes:
        landed: Files, all positions of their rows, removed rows: whole positions only.
        partials: Aggregate -> partial aggregates over exactly the rows of `landed`.
        evidence: How records differ from the contract, parcel by parcel.
        rows: Messages in it.
        late: Rows that are late for some window, doubtful ones included.
        unsure: Whether a row may repeat one that the dedupe has forgotten.
        watermark_us: Greatest watermark that a row was read at, None if no row had one.
    """

    landed: Landed
    partials: dict[str, pa.RecordBatch] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    rows: int = 0
    late: int = 0
    unsure: bool = False
    watermark_us: int | None = None


@dataclass(frozen=True, kw_only=True)
class Landing:
    """How parcels are landed; pickles, `setup` makes the steps.

    Attributes:
        plan: What runs.
        processed: Table of kept rows.
        refused: Table of refused rows.
        run_id: Written into refused rows.
        dedupe: Id of the dedupe step, if there is one.
    """

    plan: Plan
    processed: TableInfo
    refused: TableInfo
    run_id: str
    dedupe: str

    def __call__(self, parcels: Sequence[tuple[Parcel, list[Answer]]]) -> Shipment:
        """Take duplicates out, apply the last steps, write files.

        Raises:
            UnbalancedError: A step lost rows, or made some.
        """
        rows_out, dead_out = FileWriter(self.processed), FileWriter(self.refused)
        constants = {"contract_version": self.plan.contract.version, "run_id": self.run_id}
        gone: list[pa.RecordBatch] = []
        doubtful: list[pa.RecordBatch] = []
        sums = {a.name: _Partials(a) for a in self.plan.aggregates}
        marks: list[int] = []
        count, behind = 0, 0
        for parcel, answers in parcels:
            outcome, apart = answered(parcel.outcome, answers, self.dedupe)
            _check(parcel, outcome)
            for rows in (apart, parcel.doubtful):
                if rows is not None:
                    doubtful.append(rows)
                    behind += late_rows(rows, self.plan.aggregates).sum()
            count += sum(parcel.records.values())
            if outcome.rows.num_rows:
                rows_out.write(outcome.rows)
                mark = pc.max(outcome.rows[WATERMARK].cast(pa.int64())).as_py()
                marks += [] if mark is None else [mark]
                behind += late_rows(outcome.rows, self.plan.aggregates).sum()
                for each in sums.values():
                    each.add(outcome.rows)
            if outcome.refused is not None:
                dead_out.write(with_constants(outcome.refused, constants))
            if outcome.removed is not None:
                gone.append(outcome.removed)
        files = {
            info.name: tuple(made)
            for info, writer in ((self.processed, rows_out), (self.refused, dead_out))
            if (made := writer.close())
        }
        done = merged(*(parcel.done for parcel, _ in parcels))
        partials = {name: p for name, each in sums.items() if (p := each.batch()) is not None}
        return Shipment(
            landed=Landed(
                files=files,
                done=done,
                removed=_removed(gone),
                lost=merged(*(parcel.lost for parcel, _ in parcels)),
                doubtful=self._packed(doubtful),
            ),
            partials=partials,
            evidence=tuple(Evidence(p.done, p.changes) for p, _ in parcels if p.changes),
            rows=count,
            late=int(behind),
            unsure=any(p.unsure or any(a.unsure for a in answers) for p, answers in parcels),
            watermark_us=max(marks, default=None),
        )

    def _packed(self, doubtful: list[pa.RecordBatch]) -> Doubtful:
        rows = [fitted(batch, self.processed.arrow.append(MARK)) for batch in doubtful]
        return Doubtful.of(rows, self.plan.contract.event_time_column)


def late_rows(rows: pa.RecordBatch | pa.Table, aggregates: Sequence[Aggregate]) -> np.ndarray:
    """Return a mask of the rows that are late for at least one window: their destiny is `late`."""
    mask = np.zeros(rows.num_rows, bool)
    for aggregate in aggregates:
        mask |= late(rows, aggregate).to_numpy(zero_copy_only=False)
    return mask


@dataclass
class _Partials:
    """Partial aggregates of rows, merged as they come."""

    aggregate: Aggregate
    held: list[pa.RecordBatch] = field(default_factory=list)

    def add(self, rows: pa.RecordBatch) -> None:
        made = partial(rows, self.aggregate)
        if made is not None:
            self.held.append(made)

    def batch(self) -> pa.RecordBatch | None:
        merged_ = merge_all(self.held, self.aggregate)
        return None if merged_ is None else one_batch(merged_)


def _removed(gone: list[pa.RecordBatch]) -> tuple[Removed, ...]:
    if not gone:
        return ()
    return fold_removed(one_batch(pa.Table.from_batches(gone).unify_dictionaries()))


def _check(parcel: Parcel, outcome: Outcome) -> None:
    """Hold that every message has one destiny, and of several rows of a message each has one."""
    sides = [s for s in (outcome.rows, outcome.removed, outcome.refused) if s is not None]
    found = sum(side.num_rows for side in sides) - _further(sides)
    read = sum(parcel.records.values())
    if found != read:
        msg = (
            f"every message read must have one destiny; read {read} but kept, refused and removed "
            f"{found}; a step loses or makes rows: nothing of this batch is landed"
        )
        raise UnbalancedError(msg)


def _further(sides: Sequence[pa.RecordBatch]) -> int:
    """Count the rows behind the first of their message, by the number of the last (`_sequence`).

    So one that is missing before it, or is there twice, does not go unseen.
    """
    if not any(pc.any(pc.greater(side[SEQUENCE], 0)).as_py() for side in sides):
        return 0
    places = [
        pa.table({name: side[name].cast(kind) for name, kind in _PLACE.items()}) for side in sides
    ]
    messages = pa.concat_tables(places).group_by([SOURCE, POSITION])
    return int(pc.sum(messages.aggregate([(SEQUENCE, "max")])[f"{SEQUENCE}_max"]).as_py())
