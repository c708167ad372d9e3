"""Run a stream on prism in this process, and see what comes out of its windows."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from runners.prism import WHOLE_BUNDLES
from schemas.contract import Column, Contract
from schemas.names import POSITION
from tests import servers
from transforms.decode.messages import MessageDecoder
from transforms.sources.streams.raw import source_codes

TIME = pa.timestamp("us", "UTC")
CONTRACT = Contract(
    id="beats",
    name="beats",
    version="1.0.0",
    file=Path("beats.odcs.yaml"),
    columns=(
        Column(name="at", path="at", type=TIME, logical="timestamp", required=True),
        Column(name="n", path="n", type=pa.int64(), logical="integer"),
    ),
    event_time="at",
    primary_key=(),
    hash="",
)


def beat(at: float, n: int) -> bytes:
    """A message of CONTRACT; `at` is in seconds since the epoch."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return json.dumps({"at": text.replace("+00:00", "Z"), "n": n}).encode()


def make_topic(broker: str, partitions: int = 1, **config: str) -> str:
    """Make a topic of this test's own."""
    name = servers.unique("stream")
    admin = AdminClient({"bootstrap.servers": broker})
    made = admin.create_topics([NewTopic(name, partitions, 1, config=config)])
    made[name].result(timeout=30)
    return name


def produce(broker: str, topic: str, messages: list[tuple[int, bytes | None]], **more: Any) -> None:
    """Produce (partition, payload)s and wait until the broker has them."""
    producer = Producer({"bootstrap.servers": broker, "linger.ms": 5})
    for partition, payload in messages:
        producer.produce(topic, payload, partition=partition, **more)
        producer.poll(0)
    assert producer.flush(30) == 0


class CountInWindows(beam.DoFn):
    """Raw batches to (partition, rows) by window of event time."""

    def __init__(self, seconds: int) -> None:
        self.size, self.decoder = seconds * 1_000_000, MessageDecoder(CONTRACT)

    def process(self, raw: pa.RecordBatch) -> Iterator[Any]:
        rows = self.decoder.decode(raw).rows
        names = rows["_source"].dictionary.to_pylist()
        start = rows["at"].cast(pa.int64()).to_numpy() // self.size * self.size
        pairs = np.stack([source_codes(rows, names), start])
        found, count = np.unique(pairs, axis=1, return_counts=True)
        for (code, at), n in zip(found.T.tolist(), count.tolist(), strict=True):
            yield TimestampedValue((names[code].rsplit("/", 1)[1], n), at / 1e6)


class Note(beam.DoFn):
    """Writes each element as a line of a file of its own thread of events."""

    def __init__(self, file: Path, *, rows: bool = False) -> None:
        self.file, self.rows = str(file), rows

    def process(self, element: Any, window: Any = beam.DoFn.WindowParam) -> None:
        if self.rows:
            raw: pa.RecordBatch = element
            sources = raw["_source"].to_pylist()
            lines = [
                [s.rsplit("/", 1)[1], p]
                for s, p in zip(sources, raw[POSITION].to_pylist(), strict=True)
            ]
        else:
            lines = [[*element, float(window.start), time.time()]]
        with Path(self.file).open("a") as out:
            out.write("".join(json.dumps(line) + "\n" for line in lines))


def noted(file: Path) -> list[list[Any]]:
    """Read what `Note` wrote."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def counted(file: Path) -> Mapping[str, int]:
    """Rows in windows by partition."""
    found: dict[str, int] = {}
    for partition, n, *_ in noted(file):
        found[partition] = found.get(partition, 0) + n
    return found


def windowed(raw: Any, seconds: int, file: Path) -> None:
    """Count rows per partition in fixed windows without allowed lateness, and note them."""
    _ = (
        raw
        | "Count" >> beam.ParDo(CountInWindows(seconds)).with_output_types(tuple[str, int])
        | beam.WindowInto(FixedWindows(seconds))
        | beam.CombinePerKey(sum)
        | "Note" >> beam.ParDo(Note(file))
    )


@contextmanager
def on_prism(build: Callable[[beam.Pipeline], None]) -> Iterator[Any]:
    """Run a pipeline on prism until the block ends."""
    result = _started(build, servers.prism(), WHOLE_BUNDLES)
    try:
        yield result
    finally:
        result.cancel()


@contextmanager
def on_flink(build: Callable[[beam.Pipeline], None]) -> Iterator[Any]:
    """Run a pipeline on Flink, its workers in this process, until the block ends."""
    name, jobs = servers.unique("stream"), f"http://{servers.flink()}/jobs"
    result = _started(
        build,
        servers.job_server(),
        f"--job_name={name}",
        "--parallelism=1",
        "--checkpointing_interval=2000",
        "--finish_bundle_before_checkpointing",
        "--max_bundle_time_mills=100",
        "--max_bundle_size=20",
    )
    try:
        yield result
    finally:
        # Beam's own cancel says CANCELLED while the job goes on.
        with urllib.request.urlopen(f"{jobs}/overview", timeout=30) as answer:
            found = [job["jid"] for job in json.load(answer)["jobs"] if job["name"] == name]
        for job in found:
            asked = urllib.request.Request(f"{jobs}/{job}?mode=cancel", method="PATCH")
            urllib.request.urlopen(asked, timeout=30).close()


def _started(build: Callable[[beam.Pipeline], None], address: str, *flags: str) -> Any:
    options = [
        "--runner=PortableRunner",
        f"--job_endpoint={address}",
        "--environment_type=LOOPBACK",
        "--streaming",
        *flags,
    ]
    pipeline = beam.Pipeline(options=PipelineOptions(options))
    build(pipeline)
    return pipeline.run()


def wait_for(what: Callable[[], bool], seconds: float) -> bool:
    """Wait until something holds; return whether it does."""
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True
