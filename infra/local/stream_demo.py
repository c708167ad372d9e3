"""`make stream-demo`: a year of real flights through Kafka and prism in a minute, watched live."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from confluent_kafka import admin

from beam_pipelines.flights import fetch
from infra.local.servers import installing, manager, prism
from infra.local.servers.server import ROOT
from runners.lean import no_warnings
from schemas.errors import PenstockError
from schemas.plan import Plan
from schemas.planning import load_plan

_OUT: Final = ROOT / "build" / "stream-demo"
_FLIGHTS: Final = 336_776
_FOLDER: Final = ROOT / "beam_pipelines" / "flights"
_DISORDER: Final = "30m"
_COMMIT_EVERY: Final = "2s"
_PARTITIONS: Final = 4
_SUMMARY: Final = "summary.txt"
_LOOK_S: Final = 0.5
_LANDS_S: Final = 60.0
_ENDS_S: Final = 60.0


def main(arguments: list[str] | None = None) -> int:
    """Show the stream; return the exit code."""
    parser = argparse.ArgumentParser(prog="stream-demo", description=__doc__)
    parser.add_argument("--seconds", type=_seconds, default=60, help="to send all flights in (60)")
    parser.add_argument("--out", type=Path, default=_OUT, help="made anew (build/stream-demo)")
    given = parser.parse_args(arguments)
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.default_int_handler)
    try:
        fetch.main()
        # The run starts its own; building it takes minutes the first time.
        binary = prism.install() / "prism"
        out = given.out.absolute()
        try:
            with kafka() as broker:
                return show(broker, binary, given.seconds, out)
        finally:
            said = out / _SUMMARY
            print(said.read_text() if said.exists() else "", end="", flush=True)
    except KeyboardInterrupt:
        installing.say("stream-demo was stopped")
        return 130
    except PenstockError as error:
        print(f"stream-demo: {error}", file=sys.stderr)
        return error.exit_code


def _seconds(text: str) -> int:
    if not text.isdigit() or not int(text):
        msg = f"must be whole seconds, at least 1; got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


@contextmanager
def kafka() -> Iterator[str]:
    """Have a broker while the block runs; one that is up already is used and left up."""
    before = {row.name for row in manager.status() if row.state == "up"}
    try:
        yield manager.up(["kafka"])[-1].address
    finally:
        if "kafka" not in before:
            manager.down(["kafka"])
            installing.say("kafka ended")


def show(broker: str, binary: Path, seconds: int, out: Path) -> int:
    """Send flights to a topic of this demo's own, and run their pipeline over it meanwhile."""
    os.environ |= {"KAFKA_BROKERS": broker, "PENSTOCK_PRISM": str(binary)}
    topic = f"flights-demo-{uuid.uuid4().hex[:8]}"
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    sets = (
        f"source.stream.kafka.topic={topic}",
        f"source.stream.disorder={_DISORDER}",
        f"sinks.lake.commit_every={_COMMIT_EVERY}",
    )
    plan = load_plan(_FOLDER, mode="stream", runner="prism", out=out, sets=sets)
    run = ["run", "--stream", "--runner", "prism", "--out", str(out)]
    run += [word for one in sets for word in ("--set", one)]
    rate = _FLIGHTS / seconds
    produce = ["produce", "--topic", topic, "--rate", f"{rate:.0f}", "--disorder", _DISORDER]
    log = out / "produce.log"
    with (
        new_topic(broker, topic),
        started(run, out / _SUMMARY, None) as pipeline,
        started(produce, log, log) as producer,
    ):
        while producer.poll() is None and pipeline.poll() is None:
            time.sleep(_LOOK_S)
        if producer.returncode:
            msg = f"flights must be sent; got a producer that failed: {log.read_text().strip()}"
            raise PenstockError(msg)
        landed = _landed(plan)
        until = time.monotonic() + _LANDS_S
        while pipeline.poll() is None and landed() < _FLIGHTS and time.monotonic() < until:
            time.sleep(_LOOK_S)
        code = ended(pipeline)
        if not code and (left := _FLIGHTS - landed()) > 0:
            installing.say(
                f"all flights must have landed {_LANDS_S:.0f} s after the last was sent; got "
                f"{left:,} on their way still; a next run would read them"
            )
            return 1
        return code


def _landed(plan: Plan) -> Callable[[], int]:
    """Return what counts the flights that have landed; it looks at most once a second."""
    with no_warnings():
        from transforms.commit.lake import open_lake  # noqa: PLC0415  Beam warns when imported
        from transforms.commit.ranges import size  # noqa: PLC0415
        from transforms.continuous.positions import DonePositions  # noqa: PLC0415

    lake = open_lake(plan)
    done = DonePositions(lake)
    return lambda: size(done()) if lake.exists() else 0


@contextmanager
def new_topic(broker: str, topic: str) -> Iterator[None]:
    """Have a topic while the block runs."""
    untyped: Any = admin
    client = untyped.AdminClient({"bootstrap.servers": broker})
    made = client.create_topics([untyped.NewTopic(topic, _PARTITIONS)])
    made[topic].result(timeout=30)
    try:
        yield
    finally:
        client.delete_topics([topic])[topic].result(timeout=30)


@contextmanager
def started(
    arguments: list[str], stdout: Path, stderr: Path | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Have a `penstock` over the flights while the block runs; without `stderr` it is ours."""
    verb, *flags = arguments
    command = [sys.executable, "-m", "beam_pipelines", verb, str(_FOLDER), *flags]
    with ExitStack() as files:
        said, told = (
            files.enter_context(path.open("ab")) if path is not None else None
            for path in (stdout, stderr)
        )
        # In a session of its own: it is asked to end once, by us, whoever interrupts whom.
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=said, stderr=told, start_new_session=True
        )
    try:
        yield process
    finally:
        ended(process)


def ended(process: subprocess.Popen[bytes]) -> int:
    """End a process: it is asked first. Returns its exit code."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(_ENDS_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
        process.kill()
        process.wait()
        if isinstance(error, KeyboardInterrupt):
            raise
        return process.returncode


if __name__ == "__main__":
    sys.exit(main())
