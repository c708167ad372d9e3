"""Starting and ending processes, and knowing them again later.

A server's process carries a mark in its environment, which its children inherit. So a pid is never
trusted by its number alone (it may have been given to another program since), and children whose
parent was killed are found, too.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

MARK = "PENSTOCK_SERVER"
PROC = Path("/proc")
# A virtual environment or a bytecode switch of whoever calls is not meant for a server.
NOT_PASSED_ON = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MFLAGS")


def start(
    argv: Sequence[str], *, mark: str, env: Mapping[str, str], folder: Path, log: Path
) -> int:
    """Start a command in a session of its own, with its output in a file, and return its pid.

    Nothing of the caller but its environment is passed on, so the process outlives it.
    """
    passed = {k: v for k, v in os.environ.items() if k not in NOT_PASSED_ON}
    return os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", 'cd "$0" && exec "$@"', str(folder), *argv],
        passed | dict(env) | {MARK: mark},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigdef=[signal.SIGPIPE, signal.SIGINT],
    )


def members(mark: str) -> set[int]:
    """Return the pids of every living process with that mark; a dead one not yet reaped is none."""
    pids = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    return {pid for pid in pids if _marks(pid, mark)}


def alive(pid: int, mark: str) -> bool:
    """Say whether that pid is a living process with that mark."""
    reap(pid)
    return _marks(pid, mark, tries=20)


def end(mark: str, *, patience: float) -> int:
    """End every process with that mark: politely, and after `patience` seconds with SIGKILL.

    Returns:
        How many there were.
    """
    found = members(mark)
    ended = set(found)
    deadline = time.monotonic() + patience
    _signal(found, signal.SIGTERM)
    _signal(found, signal.SIGCONT)  # a stopped process would hear the SIGTERM only then
    while found := members(mark):
        ended |= found
        if time.monotonic() > deadline:
            _signal(found, signal.SIGKILL)
        for pid in found:
            reap(pid)
        time.sleep(0.05)
    for pid in ended:
        reap(pid)
    return len(ended)


def kill(pid: int, mark: str) -> None:
    """Kill one process as `kill -9` does, and return when it is dead."""
    if alive(pid, mark):
        _signal({pid}, signal.SIGKILL)
    while alive(pid, mark):
        time.sleep(0.01)


def _marks(pid: int, mark: str, tries: int = 1) -> bool:
    # While a process replaces its program its environment reads as empty, as that of a dead one
    # that waits to be reaped does for ever.
    for _ in range(tries):
        try:
            environment = (PROC / str(pid) / "environ").read_bytes()
        except OSError:  # it ended, or belongs to somebody else
            return False
        if environment:
            return f"{MARK}={mark}".encode() in environment.split(b"\0")
        if tries > 1:
            time.sleep(0.01)
    return False


def reap(pid: int) -> None:
    """Collect a dead child, if it is one of ours: a pid that waits to be reaped looks alive."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except OSError:
        return


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            continue
