"""The Kafka source on a real broker, prism and Flink: rows come once, in their windows."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from confluent_kafka import Producer

from schemas.stream_source import KafkaSource
from tests import servers
from tests.stack.streaming import (
    CONTRACT,
    Note,
    beat,
    counted,
    make_topic,
    noted,
    on_flink,
    on_prism,
    produce,
    wait_for,
    windowed,
)
from transforms.sources.kafka.source import KafkaStream
from transforms.sources.streams import live
from transforms.sources.streams.read import ReadStream
from transforms.sources.streams.watermark import Pace

pytestmark = pytest.mark.stack


def reading(topic: str, pace: Pace, **more: Any) -> ReadStream:
    kafka = KafkaSource(brokers=servers.kafka(), topics=(topic,))
    source = KafkaStream(kafka=kafka, folder=Path.cwd())
    return ReadStream(source=source, contract=CONTRACT, pace=pace, **more)


def test_every_message_comes_once_and_in_its_window(tmp_path: Path) -> None:
    topic = make_topic(servers.kafka(), 3)
    now = time.time() // 10 * 10 - 600
    messages = [(i % 3, beat(now + i / 100, i)) for i in range(6000)]
    produce(servers.kafka(), topic, messages)
    rows, windows = tmp_path / "rows", tmp_path / "windows"

    def build(root: beam.Pipeline) -> None:
        raw = root | reading(topic, Pace(disorder_us=0, idle_us=1_000_000))
        _ = raw | "Rows" >> beam.ParDo(Note(rows, rows=True))
        windowed(raw, 10, windows)

    with on_prism(build):
        assert wait_for(lambda: sum(counted(windows).values()) >= 6000, 60)
    assert sorted(map(tuple, noted(rows))) == [(str(p), i) for p in range(3) for i in range(2000)]
    assert {(p, start): n for p, n, start, _ in noted(windows)} == {
        (str(p), now + 10 * w): len([i for i in range(6000) if i % 3 == p and i // 1000 == w])
        for p in range(3)
        for w in range(6)
    }


LAG, DENSE, SPARSE, SECONDS = 3600.0, 0.005, 0.5, 10.0


def skewed(topic: str) -> dict[str, int]:
    """For some seconds, a dense partition at now, and a sparse one that lags by an hour."""
    producer = Producer({"bootstrap.servers": servers.kafka(), "linger.ms": 5})
    began, sent = time.time(), {"0": 0, "1": 0}
    while (now := time.time()) < began + SECONDS:
        producer.produce(topic, beat(now, 0), partition=1)
        sent["1"] += 1
        if now > began + SPARSE * sent["0"]:
            producer.produce(topic, beat(now - LAG, 0), partition=0)
            sent["0"] += 1
        producer.poll(DENSE)
    assert producer.flush(10) == 0
    return sent


def run_skewed(
    folder: Path, runner: Any = on_prism, shares: int = 1
) -> tuple[dict[str, int], dict[str, int]]:
    """Return rows sent and rows in windows of 2 s, without allowed lateness, by partition."""
    topic, file = make_topic(servers.kafka(), 2), folder / "windows"
    sent: dict[str, int] = {}
    thread = threading.Thread(target=lambda: sent.update(skewed(topic)))
    pace = Pace(disorder_us=0, idle_us=3_000_000)
    stream = reading(topic, pace, shares=shares)
    with runner(lambda root: windowed(root | stream, 2, file)):
        thread.start()
        thread.join()
        wait_for(lambda: counted(file) == sent, 30)
    return sent, dict(counted(file))


@pytest.mark.parametrize(
    ("runner", "shares"),
    [(on_prism, 1), (on_flink, 1), (on_flink, 2)],
    ids=["prism", "flink", "flink, two restrictions"],
)
def test_no_row_of_a_sparse_partition_that_lags_by_an_hour_is_late(
    tmp_path: Path, runner: Any, shares: int
) -> None:
    sent, found = run_skewed(tmp_path, runner, shares)
    assert sent["0"] > 10
    assert found == sent


def test_with_a_watermark_that_follows_the_newest_row_such_rows_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def naive(before: int | None, partitions: list[Any], now_us: int, pace: Pace) -> int | None:
        highs = [p.high_us for p in partitions if p.high_us is not None]
        return max(highs, default=before)

    monkeypatch.setattr(live, "watermark", naive)
    sent, found = run_skewed(tmp_path)
    assert found.get("0", 0) < sent["0"] / 2
