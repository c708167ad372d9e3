"""Messages of the real client (over librdkafka's mock cluster) as columns; how it is set up."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.errors import UsageError
from schemas.stream_source import KafkaSource, Registry, Sasl, Tls
from transforms.kafka_client import UnreachableError, connection, consumption, kafka_client
from transforms.schema_registry import SchemaRegistry
from transforms.sources.kafka.columns import raw_batch
from transforms.sources.kafka.topics import Cluster
from transforms.sources.streams.raw import HEADERS, KEY, RECORD, Span, spans_of

BROKEN = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    cluster = AdminClient({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    (found,) = cluster.list_topics(timeout=10).brokers.values()
    yield f"{found.host}:{found.port}"
    del cluster


def consumed(broker: str, sent: list[tuple[str, int, bytes | None, dict[str, Any]]]) -> list[Any]:
    producer = Producer({"bootstrap.servers": broker})
    for topic, partition, value, more in sent:
        producer.produce(topic, value, partition=partition, **more)
    assert producer.flush(10) == 0
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "g", "enable.auto.commit": False})
    where = dict.fromkeys((topic, partition) for topic, partition, *_ in sent)
    consumer.assign([TopicPartition(*one, 0) for one in where])
    found: list[Any] = []
    while len(found) < len(sent):
        found += consumer.consume(100, 1.0)
    consumer.close()
    return found


def test_payload_key_headers_and_place_become_columns(broker: str) -> None:
    more = {"key": b"k", "headers": [("h", b"1"), ("h", None)], "timestamp": 1_500}
    messages = consumed(broker, [("one", 0, b"x", more), ("one", 0, None, {"timestamp": 2_000})])
    batch = raw_batch(
        messages, {("one", 0): "c/t/0"}, {"c/t/0": 0}, now_us=9, key=True, headers=True
    )
    assert batch[RECORD].to_pylist() == [b"x", None]
    assert batch[KEY].to_pylist() == [b"k", None]
    pair = [{"name": "h", "value": b"1"}, {"name": "h", "value": None}]
    assert batch[HEADERS].to_pylist() == [pair, []]
    assert batch["_source"].to_pylist() == ["c/t/0", "c/t/0"]
    assert batch["_position"].to_pylist() == [0, 1]
    assert batch["_sequence"].to_pylist() == [0, 0]
    assert batch["_arrived"].cast(pa.int64()).to_pylist() == [1_500_000, 2_000_000]
    assert batch["_watermark"].to_pylist() == [None, None]
    assert spans_of(batch) == (Span("c/t/0", 0, 2, 2),)


def test_messages_of_several_topics_and_partitions_know_their_source(broker: str) -> None:
    sent = [("many", i % 3, b"%d" % i, {}) for i in range(9)] + [("more", 1, b"x", {})]
    messages = consumed(broker, sent)
    sources = {("many", p): f"many{p}" for p in range(3)} | {("more", 1): "more1"}
    batch = raw_batch(messages, sources, dict.fromkeys(sources.values(), 0), now_us=0)
    rows = zip(*(batch[c].to_pylist() for c in ("_source", "_position", RECORD)), strict=True)
    expected = [(f"many{i % 3}", i // 3, b"%d" % i) for i in range(9)] + [("more1", 0, b"x")]
    assert sorted(rows) == sorted(expected)
    assert set(spans_of(batch)) == {
        *(Span(f"many{p}", 0, 3, 3) for p in range(3)),
        Span("more1", 0, 1, 1),
    }


def test_a_span_begins_where_reading_stood(broker: str) -> None:
    messages = consumed(broker, [("held", 0, b"x", {}), ("held", 0, b"y", {})])[1:]
    batch = raw_batch(messages, {("held", 0): "s"}, {"s": 0}, now_us=0)
    assert spans_of(batch) == (Span("s", 0, 2, 1),)


def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(UsageError, match="extra `kafka`"):
        kafka_client()


def test_secrets_come_by_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BROKERS", "b:9092")
    monkeypatch.setenv("PASSWORD", "p4ss")
    (tmp_path / "pw").write_text("k3y\n")
    (tmp_path / "pw").chmod(0o600)
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----")
    source = KafkaSource(
        brokers="${BROKERS}",
        topics=("t",),
        tls=Tls(ca="ca.pem", key_password="file:pw"),
        sasl=Sasl(mechanism="SCRAM-SHA-512", username="me", password="env:PASSWORD"),
    )
    assert "p4ss" not in repr(source)
    found = connection(source, tmp_path)
    assert found["bootstrap.servers"] == "b:9092"
    assert found["security.protocol"] == "sasl_ssl"
    assert found["sasl.password"] == "p4ss"
    assert found["ssl.key.password"] == "k3y"
    assert found["ssl.ca.location"] == str(tmp_path / "ca.pem")
    (tmp_path / "pw").chmod(0o644)
    with pytest.raises(UsageError, match="readable by its owner only"):
        connection(source, tmp_path)


def test_a_position_that_is_gone_is_never_moved_by_the_client() -> None:
    found = consumption(KafkaSource(brokers="b:1", topics=("t",)), Path())
    assert found["auto.offset.reset"] == "error"
    assert found["enable.auto.commit"] is False
    assert found["isolation.level"] == "read_committed"


@pytest.mark.parametrize("key", ["ca", "certificate", "key"])
def test_a_file_of_tls_that_is_none_is_named(tmp_path: Path, key: str) -> None:
    (tmp_path / "no.pem").write_text("hello")
    for name, got in (("gone.pem", "No such file or directory"), ("no.pem", "no PEM in it")):
        source = KafkaSource(brokers="b:1", topics=("t",), tls=Tls(**{key: name}))
        with pytest.raises(UsageError) as caught:
            connection(source, tmp_path)
        said = f"source.stream.kafka.tls.{key} must be a readable PEM file; got {tmp_path / name}"
        assert f"{said}: {got}" in str(caught.value)


def test_a_login_within_an_address_by_reference_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BROKERS", "me:hunter2@b:9092")
    monkeypatch.setenv("REGISTRY", "http://me:hunter2@b:8081")
    with pytest.raises(UsageError, match="brokers must hold no login") as brokers:
        connection(KafkaSource(brokers="${BROKERS}", topics=("t",)), tmp_path)
    with pytest.raises(UsageError, match="url must hold no login") as registry:
        SchemaRegistry(Registry(url="${REGISTRY}"), tmp_path).schema(1)
    assert "hunter2" not in f"{brokers.value}{registry.value}"


def test_what_the_client_does_not_take_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(BROKEN)
    source = KafkaSource(brokers="b:1", topics=("t",), tls=Tls(ca="ca.pem"))
    with pytest.raises(UsageError, match=r"must be such as Kafka's client takes; got .*ssl.ca"):
        Cluster(source, tmp_path)


def test_a_silent_broker_may_be_one_that_speaks_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.sources.kafka.topics.TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        cluster = Cluster(KafkaSource(brokers=f"127.0.0.1:{port}", topics=("t",)), Path())
        with pytest.raises(UnreachableError, match="that tls and sasl are given if that port asks"):
            cluster.partitions()


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "registry.tls.ca must be a readable PEM file"), (BROKEN, "such as TLS takes; got ")],
)
def test_a_registry_names_its_wrong_files_too(tmp_path: Path, text: str, said: str) -> None:
    if text:
        (tmp_path / "ca.pem").write_text(text)
    about = Registry(url="https://127.0.0.1:1", tls=Tls(ca="ca.pem"))
    with pytest.raises(UsageError, match=said):
        SchemaRegistry(about, tmp_path).schema(1)
