"""`penstock run --stream --runner prism` over a real topic leaves what a batch run would leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.exceptions import NoSuchTableError

from infra.local.servers import prism
from tests import servers
from tests.pipelines.shop import (
    HOURLY,
    LEDGER,
    PIPELINE,
    Out,
    assert_tables,
    expected,
    make_folder,
    sales,
)
from tests.stack.streaming import make_topic, produce, wait_for

pytestmark = pytest.mark.stack

FACE = """\
  stream:
    kafka: {{topic: {topic}, brokers: "{brokers}"{more}}}
    disorder: 4h
"""
UNTIL_NOW = ", end: latest"


@pytest.fixture
def topic() -> str:
    return make_topic(servers.kafka(), 3)


def folder_of(root: Path, topic: str, more: str = UNTIL_NOW) -> Path:
    face = FACE.format(topic=topic, brokers=servers.kafka(), more=more)
    text = PIPELINE.replace("steps:\n", f"{face}steps:\n", 1)
    text = text.replace("lake: {}", "lake: {commit_every: 1s}")
    return make_folder(root, pipeline=text)


def send(topic: str, lines: list[bytes]) -> None:
    produce(servers.kafka(), topic, [(i % 3, line) for i, line in enumerate(lines)])


def start(folder: Path, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "beam_pipelines", "run", str(folder)]
    return subprocess.Popen(
        [*command, "--stream", "--runner", "prism", "--json", *flags],
        env=os.environ | {"PENSTOCK_PRISM": str(prism.install() / "prism")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], code: int = 0) -> dict[str, Any]:
    said, complaint = process.communicate(timeout=120)
    assert process.returncode == code, complaint
    return json.loads(said.splitlines()[-1]) if code == 0 else {"said": complaint}


def destinies(out: Out) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in out.rows(LEDGER):
        counts[row["destiny"]] = counts.get(row["destiny"], 0) + row["rows"]
    return counts


def counted(want: dict[str, Any]) -> dict[str, int]:
    return {name: n for name, n in want["counts"].items() if n and name != "read"}


def status(folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "beam_pipelines", "status", str(folder), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_a_second_stream_is_refused_until_the_process_of_the_first_one_has_died(
    tmp_path: Path, topic: str
) -> None:
    folder = folder_of(tmp_path, topic, more="")
    out = Out(folder / "out")
    lines = sales(0, 300).splitlines()
    send(topic, lines[:200])
    first = start(folder)
    try:
        assert wait_for(lambda: landed(out) == 200, 90)
        assert status(folder)["state"] == "RUNNING"
        refused = ended(start(folder), code=2)["said"]
        assert f"one stream at a time; got one that process {first.pid} runs" in refused
    finally:
        first.kill()
        first.communicate()
    assert status(folder)["state"] == "ENDED"
    send(topic, lines[200:])
    ended(start(folder, "--set", "source.stream.kafka.end=latest"))
    assert_tables(out, expected({"a": b"\n".join(lines)}))


def test_a_topic_lands_as_a_batch_of_its_messages_would_and_only_what_is_new_lands_again(
    tmp_path: Path, topic: str
) -> None:
    folder = folder_of(tmp_path, topic)
    out = Out(folder / "out")
    first = sales(0, 900, broken=5, copies=60).splitlines()
    send(topic, first)
    said = ended(start(folder))
    want = expected({"a": b"\n".join(first)})
    assert_tables(out, want)
    assert destinies(out) == counted(want)
    assert said["rows"] == want["counts"]
    assert all(row["_final"] for row in out.rows(HOURLY))

    commits = len(out.done())
    again = ended(start(folder))
    assert again["rows"]["read"] == 0
    assert "nothing new: no message landed" in again["warnings"]
    assert len(out.done()) == commits

    second = [*sales(900, 300).splitlines(), *first[:50]]
    send(topic, second)
    said = ended(start(folder))
    assert said["rows"]["read"] == len(second)
    want = expected({"a": b"\n".join(first), "b": b"\n".join(second)})
    assert_tables(out, want)
    assert destinies(out) == counted(want)


def test_a_stream_without_an_end_goes_on_until_it_is_told_to_stop(
    tmp_path: Path, topic: str
) -> None:
    folder = folder_of(tmp_path, topic, more="")
    out = Out(folder / "out")
    lines = sales(0, 300).splitlines()
    send(topic, lines[:150])
    process = start(folder)
    try:
        for count in (150, 300):
            assert wait_for(lambda n=count: landed(out) == n, 60)  # type: ignore[misc]
            send(topic, lines[150:] if count == 150 else [])
        process.send_signal(signal.SIGTERM)
        said = ended(process)
    finally:
        process.kill()
    assert said["rows"]["read"] == len(lines)
    assert_tables(out, expected({"a": b"\n".join(lines)}))


@pytest.mark.parametrize("idle", ["1s", "never"])
def test_a_replay_that_pauses_is_late_behind_the_pause_and_says_so_unless_nothing_is_ever_idle(
    tmp_path: Path, topic: str, idle: str
) -> None:
    folder = folder_of(tmp_path, topic, more="")
    out = Out(folder / "out")
    lines = sales(0, 300).splitlines()
    send(topic, lines[:150])
    process = start(folder, "--set", f"source.stream.idle={idle}")
    try:
        assert wait_for(lambda: landed(out) == 150, 60)
        if idle == "never":
            time.sleep(8)
        else:
            assert wait_for(lambda: all(row["_final"] for row in out.rows(HOURLY)), 60)
        send(topic, lines[150:])
        assert wait_for(lambda: landed(out) == 300, 60)
        process.send_signal(signal.SIGTERM)
        said = ended(process)
    finally:
        process.kill()
    told = [text for text in said["warnings"] if "source.stream.idle" in text]
    late = destinies(out).get("late", 0)
    if idle == "never":
        assert (late, told) == (0, [])
        assert_tables(out, expected({"a": b"\n".join(lines)}))
    else:
        assert late == said["rows"]["late"] > 0
        assert told[0].startswith(f"{late:,} rows were late: they are in the lake")


def test_a_stream_that_is_killed_goes_on_where_it_had_landed_and_nothing_lands_twice(
    tmp_path: Path, topic: str
) -> None:
    folder = folder_of(tmp_path, topic, more="")
    out = Out(folder / "out")
    lines = sales(0, 2400, copies=100).splitlines()
    send(topic, lines[:500])
    process = start(folder)
    try:
        assert wait_for(lambda: landed(out) > 0, 60)
        send(topic, lines[500:])
        time.sleep(0.7)  # some of them are on their way, or in a commit
    finally:
        process.kill()
        process.communicate()
    before = landed(out)
    said = ended(start(folder, "--set", "source.stream.kafka.end=latest"))
    want = expected({"a": b"\n".join(lines)})
    assert said["rows"]["read"] == len(lines) - before > 0
    assert_tables(out, want)
    assert destinies(out) == counted(want)


def test_many_windows_that_end_at_once_are_finished_by_a_few_commits(
    tmp_path: Path, topic: str
) -> None:
    folder = folder_of(tmp_path, topic, more="")
    out = Out(folder / "out")
    flags = ("aggregates.0.windowing.size=1m", "source.stream.disorder=0s")
    later = b'{"sale_id": "z%d", "sold_at": "2026-03-01T10:00:00Z", "country": "de"}'
    send(topic, sales(0, 600).splitlines())
    process = start(folder, *(word for flag in flags for word in ("--set", flag)))
    try:
        assert wait_for(lambda: landed(out) == 600, 60)
        windows = {row["window_start"] for row in out.rows(HOURLY)}
        assert len(windows) > 100
        send(topic, [later % n for n in range(3)])
        assert wait_for(lambda: all(r["_final"] for r in out.rows(HOURLY)), 20)
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert len(out.done()) < 10


def test_an_early_pane_comes_though_no_row_follows_and_an_end_waits_for_no_delay(
    tmp_path: Path, topic: str
) -> None:
    early = "aggregates.0.windowing.trigger={type: after_watermark, early: {type: %s, delay: %s}}"
    folder = folder_of(tmp_path, topic, more="")
    out = Out(folder / "out")
    lines = sales(0, 600).splitlines()
    send(topic, lines[:300])
    process = start(folder, "--set", early % ("after_processing_time", "4s"))
    try:
        assert wait_for(lambda: landed(out) == 300, 60)
        assert wait_for(lambda: len(out.rows(HOURLY)) > 0, 20)
        assert not any(row["_final"] for row in out.rows(HOURLY))
        send(topic, lines[300:400])
        assert wait_for(lambda: landed(out) == 400, 20)
    finally:
        process.send_signal(signal.SIGTERM)
        ended(process)
    send(topic, lines[400:])
    hour = early % ("after_processing_time", "1h")
    began = time.monotonic()
    ended(start(folder, "--set", hour, "--set", "source.stream.kafka.end=latest"))
    assert time.monotonic() - began < 100
    assert_tables(out, expected({"a": b"\n".join(lines)}))
    assert all(row["_final"] for row in out.rows(HOURLY))


def test_windows_without_rows_are_written_by_whoever_commits_next(
    tmp_path: Path, topic: str
) -> None:
    on_time = ("--set", "aggregates.0.windowing.trigger={type: after_watermark}")
    folder = folder_of(tmp_path, topic, more="")
    out = Out(folder / "out")
    lines = sales(0, 300).splitlines()
    send(topic, lines)
    process = start(folder, *on_time)
    try:
        assert wait_for(lambda: landed(out) == 300, 60)
        assert out.rows(HOURLY) == []
    finally:
        process.send_signal(signal.SIGTERM)
        ended(process)
    assert out.rows(HOURLY) == []
    one = b'{"sale_id": "z", "sold_at": "2026-03-01T10:00:00Z", "country": "de"}'
    send(topic, [one])
    ended(start(folder, *on_time, "--set", "source.stream.kafka.end=latest"))
    assert_tables(out, expected({"a": b"\n".join(lines)}))


def landed(out: Out) -> int:
    if not (out.path / "lake" / "catalog.db").exists():
        return 0
    try:
        return sum(destinies(out).values())
    except NoSuchTableError:  # the run has not come so far
        return 0


def test_a_stream_that_is_drained_ends_its_windows_and_then_itself(
    tmp_path: Path, topic: str
) -> None:
    folder = folder_of(tmp_path, topic, more="")
    out = Out(folder / "out")
    lines = sales(0, 300).splitlines()
    send(topic, lines)
    process = start(folder)
    try:
        assert wait_for(lambda: landed(out) == 300, 60)
        assert not any(row["_final"] for row in out.rows(HOURLY))
        command = [sys.executable, "-m", "beam_pipelines", "stop", str(folder), "--drain"]
        subprocess.run(command, check=True, timeout=120)
        said = ended(process)
    finally:
        process.kill()
    assert said["rows"]["read"] == len(lines)
    assert all(row["_final"] for row in out.rows(HOURLY))
    assert_tables(out, expected({"a": b"\n".join(lines)}))


def test_a_prism_ends_with_its_driver_however_that_dies(tmp_path: Path, topic: str) -> None:
    folder = folder_of(tmp_path, topic, more="")
    process = start(folder)
    try:
        assert wait_for(lambda: len(children(process.pid)) == 1, 60)
        (child,) = children(process.pid)
    finally:
        process.kill()
        process.wait()
    assert wait_for(lambda: not Path(f"/proc/{child}/exe").exists(), 10)


def children(pid: int) -> list[int]:
    """Prisms that a process started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    found = [int(one) for one in text.split()]
    return [one for one in found if Path(f"/proc/{one}/exe").resolve().name == "prism"]


def test_a_topic_that_is_not_there_is_said_in_one_sentence(tmp_path: Path) -> None:
    said = ended(start(folder_of(tmp_path, servers.unique("none"))), code=1)["said"]
    assert said.count("\n") == 1
    assert "the topics of a source must be there; got none named none-" in said
