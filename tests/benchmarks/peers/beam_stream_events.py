"""The events stream as people write Beam: one element a record, on a prism of its own.

Does: the same checks, HMAC-SHA-256 of the e-mail, the first row of each id by a state per id,
windows of five minutes with their count, sum and approximate distinct users, rows and aggregates as
JSON lines. Is spared: checkpointed reading (a DoFn reads each partition to its end: Java's
ReadFromKafka is a jar of another language), commits, positions, refused rows in files.

    python -m tests.benchmarks.peers.beam_stream_events BROKERS TOPIC OUT
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.coders import BooleanCoder
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.stats import ApproximateUnique
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec
from apache_beam.transforms.window import FixedWindows, GlobalWindows
from confluent_kafka import Consumer, TopicPartition

from runners.prism import WHOLE_BUNDLES
from runners.prism.process import find_binary, started
from tests.benchmarks.peers.beam_events import parse


class ReadPartition(beam.DoFn):
    """Every message of one partition, as text, up to the end as it is when reading begins."""

    def __init__(self, brokers: str, topic: str) -> None:
        self.brokers, self.topic = brokers, topic

    def process(self, partition: int) -> Iterator[str]:
        consumer = Consumer(
            {
                "bootstrap.servers": self.brokers,
                "group.id": "bench",
                "enable.auto.commit": False,
            }
        )
        place = TopicPartition(self.topic, partition, 0)
        _, end = consumer.get_watermark_offsets(place, timeout=30)
        consumer.assign([place])
        at = 0
        while at < end:
            for message in consumer.consume(1000, 1.0):
                if message.error() is None:
                    at = message.offset() + 1
                    yield message.value().decode()
        consumer.close()


class First(beam.DoFn):
    """Rows whose id was not seen before."""

    SEEN = ReadModifyWriteStateSpec("seen", BooleanCoder())

    def process(
        self, element: tuple[str, dict[str, Any]], seen: Any = beam.DoFn.StateParam(SEEN)
    ) -> Iterator[dict[str, Any]]:
        if not seen.read():
            seen.write(True)
            yield element[1]


class WriteLines(beam.DoFn):
    """One file a bundle."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def start_bundle(self) -> None:
        self.lines: list[str] = []

    def process(self, row: dict[str, Any]) -> None:
        self.lines.append(json.dumps(row, default=str) + "\n")

    def finish_bundle(self) -> None:
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        Path(self.folder, uuid.uuid4().hex).write_text("".join(self.lines))


def main(brokers: str, topic: str, out: str) -> None:
    """Read a topic to its end and print how many rows were kept."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "bench"})
    partitions = list(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    consumer.close()
    with started(find_binary()) as address:
        flags = [
            "--runner=PortableRunner",
            f"--job_endpoint={address}",
            "--environment_type=LOOPBACK",
            "--streaming",
            WHOLE_BUNDLES,
        ]
        pipeline = beam.Pipeline(options=PipelineOptions(flags))
        kept = (
            pipeline
            | beam.Create(partitions)
            | beam.ParDo(ReadPartition(brokers, topic))
            | beam.FlatMap(parse).with_outputs("refused", main="rows")
        ).rows
        kept = (
            kept
            | "by id" >> beam.Map(lambda row: (row["event_id"], row))
            | "first" >> beam.ParDo(First())
        )
        _ = kept | "write rows" >> beam.ParDo(WriteLines(f"{out}/rows"))
        windowed = kept | "five minutes" >> beam.WindowInto(FixedWindows(300))
        sums = (
            windowed
            | "amounts" >> beam.Map(lambda row: (row["event_type"], row["amount"] or 0.0))
            | "sum" >> beam.CombinePerKey(sum)
        )
        counts = (
            windowed
            | "types" >> beam.Map(lambda row: (row["event_type"], 1))
            | "count" >> beam.CombinePerKey(sum)
        )
        users = (
            windowed
            | "users" >> beam.Map(lambda row: (row["event_type"], row["user_id"]))
            | "distinct" >> ApproximateUnique.PerKey(size=1024)
        )
        _ = (
            {"amount": sums, "events": counts, "users": users}
            | beam.CoGroupByKey()
            | "as rows"
            >> beam.MapTuple(lambda key, v: {"event_type": key} | {k: x[0] for k, x in v.items()})
            | "one window" >> beam.WindowInto(GlobalWindows())
            | "write windows" >> beam.ParDo(WriteLines(f"{out}/events_5min"))
        )
        pipeline.run().wait_until_finish()
    count = sum(len(file.read_text().splitlines()) for file in Path(out, "rows").iterdir())
    print(json.dumps({"rows": {"kept": count}}))


if __name__ == "__main__":
    # DoFns of `__main__` are pickled by value, those of a module by name.
    from tests.benchmarks.peers import beam_stream_events

    beam_stream_events.main(*sys.argv[1:4])
