"""Raw messages as a broker would hand them over, and the middle of a stream without a runner."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from schemas.names import POSITION, TIMESTAMP
from schemas.plan import Plan
from schemas.planning import load_plan
from transforms.changes.meet import Meet
from transforms.commit.committer import Committer
from transforms.commit.lake import open_lake
from transforms.commit.near import Asked
from transforms.continuous.admit import Admission, Asking, lost_of, stretches
from transforms.continuous.committer import Memory, StreamCommitter
from transforms.continuous.land import Landing, Shipment
from transforms.continuous.parcels import Answer, Parcel, new_token
from transforms.continuous.seen import Seen, Stay, look
from transforms.decode.messages import MessageDecoder
from transforms.duplicates import ids_of
from transforms.keys import make_default_key
from transforms.sources.streams.raw import raw_schema

ARRIVED = datetime(2026, 3, 1, 12, tzinfo=UTC)


def raw(
    messages: Sequence[bytes | None],
    source: str = "c/t/0",
    first: int = 0,
    watermark: datetime | None = None,
) -> pa.RecordBatch:
    """Messages of one partition at successive offsets."""
    size = len(messages)
    columns = [
        pa.array(messages, pa.binary()),
        pa.array([source] * size, pa.string()).dictionary_encode(),
        pa.array(range(first, first + size), pa.int64()),
        pa.array([0] * size, pa.int32()),
        pa.array([ARRIVED] * size, TIMESTAMP),
        pa.array([watermark] * size, TIMESTAMP),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=raw_schema())


def spread(
    lines: Iterable[bytes], *, partitions: int, size: int, seed: int = 0
) -> list[pa.RecordBatch]:
    """Messages shared out over partitions and cut into batches, in an order no partition breaks."""
    rng = random.Random(seed)
    own: list[list[bytes]] = [[] for _ in range(partitions)]
    for line in lines:
        rng.choice(own).append(line)
    queues = [
        [raw(part[at : at + size], f"c/t/{p}", at) for at in range(0, len(part), size)]
        for p, part in enumerate(own)
    ]
    out = []
    while any(queues):
        out.append(rng.choice([q for q in queues if q]).pop(0))
    return out


def stream_plan(folder: Path, commit_every: str = "1s") -> Plan:
    """The plan of a folder as a stream into the lake alone, its key and tables made."""
    plan = load_plan(folder)
    plan = replace(plan, mode="stream", sinks={"lake": {"commit_every": commit_every}})
    make_default_key(folder)
    open_lake(plan).prepare(plan)
    return plan


class Middle:
    """What stands between source and lake, in one process, one batch after the other."""

    def __init__(self, plan: Plan, *, max_future_us: int | None = None) -> None:
        self.plan = plan
        self.lake = open_lake(plan)
        dedupe = plan.deduplicate
        decoder = MessageDecoder(
            plan.contract, max_future_us=max_future_us, meet=Meet(plan.contract)
        )
        self.admission = Admission(plan, decoder)
        self.admission.setup()
        self.asking, self.horizon_us = None, 0
        if dedupe is not None:
            by, self.horizon_us = dedupe.parameters["by"], dedupe.parameters["horizon_us"]
            event_time = plan.contract.event_time_column
            self.asking = Asking(
                by=tuple(by),
                event_time=event_time,
                key=(1, 2),
                partitions=1,
                stay=Stay(horizon_us=self.horizon_us),
                step=dedupe.id,
            )
        self.seen = Seen()
        self.landing = Landing(
            plan=plan,
            processed=self.lake.table_info(plan.processed),
            refused=self.lake.table_info(plan.operations("refused")),
            run_id="run",
            dedupe=dedupe.id if dedupe else "",
        )

    def committer(self) -> StreamCommitter:
        """A committer of a new process."""
        return StreamCommitter(Committer(self.lake, self.plan, run_id="run"), self.plan)

    def begins(self) -> Memory:
        """What a stream knows that begins now, without a checkpoint."""
        return Memory(Asked(began=self.lake.last_done().seq))

    def ship(self, *batches: pa.RecordBatch) -> Shipment:
        """Make one shipment of raw batches that come in this order."""
        return self.landing([self._parcel(batch) for batch in batches])

    def _parcel(self, batch: pa.RecordBatch) -> tuple[Parcel, list[Answer]]:
        outcome, changes = self.admission(batch)
        done, records = stretches(batch)
        token = new_token()
        answers = list(self._answers(outcome.rows, token))
        parcel = Parcel(
            token=token,
            outcome=outcome,
            done=done,
            records=records,
            asked=len(answers),
            lost=lost_of(batch),
            changes=changes,
        )
        return Parcel.decode(parcel.encode()), answers

    def _answers(self, rows: pa.RecordBatch, token: bytes) -> Iterator[Answer]:
        if self.asking is None or not rows.num_rows:
            return
        a = self.asking
        for _, ids in ids_of(rows, a.by, a.event_time, a.key, "chunk", 1, placed=True):
            found = look(ids, self.seen, self.horizon_us)
            self.seen.add(found.kept)
            yield Answer(token, found.rows, found.conflict, found.moved)


def commit(one: StreamCommitter, memory: Memory, *shipments: Shipment) -> Memory:
    """Commit, and return what is to be remembered."""
    return one.commit(shipments, memory)[1]


def positions(batch: pa.RecordBatch) -> list[int]:
    """The positions of rows, in their order."""
    return batch[POSITION].to_pylist()
