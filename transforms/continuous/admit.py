"""Raw messages to parcels: decode, validate, protect and the row steps."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints.decorators import no_annotations
from typing_extensions import override

from schemas.names import POSITION, SOURCE, WATERMARK
from schemas.plan import Plan
from transforms.admit import admitted
from transforms.changes.kept import noted
from transforms.changes.seen import Change
from transforms.commit.ranges import Ranges, merged
from transforms.continuous.id_key import IdKey
from transforms.continuous.in_process import InProcess
from transforms.continuous.messages import Messages
from transforms.continuous.parcels import Answered, Parcel, answered, new_token
from transforms.continuous.seen import Stay
from transforms.duplicates import ids_of
from transforms.middle import RowSteps
from transforms.outcome import Outcome, chained
from transforms.protect import Protector
from transforms.sources.streams.raw import has_spans, spans_of


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How ids are asked about: fixed for the life of a stream, as its state is cut by it.

    Attributes:
        by: Columns that make a row itself.
        event_time: Column of type timestamp[us, UTC] without nulls.
        key: Two secret seeds, or what derives them in a worker; a restored stream must have those
            that its state was made with.
        partitions: Hash partitions.
        stay: How long rows are remembered.
        step: Id of the dedupe step.
    """

    by: tuple[str, ...]
    event_time: str
    key: tuple[int, int] | IdKey
    partitions: int
    stay: Stay
    step: str

    @property
    def seeds(self) -> tuple[int, int]:
        """The seeds; read where they are used."""
        return self.key.seeds() if isinstance(self.key, IdKey) else self.key


class Admitted(NamedTuple):
    """Parcels by shard, and ids by hash partition."""

    parcels: PCollection[tuple[int, bytes]]
    ids: PCollection[tuple[int, pa.RecordBatch]]


@dataclass(eq=False)
class AdmitMessages(beam.PTransform[PCollection[pa.RecordBatch], Admitted]):
    """Make a parcel of each raw batch.

    Input: raw messages (`streams.raw.raw_schema`), of any number of sources; of each source a
    batch holds all messages of the positions that it covers (`stretches`). Outputs keep timestamp
    and window of the batch. Every message is in the parcel's rows, removed or refused; refused ones
    keep their record, sealed when the contract has personal data. See `transforms.admit`.

    Attributes:
        plan: Contract and key reference.
        messages: What decodes raw messages.
        asking: How ids are cut, None without a dedupe.
        shards: Parcels of one source go to one of so many keys.
        here: Where parcels wait, if not in the runner's state; nothing is asked then, as the ids
            that were seen are there, too.
    """

    plan: Plan
    messages: Messages
    asking: Asking | None
    shards: int = 1
    here: InProcess | None = None

    @override
    @no_annotations
    def expand(self, raw: PCollection[pa.RecordBatch]) -> Admitted:
        sides = raw | "Admit" >> beam.ParDo(_Admit(self)).with_output_types(
            tuple[int, bytes], ids=tuple[int, pa.RecordBatch]
        ).with_outputs("ids", main="parcels")
        return Admitted(sides.parcels, sides.ids)


class Admission:
    """The pure function of `AdmitMessages`; pickles, and makes what it needs in `setup`."""

    def __init__(self, plan: Plan, messages: Messages) -> None:
        """Describe it; see AdmitMessages."""
        self.plan, self.messages = plan, messages

    def setup(self) -> None:
        """Read keys and lookups, so that their errors end the stream before its first row."""
        self._protector = Protector(self.plan.contract, self.plan.secret, self.plan.folder)
        _ = self._protector.keyring
        self._steps = RowSteps(self.plan)
        self._steps.setup()

    def __call__(self, raw: pa.RecordBatch) -> tuple[Outcome, tuple[Change, ...]]:
        """Give every message of a batch its destiny so far; say how they differ from the contract.

        Raises:
            SchemaChangeError: They do, and the contract says that a run ends then.
        """
        plan = self.plan
        with noted(plan, stretches(raw)[0]):
            decoded = self.messages.decode(raw)
        made = admitted(decoded, plan.contract, self._protector, self._steps)
        outcome = Outcome(made.rows)
        for side in made.removed:
            outcome = chained(outcome, Outcome(made.rows, side))
        for dead in made.refused:
            outcome = chained(outcome, Outcome(made.rows, None, dead))
        return outcome, made.changes


class _Admit(beam.DoFn):
    def __init__(self, options: AdmitMessages) -> None:
        self.admission = Admission(options.plan, options.messages)
        self.asking, self.shards = options.asking, options.shards
        self.here = options.here

    @override
    def setup(self) -> None:
        self.admission.setup()
        self._seeds = self.asking.seeds if self.asking is not None else (0, 0)

    @override
    def process(self, raw: pa.RecordBatch) -> Iterator[Any]:
        done, records = stretches(raw)
        if not done:
            return
        lost = lost_of(raw)
        outcome, changes = self.admission(raw)
        token = new_token()
        shard = zlib.crc32(min(done).encode()) % self.shards
        if self.here is not None:
            left, unsure = self._without_duplicates(outcome, token, self.here)
            parcel = Parcel(
                token=token,
                outcome=left.outcome,
                done=done,
                records=records,
                lost=lost,
                unsure=unsure,
                doubtful=left.doubtful,
                changes=changes,
            )
            yield shard, self.here.keep(parcel)
            return
        asked = 0
        for partition, ids in _ids(outcome.rows, self.asking, self._seeds, token, shard):
            asked += 1
            yield TaggedOutput("ids", (partition, ids))
        parcel = Parcel(
            token=token,
            outcome=outcome,
            done=done,
            records=records,
            asked=asked,
            lost=lost,
            changes=changes,
        )
        yield shard, parcel.encode()

    def _without_duplicates(
        self, outcome: Outcome, token: bytes, here: InProcess
    ) -> tuple[Answered, bool]:
        rows = outcome.rows
        if self.asking is None or not rows.num_rows:
            return Answered(outcome), False
        one = replace(self.asking, partitions=1)
        watermark = pc.max(rows[WATERMARK].cast(pa.int64())).as_py() or 0
        answers = [
            here.answer(token, ids, one.stay, watermark)
            for _, ids in _ids(rows, one, self._seeds, token, 0)
        ]
        return answered(outcome, answers, one.step), any(a.unsure for a in answers)


def stretches(raw: pa.RecordBatch) -> tuple[Ranges, dict[str, int]]:
    """Return for each source the positions that a batch covers, and its messages.

    What a batch says of itself counts (`spans_of`): positions without a message (marks of
    transactions, messages compacted away or lost) are done with it, or a run would go on at them
    for ever. One that says nothing covers all between its first and its last message.
    """
    source = raw[SOURCE]
    position = raw[POSITION].to_numpy()
    names = source.dictionary.to_pylist()
    codes = source.indices.to_numpy()
    done: list[Ranges] = []
    records: dict[str, int] = {}
    for code in np.unique(codes).tolist():
        own = position[codes == code]
        done.append({names[code]: [(int(own.min()), int(own.max()) + 1)]})
        records[names[code]] = records.get(names[code], 0) + len(own)
    if has_spans(raw):
        done = [{span.source: [(span.start, span.end)]} for span in spans_of(raw)]
    return merged(*done), records


def lost_of(raw: pa.RecordBatch) -> Ranges:
    """Return for each source the positions of a batch that were to be read and are gone."""
    spans = spans_of(raw) if has_spans(raw) else ()
    return merged(*({span.source: [(span.start, span.end)]} for span in spans if span.lost))


def _ids(
    rows: pa.RecordBatch,
    asking: Asking | None,
    seeds: tuple[int, int],
    token: bytes,
    shard: int,
) -> Iterator[tuple[int, pa.RecordBatch]]:
    if asking is None or not rows.num_rows:
        return
    chunk = f"{token.hex()} {shard}"
    yield from ids_of(
        rows, asking.by, asking.event_time, seeds, chunk, asking.partitions, placed=True
    )
