"""One splittable DoFn for every streaming source: raw batches, their watermark, and checkpoints."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PBegin, PCollection
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.shared import Shared
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Duration, Timestamp
from typing_extensions import override

from schemas.contract import Contract
from transforms.decode.messages import MessageDecoder
from transforms.sources.streams.clock import Clock, SystemClock
from transforms.sources.streams.estimator import ReaderWatermark, WatermarkProvider
from transforms.sources.streams.event_times import EventTimes
from transforms.sources.streams.interface import StreamSource
from transforms.sources.streams.live import Live, Pool, Step
from transforms.sources.streams.permit import DonePositions, Permit
from transforms.sources.streams.vector import Vector, VectorCoder, VectorTracker
from transforms.sources.streams.watermark import Pace

_RESTRICTION: Final = beam.DoFn.RestrictionParam()  # the DoFn provides it
_WATERMARK: Final = beam.DoFn.WatermarkEstimatorParam(WatermarkProvider())


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """How much is read at a time.

    Attributes:
        call_ms: How long one call of the DoFn goes on; what it read is checkpointed after it.
        poll_ms: How long a batch is waited for: what latency costs at a low rate.
        batch_bytes: About how large a batch gets.
        rest_ms: Pause after nothing came, or while the permit is used up.
        in_flight_rows: Rows that may be read ahead of what has landed, if that is told.
    """

    call_ms: int = 500
    poll_ms: int = 200
    batch_bytes: int = 8 << 20
    rest_ms: int = 50
    in_flight_rows: int = 1_000_000


@dataclass(kw_only=True, eq=False)
class ReadStream(beam.PTransform[PBegin, PCollection[pa.RecordBatch]]):
    """Read a stream as raw batches (`raw.raw_schema`), in the global window.

    A batch's timestamp is the lowest event time in it that counts (see `EventTimes`), the watermark
    if there is none. `_watermark` is the source's watermark before the batch was read: what was
    known when it came. `raw.spans_of` says what a batch covers; one without rows tells of positions
    that were passed over. The output is bounded if the source is.

    Without a checkpoint reading begins at `known`. Errors of the source fail the bundle.

    Attributes:
        source: What to read.
        contract: Says what event time is.
        decoder: Makes what decodes the messages by a contract.
        pace: Disorder, idleness and future.
        known: Positions by `_source`, from the lake.
        done: Says what has landed, for backpressure and acknowledgement; None: neither.
        draining: Asked before each call: whether reading is to end where it stands; None: never.
        shares: How many restrictions there are, each with its share of the partitions. More than
            one only on runners whose watermark is the minimum over them (prism's is not).
        rhythm: How much at a time.
    """

    source: StreamSource
    contract: Contract
    decoder: Callable[[Contract], MessageDecoder] = MessageDecoder
    pace: Pace = field(default_factory=Pace)
    known: Mapping[str, int] = field(default_factory=dict)
    done: DonePositions | None = None
    draining: Callable[[], bool] | None = None
    shares: int = 1
    rhythm: Rhythm = field(default_factory=Rhythm)

    @override
    def expand(self, root: PBegin) -> PCollection[pa.RecordBatch]:
        kind = _ReadToEnd if self.source.bounded else _ReadOn
        shares = root | "Shares" >> beam.Create(range(self.shares), reshuffle=self.shares > 1)
        return shares | "Read" >> beam.ParDo(kind(self)).with_output_types(pa.RecordBatch)


class _Read(beam.DoFn, RestrictionProvider):
    """Reads one share of the partitions; its restriction is a `Vector`."""

    def __init__(self, stream: ReadStream) -> None:
        super().__init__()
        self.source, self.known, self.shares = stream.source, dict(stream.known), stream.shares
        self.pace, self.rhythm, self.done = stream.pace, stream.rhythm, stream.done
        self.draining = stream.draining
        self.times = EventTimes(stream.contract, stream.pace.max_future_us, stream.decoder)
        self._shared, self._tag = Shared(), uuid.uuid4().hex

    @override
    def setup(self) -> None:
        self._pool = self._shared.acquire(Pool, self._tag)
        self._pool.use()
        self._clock: Clock = SystemClock()

    @override
    def teardown(self) -> None:
        self._pool.leave()

    @override
    def initial_restriction(self, element: int) -> Vector:
        return self.source.begin(self.known, element, self.shares)

    @override
    def create_tracker(self, restriction: Vector) -> VectorTracker:
        return VectorTracker(restriction)

    @override
    def restriction_size(self, element: int, restriction: Vector) -> float:
        return 1.0

    @override
    def restriction_coder(self) -> VectorCoder:
        return VectorCoder()

    @override
    def split(self, element: int, restriction: Vector) -> Iterator[Vector]:
        yield restriction

    @override
    def truncate(self, element: int, restriction: Vector) -> Vector | None:
        # Drain: what has an end is read to it, a stream stops where it stands.
        return restriction if self.source.bounded else None

    def read(self, share: int, tracker: Any, estimator: ReaderWatermark) -> Iterator[Any]:
        """Read for a while, then put off the rest."""
        vector = tracker.current_restriction()
        if self.source.bounded and (vector.finished or not vector.places):
            return
        if self.draining is not None and self.draining() and tracker.try_claim(vector.ended()):
            self._pool.drop(share)
            return
        live = self._pool.take(share, vector, lambda: self._open(share, vector))
        try:
            rest = yield from self._steps(live, tracker, estimator)
        except BaseException:
            live.reader.close()
            raise
        if live.vector.finished:
            live.reader.close()
            return
        # First: whoever gets the rest may ask for the reader at once.
        self._pool.put(share, live)
        tracker.defer_remainder(Duration(micros=rest * 1000))

    def _steps(self, live: Live, tracker: Any, estimator: Any) -> Generator[Any, None, int]:
        """Yield batches; return for how many milliseconds to rest."""
        until = time.monotonic() + self.rhythm.call_ms / 1000
        while True:
            step = live.next(self.rhythm.poll_ms, self.rhythm.batch_bytes)
            if step is None:
                return self.rhythm.rest_ms
            if not tracker.try_claim(step.vector):
                live.give_back(step)
                return 0
            before = estimator.known_us()
            batch = live.taken(step, before)
            if batch is not None:
                yield TimestampedValue(batch, _timestamp(step, before))
            if (now := live.watermark(before)) is not None:
                estimator.advance(now)
            if live.vector.finished:
                return 0
            if batch is None:
                return self.rhythm.rest_ms
            if time.monotonic() > until:
                return 0

    def _open(self, share: int, vector: Vector) -> Live:
        reader = self.source.open(vector, share, self.shares)
        permit = Permit(self.done, self.rhythm.in_flight_rows, self._clock)
        return Live(reader, vector, self.times, self.pace, permit, self._clock)


class _ReadOn(_Read):
    @override
    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        share: int,
        tracker: Any = _RESTRICTION,
        estimator: Any = _WATERMARK,
    ) -> Iterator[Any]:
        return self.read(share, tracker, estimator)


class _ReadToEnd(_Read):
    @override
    def process(
        self,
        share: int,
        tracker: Any = _RESTRICTION,
        estimator: Any = _WATERMARK,
    ) -> Iterator[Any]:
        return self.read(share, tracker, estimator)


def _timestamp(step: Step, before: int | None) -> Timestamp:
    low = step.seen.low if step.seen.low is not None else before
    if low is None:
        return MIN_TIMESTAMP
    if not step.seen.exact and before is not None:
        low = min(low, before)  # rows that are older still are late
    return Timestamp(micros=low)
