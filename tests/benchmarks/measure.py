"""Run one command as a fresh process and measure it with all that it started.

Only the standard library: on Linux a child's peak memory is at least what its parent held when it
was started, so the measuring process has to stay small.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run cost and said.

    Attributes:
        wall: Seconds from start to exit.
        cpu: User and system seconds, of all descendants too.
        rss: Peak resident memory of the largest process, MiB.
        said: The JSON object on the last line of its standard output, or {}.
    """

    wall: float
    cpu: float
    rss: float
    said: dict[str, Any]


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent ends first (Spark's JVM)."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def children() -> list[int]:
    """Return the processes that this one has started, or adopted, and that live."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def run(command: list[str], *, log: Path, cwd: Path, timeout: float) -> Run:
    """Run `command` to its end; its output goes to `log`.

    Raises:
        RuntimeError: It failed or took longer than `timeout` seconds; the end of the log is in it.
    """
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    os.sync()  # no contestant pays for what the one before left to be written
    with log.open("wb") as out, log.with_suffix(".err").open("wb") as err:
        start = time.perf_counter()
        child = subprocess.Popen(command, cwd=cwd, env=clean, stdout=out, stderr=err)
        pid = child.pid
        waited, status, usage = _wait(pid, start + timeout)
        wall = time.perf_counter() - start
    if not waited:
        child.kill()
    usages = [usage, *_orphans()]
    if not waited or status:
        tail = log.read_text(errors="replace")[-500:]
        tail += log.with_suffix(".err").read_text(errors="replace")[-1500:]
        msg = f"{command[:3]} must end well in {timeout:.0f} s; got status {status}: {tail}"
        raise RuntimeError(msg)
    lines = log.read_text(errors="replace").strip().splitlines()
    return Run(
        wall=wall,
        cpu=sum(u.ru_utime + u.ru_stime for u in usages),
        rss=max(u.ru_maxrss for u in usages) / 1024,
        said=json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {},
    )


def _wait(pid: int, until: float) -> tuple[bool, int, resource.struct_rusage]:
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done or time.perf_counter() > until:
            return bool(done), status, usage
        time.sleep(0.002)


def _orphans() -> list[resource.struct_rusage]:
    out = []
    until = time.perf_counter() + 30
    while time.perf_counter() < until:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return out
        if pid:
            out.append(usage)
        else:
            time.sleep(0.01)
    return out
