"""Each local server does its work, comes back after a kill, and goes with all that it started."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from infra.local.servers import manager, processes
from tests import servers

pytestmark = pytest.mark.stack


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of this test's own, so that what it kills is nobody else's."""
    monkeypatch.setenv("PENSTOCK_SERVERS", str(tmp_path / "servers"))
    monkeypatch.setenv("PENSTOCK_PORTS", "free")
    yield tmp_path / "servers"
    manager.down()


def produce(broker: str, topic: str, *values: bytes) -> None:
    admin = AdminClient({"bootstrap.servers": broker})
    for made in admin.create_topics([NewTopic(topic, num_partitions=1)]).values():
        made.result(timeout=30)
    producer = Producer({"bootstrap.servers": broker})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def consume(broker: str, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": topic, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    try:
        found = [consumer.poll(30) for _ in range(count)]
        return [m.value() for m in found if m is not None and m.error() is None]
    finally:
        consumer.close()


def test_kafka_gives_back_what_was_produced() -> None:
    topic = servers.unique("smoke")
    produce(servers.kafka(), topic, b"one", b"two")
    assert consume(servers.kafka(), topic, 2) == [b"one", b"two"]


def test_kafka_wants_a_password_on_its_secure_port() -> None:
    good = servers.secure_kafka()
    assert AdminClient(good).list_topics(timeout=30).brokers
    wrong: list[KafkaError] = []
    AdminClient(good | {"sasl.password": "no", "error_cb": wrong.append}).poll(10)
    assert {e.code() for e in wrong} & {KafkaError._AUTHENTICATION}


def test_a_killed_kafka_comes_back_at_its_address_with_its_data(own: Path) -> None:
    (first,) = manager.up(["kafka"])
    produce(first.address, "kept", b"one")
    manager.kill("kafka")
    (second,) = manager.up(["kafka"])
    assert second.pid != first.pid
    assert second.address == first.address
    assert consume(second.address, "kept", 1) == [b"one"]
    assert manager.down(["kafka"]) == ["kafka"]
    assert not processes.members(str(own / "kafka"))


def count(address: str, *flags: str) -> None:
    """Run a small job with a shuffle; a wrong result fails the job."""
    options = PipelineOptions(["--runner=PortableRunner", f"--job_endpoint={address}", *flags])
    with beam.Pipeline(options=options) as p:
        counted = p | beam.Create(["a", "b", "a"] * 100) | beam.combiners.Count.PerElement()
        assert_that(counted, equal_to([("a", 200), ("b", 100)]))


def test_prism_runs_a_job() -> None:
    count(servers.prism(), "--environment_type=LOOPBACK")


def test_flink_runs_a_job_whose_worker_is_the_submitting_process() -> None:
    count(servers.job_server(), "--environment_type=LOOPBACK", "--parallelism=1")


def test_flink_runs_a_job_on_worker_processes_of_its_own() -> None:
    count(servers.job_server(), *servers.PROCESS, "--parallelism=1")


def test_spark_runs_a_job() -> None:
    count(servers.spark(), "--environment_type=LOOPBACK")


def test_the_registry_gives_back_a_schema_by_the_id_that_a_message_carries() -> None:
    registry, subject = servers.schema_registry(), servers.unique("smoke") + "-value"
    schema = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "long"}]}
    known = ask(f"{registry}/subjects/{subject}/versions", {"schema": json.dumps(schema)})["id"]
    assert json.loads(ask(f"{registry}/schemas/ids/{known}")["schema"]) == schema
    assert ask(f"{registry}/subjects/{subject}/versions/latest")["id"] == known


def ask(url: str, body: dict | None = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    kind = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, kind), timeout=30) as answer:
        return json.load(answer)
