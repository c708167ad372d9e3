"""`penstock run --runner flink` over files leaves what the direct runner leaves."""

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

from runners.flink.rest import Rest
from tests import servers
from tests.pipelines.shop import CONTRACT, Out, assert_tables, expected, make_folder, sales
from tests.stack.streaming import wait_for

pytestmark = pytest.mark.stack


def start(folder: Path, *flags: str) -> subprocess.Popen[str]:
    where = {"PENSTOCK_FLINK_REST": servers.flink(), "PENSTOCK_JOB_ENDPOINT": servers.job_server()}
    return subprocess.Popen(
        [sys.executable, "-m", "beam_pipelines", "run", str(folder), "--runner", "flink", *flags],
        env=os.environ | where,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], code: int = 0) -> dict[str, Any]:
    said, complaint = process.communicate(timeout=240)
    assert process.returncode == code, complaint
    return json.loads(said.splitlines()[-1]) if code == 0 else {"said": complaint}


def put(folder: Path, name: str, lines: bytes) -> None:
    (folder / "data" / name).write_bytes(lines)


def test_files_land_as_they_do_in_process_and_only_what_is_new_lands_again(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    out = Out(folder / "out")
    first, second = sales(0, 900, broken=5, copies=60), sales(900, 300, copies=20)
    put(folder, "a.jsonl", first)
    said = ended(start(folder, "--json", "--set", "runner.parallelism=2"))
    want = expected({"a": first})
    assert said["rows"] == want["counts"]
    assert said["runner"] == "flink"
    assert_tables(out, want)

    put(folder, "b.jsonl", second + first[: first.index(b"\n") + 1])
    said = ended(start(folder, "--json"))
    want = expected({"a": first, "b": second + first[: first.index(b"\n") + 1]})
    assert_tables(out, want)
    assert said["rows"]["read"] == len(second.splitlines()) + 1
    assert not list((folder / "out").glob(".penstock-*"))


def test_what_fails_in_a_worker_is_said_in_one_sentence(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    put(folder, "a.jsonl.gz", sales(0, 100))  # no gzip, as a worker finds out
    said = ended(start(folder, "--set", "source.batch.files.compression=gzip"), code=1)["said"]
    lines = [line for line in said.splitlines() if not line.startswith("shop:")]
    assert len(lines) == 1, said
    assert "gzip" in lines[0]
    assert Out(folder / "out").done() == []


def test_a_batch_that_fails_again_and_again_is_ended_by_the_run_not_by_the_cluster(
    tmp_path: Path,
) -> None:
    mode = '      - {property: "penstock:onChange", value: freeze}\n'
    at = "    customProperties:\n"
    folder = make_folder(tmp_path, contract=CONTRACT.replace(at, at + mode, 1))
    put(folder, "a.jsonl", sales(0, 100).replace(b'{"', b'{"colour": 1, "', 1))
    said = ended(start(folder), code=1)["said"]
    lines = [line for line in said.splitlines() if not line.startswith("shop:")]
    assert len(lines) == 1, said
    assert "colour" in lines[0]
    assert Out(folder / "out").done() == []
    jobs = Rest(f"http://{servers.flink()}").get("/jobs/overview")["jobs"]
    last = max(jobs, key=lambda job: job["start-time"])
    assert last["state"] == "CANCELED"


def test_an_interrupt_cancels_the_job_on_the_cluster(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    put(folder, "a.jsonl", sales(0, 20_000))
    address = servers.flink()
    rest = Rest(address if "://" in address else f"http://{address}")

    def running() -> list[str]:
        jobs = rest.get("/jobs/overview")["jobs"]
        return [
            j["jid"]
            for j in jobs
            if j["name"].startswith("penstock-shop") and j["state"] == "RUNNING"
        ]

    before = set(running())
    process = start(folder)
    try:
        assert wait_for(lambda: set(running()) - before != set(), 60)
        (job,) = set(running()) - before
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
    finally:
        process.kill()
    time.sleep(0.5)
    assert rest.get(f"/jobs/{job}")["state"] in ("CANCELED", "FINISHED")


def test_records_that_changed_are_met_and_told_as_they_are_in_process(tmp_path: Path) -> None:
    mode = '    customProperties:\n      - {property: "penstock:onChange", value: quarantine}\n'
    contract = CONTRACT.replace("    customProperties:\n", mode, 1)
    folder = make_folder(tmp_path, contract=contract)
    lines = sales(0, 300)
    new = b"".join(
        line.replace(b"{", b'{"coupon": "c", ', 1) for line in sales(300, 40).splitlines(True)
    )
    put(folder, "a.jsonl", lines)
    put(folder, "b.jsonl", new)
    said = ended(start(folder, "--json"))
    assert_tables(Out(folder / "out"), expected({"a": lines}))
    assert said["rows"]["refused"] == 40
    assert [(c["column"], c["rows"], c["type"]) for c in said["changes"]] == [
        ("coupon", 40, "string")
    ]
