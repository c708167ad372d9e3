"""Ids of rows in data files, hashed under a key of the committer's own.

What makes a row itself is what the pipeline's dedupe step compares.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from schemas.contract import Contract
from schemas.names import SEQUENCE
from schemas.plan import Plan
from transforms.commit.files import read_batches
from transforms.commit.landed_ids import LandedIds
from transforms.commit.near import id_columns, with_paths
from transforms.commit.table_info import TableInfo
from transforms.duplicates import LAKE, ids_of


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
        return lows_of(rows_of(info, path, unique), unique, self.key)

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


def rows_of(info: TableInfo, path: str, unique: Unique) -> Iterator[tuple[int, pa.Table]]:
    """Yield rows of a file with the `by` values, and the number of the first of them."""
    first = 0
    for batch in read_batches(info, path, _names(unique)):
        yield first, named(info, batch, unique)
        first += batch.num_rows


def named(info: TableInfo, rows: pa.RecordBatch | pa.Table, unique: Unique) -> pa.Table:
    """Return rows with the `by` values, event time and place alone."""
    wanted = pa.schema([info.arrow.field(n).remove_metadata() for n in _names(unique)])
    there, size = rows.schema.names, rows.num_rows
    # A file that is older than a column holds null there.
    columns = [
        rows[f.name].cast(f.type) if f.name in there else pa.nulls(size, f.type) for f in wanted
    ]
    taken = pa.Table.from_arrays(columns, names=wanted.names)
    return with_paths(taken, unique.contract, unique.by)


def _names(unique: Unique) -> list[str]:
    return [*id_columns(unique.contract, unique.by), SEQUENCE]


def lows_of(
    several: Iterable[tuple[int, pa.Table]], unique: Unique, key: tuple[int, int]
) -> np.ndarray:
    """Return 64 bits of each id, sorted."""
    parts = [ids["low"].to_numpy() for _, rows in several for ids in hashed(rows, unique, key)]
    return np.sort(np.concatenate([np.array([], np.uint64), *parts]))


def hashed(rows: pa.Table, unique: Unique, key: tuple[int, int]) -> Iterator[pa.RecordBatch]:
    """Yield the ids (`duplicates.PLACED`) of rows."""
    column = unique.contract.event_time_column
    for _, ids in ids_of(rows, unique.by, column, key, LAKE, 1, placed=True):
        yield ids


def among(ids: pa.RecordBatch, lows: np.ndarray) -> Iterator[pa.RecordBatch]:
    """Yield those of the ids whose first 64 bits are among these."""
    mask = np.isin(ids["low"].to_numpy(), lows)
    if mask.any():
        yield ids.filter(pa.array(mask))
