"""Workers of a pool (`runner.workers=external`) do on Flink what those of its TaskManagers do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.worker import COMMAND
from tests import servers
from tests.pipelines.shop import Out, assert_tables, expected, make_folder, sales
from tests.stack.streaming import make_topic, wait_for
from tests.stack.test_run_flink import Penstock, penstock, send
from tests.stack.test_run_flink_batch import ended, put, start
from tests.stack.test_run_stream import counted, destinies, folder_of, landed

__all__ = ["penstock"]

pytestmark = pytest.mark.stack


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[list[str]]:
    """A worker pool on a free port; the flags of a run that uses it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main"]
    with (tmp_path / "pool.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--service_port={port}", f"--container_executable={COMMAND}"],
            env=os.environ | {"PENSTOCK_WORKER_PYTHON": sys.executable},
            stdout=log,
            stderr=log,
        )
    try:
        assert wait_for(lambda: _listens(port), 60)
        where = f"runner.worker_pool=127.0.0.1:{port}"
        yield ["--set", "runner.workers=external", "--set", where]
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def test_files_land_as_they_do_in_process(tmp_path: Path, pool: list[str]) -> None:
    folder = make_folder(tmp_path)
    lines = sales(0, 900, broken=5, copies=60)
    put(folder, "a.jsonl", lines)
    more = ["--set", "runner.parallelism=2"]
    told = ended(start(folder, "--json", *pool, *more))
    assert told["rows"] == expected({"a": lines})["counts"]
    assert_tables(Out(folder / "out"), expected({"a": lines}))
    assert started(tmp_path) == 2, "one for each subtask, not one for each stage"


def started(root: Path) -> int:
    """How many workers the pool has started."""
    return (root / "pool.log").read_text().count("Starting worker")


def test_a_stream_goes_on_from_its_savepoint_with_workers_of_the_pool(
    tmp_path: Path, pool: list[str], penstock: Penstock
) -> None:
    topic = make_topic(servers.kafka(), 3)
    folder = folder_of(tmp_path, topic, more="")
    first, second = sales(0, 600, copies=40).splitlines(), sales(600, 300).splitlines()
    out = Out(folder / "out")
    send(topic, first)
    penstock.detached(folder, *pool)
    assert wait_for(lambda: landed(out) == len(first), 90)
    stopped = penstock("stop", folder, "--savepoint")
    send(topic, second)
    job = penstock.detached(folder, "--resume", *pool)
    assert job["from"] == stopped["savepoint"]
    assert wait_for(lambda: landed(out) == len(first) + len(second), 90)
    penstock("stop", folder)
    want = expected({"a": b"\n".join([*first, *second])})
    assert destinies(out) == counted(want)
    assert started(tmp_path) == 2, "one for each job"
