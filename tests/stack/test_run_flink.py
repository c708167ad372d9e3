"""`penstock run --stream --runner flink`, `stop` and `status` against a real cluster."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.events import generate
from beam_pipelines.flights import fetch
from runners.flink.job import ENDED
from tests import servers
from tests.pipelines.shop import HOURLY, Out, assert_tables, expected, sales
from tests.stack.streaming import make_topic, produce, wait_for
from tests.stack.test_run_stream import counted, destinies, folder_of, landed

pytestmark = pytest.mark.stack

EXAMPLES = Path(__file__).parents[2] / "beam_pipelines"
PATIENCE = 240.0
# Rows of these tests are old: a partition that is quiet for a while would end all their windows,
# and what is known of their ids would be forgotten.
NEVER_IDLE = ("--set", "source.stream.idle=1d")
STEP = """\
import time
from pathlib import Path

import pyarrow as pa

HELD = Path(__file__).with_name("held")


def step(batch):
    while HELD.exists():
        time.sleep(0.1)
    {then}
    return batch
"""


class Penstock:
    """The command, against this test's cluster and broker; jobs that it left are cancelled."""

    def __init__(self) -> None:
        self.env = os.environ | {
            "PENSTOCK_FLINK_REST": servers.flink(),
            "PENSTOCK_JOB_ENDPOINT": servers.job_server(),
            "KAFKA_BROKERS": servers.kafka(),
        }
        self.folders: list[Path] = []
        self.started: list[subprocess.Popen[str]] = []

    def start(self, verb: str, folder: Path, *flags: str) -> subprocess.Popen[str]:
        self.folders.append(folder)
        command = [sys.executable, "-m", "beam_pipelines", verb, str(folder), *flags]
        process = subprocess.Popen(
            command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.started.append(process)
        return process

    def stream(self, folder: Path, *flags: str) -> subprocess.Popen[str]:
        return self.start("run", folder, "--stream", "--runner", "flink", "--json", *flags)

    def detached(self, folder: Path, *flags: str) -> dict[str, Any]:
        return said(self.stream(folder, "--detach", *flags))["job"]

    def __call__(self, verb: str, folder: Path, *flags: str) -> dict[str, Any]:
        return said(self.start(verb, folder, "--json", *flags))

    def state(self, job: str) -> str:
        with urllib.request.urlopen(f"http://{servers.flink()}/jobs/{job}", timeout=30) as answer:
            return json.load(answer)["state"]

    def end(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()
        for record in {p for f in self.folders for p in f.rglob("stream.json")}:
            known = json.loads(record.read_text())
            if known["job"] and not known["ended"] and self.state(known["job"]) not in ENDED:
                ask = f"http://{servers.flink()}/jobs/{known['job']}?mode=cancel"
                urllib.request.urlopen(urllib.request.Request(ask, method="PATCH"), timeout=30)


def said(process: subprocess.Popen[str], code: int = 0) -> dict[str, Any]:
    out, complaint = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, complaint
    return json.loads(out.splitlines()[-1]) if code == 0 else {"said": complaint}


@pytest.fixture
def penstock() -> Iterator[Penstock]:
    command = Penstock()
    yield command
    command.end()


@pytest.fixture
def topic() -> str:
    return make_topic(servers.kafka(), 3)


def send(topic: str, lines: list[bytes]) -> None:
    produce(servers.kafka(), topic, [(i % 3, line) for i, line in enumerate(lines)])


def job_of(folder: Path) -> str:
    record = folder / "out" / "stream.json"
    return json.loads(record.read_text())["job"] if record.exists() else ""


@pytest.mark.parametrize("parallelism", [1, 2])
def test_a_topic_with_an_end_lands_as_a_batch_of_its_messages_would_and_the_job_ends_by_itself(
    tmp_path: Path, topic: str, penstock: Penstock, parallelism: int
) -> None:
    folder = folder_of(tmp_path, topic)
    first = sales(0, 900, broken=5, copies=60).splitlines()
    send(topic, first)
    told = said(penstock.stream(folder, "--set", f"runner.parallelism={parallelism}"))
    want = expected({"a": b"\n".join(first)})
    assert_tables(Out(folder / "out"), want)
    assert told["rows"] == want["counts"]
    assert all(row["_final"] for row in Out(folder / "out").rows(HOURLY))
    assert penstock.state(told["job"]["id"]) == "FINISHED"


def test_a_stream_stopped_with_a_savepoint_goes_on_from_it_and_lands_what_a_batch_would(
    tmp_path: Path, topic: str, penstock: Penstock
) -> None:
    folder = folder_of(tmp_path, topic, more="")
    out = Out(folder / "out")
    lines = sales(0, 1200, broken=5, copies=100).splitlines()
    send(topic, lines[:700])
    job = penstock.detached(folder, *NEVER_IDLE)
    assert job["from"] == ""
    assert wait_for(lambda: landed(out) == 700, PATIENCE)
    status = penstock("status", folder)
    assert (status["state"], status["lag"]["messages"]) == ("RUNNING", 0)
    stopped = penstock("stop", folder, "--savepoint")
    assert penstock.state(job["id"]) == "FINISHED"
    send(topic, lines[700:])
    assert penstock("status", folder)["lag"]["messages"] == len(lines) - 700

    resumed = penstock.detached(folder, "--resume", *NEVER_IDLE)
    assert resumed["from"] == stopped["savepoint"]
    assert wait_for(lambda: landed(out) == len(lines), PATIENCE)
    penstock("stop", folder)
    want = expected({"a": b"\n".join(lines)})
    assert_tables(out, want, warehouse=False)
    assert destinies(out) == counted(want)


def test_a_savepoint_that_came_after_its_wait_is_found_by_the_next_stop_and_gone_on_from(
    tmp_path: Path, topic: str, penstock: Penstock
) -> None:
    folder = folder_of(tmp_path, "another", more="")
    out = Out(folder / "out")
    here = ("--set", f"source.stream.kafka.topic={topic}", *NEVER_IDLE)
    lines = sales(0, 400).splitlines()
    send(topic, lines[:300])
    job = penstock.detached(folder, *here)
    assert wait_for(lambda: landed(out) == 300, PATIENCE)
    status = penstock("status", folder)
    assert (status["state"], status["lag"]["messages"]) == ("RUNNING", 0)
    assert "penstock load" in status["notes"][-1]
    beside = penstock.start("run", folder, "--stream", "--runner", "prism", *here)
    assert f"one that runs on flink (job {job['id']})" in said(beside, code=2)["said"]

    given_up = penstock.start("stop", folder, "--savepoint", "--wait", "0s")
    assert "it may still come" in said(given_up, code=1)["said"]
    assert wait_for(lambda: penstock.state(job["id"]) == "FINISHED", PATIENCE)
    stopped = penstock("stop", folder, "--savepoint")
    assert stopped["savepoint"]
    assert "the warehouse is at commit 0 of" in stopped["notes"][-1]
    send(topic, lines[300:])
    assert penstock.detached(folder, "--resume", *here)["from"] == stopped["savepoint"]
    assert wait_for(lambda: landed(out) == len(lines), PATIENCE)
    penstock("stop", folder)
    penstock("load", folder)
    assert_tables(out, expected({"a": b"\n".join(lines)}))


@pytest.mark.parametrize("noted", [True, False])
def test_a_job_goes_on_when_its_driver_dies_and_the_next_one_from_its_checkpoint(
    tmp_path: Path, topic: str, penstock: Penstock, *, noted: bool
) -> None:
    """The driver may die before it has noted the id of the job that it started."""
    folder = folder_of(tmp_path, topic, more="")
    out = Out(folder / "out")
    lines = sales(0, 900, copies=60).splitlines()
    send(topic, lines[:300])
    driver = penstock.stream(folder, *NEVER_IDLE)
    assert wait_for(lambda: landed(out) == 300, PATIENCE)
    driver.kill()
    send(topic, lines[300:600])
    assert wait_for(lambda: landed(out) == 600, PATIENCE)
    again = said(penstock.stream(folder), code=2)["said"]
    assert "a pipeline must have one stream at a time" in again

    wait_for(lambda: penstock("status", folder)["checkpoint"] is not None, PATIENCE)
    job = penstock("status", folder)["job"]
    record = folder / "out" / "stream.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"job": job if noted else ""}))
    assert penstock("stop", folder)["state"] == penstock.state(job) == "CANCELED"
    send(topic, lines[600:])
    resumed = penstock.stream(folder, "--resume", *NEVER_IDLE)
    wait_for(lambda: landed(out) == len(lines) or resumed.poll() is not None, PATIENCE)
    assert resumed.poll() is None, resumed.communicate()
    assert landed(out) == len(lines)
    assert wait_for(lambda: job_of(folder) not in ("", job), PATIENCE)
    resumed.send_signal(signal.SIGINT)
    told = said(resumed)
    assert f"/{job}/chk-" in told["job"]["from"]
    assert penstock.state(told["job"]["id"]) == "CANCELED"
    assert_tables(out, expected({"a": b"\n".join(lines)}))


def test_after_a_drain_all_windows_are_final_and_the_next_stream_begins_at_the_lake(
    tmp_path: Path, topic: str, penstock: Penstock
) -> None:
    folder = folder_of(tmp_path, topic, more="")
    out = Out(folder / "out")
    lines = sales(0, 600).splitlines()
    send(topic, lines[:300])
    penstock.detached(folder, *NEVER_IDLE)
    assert wait_for(lambda: landed(out) == 300, PATIENCE)
    assert not any(row["_final"] for row in out.rows(HOURLY))
    assert penstock("stop", folder, "--drain")["state"] == "DRAINED"
    assert all(row["_final"] for row in out.rows(HOURLY))
    send(topic, lines[300:])
    assert penstock.detached(folder, *NEVER_IDLE)["from"] == ""
    assert wait_for(lambda: landed(out) == len(lines), PATIENCE)
    penstock("stop", folder)
    assert_tables(out, expected({"a": b"\n".join(lines)}), warehouse=False)


def with_step(folder: Path, then: str = "") -> Path:
    """Add a python step that waits while the file `held` is there; returns that file."""
    (folder / "slow_shop.py").write_text(STEP.format(then=then))
    pipeline = folder / "pipeline.yaml"
    text = pipeline.read_text()
    pipeline.write_text(text.replace("steps:\n", 'steps:\n  - python: {call: "slow_shop:step"}\n'))
    return folder / "held"


def test_a_job_that_runs_and_lands_nothing_ends_with_what_waits_and_the_step_that_holds_it(
    tmp_path: Path, topic: str, penstock: Penstock
) -> None:
    folder = folder_of(tmp_path, topic, more="")
    held = with_step(folder)
    held.touch()
    send(topic, sales(0, 300).splitlines())
    complaint = said(penstock.stream(folder, "--stall", "12s"), code=1)["said"]
    assert f"300 messages wait ({topic}/0 100, {topic}/1 100, {topic}/2 100)" in complaint
    assert "AdmitMessages" in complaint
    assert "got none for 12 s" in complaint
    assert penstock.state(job_of(folder)) == "CANCELED"


def test_a_stall_can_be_only_told_of_and_a_source_that_is_quiet_is_none(
    tmp_path: Path, topic: str, penstock: Penstock
) -> None:
    folder = folder_of(tmp_path, topic, more="")
    held = with_step(folder)
    held.touch()
    send(topic, sales(0, 300).splitlines())
    process = penstock.stream(folder, "--stall", "4s", "--stall-warns")
    assert wait_for(lambda: bool(job_of(folder)), PATIENCE)
    time.sleep(10)
    held.unlink()
    assert wait_for(lambda: landed(Out(folder / "out")) == 300, PATIENCE)
    time.sleep(10)
    process.send_signal(signal.SIGTERM)
    _, complaint = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, complaint
    warned = [line for line in complaint.splitlines() if "messages wait" in line]
    assert 1 <= len(warned) <= 4
    assert all("300 messages wait" in line for line in warned)


def test_what_a_worker_raises_is_told_in_one_sentence(
    tmp_path: Path, topic: str, penstock: Penstock
) -> None:
    folder = folder_of(tmp_path, topic, more="")
    with_step(folder, then="batch = pa.concat_batches([batch, batch])")
    send(topic, sales(0, 30).splitlines())
    process = penstock.stream(folder, "--set", "runner.restarts=0")
    complaint = said(process, code=1)["said"]
    assert complaint.count("\n") == 1, complaint
    assert "slow_shop:step" in complaint


def test_a_detached_job_that_fails_at_once_is_told_in_one_sentence(
    tmp_path: Path, topic: str, penstock: Penstock
) -> None:
    folder = folder_of(tmp_path, topic, more="")
    penstock.detached(folder, *NEVER_IDLE)
    savepoint = penstock("stop", folder, "--savepoint")["savepoint"]
    (Path(savepoint.removeprefix("file:")) / "_metadata").write_bytes(b"none")
    complaint = said(penstock.stream(folder, "--detach", "--resume"), code=1)["said"]
    assert complaint.count("\n") == 1, complaint
    assert "a job on Flink must not fail; got" in complaint


def test_a_cluster_that_is_not_there_is_said_in_one_sentence(
    tmp_path: Path, topic: str, penstock: Penstock
) -> None:
    folder = folder_of(tmp_path, topic, more="")
    for flag in ("--flink-rest", "--job-endpoint"):
        complaint = said(penstock.stream(folder, flag, "127.0.0.1:9"), code=2)["said"]
        assert complaint.count("\n") == 1
        assert "127.0.0.1:9;" in complaint
        assert f"{flag} HOST:PORT" in complaint


def example(root: Path, name: str) -> Path:
    """Copy an example with about 20,000 rows, in two files by time."""
    folder = root / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("out", "data", "*.py"))
    data = folder / "data"
    data.mkdir(exist_ok=True)
    if name == "events":
        lines = "".join(f"{line}\n" for line in generate.lines(0, 20_000, 7)).splitlines(True)
        whole, head = data / "events.jsonl", []
    else:
        fetch.fetch(data)
        head, *lines = (data / "flights.csv").read_text().splitlines(True)[:20_001]
        whole, head = data / "flights.csv", [head]
    for path, part in (
        (whole, lines),
        (data / f"1{whole.suffix}", lines[:9_000]),
        (data / f"2{whole.suffix}", lines[9_000:]),
    ):
        path.write_text("".join([*head, *part]))
    return folder


def tables(out: Path, name: str, aggregates: dict[str, str]) -> dict[str, dict[Any, Any]]:
    """Contract columns of all tables, by key."""
    lake = Out(out)
    key = {"events": "event_id", "flights": "flight_id"}[name]
    found = {name: {row[key]: plain(row) for row in lake.rows(f"processed_data.{name}")}}
    for aggregate, group in aggregates.items():
        rows = lake.rows(f"analytics.{aggregate}")
        found[aggregate] = {
            (row["window_start"], *(row[g] for g in group.split())): plain(row) for row in rows
        }
        assert len(found[aggregate]) == len(rows)
    return found


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Leave out our own columns; floats to nine digits."""
    own = {name: value for name, value in row.items() if not name.startswith("_")}
    return {n: float(f"{v:.9g}") if isinstance(v, float) else v for n, v in own.items()}


@pytest.mark.parametrize(
    ("name", "aggregates", "rows"),
    [
        ("events", {"events_5min": "event_type"}, 20_000),
        (
            "flights",
            {"departures_hourly": "origin delay_class", "departures_daily": "origin airline"},
            20_000,
        ),
    ],
)
def test_an_example_as_a_stream_that_is_stopped_and_resumed_equals_its_batch(
    tmp_path: Path, penstock: Penstock, name: str, aggregates: dict[str, str], rows: int
) -> None:
    folder = example(tmp_path, name)
    topic = make_topic(servers.kafka(), 4)
    whole, streamed = tmp_path / "batch", tmp_path / "streamed"
    penstock("run", folder, "--out", str(whole), "--sinks", "lake")
    sets = {
        "source.stream.kafka.topic": topic,
        "sinks.lake.commit_every": "1s",
        "source.stream.idle": "1d",
    }
    flags = ["--out", str(streamed), "--sinks", "lake"]
    flags += [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]

    def send_file(number: int) -> None:
        (part,) = (folder / "data").glob(f"{number}.*")
        more = ("--topic", topic, "--rate", "0", "--disorder", "20s", "--input", str(part))
        process = penstock.start("produce", folder, *more)
        assert process.wait(PATIENCE) == 0, process.communicate()

    def all_landed() -> bool:
        status = penstock("status", folder, "--out", str(streamed), *flags[4:])
        return status["commit"] is not None and status["lag"]["messages"] == 0

    send_file(1)
    penstock.detached(folder, *flags)
    assert wait_for(all_landed, PATIENCE)
    savepoint = penstock("stop", folder, "--savepoint", "--out", str(streamed))["savepoint"]
    send_file(2)
    assert penstock.detached(folder, *flags, "--set", "runner.parallelism=1")["from"] == savepoint
    assert wait_for(all_landed, PATIENCE)
    penstock("stop", folder, "--out", str(streamed))
    got, want = (tables(out, name, aggregates) for out in (streamed, whole))
    assert sum(r["rows"] for r in Out(streamed).rows(f"operations.{name}_ledger")) == rows
    for table in want:
        assert got[table].keys() == want[table].keys()
        assert got[table] == want[table], table
