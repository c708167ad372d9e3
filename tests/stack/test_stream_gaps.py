"""What a topic holds beside rows, through whole runs: starts, gaps, marks, tombstones, huge ones."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests import servers
from tests.pipelines.shop import LEDGER, PROCESSED, REFUSED, Out, assert_tables, expected, sales
from tests.stack.streaming import make_topic, produce, wait_for
from tests.stack.test_run_stream import counted, destinies, ended, folder_of, landed, start

pytestmark = pytest.mark.stack


def lines(first: int, count: int) -> list[bytes]:
    return sales(first, count).splitlines()


def send(topic: str, messages: list[bytes | None]) -> None:
    produce(servers.kafka(), topic, [(0, m) for m in messages])


def done(out: Out) -> list[tuple[str | None, int, list[tuple[int, int]]]]:
    """Rule, rows and ranges of the ledger's entries, by where they begin."""
    rows = [
        (r["rule"], r["rows"], [(x["start"], x["end"]) for x in r["ranges"]])
        for r in out.rows(LEDGER)
    ]
    return sorted(rows, key=lambda row: row[2])


def test_a_stream_from_the_latest_message_goes_on_where_its_first_run_began(
    tmp_path: Path,
) -> None:
    topic = make_topic(servers.kafka())
    folder = folder_of(tmp_path, topic, more=", start: latest, end: latest")
    out = Out(folder / "out")
    old, new = lines(0, 20), lines(100, 30)
    send(topic, [*old])
    said = ended(start(folder))
    assert said["rows"]["read"] == 0
    assert done(out) == [("before_start", 0, [(0, 20)])]
    # Nothing landed, and yet what comes now is not passed over, nor what was there before read.
    send(topic, [*new])
    for run in (1, 2):
        said = ended(start(folder))
        assert said["rows"]["read"] == (len(new) if run == 1 else 0)
        assert_tables(out, expected({"a": b"\n".join(new)}))
    assert len([r for r in out.rows(LEDGER) if r["rule"] == "before_start"]) == 1


def test_a_gap_that_a_run_begins_with_is_in_the_ledger_and_said(tmp_path: Path) -> None:
    topic = make_topic(servers.kafka())
    folder = folder_of(tmp_path, topic)
    out = Out(folder / "out")
    first, gone, rest = lines(0, 20), lines(100, 15), lines(200, 10)
    send(topic, [*first])
    ended(start(folder))
    send(topic, [*gone, *rest])
    admin = AdminClient({"bootstrap.servers": servers.kafka()})
    asked = TopicPartition(topic, 0, 35)
    admin.delete_records([asked])[asked].result()
    assert "15 of" in ended(start(folder), code=1)["said"]
    said = ended(start(folder, "--set", "source.stream.kafka.on_gap=skip"))
    assert said["rows"]["read"] == 10
    assert f"passed over: 15 positions of {topic}/0, from 20 to 34, were gone" in said["warnings"]
    assert_tables(out, expected({"a": b"\n".join(first), "b": b"\n".join(rest)}))
    assert ("gap", 0, [(20, 35)]) in done(out)
    assert ended(start(folder))["rows"]["read"] == 0


def test_a_gap_that_comes_while_a_stream_runs_is_in_the_ledger_and_said(tmp_path: Path) -> None:
    topic = make_topic(servers.kafka())
    folder = folder_of(tmp_path, topic, more=", on_gap: skip, refresh: 1s")
    out = Out(folder / "out")
    first, gone, rest, anew = lines(0, 20), lines(100, 15), lines(200, 10), lines(300, 5)
    send(topic, [*first])
    running = start(folder)
    with ended_after(running):
        assert wait_for(lambda: landed(out) == 20, 60)
        # While it is held up, retention is faster.
        running.send_signal(signal.SIGSTOP)
        time.sleep(2)  # what it had asked for is answered
        send(topic, [*gone, *rest])
        admin = AdminClient({"bootstrap.servers": servers.kafka()})
        asked = TopicPartition(topic, 0, 35)
        admin.delete_records([asked])[asked].result()
        running.send_signal(signal.SIGCONT)
        assert wait_for(lambda: landed(out) == 30, 60)
        running.send_signal(signal.SIGSTOP)
        admin.delete_topics([topic])[topic].result(30)
        time.sleep(1)
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
        send(topic, [*anew])
        running.send_signal(signal.SIGCONT)
        assert wait_for(lambda: landed(out) == 35, 60)
        status = json.loads(asked_status(folder))
        running.send_signal(signal.SIGTERM)
        said = ended(running)
    text = f"passed over: 15 positions of {topic}/0, from 20 to 34, were gone"
    assert said["warnings"].count(text) == 1
    (lost,) = [w for w in said["warnings"] if "is gone, read up to 45" in w]
    assert ("gap", 0, [(20, 35)]) in done(out)
    assert lost in status["notes"]
    (one,) = status["passed_over"]["gaps"]
    assert (one["from"], one["to"]) == (20, 34)
    want = expected({"a": b"\n".join([*first, *rest, *anew])})
    assert destinies(out) == counted(want)


@contextmanager
def ended_after(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()


def asked_status(folder: Path) -> str:
    command = [sys.executable, "-m", "beam_pipelines", "status", str(folder), "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_marks_of_transactions_and_tombstones_are_positions_like_any_other(
    tmp_path: Path,
) -> None:
    topic = make_topic(servers.kafka(), **{"cleanup.policy": "compact"})
    folder = folder_of(tmp_path, topic)
    out = Out(folder / "out")
    producer = Producer({"bootstrap.servers": servers.kafka(), "transactional.id": topic})
    producer.init_transactions(30)
    kept, lost = lines(0, 60), lines(500, 30)
    for i in range(3):
        for batch, end in (
            (kept[20 * i : 20 * i + 20], producer.commit_transaction),
            (lost[10 * i : 10 * i + 10], producer.abort_transaction),
        ):
            producer.begin_transaction()
            for n, line in enumerate(batch):
                producer.produce(topic, line, key=f"{i}-{n}")
            producer.produce(topic, None, key=f"{i}-{len(batch)}")
            producer.flush(10)
            end(30)
    kept += lines(900, 1)
    produce(servers.kafka(), topic, [(0, kept[-1])], key=b"last")  # behind all marks
    said = ended(start(folder))
    want = expected({"a": b"\n".join(kept)})
    want["counts"]["refused"] += 3
    assert_tables(out, want)
    dead = [(r["rule"], r["record"]) for r in out.rows(REFUSED)]
    assert dead == [("tombstone", None)] * 3
    assert said["rows"]["read"] == 64
    assert destinies(out) == counted(want)
    ranges = {x for _, _, found in done(out) for x in found}
    assert ranges == {(0, 63 + 33 + 6 + 1)}, "aborted ones and marks are done, too"
    assert ended(start(folder))["rows"]["read"] == 0


@pytest.mark.parametrize("broken", [False, True])
def test_a_message_of_50_mb_stops_nothing(tmp_path: Path, *, broken: bool) -> None:
    topic = make_topic(servers.kafka(), **{"max.message.bytes": str(64 << 20)})
    folder = folder_of(tmp_path, topic)
    out = Out(folder / "out")
    before, after = lines(0, 20), lines(100, 20)
    send(topic, [*before])
    row: dict[str, Any] = json.loads(lines(50, 1)[0])
    row["sale_id"], row["properties"] = (
        "huge",
        {"amount": 99, "email": "a@b.c", "note": "x" * (50 << 20)},
    )
    huge = json.dumps(row).encode()
    producer = Producer({"bootstrap.servers": servers.kafka(), "message.max.bytes": 64 << 20})
    producer.produce(topic, huge[:-1] if broken else huge, partition=0)
    assert producer.flush(60) == 0
    send(topic, [*after])
    said = ended(start(folder))
    assert said["rows"]["read"] == 41
    ids = {r["sale_id"] for r in out.rows(PROCESSED)}
    assert ids >= set(expected({"a": b"\n".join([*before, *after])})["rows"])
    assert ("huge" in ids) == (not broken)
    if broken:
        (dead,) = out.rows(REFUSED)
        assert dead["rule"] == "json"
        assert len(dead["record"]) >= 50 << 20, "sealed, and whole"
