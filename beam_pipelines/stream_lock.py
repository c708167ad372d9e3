"""Who runs a stream into a run folder: a process that holds a lock there, as long as it lives."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

_LOCK: Final = ".stream.lock"
_PATIENCE_S: Final = 0.5  # `holder` takes the lock, too, for a moment
_LOOK_S: Final = 0.05


@contextmanager
def held(out: Path) -> Iterator[bool]:
    """Hold a run folder's lock while the block runs; says whether no other process has it.

    Where the file system knows no locks nobody is kept out.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / _LOCK).open("a+", encoding="utf-8") as lock:
        until = time.monotonic() + _PATIENCE_S
        while not (mine := _locked(lock, fcntl.LOCK_EX)) and time.monotonic() < until:
            time.sleep(_LOOK_S)
        if mine:
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
        yield mine


def holder(out: Path) -> str:
    """Return the id of the process that holds a run folder's lock; empty: none does."""
    try:
        with (out / _LOCK).open(encoding="utf-8") as lock:
            return "" if _locked(lock, fcntl.LOCK_SH) else lock.read() or "unknown"
    except OSError:
        return ""


def _locked(file: IO[str], how: int) -> bool:
    """Lock a file until it is closed; False: another process has."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks on this file system
        return True
    return True
