"""Time the events pipeline as a stream against its peers: `python -m tests.benchmarks stream`.

Every contestant reads the same topic of a local Kafka to its end, as a fresh job, once with a
quarter of the rows and once with all. What the rest took is its steady speed; what the quarter took
beyond that is its start. CPU is that of all processes of the job; the broker's is not counted.
Latency, memory over time, the cost of panes and the shuffle of a batch are measured by `--what`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from tests import servers
from tests.benchmarks import measure, stream_report, topics, watch
from tests.benchmarks.environments import ROOT
from tests.benchmarks.jobs import event_file
from tests.benchmarks.stream_jobs import Streamer, streamers

WORK = ROOT / "build" / "bench"
PARTS = ("speed", "latency", "memory", "panes", "shuffle")
PAGE = ROOT / "docs" / "benchmarks.md"
TIMEOUT_S = 3600


class Speed(NamedTuple):
    """What one contestant did in one round.

    Attributes:
        rate: Rows a second.
        per_core: Rows a CPU second.
        start: Seconds before and after the rows.
        start_cpu: CPU seconds of that.
        peak: MiB of all its processes together.
        kept: Rows that it kept of all.
    """

    rate: float
    per_core: float
    start: float
    start_cpu: float
    peak: float
    kept: int


def main(arguments: list[str]) -> int:
    """Measure what is asked for; the exit code of the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks stream", description=__doc__)
    parser.add_argument(
        "--what", action="append", choices=PARTS, help="(repeatable; default: speed)"
    )
    parser.add_argument("--without", action="append", default=[], help="no contestant named so")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=40_000, help="rows a second, for latency")
    parser.add_argument("--minutes", type=float, default=30, help="for memory; latency takes one")
    parser.add_argument("--runner", default="prism", help="prism or flink, for latency and memory")
    parser.add_argument("--firings", type=int, default=360, help="early panes, for panes")
    parser.add_argument("--megabytes", type=int, default=600, help="of batches, for shuffle")
    parser.add_argument("--write", action="store_true", help="put the text into docs/benchmarks.md")
    chosen = parser.parse_args(arguments)
    measure.adopt_orphans()
    (WORK / "data").mkdir(parents=True, exist_ok=True)
    texts, kept = [], True
    for part in chosen.what or ("speed",):
        text, held = _PARTS[part](chosen)
        print(f"\n{text}", flush=True)
        texts.append((part, text))
        kept = kept and held
    if chosen.write:
        for part, text in texts:
            stream_report.write(PAGE, part, text)
    return 0 if kept else 3


def speed(chosen: argparse.Namespace) -> tuple[str, bool]:
    """Run every contestant in every round; the table and whether promises were kept."""
    everyone = [
        one
        for one in streamers()
        if not any(one.name.lower().startswith(n.lower()) for n in chosen.without)
    ]
    rounds = [[one_speed(one, chosen.rows) for one in everyone] for _ in range(chosen.rounds)]
    return stream_report.speeds(everyone, rounds, chosen.rows)


def one_speed(one: Streamer, rows: int) -> Speed:
    """Run a contestant over a quarter of its rows and over all."""
    full = rows // one.scale
    few, many = (finished(one, count) for count in (full // 4, full))
    seconds, cpu = many.wall - few.wall, many.cpu - few.cpu
    rest = full - full // 4
    got = Speed(
        rate=rest / seconds,
        per_core=rest / cpu,
        start=few.wall - full // 4 * seconds / rest,
        start_cpu=few.cpu - full // 4 * cpu / rest,
        peak=many.rss,
        kept=many.said.get("rows", {}).get("kept", 0),
    )
    sys.stderr.write(
        f"bench: {one.name:30} {got.rate:9,.0f} rows/s {got.per_core:9,.0f} rows/CPU s "
        f"start {got.start:5.1f} s {got.peak:6.0f} MiB kept {got.kept:,}\n"
    )
    return got


def finished(one: Streamer, rows: int) -> measure.Run:
    """Run a contestant over a topic of so many rows, with what works for it beside counted in."""
    file = event_file(rows, WORK / "data")
    topic = topics.filled(servers.kafka(), f"bench-events-{rows}", file)
    out = WORK / "out-stream"
    shutil.rmtree(out, ignore_errors=True)
    command, beside = one.command(topic, out), one.pids()
    before = watch.cpu(watch.tree(beside))
    others = set(measure.children())  # servers, which other contestants use
    sampler = watch.Sampler(lambda: [*set(measure.children()).difference(others), *beside])
    try:
        log = WORK / "stream.log"
        run = measure.run(command, log=log, cwd=ROOT, timeout=TIMEOUT_S)
    finally:
        sampler.stop()
    more = watch.cpu(watch.tree(beside)) - before
    shutil.rmtree(out, ignore_errors=True)
    return measure.Run(wall=run.wall, cpu=run.cpu + more, rss=sampler.peak, said=run.said)


def latency(chosen: argparse.Namespace) -> tuple[str, bool]:
    """See `stream_latency`."""
    from tests.benchmarks import stream_latency  # noqa: PLC0415

    found = stream_latency.measured(chosen.runner, chosen.rate, 60.0, Path(WORK))
    return stream_report.latencies(chosen.runner, chosen.rate, found), True


def memory(chosen: argparse.Namespace) -> tuple[str, bool]:
    """See `stream_memory`."""
    from tests.benchmarks import stream_memory  # noqa: PLC0415

    found = stream_memory.measured(chosen.runner, chosen.minutes, Path(WORK))
    return stream_report.memories(chosen.runner, chosen.minutes, found)


def panes(chosen: argparse.Namespace) -> tuple[str, bool]:
    """See `stream_panes`."""
    from tests.benchmarks import stream_panes  # noqa: PLC0415

    return stream_report.panes(stream_panes.measured(chosen.firings, Path(WORK)))


def shuffle(chosen: argparse.Namespace) -> tuple[str, bool]:
    """See `stream_shuffle`."""
    from tests.benchmarks import stream_shuffle  # noqa: PLC0415

    found = stream_shuffle.measured(chosen.rows, chosen.megabytes, Path(WORK))
    return stream_report.shuffles(chosen.rows, *found)


_PARTS = {"speed": speed, "latency": latency, "memory": memory, "panes": panes, "shuffle": shuffle}
