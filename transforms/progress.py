"""Counts for a person's screen while a local run is under way; never an input to anything.

Counters in a small mapped file, so that the pickled copies of a DoFn and the command line see the
same numbers. Attempted values: what is kept is counted by the committer, in the ledger.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

COUNTERS = ("bytes", "read", "refused", "landed")


@dataclass(frozen=True)
class Progress:
    """A file of counters.

    Attributes:
        path: Made by `open_progress`.
    """

    path: str
    _lock: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    def add(self, **counts: int) -> None:
        """Add to counters named in COUNTERS."""
        with self._lock:
            numbers = np.memmap(self.path, np.int64, "r+")
            for name, count in counts.items():
                numbers[COUNTERS.index(name)] += count

    def read(self) -> dict[str, int]:
        """Return the counters as they stand."""
        numbers = np.fromfile(self.path, np.int64)
        return dict(zip(COUNTERS, numbers.tolist(), strict=True))

    def __reduce__(self) -> tuple[type[Progress], tuple[str]]:
        """Pickle as the path alone."""
        return Progress, (self.path,)


def open_progress(path: Path) -> Progress:
    """Make a file of zeros."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.zeros(len(COUNTERS), np.int64).tofile(path)
    return Progress(str(path))
