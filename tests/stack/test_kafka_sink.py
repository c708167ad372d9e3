"""What a Kafka sink sends: each commit's rows once, for whoever reads committed messages."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from beam_pipelines.cli import main
from schemas.errors import PenstockError
from schemas.kafka_sink import kafka_sink
from schemas.planning import load_plan
from schemas.stream_source import Registry
from tests import servers
from tests.pipelines.shop import HOURLY, PIPELINE, PROCESSED, Out, expected, make_folder, sales
from tests.pipelines.visits import SESSIONS, VISITS
from tests.stack.streaming import make_topic
from transforms.commit.lake import open_lake
from transforms.schema_registry import SchemaRegistry
from transforms.sinks.kafka import KafkaOutbox
from transforms.sinks.kafka_progress import KafkaSinkError

pytestmark = pytest.mark.stack


def folder_of(root: Path, topic: str, more: str = "") -> Path:
    sink = f'  kafka: {{topic: "{topic}", brokers: "{servers.kafka()}", progress: {topic.split("{", maxsplit=1)[0]}-progress{more}}}'
    return make_folder(root, pipeline=f"{PIPELINE}{sink}\n")


def run(folder: Path, *flags: str) -> int:
    return main(["run", str(folder), "--sinks", "lake,kafka", "--json", *flags])


def read(topic: str, *, committed: bool = True) -> list[Any]:
    """All messages of a topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers.kafka(),
            "group.id": "test",
            "enable.partition.eof": True,
            "isolation.level": "read_committed" if committed else "read_uncommitted",
        }
    )
    parts = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, 0) for p in parts])
    found, ended = [], set[int]()
    while len(ended) < len(parts):
        message = consumer.poll(20)
        assert message is not None
        if message.error() is None:
            found.append(message)
        elif message.error().code() == KafkaError._PARTITION_EOF:
            ended.add(message.partition())
    consumer.close()
    return found


def values(topic: str) -> list[dict[str, Any]]:
    return [json.loads(m.value()) for m in read(topic)]


def test_each_commit_is_sent_once_after_its_run(tmp_path: Path) -> None:
    topic = make_topic(servers.kafka(), 3)
    folder = folder_of(tmp_path, topic)
    first = sales(0, 300, broken=5, copies=20)
    (folder / "data" / "a.jsonl").write_bytes(first)
    assert run(folder) == 0
    want = expected({"a": first})
    rows = values(topic)
    assert {r["sale_id"]: r["land"] for r in rows} == {
        k: r["land"] for k, r in want["rows"].items()
    }
    assert len(rows) == len(want["rows"])
    assert isinstance(rows[0]["properties"], dict), "JSON in JSON is not text"
    assert all("@" not in json.dumps(r) for r in rows), "personal data is protected"
    keys = Counter(m.key() for m in read(topic))
    places = Out(folder / "out").rows(PROCESSED)
    assert keys == {f"{r['_source']}/{r['_position']}/0".encode(): 1 for r in places}

    assert run(folder) == 0
    assert len(values(topic)) == len(want["rows"]), "nothing new, nothing sent"
    second = sales(300, 200)
    (folder / "data" / "b.jsonl").write_bytes(second)
    assert run(folder) == 0
    want = expected({"a": first, "b": second})
    assert Counter(r["sale_id"] for r in values(topic)) == Counter(list(want["rows"]))


def test_aggregates_are_sent_for_the_windows_that_changed(tmp_path: Path) -> None:
    base = make_topic(servers.kafka())
    topics = {t: f"{base}-{t}" for t in ("shop", "sales_hourly")}
    for name in topics.values():
        make_named(name)
    more = ", tables: [processed, sales_hourly]"
    folder = folder_of(tmp_path, base + "-{table}", more)
    lines = sales(0, 300).splitlines()
    early = [x for x in lines if json.loads(x)["sold_at"] < "2026-03-01T01"]
    (folder / "data" / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert run(folder) == 0
    before = values(topics["sales_hourly"])
    assert len(before) == len(Out(folder / "out").rows(HOURLY))
    more_early = [x.replace(b'"s0', b'"t0') for x in early]
    (folder / "data" / "b.jsonl").write_bytes(b"\n".join(more_early) + b"\n")
    assert run(folder) == 0
    after = values(topics["sales_hourly"])[len(before) :]
    assert {r["window_start"][:13] for r in after} == {"2026-03-01 00"}
    latest = {m.key(): json.loads(m.value()) for m in read(topics["sales_hourly"])}
    want = {(r["land"], r["size"], r["sales"]) for r in Out(folder / "out").rows(HOURLY)}
    assert {(r["land"], r["size"], r["sales"]) for r in latest.values()} == want
    assert len(latest) == len(Out(folder / "out").rows(HOURLY)), "a key is a window and its groups"


def test_sessions_that_join_leave_tombstones_of_those_they_were(tmp_path: Path) -> None:
    base = make_topic(servers.kafka())
    topic = f"{base}-visits"
    make_named(topic)
    folder = folder_of(tmp_path, base + "-{table}", ", tables: [visits]")
    pipeline = folder / "pipeline.yaml"
    pipeline.write_text(pipeline.read_text().replace("sinks:\n", SESSIONS))
    lines = sales(0, 600).splitlines()
    random.Random(3).shuffle(lines)
    for i in range(4):
        part = b"\n".join(lines[i * 150 : (i + 1) * 150]) + b"\n"
        (folder / "data" / f"{i}.jsonl").write_bytes(part)
        assert run(folder) == 0
        messages = read(topic)
        latest = {m.key(): m.value() for m in messages}
        stored = Out(folder / "out").rows(VISITS)
        there = [json.loads(value) for value in latest.values() if value is not None]
        assert Counter((r["country"], r["pieces"], r["sales"]) for r in there) == Counter(
            (r["country"], r["pieces"], r["sales"]) for r in stored
        )
        assert len(there) == len(stored), "a key is a session, and one that is no more is gone"
    assert sum(m.value() is None for m in messages) > 20


def make_named(name: str) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic  # noqa: PLC0415

    admin = AdminClient({"bootstrap.servers": servers.kafka()})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)


def test_avro_with_a_registered_schema_keys_and_headers(tmp_path: Path) -> None:
    topic, url = make_topic(servers.kafka(), 2), servers.schema_registry()
    more = f', format: avro, registry: {{url: "{url}"}}, key: [sale_id], headers: {{land: land, at: sold_at}}'
    folder = folder_of(tmp_path, topic, more)
    lines = sales(0, 100)
    (folder / "data" / "a.jsonl").write_bytes(lines)
    assert run(folder) == 0
    want = expected({"a": lines})["rows"]
    registry = SchemaRegistry(Registry(url=url), Path.cwd())
    found = read(topic)
    assert len(found) == len(want)
    for message in found:
        value = message.value()
        schema = json.loads(registry.schema(int.from_bytes(value[1:5], "big")).text)
        row = fastavro.schemaless_reader(io.BytesIO(value[5:]), fastavro.parse_schema(schema), None)
        expect = want[message.key().decode()]
        assert row["sold_at"] == expect["sold_at"]
        assert (row["pieces"], row["land"]) == (expect["pieces"], expect["land"])
        assert json.loads(row["properties"])["amount"] == expect["amount"]
        assert dict(message.headers())["land"] == (
            None if expect["land"] is None else expect["land"].encode()
        )


KILLED = """\
import os, sys
from pathlib import Path
from schemas.kafka_sink import kafka_sink
from schemas.planning import load_plan
from transforms.commit.lake import open_lake
from transforms.sinks import kafka

when, out = int(sys.argv[2]), load_plan(Path(sys.argv[1]))
client = kafka.kafka_client()
calls = 0
class Dying(client.Producer):
    def produce_batch(self, *a, **k):
        super().produce_batch(*a, **k)
        self.flush()  # the broker has them, the transaction is open
        self.count()
    def commit_transaction(self, *a, **k):
        self.count()
        super().commit_transaction(*a, **k)
        self.count()
    def count(self):
        global calls
        calls += 1
        if calls == when:
            os.kill(os.getpid(), 9)
client.Producer = Dying
kafka.KafkaOutbox(out, kafka_sink(out)).load(open_lake(out))
"""


def test_a_sink_that_is_killed_anywhere_sends_nothing_twice_and_misses_nothing(
    tmp_path: Path,
) -> None:
    topic = make_topic(servers.kafka(), 2)
    folder = folder_of(tmp_path, topic)
    files = {}
    for i in range(5):
        files[f"{i}"] = sales(i * 100, 100)
        (folder / "data" / f"{i}.jsonl").write_bytes(files[f"{i}"])
        assert main(["run", str(folder), "--sinks", "lake"]) == 0
        if not i:
            assert run(folder) == 0  # the commits after it are sent one by one
    died = 0
    for when in (1, 2, 3, 1, 2, 3, 1, 2, 4, 2, 99):
        code = subprocess.run(
            [sys.executable, "-c", KILLED, str(folder), str(when)],
            env=os.environ | {"PYTHONPATH": str(Path.cwd())},
            check=False,
        ).returncode
        assert code in (0, -9)
        died += code == -9
    assert died >= 8
    want = Counter(list(expected(files)["rows"]))
    assert Counter(r["sale_id"] for r in values(topic)) == want
    # The control: without transactions these kills would have doubled rows.
    everything = [json.loads(m.value())["sale_id"] for m in read(topic, committed=False)]
    assert len(everything) > len(set(everything))


def test_a_sink_that_was_taken_over_sends_nothing_more(tmp_path: Path) -> None:
    topic = make_topic(servers.kafka())
    folder = folder_of(tmp_path, topic)
    (folder / "data" / "a.jsonl").write_bytes(sales(0, 50))
    assert main(["run", str(folder), "--sinks", "lake"]) == 0
    plan = load_plan(folder)
    sink = kafka_sink(plan)
    assert sink is not None
    zombie = KafkaOutbox(plan, sink)
    produced = zombie._produce_rows

    def asleep(*args: Any) -> None:
        assert KafkaOutbox(plan, sink).load(open_lake(plan)).commits == 1
        produced(*args)

    zombie._produce_rows = asleep  # type: ignore[method-assign]
    with pytest.raises(KafkaSinkError, match="one process at a time"):
        zombie.load(open_lake(plan))
    want = Counter(list(expected({"a": sales(0, 50)})["rows"]))
    assert Counter(r["sale_id"] for r in values(topic)) == want


def test_what_a_sink_needs_is_said_and_all_can_be_sent_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = servers.unique("sink")
    folder = folder_of(tmp_path, topic)
    (folder / "data" / "a.jsonl").write_bytes(sales(0, 50))
    assert run(folder) == 2
    assert "the topics of a sink must be there; got none named" in capsys.readouterr().err
    make_named(topic)
    count = len(expected({"a": sales(0, 50)})["rows"])
    for flags, sent in (([], count), ([], None), (["--rebuild"], count)):
        assert main(["load", str(folder), "--sinks", "lake,kafka", "--json", *flags]) == 0
        said = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert said["sent"] == ({} if sent is None else {PROCESSED: sent})
    keys = Counter(m.key() for m in read(topic))
    assert set(keys.values()) == {2}
    assert len(keys) == count


def test_a_sink_of_another_lake_is_not_gone_on_with(tmp_path: Path) -> None:
    topic = make_topic(servers.kafka())
    folder = folder_of(tmp_path, topic)
    (folder / "data" / "a.jsonl").write_bytes(sales(0, 50))
    assert run(folder) == 0
    assert main(["run", str(folder), "--sinks", "lake", "--out", str(tmp_path / "other")]) == 0
    plan = load_plan(folder, out=tmp_path / "other")
    sink = kafka_sink(plan)
    assert sink is not None
    with pytest.raises(PenstockError, match="a follower must stay with the lake"):
        KafkaOutbox(plan, sink).load(open_lake(plan))
