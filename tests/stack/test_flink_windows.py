"""Sessions, and windows with a trigger, of a job on Flink that goes on with another parallelism."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests import servers
from tests.pipelines.shop import (
    HOURLY,
    PROCESSED,
    START,
    Out,
    assert_tables,
    by_group,
    expected,
    plain_row,
    sales,
)
from tests.pipelines.visits import SESSIONS, VISITS, assert_visits
from tests.stack.streaming import make_topic, wait_for
from tests.stack.test_run_flink import PATIENCE, Penstock, plain, send
from tests.stack.test_run_stream import counted, destinies, folder_of, landed

pytestmark = pytest.mark.stack

LATENESS = "allowed_lateness: 4h"
TRIGGER = (
    "{type: after_watermark, early: {type: after_count, count: 40}, "
    "late: {type: after_processing_time, delay: 1s}}"
)
SETS = ("--set", "source.stream.idle=1d", "--set", "source.stream.disorder=1m")


@pytest.fixture
def penstock() -> Iterator[Penstock]:
    command = Penstock()
    yield command
    command.end()


def in_time(lines: list[bytes]) -> list[bytes]:
    """The lines that can be read, by event time; the broken ones first."""

    def at(line: bytes) -> str:
        try:
            return json.loads(line)["sold_at"]
        except (ValueError, KeyError):
            return ""

    return sorted(lines, key=at)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_a_rescaled_job_with_sessions_and_triggers_leaves_the_tables_of_a_batch(
    tmp_path: Path, penstock: Penstock, before: int, after: int
) -> None:
    topic = make_topic(servers.kafka(), 3)
    folder = folder_of(tmp_path, topic, more="")
    pipeline = folder / "pipeline.yaml"
    text = pipeline.read_text().replace("size: 1h}", f"size: 1h, {LATENESS}, trigger: {TRIGGER}}}")
    sessions = SESSIONS.replace("gap: 2m}", f"gap: 2m, {LATENESS}}}")
    pipeline.write_text(text.replace("sinks:\n", sessions))
    out, batch = Out(folder / "out"), Out(tmp_path / "batch")
    lines = in_time(sales(0, 1200, broken=5, copies=100).splitlines())
    late = lines[100:500:20]
    lines = [*(line for line in lines if line not in late), *late]
    part = 4 * len(lines) // 5
    whole = expected({"a": b"\n".join(lines)})
    (folder / "data/all.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    penstock("run", folder, "--out", str(batch.path), "--sinks", "lake")

    def of(parallelism: int) -> tuple[str, ...]:
        return (*SETS, "--set", f"runner.parallelism={parallelism}")

    send(topic, lines[:part])
    penstock.detached(folder, *of(before))
    assert wait_for(lambda: landed(out) == part, PATIENCE)
    # Event time has passed the first hour, and is within the last one.
    first = expected({"a": b"\n".join(lines[:part])})["hourly"]
    ended = {key: row for key, row in first.items() if key[0] == START}
    rows = lambda: by_group(out.rows(HOURLY))  # noqa: E731
    assert wait_for(lambda: rows().items() >= ended.items(), PATIENCE)
    assert max(row["window_start"] for row in out.rows(HOURLY)) > START + timedelta(hours=1)
    savepoint = penstock("stop", folder, "--savepoint")["savepoint"]

    send(topic, lines[part:])
    assert penstock.detached(folder, "--resume", *of(after))["from"] == savepoint
    assert wait_for(lambda: landed(out) == len(lines), PATIENCE)
    assert penstock("stop", folder, "--drain")["state"] == "DRAINED"
    assert destinies(out) == counted(whole)
    assert_tables(out, whole, warehouse=False)
    assert_visits(out.rows(VISITS), map(plain_row, out.rows(PROCESSED)))
    for table in (HOURLY, VISITS):
        got, want = out.rows(table), batch.rows(table)
        assert all(row["_final"] for row in got)
        assert sorted(map(str, map(plain, got))) == sorted(map(str, map(plain, want)))
