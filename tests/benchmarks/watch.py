"""CPU and memory of processes while they run, with all that they started; Linux only."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
EVERY_S = 0.5


def tree(pids: list[int]) -> list[int]:
    """Return these processes and all their descendants that are alive."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, new = [], list(dict.fromkeys(pids))
    while new:
        found += new
        new = [child for pid in new for child in children.get(pid, []) if child not in found]
    return found


def cpu(pids: list[int]) -> float:
    """Return user and system seconds so far, those of children that ended included."""
    return sum(sum(map(int, fields[11:15])) for pid in pids if (fields := _stat(pid))) / TICKS


def rss(pids: list[int]) -> float:
    """Return resident memory, MiB; pages that several share count for each."""
    return sum(int(fields[21]) for pid in pids if (fields := _stat(pid))) * PAGE_MIB


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


class Sampler:
    """Looks at processes from a thread of its own, twice a second.

    Attributes:
        peak: Greatest sum of their memory, MiB.
        samples: (seconds since it began, CPU seconds, MiB).
    """

    def __init__(self, pids: Callable[[], list[int]]) -> None:
        """Look at what `pids` names, with descendants, until `stop`."""
        self.peak = 0.0
        self.samples: list[tuple[float, float, float]] = []
        self._pids, self._ended = pids, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._ended.wait(EVERY_S):
            alive = tree(self._pids())
            held = rss(alive)
            self.peak = max(self.peak, held)
            self.samples.append((time.monotonic() - began, cpu(alive), held))
