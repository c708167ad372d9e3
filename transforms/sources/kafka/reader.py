"""Reads partitions of Kafka as raw batches; a `StreamReader`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from schemas.errors import SourceError
from schemas.stream_source import KafkaSource
from transforms.batches import one_batch
from transforms.kafka_client import (
    UnreachableError,
    connected,
    consumption,
    failed,
    kafka_client,
)
from transforms.sources.kafka.columns import Partition, raw_batch
from transforms.sources.kafka.gaps import LOG, judge
from transforms.sources.kafka.topics import Cluster, Found
from transforms.sources.streams.raw import Span, raw_schema, spans_of, with_spans
from transforms.sources.streams.vector import Vector

_MOST: Final = 2_500
_FIRST: Final = 500  # messages, until their size is known
_CONFIRM_S: Final = 1.0
_PATIENCE_S: Final = 5.0


class KafkaReader:
    """One consumer over the partitions of a vector; new ones are added as they appear.

    Partitions are assigned, not subscribed to: the vector says who reads what, not a group.
    """

    def __init__(
        self, source: KafkaSource, folder: Path, vector: Vector, share: int, shares: int
    ) -> None:
        """Begin to fetch.

        Raises:
            SourceError: The cluster does not answer.
            GapError: What is to be read is gone; see `gaps.judge`.
        """
        self._kafka: Any = kafka_client()
        self._source = source
        self._share, self._shares = share, shares
        self._cluster = Cluster(source, folder)
        self._consumer = connected(self._kafka.Consumer, consumption(source, folder))
        self._found: dict[str, Found] = {}
        self._at: dict[Partition, str] = {}
        self._positions = vector.positions
        self._ends = {s: p.end for s, p in vector.places.items() if p.end is not None}
        self._labels = {s: p.label for s, p in vector.places.items()}
        self._ended: dict[str, int] = {}  # position at which its end was reported
        self._confirmed = -_CONFIRM_S
        self._lost: list[Span] = []
        self._mean = 1.0
        self._wish = _FIRST
        self._looked = time.monotonic()
        self._look()

    def poll(self, max_ms: int, max_bytes: int) -> pa.RecordBatch | None:
        """See `StreamReader.poll`."""
        if time.monotonic() > self._looked + self._source.refresh_us / 1e6:
            self._look_if_answered()
        before = dict(self._positions)
        parts: list[pa.RecordBatch] = []
        size, deadline = 0, time.monotonic() + max_ms / 1000
        while size < max_bytes:
            left = max(deadline - time.monotonic(), 0.0)
            wish = min(self._wish, max(1, int((max_bytes - size) / self._mean)))
            messages = self._consumer.consume(wish, left)
            part = self._batch(messages)
            if part is not None:
                parts.append(part)
                size += part.nbytes
            if time.monotonic() >= deadline:
                break
        topics = {f.partition[0]: f.topic_id for f in self._found.values()}
        try:
            # The client fetches by name: what came may be of a topic that was made anew.
            if parts and not self._cluster.are(topics):
                self._positions, parts = before, []
                self._again()
        except UnreachableError:
            LOG.warning("kafka.unreachable", extra={"penstock.discarded": len(parts)})
            self._positions, parts = before, []
            self._assign()
        return self._joined(parts)

    def positions(self) -> Mapping[str, int]:
        """See `StreamReader.positions`."""
        return dict(self._positions)

    def labels(self) -> Mapping[str, str]:
        """See `StreamReader.labels`."""
        return self._labels

    def caught_up(self) -> frozenset[str]:
        """See `StreamReader.caught_up`.

        The client reports an end once; whether it still is one, only the broker knows (it may not
        have answered since), so it is asked, at most once a second.
        """
        ended = {s for s, at in self._ended.items() if self._positions.get(s) == at}
        now = time.monotonic()
        if not ended or now < self._confirmed + _CONFIRM_S:
            return frozenset(ended)
        self._confirmed = now
        asked = [self._found[s].partition for s in ended]
        try:
            latest = self._cluster.latest(asked, _PATIENCE_S)
        except SourceError:
            self._ended = {}
            return frozenset()
        more = {self._at[p] for p, end in latest.items() if end > self._positions[self._at[p]]}
        return frozenset(ended - more)

    def ack(self, positions: Mapping[str, int]) -> None:
        """See `StreamReader.ack`: commits offsets of the source's group, if it names one."""
        if self._source.group is None:
            return
        offsets = [
            self._kafka.TopicPartition(*self._found[source].partition, position)
            for source, position in positions.items()
            if source in self._found
        ]
        if offsets:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def close(self) -> None:
        """See `StreamReader.close`."""
        self._consumer.close()

    def _look_if_answered(self) -> None:
        """Look; brokers that are away are waited for, as the client does."""
        try:
            self._look()
        except UnreachableError:
            LOG.warning("kafka.unreachable", extra={"penstock.discarded": 0})

    def _look(self) -> None:
        """Look at the topics as they are: ids, new partitions, what was removed; then go on."""
        self._looked = time.monotonic()
        found = self._cluster.partitions(self._share, self._shares)
        if found.keys() == self._found.keys():
            return
        new = {s: f for s, f in found.items() if s not in self._positions}
        if self._source.bounded:
            new = {}
        at = {f.partition: s for s, f in found.items()}
        first = {at[p]: o for p, o in self._cluster.earliest(at).items()}
        last = {at[p]: o for p, o in self._cluster.latest(at).items()}
        self._labels |= {s: f.label for s, f in found.items()}
        judged = judge(self._positions, first, last, self._labels, self._source.on_gap)
        # What appears while running was not there at the start: all of it is new.
        self._positions = judged.positions | {s: first[s] for s in new}
        self._found = {s: f for s, f in found.items() if s in self._positions}
        self._at = {f.partition: s for s, f in self._found.items()}
        self._lost += judged.lost
        self._assign()

    def _assign(self) -> None:
        self._ended = {}
        self._consumer.assign(
            [
                self._kafka.TopicPartition(*found.partition, self._positions[source])
                for source, found in self._found.items()
                if not self._is_finished(source)
            ]
        )

    def _is_finished(self, source: str) -> bool:
        return source in self._ends and self._positions[source] >= self._ends[source]

    def _batch(self, messages: list[Any]) -> pa.RecordBatch | None:
        """Make a batch of what was consumed, and note ends and errors."""
        if not messages:
            return None
        kind = type(messages[0])
        if any(map(kind.error, messages)):
            marks = [m for m in messages if m.error() is not None]
            messages = [m for m in messages if m.error() is None]
        else:
            marks = []
        if self._ends and max(map(kind.offset, messages), default=-1) >= min(self._ends.values()):
            messages = [m for m in messages if self._wanted(m)]
        batch = None
        if messages:
            batch = raw_batch(
                messages,
                self._at,
                self._positions,
                now_us=time.time_ns() // 1000,
                key=self._source.key is not None,
                headers=bool(self._source.headers),
            )
            self._mean = max(1.0, batch.nbytes / batch.num_rows)
            self._wish = _MOST
            for span in spans_of(batch):
                self._positions[span.source] = span.end
        for mark in marks:
            self._mark(mark)
        return batch

    def _wanted(self, message: Any) -> bool:
        end = self._ends.get(self._at[message.topic(), message.partition()])
        return end is None or message.offset() < end

    def _mark(self, mark: Any) -> None:
        """Take note of an end, wait out what passes, raise what does not."""
        error, codes = mark.error(), self._kafka.KafkaError
        code = error.code()
        if code == codes._PARTITION_EOF:  # noqa: SLF001  the client's own name
            source = self._at.get((mark.topic(), mark.partition()))
            if source is not None and mark.offset() >= self._positions[source]:
                # Marks of transactions may stand behind the last message.
                self._positions[source] = self._ended[source] = mark.offset()
        elif code in _changed(codes):
            self._again()
        elif error.fatal() or not (error.retriable() or code in _passing(codes)):
            raise failed(error, "messages must be readable")

    def _again(self) -> None:
        """Look at what is there, and go on from where reading stood."""
        self._found = {}
        self._look()

    def _joined(self, parts: list[pa.RecordBatch]) -> pa.RecordBatch | None:
        lost, self._lost = self._lost, []
        if not parts and not lost:
            return None
        if len(parts) == 1 and not lost:
            return parts[0]
        spans: dict[str, Span] = {}
        for span in (span for part in parts for span in spans_of(part)):
            before = spans.get(span.source)
            if before is not None:
                span = Span(span.source, before.start, span.end, before.rows + span.rows)  # noqa: PLW2901
            spans[span.source] = span
        schema = raw_schema(key=self._source.key is not None, headers=bool(self._source.headers))
        bare = [part.replace_schema_metadata(None) for part in parts]
        table = pa.Table.from_batches(bare, schema=schema).unify_dictionaries()
        return with_spans(one_batch(table), [*spans.values(), *lost])


def _changed(codes: Any) -> tuple[int, ...]:
    """Errors that say that what is there is not what it was."""
    return (
        codes.OFFSET_OUT_OF_RANGE,
        codes._AUTO_OFFSET_RESET,  # noqa: SLF001
        codes.UNKNOWN_TOPIC_OR_PART,
        codes._UNKNOWN_TOPIC,  # noqa: SLF001
        codes.UNKNOWN_TOPIC_ID,
    )


def _passing(codes: Any) -> tuple[int, ...]:
    """Errors that the client mends by itself, and that are not marked as such."""
    return (codes._ALL_BROKERS_DOWN, codes._TRANSPORT, codes._TIMED_OUT, codes._RESOLVE)  # noqa: SLF001
