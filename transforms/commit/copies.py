"""Copies of rows that landed since a dedupe asked the lake, taken out of files that are to land.

A dedupe sees the lake as it was when its run began (a stream: at its checkpoint). Another run may
land copies of its rows at other positions before it commits; so the committer asks again, by id,
over the rows that have landed since: of two copies the one that landed first stays.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import polars as pl
import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from schemas.contract import Contract
from schemas.errors import CommitError
from schemas.names import SOURCE, Destiny
from schemas.plan import Plan
from transforms.commit.files import read_batches
from transforms.commit.landed_ids import LandedIds
from transforms.commit.near import Asked, id_columns, with_paths
from transforms.commit.state import State
from transforms.commit.table_info import TableInfo
from transforms.commit.times import Timed, timed
from transforms.commit.trim import Fresh, rewrite
from transforms.duplicates import LAKE, chunk_of, duplicates, ids_of


@dataclass(frozen=True)
class Unique:
    """What a pipeline that deduplicates promises.

    Attributes:
        step: Id of its step.
        by: Columns or paths that make a row itself.
        horizon_us: How far apart in event time two rows must be to be no copies.
        contract: Says which columns hold them.
    """

    step: str
    by: tuple[str, ...]
    horizon_us: int
    contract: Contract

    @classmethod
    def of(cls, plan: Plan) -> Unique | None:
        """Return the promise of a plan, None if it does not deduplicate."""
        for step in plan.steps:
            if step.kind == "deduplicate":
                by, horizon_us = step.parameters["by"], step.parameters["horizon_us"]
                return cls(step.id, tuple(by), horizon_us, plan.contract)
        return None


def without_copies(
    fresh: Fresh, table: Table, state: State, asked: Asked, unique: Unique, known: Known
) -> tuple[Fresh, int]:
    """Take rows whose copy landed since `asked` out of the files that are to land.

    Reads only data files that were added since and whose event-time bounds meet those of the new
    files, widened by the horizon, and new files that those meet; columnar, a few columns; each once
    in a committer's life, unless it holds copies. What of the lake is older, or moved to another
    file, may be read, too: it has no copies among new rows. Memory holds 12 bytes of each row.

    Args:
        fresh: What is to land, trimmed.
        table: `processed_data` as loaded.
        state: The lake now.
        asked: The lake that the dedupe of this run read.
        unique: What is promised.
        known: What this committer has read of landed files.

    Returns:
        What is left, and how many rows were copies: removed by the dedupe's step as `duplicate`,
        their files rewritten and in `trimmed`.

    Raises:
        CommitError: A row that was a copy of one of these may be no copy of the one that wins now.
    """
    info = TableInfo.of(table)
    column = unique.contract.event_time_column
    own = [timed(f, info.schema, column) for f in fresh.files.get(info.name, ())]
    landed = _since(own, table, state, asked, column, unique.horizon_us)
    met = [i for i, one in enumerate(own) if _meets(one, landed, unique.horizon_us)]
    if not met:
        return fresh, 0
    lows = {i: known.lows(info, own[i].path, unique) for i in met}
    new = np.unique(np.concatenate(list(lows.values())))
    paths, both = known.holding(info, [f.path for f in landed], new, unique)
    for i in met:
        known.ids.add(own[i].path, lows[i])
    if not paths:
        return fresh, 0
    held = [
        found
        for path in paths
        for _, rows in _rows(info, path, unique)
        for ids in _ids(rows, unique, known.key)
        for found in _among(ids, both)
    ]
    wanted = [
        found
        for i in met
        if np.isin(both, lows[i], assume_unique=True).any()
        for first, rows in _rows(info, own[i].path, unique)
        for ids in _ids(rows, unique, known.key, f"{i} {first}")
        for found in _among(ids, both)
    ]
    drops: dict[int, list[np.ndarray]] = {}
    lost: list[pa.RecordBatch] = []
    own_ids = {chunk_of(ids): ids for ids in wanted}
    for found in duplicates([*held, *wanted], unique.horizon_us):
        file, first = map(int, found.chunk.split(" "))
        drops.setdefault(file, []).append(found.rows.astype(np.int64) + first)
        ids = own_ids[found.chunk]
        lost.append(ids.filter(pa.array(np.isin(ids["row"].to_numpy(), found.rows))))
    if any(removed[1:3] == (Destiny.DUPLICATE, unique.step) for removed in fresh.removed):
        _refuse_moved(lost, held)
    return _dropped(fresh, info, unique, {f: np.concatenate(d) for f, d in drops.items()})


@dataclass(frozen=True)
class Known:
    """What a committer has read of the ids in data files, under a key of its own.

    Attributes:
        key: Two secret seeds.
        ids: By file.
    """

    key: tuple[int, int] = field(
        default_factory=lambda: (secrets.randbits(63), secrets.randbits(63))
    )
    ids: LandedIds = field(default_factory=LandedIds)

    def lows(self, info: TableInfo, path: str, unique: Unique) -> np.ndarray:
        """Read a file's ids: 64 bits of each, sorted."""
        parts = [
            ids["low"].to_numpy()
            for _, rows in _rows(info, path, unique)
            for ids in _ids(rows, unique, self.key)
        ]
        return np.sort(np.concatenate([np.array([], np.uint64), *parts]))

    def holding(
        self, info: TableInfo, paths: Sequence[str], new: np.ndarray, unique: Unique
    ) -> tuple[list[str], np.ndarray]:
        """Return which of these files may hold copies of new ids (sorted), and of which."""
        if self.ids.full:
            self.ids.only(paths)
        both = [np.array([], np.uint64)]
        read = set()
        for path in paths:
            if not self.ids.knows(path):
                lows = self.lows(info, path, unique)
                self.ids.add(path, lows)
                if not self.ids.knows(path) and len(common := np.intersect1d(lows, new)):
                    read.add(path)
                    both.append(common)
        found, kept = self.ids.holding(new, paths)
        read |= found
        return [p for p in paths if p in read], np.unique(np.concatenate([*both, kept]))


def _refuse_moved(lost: Sequence[pa.RecordBatch], held: Sequence[pa.RecordBatch]) -> None:
    """Refuse that a kept row becomes a copy of one at another time.

    Rows that this run removed as its copies may be further than the horizon from the one that wins.
    """
    names = ["low", "high", "time"]
    if not lost:
        return
    ours, theirs = (
        pl.DataFrame({n: np.concatenate([b[n].to_numpy() for b in several]) for n in names})
        for several in (lost, held)
    )
    if not ours.join(theirs, on=names, how="anti").is_empty():
        msg = (
            "what a run took for copies must be copies of rows that are kept; another run has "
            "landed rows with the same values at other times meanwhile; nothing of this run was "
            "landed: run again"
        )
        raise CommitError(msg)


def _since(
    own: Sequence[Timed], table: Table, state: State, asked: Asked, column: str, horizon_us: int
) -> list[Timed]:
    """Return the files of the lake, added since, whose event times meet those of new files."""
    if not own:
        return []
    low = min(f.low for f in own) - horizon_us
    high = max(f.high for f in own) + horizon_us
    now = state.snapshots.get(".".join(table.name()))
    # Files of a snapshot that has expired are not known: then every near one is asked.
    known = {f.path for f in state.times.near(table, asked.snapshot, column, low, high)}
    near = state.times.near(table, now, column, low, high)
    return [f for f in near if f.path not in known and _meets(f, own, horizon_us)]


def _meets(one: Timed, others: Iterable[Timed], horizon_us: int) -> bool:
    return any(one.low <= f.high + horizon_us and f.low <= one.high + horizon_us for f in others)


def _rows(info: TableInfo, path: str, unique: Unique) -> Iterator[tuple[int, pa.Table]]:
    """Yield rows of a file with the `by` values, and the number of the first of them."""
    names = id_columns(unique.contract, unique.by)
    wanted = pa.schema([info.arrow.field(n).remove_metadata() for n in names])
    first = 0
    for batch in read_batches(info, path, names):
        # A file that is older than a column holds null there.
        columns = [
            batch[f.name].cast(f.type)
            if f.name in batch.schema.names
            else pa.nulls(batch.num_rows, f.type)
            for f in wanted
        ]
        rows = pa.Table.from_arrays(columns, names=wanted.names)
        yield first, with_paths(rows, unique.contract, unique.by)
        first += batch.num_rows


def _ids(
    rows: pa.Table, unique: Unique, key: tuple[int, int], chunk: str = LAKE
) -> Iterator[pa.RecordBatch]:
    column = unique.contract.event_time_column
    for _, ids in ids_of(rows, unique.by, column, key, chunk, 1, placed=True):
        yield ids


def _among(ids: pa.RecordBatch, lows: np.ndarray) -> Iterator[pa.RecordBatch]:
    """Yield the ids that the lake may hold."""
    mask = np.isin(ids["low"].to_numpy(), lows)
    if mask.any():
        yield ids.filter(pa.array(mask))


def _dropped(
    fresh: Fresh, info: TableInfo, unique: Unique, drops: dict[int, np.ndarray]
) -> tuple[Fresh, int]:
    removed: Counter[tuple[str, str, str, str]] = Counter(fresh.removed)
    rule = Destiny.DUPLICATE.value
    files: list[DataFile] = []
    trimmed = [*fresh.trimmed.get(info.name, ())]

    def keep(drop: np.ndarray, rows: pa.RecordBatch, first: int) -> np.ndarray:
        mask = np.ones(rows.num_rows, bool)
        mask[drop[(drop >= first) & (drop < first + rows.num_rows)] - first] = False
        gone = rows[SOURCE].filter(pa.array(~mask)).value_counts()
        for one in gone.to_pylist():
            removed[one["values"], rule, unique.step, rule] += one["counts"]
        return mask

    for i, file in enumerate(fresh.files.get(info.name, ())):
        drop = drops.get(i)
        if drop is None:
            files.append(file)
        else:
            files += rewrite(info, file, partial(keep, drop))
            trimmed.append(file)
    left = replace(
        fresh,
        files=fresh.files | {info.name: files},
        trimmed=fresh.trimmed | ({info.name: trimmed} if trimmed else {}),
        removed=removed,
    )
    return left, sum(map(len, drops.values()))
