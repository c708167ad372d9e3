"""A topic that events are sent to for as long as runs over it are killed, and what it holds."""

from __future__ import annotations

import json
import random
import shutil
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests import servers
from tests.faults import events_oracle

PARTITIONS = 3
DISORDER, WINDOW_S = 20.0, 10
FUTURE = b'"2099-'
LARGEST = 60 << 20
POISON = (
    b"{",
    b"[1]",
    b'{"event_id": 1}',
    b"no json",
    b'{"event_id": "x"}',
    b"\xff\xfe",
    b"",
    None,
)


def make_topic(broker: str, partitions: int = PARTITIONS, **config: str) -> str:
    """Make a topic of this test's own."""
    name = servers.unique("faults")
    admin = AdminClient({"bootstrap.servers": broker})
    admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(timeout=30)
    return name


def make_folder(folder: Path, broker: str, topic: str) -> Path:
    """Make a pipeline folder like the shipped one, over a topic; windows are short."""
    shutil.copytree(events_oracle.ROOT / "beam_pipelines/events", folder)
    for name in ("data", "out"):
        shutil.rmtree(folder / name, ignore_errors=True)
    file = folder / "pipeline.yaml"
    spec = yaml.safe_load(file.read_text())
    spec["source"]["stream"] = {
        "kafka": {"topic": topic, "brokers": broker},
        "disorder": f"{DISORDER:.0f}s",
        "idle": "3s",
    }
    windowing = {"type": "fixed", "size": f"{WINDOW_S}s", "allowed_lateness": "0s"}
    spec["aggregates"][0]["windowing"] = windowing
    spec["sinks"]["lake"] = {"commit_every": "1s"}
    file.write_text(yaml.safe_dump(spec, sort_keys=False))
    return folder


def event(rng: random.Random, at: float, **more: Any) -> bytes:
    """A new event; `at` is in seconds since the epoch."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    body = {
        "event_id": str(uuid.UUID(int=rng.getrandbits(128))),
        "event_time": text.replace("+00:00", "Z"),
        "user_id": f"u{rng.randrange(200)}",
        "event_type": rng.choice(["view", "click", "buy"]),
        "properties": {"email": f"{rng.randrange(99)}@example.com", "amount": rng.randrange(1000)},
    }
    return json.dumps(body | more).encode()


@dataclass
class Stream:
    """Sends events from a thread of its own while the block runs.

    Attributes:
        broker: Where.
        topic: To what.
        seed: Of the events, their partitions and copies.
        rate: Messages a second.
        times: How often each event is sent: to any partition, within some seconds.
        copies: Share of messages that are copies of ones before.
        poison: Share of messages that are no events.
        partitions: Those that are sent to.
        lag: Seconds by which events of a partition lie behind.
    """

    broker: str
    topic: str
    seed: int = 1000
    rate: float = 100.0
    times: int = 1
    copies: float = 0.1
    poison: float = 0.02
    partitions: Sequence[int] = range(PARTITIONS)
    lag: Mapping[int, float] = field(default_factory=dict)
    delivered: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Stream:
        self._rng = random.Random(self.seed)
        settings = {
            "bootstrap.servers": self.broker,
            "enable.idempotence": True,
            "linger.ms": 5,
            "message.max.bytes": LARGEST,
            "reconnect.backoff.max.ms": 300,
            "log_level": 0,
        }
        self._producer = Producer(settings)
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more; return when the broker has all."""
        self._stop.set()
        self._thread.join()
        assert self._producer.flush(60) == 0

    def send(self, message: bytes, partition: int) -> None:
        """Send one message of one's own beside them, and wait until the broker has it."""
        self._produce(message, partition)
        assert self._producer.flush(60) == 0

    def _send(self) -> None:
        recent: deque[bytes] = deque(maxlen=int(5 * self.rate / self.times) or 1)
        again: deque[tuple[float, bytes, int | None]] = deque()
        due = time.monotonic()
        while not self._stop.is_set():
            now = time.monotonic()
            while due < now:
                due += self.times / self.rate
                self._one(recent, again)
            while again and again[0][0] < now:
                _, message, where = again.popleft()
                self._produce(message, where)
            self._producer.poll(0.01)

    def _one(self, recent: deque[bytes], again: deque[tuple[float, bytes, int | None]]) -> None:
        rng, dice = self._rng, self._rng.random()
        message: bytes | None
        if dice < self.poison:
            message = rng.choice(POISON)
        elif dice < self.poison + self.copies and recent:
            message = rng.choice(recent)
        else:
            where = rng.choice(self.partitions)
            message = event(rng, time.time() - rng.uniform(0, 3) - self.lag.get(where, 0))
            if where in self.lag:
                self._produce(message, where)
                return
            recent.append(message)
        where = self._produce(message)
        if message is None:
            return
        for n in range(1, self.times):
            # One of two on the same partition, the other on any.
            again.append((time.monotonic() + 1.5 * n, message, where if n % 2 else None))

    def _produce(self, message: bytes | None, partition: int | None = None) -> int:
        if partition is None:
            partition = self._rng.choice([p for p in self.partitions if p not in self.lag])
        self._producer.produce(self.topic, message, partition=partition, on_delivery=self._told)
        return partition

    def _told(self, error: Any, _: Any) -> None:
        assert error is None, error
        self.delivered += 1


class TopicTruth(events_oracle.Truth):
    """Every message of a topic by its place, read by a consumer of our own.

    One from a far future is none.
    """

    window = timedelta(seconds=WINDOW_S)

    def __init__(self, broker: str, topic: str) -> None:
        self.records = {
            place: None if value is None or FUTURE in value else _event_of(value)
            for place, value in messages(broker, topic)
        }


def _event_of(message: bytes) -> dict[str, Any] | None:
    return events_oracle._event_of(message.decode(errors="replace"))


def messages(broker: str, topic: str) -> Iterator[tuple[events_oracle.Spot, bytes | None]]:
    """Yield ((source, offset), payload) of all that the topic holds now."""
    about = AdminClient({"bootstrap.servers": broker})
    cluster = about.list_topics(timeout=30).cluster_id
    from confluent_kafka import TopicCollection  # noqa: PLC0415

    described = about.describe_topics(TopicCollection([topic]))[topic].result(30)
    topic_id = str(described.topic_id).replace("+", "-").replace("/", "_")
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": topic, "enable.auto.commit": False}
    )
    try:
        left = {}
        for part in described.partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, part.id), timeout=30)
            assert low == 0
            if high:
                left[part.id] = high
        consumer.assign([TopicPartition(topic, p, 0) for p in left])
        until = time.monotonic() + 60
        while left and time.monotonic() < until:
            for message in consumer.consume(10_000, 1):
                assert message.error() is None, message.error()
                part = message.partition()
                yield (f"{cluster}/{topic_id}/{part}", message.offset()), message.value()
                if message.offset() + 1 == left.get(part):
                    del left[part]
        assert not left
    finally:
        consumer.close()
