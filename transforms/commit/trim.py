"""What of the landed files is new: whole files kept or dropped, the few others rewritten by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
from pyiceberg.manifest import DataFile

from schemas.names import POSITION, REMOVED, SOURCE
from transforms.commit.bounds import reach
from transforms.commit.files import read_batches
from transforms.commit.landed import Landed
from transforms.commit.ranges import Ranges, common, merged, missing, within
from transforms.commit.table_info import TableInfo
from transforms.sinks.lake import FileWriter

_PLAIN_REMOVED: Final = pa.schema(
    [f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f for f in REMOVED]
)


@dataclass
class Fresh:
    """What is left of the landed files and positions after trimming.

    Attributes:
        done: Positions that become done.
        files: Table -> data files whose rows are all new, of the table's present spec.
        trimmed: Table -> landed files of which rows were dropped.
        removed: names.REMOVED, plain strings.
    """

    done: Ranges = field(default_factory=dict)
    files: dict[str, list[DataFile]] = field(default_factory=dict)
    trimmed: dict[str, list[DataFile]] = field(default_factory=dict)
    removed: pa.Table = field(default_factory=_PLAIN_REMOVED.empty_table)


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
    fresh = Fresh(done=missing(every, done))
    taken: Ranges = {}
    overlap = sum(map(_size, (merged(one.done) for one in landed))) > _size(every)
    removed = [fresh.removed]
    for one in landed:
        mine = every if not one.done else merged(one.done)
        new = fresh.done if not one.done else missing(mine, merged(done, taken))
        if overlap and one.done:
            taken = merged(taken, new)
        old = missing(mine, new)
        for name, files in one.files.items():
            _trim_files(fresh, infos[name], files, new, old)
        if one.removed is not None and one.removed.num_rows:
            removed.append(_plain(one.removed, new if old else None))
    fresh.removed = pa.concat_tables(removed)
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
            stays += rewrite(info, file, new)
        elif met_new:
            stays.append(file)


def rewrite(info: TableInfo, file: DataFile, ranges: Ranges) -> list[DataFile]:
    """Write the rows of a data file whose positions lie within the ranges to new files."""
    writer = FileWriter(info)
    for batch in read_batches(info, file.file_path):
        mask = within(batch[SOURCE], batch[POSITION], ranges)
        writer.write(batch if mask.all() else batch.filter(pa.array(mask)))
    return writer.close()


def _plain(removed: pa.RecordBatch, new: Ranges | None) -> pa.Table:
    table = pa.Table.from_batches([removed]).cast(_PLAIN_REMOVED)
    if new is None:
        return table
    return table.filter(pa.array(within(table[SOURCE], table[POSITION], new)))


def _size(ranges: Ranges) -> int:
    return sum(end - start for several in ranges.values() for start, end in several)
