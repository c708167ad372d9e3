"""Rows between two passes over batch input, as Arrow IPC files of one machine.

Only protected rows and their ids are spilled. The files live in one folder of the run, and are
deleted with it; a folder left by a killed run is deleted by the next one.
Not for clusters: their workers share no disk (there rows travel through the PCollection).
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa


@dataclass(frozen=True)
class Spill:
    """A folder of batches.

    Attributes:
        folder: Made private (0700) by `open_spill`; holds nothing but spilled batches.
    """

    folder: str

    def write(self, *batches: pa.RecordBatch) -> str:
        """Write batches of one schema; return the name to read them by."""
        name = os.urandom(12).hex()
        with (
            pa.OSFile(f"{self.folder}/{name}", "wb") as file,
            pa.ipc.new_file(file, batches[0].schema) as writer,
        ):
            for batch in batches:
                writer.write_batch(batch)
        return name

    def map(self, name: str) -> pa.RecordBatch:
        """Map the first batch; its memory belongs to the page cache."""
        return pa.ipc.open_file(pa.memory_map(f"{self.folder}/{name}")).get_batch(0)

    def read(self, name: str, number: int) -> pa.RecordBatch:
        """Read one batch, and no more of the file than that."""
        with pa.OSFile(f"{self.folder}/{name}") as file:
            return pa.ipc.open_file(file).get_batch(number)

    def remove(self) -> None:
        """Delete the folder and what is left in it, and its parent if no other run has one."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            Path(self.folder).parent.rmdir()


def open_spill(parent: Path, run_id: str) -> Spill:
    """Make the run's folder below `parent`, after deleting what dead runs left there."""
    olds: list[Path] = []
    with suppress(FileNotFoundError):  # No run has spilled, or the last one ends just now.
        olds = list(parent.iterdir())
    for old in olds:
        if not _alive(old.name):
            shutil.rmtree(old, ignore_errors=True)
    folder = parent / f"{os.getpid()}-{run_id}"
    for last in (False, False, True):
        try:
            parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
        except FileNotFoundError:  # Another run has ended just now, and took the parent with it.
            if last:
                raise
            continue
        break
    return Spill(str(folder))


def _alive(name: str) -> bool:
    pid = name.partition("-")[0]
    if not pid.isdigit():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
