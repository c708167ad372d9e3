"""Topics of generated events, made once for each number of rows."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 4


def filled(brokers: str, name: str, file: Path) -> str:
    """Return the name of a topic that holds the lines of a file, one after the other by turns."""
    with file.open("rb") as lines:
        rows = sum(1 for _ in lines)
    admin = AdminClient({"bootstrap.servers": brokers})
    if name in admin.list_topics(timeout=30).topics:
        if ends(brokers, name) == rows:
            return name
        admin.delete_topics([name])[name].result(30)
        time.sleep(2)  # the name is free a moment later
    make(brokers, name)
    with file.open("rb") as lines:
        send(producer(brokers), name, (line.rstrip(b"\n") for line in lines))
    return name


def make(brokers: str, name: str, **config: str) -> str:
    """Make a topic."""
    topic = NewTopic(name, PARTITIONS, 1, config=config)
    admin = AdminClient({"bootstrap.servers": brokers})
    admin.create_topics([topic])[name].result(30)
    return name


def producer(brokers: str) -> Producer:
    """Return a producer of large, cheap requests."""
    return Producer(
        {
            "bootstrap.servers": brokers,
            "linger.ms": 5,
            "batch.size": 1 << 20,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000,
        }
    )


def send(to: Producer, topic: str, messages: Iterable[bytes], first: int = 0) -> None:
    """Send messages to the partitions by turns, and wait until the broker has them."""
    for number, message in enumerate(messages, first):
        while True:
            try:
                to.produce(topic, message, partition=number % PARTITIONS)
                break
            except BufferError:
                to.poll(0.1)
        if not number % 10_000:
            to.poll(0)
    if left := to.flush(60):
        msg = f"the broker must take every message; got {left} left of {topic}"
        raise RuntimeError(msg)


def ends(brokers: str, name: str) -> int:
    """Return how many messages a topic of ours holds."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "bench"})
    try:
        return sum(
            consumer.get_watermark_offsets(TopicPartition(name, number), timeout=30)[1]
            for number in range(PARTITIONS)
        )
    finally:
        consumer.close()
