"""What a worker hands to the committer: the files it wrote and the positions it read."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyiceberg.manifest import DataFile

from transforms.changes.seen import Change
from transforms.commit.doubtful import Doubtful
from transforms.commit.ranges import Ranges
from transforms.commit.removed import Removed


@dataclass(frozen=True)
class Landed:
    """Files and positions that belong together; small, and it pickles.

    Every row of `files` and of `removed` must stand at a position of `done`. If `done` is empty
    the rows belong to the positions that the other `Landed` of the same commit name.

    Attributes:
        files: Full table name -> data files written by `transforms.sinks.lake.FileWriter`
            (`processed_data.<pipeline>`, `operations.<pipeline>_refused`).
        done: Positions read completely, whatever became of their rows.
        removed: Rows taken out on purpose (`removed.fold_removed` of duplicate, filtered).
        lost: Those of `done` that were to be read and are gone: retention was faster.
        changes: How the records differ from the contract.
        doubtful: Those of the duplicates among them that are some only if the row that they repeat
            is kept; None: nobody knows which.
    """

    files: dict[str, tuple[DataFile, ...]] = field(default_factory=dict)
    done: Ranges = field(default_factory=dict)
    removed: tuple[Removed, ...] = ()
    lost: Ranges = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    doubtful: Doubtful | None = None
