"""What is measured of streams: the events pipeline from one topic, and the peers that do the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.local.servers import installing, manager
from tests import servers
from tests.benchmarks.environments import own, peer
from tests.benchmarks.jobs import SCRIPTS

DISORDER_S = 60
CONNECTOR = "flink-sql-connector-kafka:3.2.0-1.19"
ON_FLINK = ("flink-jobmanager", "flink-taskmanager", "jobserver")
EARLY = "{type: after_watermark, early: {type: after_processing_time, delay: 1s}}"


@dataclass(frozen=True, kw_only=True)
class Streamer:
    """One way to carry the stream out.

    Attributes:
        name: As the table shows it.
        command: Its command for a topic, which it reads to its end, and an output folder.
        beside: Names of local servers that work for it: their CPU and memory are its, too.
        promise: Our rows per CPU second are at least this times its.
        scale: It is given 1/scale of the rows.
    """

    name: str
    command: Callable[[str, Path], list[str]]
    beside: tuple[str, ...] = ()
    promise: float | None = None
    scale: int = 1

    def pids(self) -> list[int]:
        """Return the processes that work for it beside those that it starts."""
        found = [manager.last(name) for name in self.beside]
        return [one.pid for one in found if one is not None]


def penstock(runner: str, topic: str, out: Path, *more: str) -> list[str]:
    """`penstock run beam_pipelines/events --stream`, into a lake of its own."""
    sets = (
        f"source.stream.kafka.topic={topic}",
        f"source.stream.disorder={DISORDER_S}s",
        *more,
    )
    flags = [word for one in sets for word in ("--set", one)]
    run = ["run", "beam_pipelines/events", "--stream", "--runner", runner, "--sinks", "lake"]
    # `-m` from the root: the tree that this is part of, wherever `penstock` comes from.
    command = [own("python"), "-m", "beam_pipelines", *run, "--out", str(out), "--json", *flags]
    if runner == "flink":
        command += ["--job-endpoint", servers.job_server(), "--flink-rest", servers.flink()]
    return command


def streamers() -> tuple[Streamer, ...]:
    """Everyone; ours first."""
    os.environ["KAFKA_BROKERS"] = brokers = servers.kafka()
    to_end = ("source.stream.kafka.end=latest", "sinks.lake.commit_every=10s")

    def flink_sql(topic: str, out: Path) -> list[str]:
        python, script = peer("flink-sql"), str(SCRIPTS / "flink_sql_events.py")
        return [python, script, brokers, topic, str(out), str(DISORDER_S), str(connector())]

    def by_row(topic: str, out: Path) -> list[str]:
        module = "tests.benchmarks.peers.beam_stream_events"
        return [own("python"), "-m", module, brokers, topic, str(out)]

    return (
        Streamer(
            name="Penstock on prism",
            command=lambda topic, out: penstock("prism", topic, out, *to_end),
        ),
        Streamer(
            name="Penstock on Flink 1.19",
            command=lambda topic, out: penstock("flink", topic, out, *to_end),
            beside=ON_FLINK,
        ),
        Streamer(name="Flink SQL 1.19", command=flink_sql, promise=1.0),
        Streamer(name="Beam, row by row, on prism", command=by_row, promise=20.0, scale=20),
    )


def connector() -> Path:
    """Return the jar of Flink SQL's Kafka connector."""
    group, name, version = "org.apache.flink", *CONNECTOR.split(":")
    folder = installing.jars(f"flink-sql-kafka-{version}", [f"{group}:{name}:{version}"])
    return folder / "lib" / f"{name}-{version}.jar"
