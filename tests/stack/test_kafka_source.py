"""The Kafka source on a real broker, without a runner: where it begins and ends, what is gone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from beam_pipelines.cli import main
from infra.local.servers import manager
from schemas.errors import SourceError
from schemas.stream_source import KafkaSource, Sasl, Tls
from tests import servers
from tests.stack.streaming import beat, make_topic, produce, wait_for
from transforms.sources.kafka.gaps import GapError
from transforms.sources.kafka.source import KafkaStream
from transforms.sources.streams.interface import StreamReader
from transforms.sources.streams.raw import HEADERS, KEY, RECORD, Span, spans_of

pytestmark = pytest.mark.stack

CONTRACT_FILE = """\
apiVersion: v3.1.0
kind: DataContract
id: beats
version: 1.0.0
status: active
schema:
  - name: beats
    logicalType: object
    customProperties:
      - {property: "penstock:eventTime", value: at}
    properties:
      - {name: at, logicalType: timestamp, required: true}
      - {name: n, logicalType: integer}
"""
PIPELINE_FILE = """\
name: beats
contract: contract.odcs.yaml
source: {batch: {files: {path: data.jsonl}}}
"""


def stream(topic: str | tuple[str, ...] = (), **more: Any) -> KafkaStream:
    topics = (topic,) if isinstance(topic, str) else topic
    kafka = KafkaSource(brokers=servers.kafka(), topics=topics, **{"refresh_us": 0, **more})
    return KafkaStream(kafka=kafka, folder=Path.cwd())


def read(reader: StreamReader, count: int, seconds: float = 20) -> list[tuple[str, int, Any]]:
    """Read so many rows as (partition, offset, payload), and one poll more."""
    found: list[tuple[str, int, Any]] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        batch = reader.poll(200, 4 << 20)
        if batch is not None:
            labels = reader.labels()
            sources = (labels[s].rsplit("/", 1)[1] for s in batch["_source"].to_pylist())
            columns = (batch["_position"].to_pylist(), batch[RECORD].to_pylist())
            found += zip(sources, *columns, strict=True)
        elif len(found) >= count:
            break
    return sorted(found)


def whole(source: KafkaStream, count: int) -> list[tuple[str, int, Any]]:
    reader = source.open(source.begin({}, 0, 1), 0, 1)
    try:
        return read(reader, count)
    finally:
        reader.close()


def test_reading_begins_at_the_start_the_end_or_a_time() -> None:
    topic = make_topic(servers.kafka())
    produce(servers.kafka(), topic, [(0, b"old")], timestamp=1_000)
    produce(servers.kafka(), topic, [(0, b"new")], timestamp=2_000_000)
    assert whole(stream(topic), 2) == [("0", 0, b"old"), ("0", 1, b"new")]
    assert whole(stream(topic, start=2_000_000_000), 1) == [("0", 1, b"new")]
    assert list(stream(topic, start="latest").begin({}, 0, 1).positions.values()) == [2]
    assert list(stream(topic, start=10**16).begin({}, 0, 1).positions.values()) == [2]


def test_a_bounded_replay_ends_where_it_was_told_to() -> None:
    topic = make_topic(servers.kafka(), 2)
    produce(servers.kafka(), topic, [(i % 2, b"%d" % i) for i in range(10)])
    source = stream(topic, ends={(topic, 0): 3})
    vector = source.begin({}, 0, 1)
    assert sorted(p.end for p in vector.places.values()) == [3, 5]
    produce(servers.kafka(), topic, [(0, b"later"), (1, b"later")])
    reader = source.open(vector, 0, 1)
    assert [row[:2] for row in read(reader, 8)] == [
        *(("0", i) for i in range(3)), *(("1", i) for i in range(5))
    ]  # fmt: skip
    assert vector.moved(reader.positions(), {}).finished
    reader.close()


def test_aborted_and_open_transactions_are_left_out_and_their_marks_passed() -> None:
    topic, broker = make_topic(servers.kafka()), servers.kafka()
    producer = Producer({"bootstrap.servers": broker, "transactional.id": topic})
    producer.init_transactions(30)
    for value, end in ((b"no", producer.abort_transaction), (b"yes", producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(10)
        end(30)
    source = stream(topic, end="latest")
    vector = source.begin({}, 0, 1)
    reader = source.open(vector, 0, 1)
    assert [payload for *_, payload in read(reader, 1)] == [b"yes"]
    assert vector.moved(reader.positions(), {}).finished, "the last offset is a mark"
    reader.close()
    assert len(whole(stream(topic, committed=False), 2)) == 2


def test_tombstones_keys_and_headers_are_carried() -> None:
    topic = make_topic(servers.kafka())
    produce(servers.kafka(), topic, [(0, None)], key=b"k", headers=[("h", b"v")])
    source = stream(topic, key="k", headers={"h": "h"})
    reader = source.open(source.begin({}, 0, 1), 0, 1)
    found: list[Any] = []
    assert wait_for(lambda: bool(found.append(reader.poll(200, 1 << 20)) or found[-1]), 20)
    row = found[-1].to_pylist()[0]
    assert (row[RECORD], row[KEY], row[HEADERS]) == (None, b"k", [{"name": "h", "value": b"v"}])
    reader.close()


def test_topics_and_partitions_made_later_are_found() -> None:
    name = servers.unique("grow")
    source = stream(pattern=f"{name}-.*")
    with pytest.raises(SourceError, match="topics must match"):
        source.begin({}, 0, 1)
    admin = AdminClient({"bootstrap.servers": servers.kafka()})
    admin.create_topics([NewTopic(f"{name}-a", 1, 1)])[f"{name}-a"].result(30)
    produce(servers.kafka(), f"{name}-a", [(0, b"1")])
    reader = source.open(source.begin({}, 0, 1), 0, 1)
    assert len(read(reader, 1)) == 1
    admin.create_topics([NewTopic(f"{name}-b", 1, 1)])[f"{name}-b"].result(30)
    admin.create_partitions([NewPartitions(f"{name}-a", 2)])[f"{name}-a"].result(30)
    time.sleep(1)
    produce(servers.kafka(), f"{name}-b", [(0, b"2")])
    produce(servers.kafka(), f"{name}-a", [(1, b"3")])
    assert sorted(payload for *_, payload in read(reader, 2)) == [b"2", b"3"]
    assert len(reader.positions()) == 3
    reader.close()


def test_several_readers_share_every_partition() -> None:
    topic = make_topic(servers.kafka(), 5)
    parts = [stream(topic).begin({}, share, 2).positions for share in range(2)]
    assert len(parts[0]) + len(parts[1]) == len(parts[0] | parts[1]) == 5


def removed(topic: str, before: int) -> None:
    """Let retention remove what stands before an offset."""
    admin = AdminClient({"bootstrap.servers": servers.kafka()})
    asked = TopicPartition(topic, 0, before)
    admin.delete_records([asked])[asked].result()


def test_retention_that_overtakes_a_position_fails_or_is_reported() -> None:
    topic = make_topic(servers.kafka())
    produce(servers.kafka(), topic, [(0, b"%d" % i) for i in range(9)])
    vector = stream(topic).begin({}, 0, 1)
    (name,) = vector.places
    removed(topic, 4)
    with pytest.raises(GapError, match=f"4 of {topic}/0 removed, from 0 to 3"):
        stream(topic).open(vector, 0, 1)
    with pytest.raises(GapError, match="3 of"):
        stream(topic).begin({name: 1}, 0, 1)
    reader = stream(topic, on_gap="skip").open(vector, 0, 1)
    batches: list[Any] = []
    assert wait_for(
        lambda: (
            batches.append(reader.poll(200, 1 << 20)) or sum(b.num_rows for b in batches if b) == 5
        ),
        20,
    )
    spans = [span for b in batches if b is not None for span in spans_of(b)]
    assert Span(name, 0, 4, 0, lost=True) in spans
    assert sum(s.rows for s in spans) == 5
    reader.close()


def test_a_topic_made_anew_is_another_source_and_fails_or_is_reported() -> None:
    topic = make_topic(servers.kafka())
    produce(servers.kafka(), topic, [(0, b"old")] * 3)
    # Long before it is looked at again: the messages themselves must give it away.
    fails = stream(topic, refresh_us=3_600_000_000)
    skips = stream(topic, on_gap="skip", refresh_us=3_600_000_000)
    vector = fails.begin({}, 0, 1)
    (old,) = vector.places
    running, skipping = fails.open(vector, 0, 1), skips.open(vector, 0, 1)
    assert len(read(running, 3)) == len(read(skipping, 3)) == 3
    admin = AdminClient({"bootstrap.servers": servers.kafka()})
    admin.delete_topics([topic])[topic].result(30)
    time.sleep(1)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    produce(servers.kafka(), topic, [(0, b"new")] * 5)
    with pytest.raises(GapError, match="made anew"):
        read(running, 8)
    running.close()
    with pytest.raises(GapError, match="made anew"):
        fails.begin({old: 3}, 0, 1)
    for reader in (skipping, skips.open(vector.moved({old: 3}, {}), 0, 1)):
        assert [payload for *_, payload in read(reader, 5)] == [b"new"] * 5
        assert old not in reader.positions()
        reader.close()


def test_a_broker_that_cannot_be_reached_or_a_topic_that_is_not_there_is_said() -> None:
    with pytest.raises(SourceError, match="got none named nowhere"):
        stream("nowhere").begin({}, 0, 1)


def test_a_partition_is_caught_up_only_while_its_end_is_still_one() -> None:
    topic = make_topic(servers.kafka())
    source = stream(topic, refresh_us=3_600_000_000)
    reader = source.open(source.begin({}, 0, 1), 0, 1)
    read(reader, 0)
    assert wait_for(lambda: reader.poll(200, 1) is None and len(reader.caught_up()) == 1, 10)
    produce(servers.kafka(), topic, [(0, beat(1, 1))])
    time.sleep(1.1)
    assert reader.caught_up() == frozenset(), "the broker has more than was read"
    read(reader, 1)
    assert wait_for(lambda: reader.poll(200, 1) is None and len(reader.caught_up()) == 1, 10)
    reader.close()


def test_a_broker_is_reached_by_tls_with_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    topic, secure = make_topic(servers.kafka()), servers.secure_kafka()
    produce(servers.kafka(), topic, [(0, b"x")])
    monkeypatch.setenv("KAFKA_PASSWORD", secure["sasl.password"])
    kafka = KafkaSource(
        brokers=secure["bootstrap.servers"],
        topics=(topic,),
        tls=Tls(ca=secure["ssl.ca.location"]),
        sasl=Sasl(
            mechanism=secure["sasl.mechanism"],
            username=secure["sasl.username"],
            password="env:KAFKA_PASSWORD",
        ),
    )
    assert whole(KafkaStream(kafka=kafka, folder=Path.cwd()), 1) == [("0", 0, b"x")]


def test_produced_files_come_back_as_their_records(tmp_path: Path) -> None:
    topic, lines = servers.unique("produced"), [*(beat(60 - i, i) for i in range(50)), b"{broken"]
    (tmp_path / "data.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    (tmp_path / "contract.odcs.yaml").write_text(CONTRACT_FILE)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE_FILE)
    given = ["produce", str(tmp_path), "--topic", topic, "--brokers", servers.kafka()]
    assert main([*given, "--rate", "0", "--partitions", "1", "--key", "n"]) == 0
    # The broken one stands beside the record before it, the oldest.
    expected = [lines[49], lines[50], *lines[48::-1]]
    assert [payload for *_, payload in whole(stream(topic), 51)] == expected


def test_a_broker_that_is_killed_and_comes_back_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_SERVERS", str(tmp_path / "servers"))
    monkeypatch.setenv("PENSTOCK_PORTS", "free")
    try:
        topic = make_topic(servers.kafka())
        produce(servers.kafka(), topic, [(0, b"%d" % i) for i in range(50)])
        source = stream(topic)
        reader = source.open(source.begin({}, 0, 1), 0, 1)
        found = read(reader, 50)
        manager.kill("kafka")
        assert read(reader, 0, seconds=3) == []
        assert reader.caught_up() == frozenset(), "a broker that is away is no quiet partition"
        produce(servers.kafka(), topic, [(0, b"%d" % i) for i in range(50, 90)])
        found += read(reader, 40)
        assert found == [("0", i, b"%d" % i) for i in range(90)]
        reader.close()
    finally:
        manager.down()


def test_landed_offsets_show_in_the_consumer_group() -> None:
    topic = make_topic(servers.kafka())
    produce(servers.kafka(), topic, [(0, b"x")] * 3)
    source = stream(topic, group=topic)
    vector = source.begin({}, 0, 1)
    reader = source.open(vector, 0, 1)
    read(reader, 3)
    reader.ack(dict.fromkeys(vector.places, 2))
    committed = lambda: reader._consumer.committed([TopicPartition(topic, 0)], 5)[0].offset  # noqa: E731
    assert wait_for(lambda: committed() == 2, 10)
    reader.close()
