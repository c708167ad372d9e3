"""What of the landed files is new: whole files kept or dropped, the few others rewritten by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from pyiceberg.manifest import DataFile

from schemas.names import POSITION, SOURCE, Destiny
from transforms.commit.bounds import reach
from transforms.commit.doubtful import Doubtful
from transforms.commit.files import read_batches
from transforms.commit.landed import Landed
from transforms.commit.ranges import Ranges, common, merged, missing, size, within
from transforms.commit.table_info import TableInfo
from transforms.sinks.lake import FileWriter


@dataclass
class Fresh:
    """What is left of the landed files and positions after trimming.

    Attributes:
        done: Positions that become done.
        files: Table -> data files whose rows are all new, of the table's present spec.
        trimmed: Table -> landed files of which rows were dropped.
        removed: (source, destiny, step, rule) -> rows taken out that are new.
        lost: Those of `done` that are gone.
        doubtful: Doubtful duplicates, and which of their positions are new.
        guessed: Whether it is not known how doubtful some duplicates are.
    """

    done: Ranges = field(default_factory=dict)
    files: dict[str, list[DataFile]] = field(default_factory=dict)
    trimmed: dict[str, list[DataFile]] = field(default_factory=dict)
    removed: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    lost: Ranges = field(default_factory=dict)
    doubtful: list[tuple[Doubtful, Ranges]] = field(default_factory=list)
    guessed: bool = False


def trim(landed: Sequence[Landed], done: Ranges, infos: dict[str, TableInfo]) -> Fresh:
    """Keep what is not done yet, exact by row; of two that read the same position the first wins.

    Files are opened only when their bounds meet both done and new positions, or when they are of
    a partition spec that is no longer the table's.

    Args:
        landed: What the workers wrote.
        done: Positions done before.
        infos: Every table that `landed` names, as it is now.
    """
    every = merged(*(one.done for one in landed))
    new = missing(every, done)
    fresh = Fresh(done=new, lost=common(merged(*(one.lost for one in landed)), new))
    taken: Ranges = {}
    overlap = sum(size(merged(one.done)) for one in landed) > size(every)
    for one in landed:
        mine = every if not one.done else merged(one.done)
        new = fresh.done if not one.done else missing(mine, merged(done, taken))
        if overlap and one.done:
            taken = merged(taken, new)
        old = missing(mine, new)
        for name, files in one.files.items():
            _trim_files(fresh, infos[name], files, new, old)
        for rows in one.removed:
            count = rows.among(new.get(rows.source, ())) if old else rows.rows
            if count or not rows.rows:  # which says why positions have none
                fresh.removed[rows.key] += count
                fresh.guessed |= one.doubtful is None and rows.destiny == Destiny.DUPLICATE
        if one.doubtful is not None and one.doubtful.rows:
            fresh.doubtful.append((one.doubtful, new))
    return fresh


def _trim_files(
    fresh: Fresh, info: TableInfo, files: Sequence[DataFile], new: Ranges, old: Ranges
) -> None:
    stays = fresh.files.setdefault(info.name, [])
    for file in files:
        met_old, met_new = old, new
        if old and new:
            box = reach(file, info.schema, merged(new, old))
            met_old, met_new = common(box, old), common(box, new)
        if met_old:
            fresh.trimmed.setdefault(info.name, []).append(file)
        if met_new and (met_old or file.spec_id != info.spec.spec_id):
            stays += rewrite(info, file, lambda b, _: within(b[SOURCE], b[POSITION], new))
        elif met_new:
            stays.append(file)


def rewrite(
    info: TableInfo, file: DataFile, keep: Callable[[pa.RecordBatch, int], np.ndarray]
) -> list[DataFile]:
    """Write some rows of a data file to new files.

    Args:
        info: The table.
        file: One of its files.
        keep: (rows, number of the first of them in the file) -> boolean mask of those that stay.
    """
    writer = FileWriter(info)
    first = 0
    for batch in read_batches(info, file.file_path):
        mask = keep(batch, first)
        writer.write(batch if mask.all() else batch.filter(pa.array(mask)))
        first += batch.num_rows
    return writer.close()
