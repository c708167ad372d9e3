"""Copies of rows that landed since a dedupe asked the lake, taken out of files that are to land.

A dedupe sees the lake as it was when its run began (a stream: at its checkpoint). Another run may
land copies of its rows at other positions before it commits; so the committer asks again, by id,
over the rows that have landed since: of two copies the one that landed first stays.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from schemas.contract import Contract
from schemas.errors import CommitError
from schemas.names import POSITION, SEQUENCE, SOURCE, TIMESTAMP, Destiny
from schemas.plan import Plan
from transforms.commit.doubtful import CONFLICT
from transforms.commit.files import read_batches, write_files
from transforms.commit.landed_ids import LandedIds
from transforms.commit.near import Asked, id_columns, with_paths
from transforms.commit.state import State
from transforms.commit.table_info import TableInfo
from transforms.commit.times import Timed, timed
from transforms.commit.trim import Fresh, rewrite
from transforms.duplicates import LAKE, PLACED, duplicates, ids_of


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


class Settled(NamedTuple):
    """What is left when it is known which rows are copies of landed ones.

    Attributes:
        fresh: What lands.
        copies: How many rows that a dedupe kept are copies.
        astray_us: Greatest event time of a row that is kept or lost otherwise than the dedupe
            believes, and not for one of its own time; None if there is none.
    """

    fresh: Fresh
    copies: int = 0
    astray_us: int | None = None


def without_copies(
    fresh: Fresh, table: Table, state: State, asked: Asked, unique: Unique, known: Known
) -> Settled:
    """Take rows whose copy landed since `asked` out of the files that are to land.

    Doubtful duplicates that repeat such a row, and no landed or other new one, land instead: of
    rows with an id that landed since, the first by (`_source`, `_position`) within the horizon.

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
        What is left: copies are removed by the dedupe's step as `duplicate`, their files rewritten
        and in `trimmed`, as are new files of doubtful rows that land.

    Raises:
        CommitError: A row that was a copy of one of these may be no copy of the one that wins now.
    """
    info, horizon_us = TableInfo.of(table), unique.horizon_us
    column = unique.contract.event_time_column
    own = [timed(f, info.schema, column) for f in fresh.files.get(info.name, ())]
    doubtful = [rows for one, new in fresh.doubtful if (rows := one.read(new)).num_rows]
    # What a doubtful row repeats lies within the horizon, and what landed within that row's.
    wide = [_wide(rows, column, horizon_us) for rows in doubtful]
    landed = _since([*own, *wide], table, state, asked, column, horizon_us)
    met = [i for i, one in enumerate(own) if doubtful or _meets(one, landed, horizon_us)]
    if not met and not doubtful:
        return Settled(fresh)
    lows = {i: known.lows(info, own[i].path, unique) for i in met}
    parts = [_Part(i, lows[i], partial(_rows, info, own[i].path, unique)) for i in met]
    for i, rows in enumerate(doubtful, len(own)):
        named = partial(_named_once, info, rows, unique)
        parts.append(_Part(i, _lows(named(), unique, known.key), named))
    new = np.unique(np.concatenate([part.lows for part in parts]))
    paths, both = known.holding(info, [f.path for f in landed], new, unique)
    for i in met:
        known.ids.add(own[i].path, lows[i])
    if not paths:
        return Settled(fresh)
    doubted = [np.intersect1d(part.lows, both) for part in parts if part.number >= len(own)]
    if any(map(len, doubted)):  # they may repeat what the dedupe knew, too
        older = _near([*own, *wide], table, _now(table, state), state, column, horizon_us)
        others = sorted({f.path for f in older} - {f.path for f in landed})
        paths += known.holding(info, others, np.unique(np.concatenate(doubted)), unique)[0]
    held = [
        found
        for path in paths
        for _, rows in _rows(info, path, unique)
        for ids in _ids(rows, unique, known.key)
        for found in _among(ids, both)
    ]
    wanted = pl.concat([frame for part in parts for frame in part.among(both, unique, known.key)])
    wanted = wanted.sort(SOURCE, POSITION, SEQUENCE, maintain_order=True)
    wanted = wanted.with_columns(lost=_lost(held, wanted, horizon_us))
    mine = pl.col("part") < len(own)
    dropped, landing = wanted.filter(mine & pl.col("lost")), wanted.filter(~mine & ~pl.col("lost"))
    astray = pl.concat([_moved(dropped, held), landing["time"]])
    if fresh.guessed and len(astray):
        raise CommitError(_MOVED)
    left = _dropped(fresh, info, unique, _by_part(dropped))
    for i, rows in _by_part(landing).items():
        left = _landing(left, info, unique, doubtful[i - len(own)].take(pa.array(rows)))
    return Settled(left, len(dropped), None if astray.is_empty() else int(astray.max()))  # type: ignore[arg-type]


class _Part(NamedTuple):
    """New rows that may be copies: a data file, or doubtful ones.

    Attributes:
        number: Its place among files, then doubtful rows.
        lows: 64 bits of each id, sorted.
        rows: Yields the rows with the `by` values, and the number of the first of them.
    """

    number: int
    lows: np.ndarray
    rows: Callable[[], Iterator[tuple[int, pa.Table]]]

    def among(
        self, lows: np.ndarray, unique: Unique, key: tuple[int, int]
    ) -> Iterator[pl.DataFrame]:
        """Yield ids (PLACED), places and row numbers of rows with some of these ids."""
        if not np.isin(lows, self.lows).any():
            return
        for first, rows in self.rows():
            for ids in _ids(rows, unique, key):
                for found in _among(ids, lows):
                    places = rows.select([SOURCE, POSITION, SEQUENCE]).take(found["row"])
                    places = places.set_column(0, SOURCE, places[SOURCE].cast(pa.string()))
                    yield (
                        pl.DataFrame(found)
                        .hstack(pl.DataFrame(places))
                        .with_columns(
                            part=pl.lit(self.number), row=pl.col("row").cast(pl.Int64) + first
                        )
                    )


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
        return _lows(_rows(info, path, unique), unique, self.key)

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


_MOVED: Final = (
    "what a run took for copies must be copies of rows that are kept; another run has landed rows "
    "with the same values at other times meanwhile; nothing of this run was landed: run again"
)


def _lost(held: Sequence[pa.RecordBatch], wanted: pl.DataFrame, horizon_us: int) -> np.ndarray:
    """Say which rows, in order of precedence, are copies of landed ones or of each other."""
    columns = {n: wanted[n].to_arrow() for n in PLACED.names}
    columns["row"] = pa.array(np.arange(len(wanted), dtype=np.uint32))
    schema = PLACED.with_metadata({b"chunk": b"new"})
    ids = pa.RecordBatch.from_arrays([columns[n] for n in PLACED.names], schema=schema)
    lost = np.zeros(len(wanted), bool)
    for found in duplicates([*held, ids], horizon_us):
        lost[found.rows] = True
    return lost


def _moved(dropped: pl.DataFrame, held: Sequence[pa.RecordBatch]) -> pl.Series:
    """Return the event times of dropped rows that repeat no landed one of their own time.

    Rows that a dedupe removed as copies of those may be further than the horizon from the one that
    wins.
    """
    names = ["low", "high", "time"]
    theirs = pl.DataFrame({n: np.concatenate([b[n].to_numpy() for b in held]) for n in names})
    return dropped.join(theirs, on=names, how="anti")["time"]


def _by_part(rows: pl.DataFrame) -> dict[int, np.ndarray]:
    return {part: own["row"].to_numpy() for (part,), own in rows.group_by("part")}


def _wide(rows: pa.Table, column: str, horizon_us: int) -> Timed:
    times = rows[column].cast(TIMESTAMP).cast(pa.int64()).to_numpy()
    return Timed("", int(times.min()) - horizon_us, int(times.max()) + horizon_us)


def _since(
    own: Sequence[Timed], table: Table, state: State, asked: Asked, column: str, horizon_us: int
) -> list[Timed]:
    """Return the files of the lake, added since, whose event times meet those of new files."""
    if not own:
        return []
    # Files of a snapshot that has expired are not known: then every near one is asked.
    known = {f.path for f in _near(own, table, asked.snapshot, state, column, horizon_us)}
    near = _near(own, table, _now(table, state), state, column, horizon_us)
    return [f for f in near if f.path not in known and _meets(f, own, horizon_us)]


def _near(
    own: Sequence[Timed],
    table: Table,
    snapshot: int | None,
    state: State,
    column: str,
    horizon_us: int,
) -> list[Timed]:
    """Return the files of a snapshot whose event times may meet those of new files."""
    low = min(f.low for f in own) - horizon_us
    high = max(f.high for f in own) + horizon_us
    return state.times.near(table, snapshot, column, low, high)


def _now(table: Table, state: State) -> int | None:
    return state.snapshots.get(".".join(table.name()))


def _meets(one: Timed, others: Iterable[Timed], horizon_us: int) -> bool:
    return any(one.low <= f.high + horizon_us and f.low <= one.high + horizon_us for f in others)


def _rows(info: TableInfo, path: str, unique: Unique) -> Iterator[tuple[int, pa.Table]]:
    """Yield rows of a file with the `by` values, and the number of the first of them."""
    first = 0
    for batch in read_batches(info, path, _names(unique)):
        yield first, _named(info, batch, unique)
        first += batch.num_rows


def _named_once(info: TableInfo, rows: pa.Table, unique: Unique) -> Iterator[tuple[int, pa.Table]]:
    yield 0, _named(info, rows, unique)


def _named(info: TableInfo, rows: pa.RecordBatch | pa.Table, unique: Unique) -> pa.Table:
    """Return rows with the `by` values, event time and place alone."""
    wanted = pa.schema([info.arrow.field(n).remove_metadata() for n in _names(unique)])
    there, size = rows.schema.names, rows.num_rows
    # A file that is older than a column holds null there.
    columns = [
        rows[f.name].cast(f.type) if f.name in there else pa.nulls(size, f.type) for f in wanted
    ]
    named = pa.Table.from_arrays(columns, names=wanted.names)
    return with_paths(named, unique.contract, unique.by)


def _names(unique: Unique) -> list[str]:
    return [*id_columns(unique.contract, unique.by), SEQUENCE]


def _lows(
    several: Iterable[tuple[int, pa.Table]], unique: Unique, key: tuple[int, int]
) -> np.ndarray:
    parts = [ids["low"].to_numpy() for _, rows in several for ids in _ids(rows, unique, key)]
    return np.sort(np.concatenate([np.array([], np.uint64), *parts]))


def _ids(rows: pa.Table, unique: Unique, key: tuple[int, int]) -> Iterator[pa.RecordBatch]:
    column = unique.contract.event_time_column
    for _, ids in ids_of(rows, unique.by, column, key, LAKE, 1, placed=True):
        yield ids


def _among(ids: pa.RecordBatch, lows: np.ndarray) -> Iterator[pa.RecordBatch]:
    """Yield the ids that the lake may hold."""
    mask = np.isin(ids["low"].to_numpy(), lows)
    if mask.any():
        yield ids.filter(pa.array(mask))


def _dropped(fresh: Fresh, info: TableInfo, unique: Unique, drops: dict[int, np.ndarray]) -> Fresh:
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
    return replace(
        fresh,
        files=fresh.files | {info.name: files},
        trimmed=fresh.trimmed | ({info.name: trimmed} if trimmed else {}),
        removed=removed,
    )


def _landing(fresh: Fresh, info: TableInfo, unique: Unique, rows: pa.Table) -> Fresh:
    """Let doubtful duplicates land; no worker has aggregated them."""
    removed = Counter(fresh.removed)
    for source, conflict in zip(rows[SOURCE].to_pylist(), rows[CONFLICT].to_pylist(), strict=True):
        rule = "conflict" if conflict else "duplicate"
        removed[source, Destiny.DUPLICATE.value, unique.step, rule] -= 1
    # One that was nothing before says why positions have no rows.
    removed = Counter({key: n for key, n in removed.items() if n or not fresh.removed[key]})
    files = write_files(info, rows)
    return replace(
        fresh,
        files=fresh.files | {info.name: [*fresh.files.get(info.name, ()), *files]},
        trimmed=fresh.trimmed | {info.name: [*fresh.trimmed.get(info.name, ()), *files]},
        removed=removed,
    )
