"""Copies of rows that landed since a dedupe asked the lake, taken out of files that are to land.

A dedupe sees the lake as it was when its run began (a stream: at its checkpoint). Another run may
land copies of its rows at other positions before it commits; so the committer asks again, by id,
over the rows that have landed since: of two copies the one that landed first stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from schemas.errors import CommitError
from schemas.names import POSITION, SEQUENCE, SOURCE, TIMESTAMP, Destiny
from transforms.commit.doubtful import CONFLICT
from transforms.commit.files import write_files
from transforms.commit.ids import Known, Unique, among, hashed, lows_of, named, rows_of
from transforms.commit.near import Asked
from transforms.commit.state import State
from transforms.commit.table_info import TableInfo
from transforms.commit.times import Timed, timed
from transforms.commit.trim import Fresh, rewrite
from transforms.duplicates import PLACED, duplicates


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
    doubtful = _doubtful(fresh)
    spans = own if doubtful is None else [*own, _span(doubtful, column, horizon_us)]
    landed = _since(spans, table, state, asked, column, horizon_us)
    parts = [
        _Part.of_file(i, info, one.path, unique, known)
        for i, one in enumerate(own)
        if doubtful is not None or _meets(one, landed, horizon_us)
    ]
    if doubtful is not None:
        parts.append(_Part.of_rows(_DOUBTFUL, named(info, doubtful, unique), unique, known))
    if not parts:
        return Settled(fresh)
    new = np.unique(np.concatenate([part.lows for part in parts]))
    paths, both = known.holding(info, [f.path for f in landed], new, unique)
    for part in parts:
        if part.number != _DOUBTFUL:
            known.ids.add(own[part.number].path, part.lows)
    if not paths:
        return Settled(fresh)
    if doubtful is not None:  # they may repeat what the dedupe knew, too
        earlier = _near(spans, table, _now(table, state), state, column, horizon_us)
        others = sorted({f.path for f in earlier} - {f.path for f in landed})
        paths += known.holding(info, others, np.intersect1d(parts[-1].lows, both), unique)[0]
    held = [
        found
        for path in paths
        for _, rows in rows_of(info, path, unique)
        for ids in hashed(rows, unique, known.key)
        for found in among(ids, both)
    ]
    wanted = pl.concat([rows for part in parts for rows in part.holding(both, unique, known)])
    wanted = wanted.sort(SOURCE, POSITION, SEQUENCE, maintain_order=True)
    lost = _lost(held, wanted, horizon_us)
    kept = wanted["part"].to_numpy() != _DOUBTFUL
    dropped, landing = wanted.filter(kept & lost), wanted.filter(~kept & ~lost)
    astray = np.append(_moved(dropped, held), landing["time"].to_numpy())
    if fresh.guessed and len(astray):
        raise CommitError(_MOVED)
    left = _dropped(fresh, info, unique, _by_part(dropped))
    if doubtful is not None and len(landing):
        left = _landing(left, info, unique, doubtful.take(landing["row"].to_arrow()))
    return Settled(left, len(dropped), int(astray.max()) if len(astray) else None)


class _Part(NamedTuple):
    """New rows that may be copies: a data file, or the doubtful ones.

    Attributes:
        number: Of the file, or _DOUBTFUL.
        lows: 64 bits of each id, sorted.
        rows: Yields the rows with the `by` values, and the number of the first of them.
    """

    number: int
    lows: np.ndarray
    rows: Callable[[], Iterable[tuple[int, pa.Table]]]

    @classmethod
    def of_file(
        cls, number: int, info: TableInfo, path: str, unique: Unique, known: Known
    ) -> _Part:
        return cls(number, known.lows(info, path, unique), partial(rows_of, info, path, unique))

    @classmethod
    def of_rows(cls, number: int, rows: pa.Table, unique: Unique, known: Known) -> _Part:
        return cls(number, lows_of([(0, rows)], unique, known.key), lambda: [(0, rows)])

    def holding(self, lows: np.ndarray, unique: Unique, known: Known) -> Iterator[pl.DataFrame]:
        """Yield ids (PLACED), places and row numbers of rows with some of these ids."""
        if not np.isin(lows, self.lows).any():
            return
        for first, rows in self.rows():
            for ids in hashed(rows, unique, known.key):
                for found in among(ids, lows):
                    places = rows.select([SOURCE, POSITION, SEQUENCE]).take(found["row"])
                    places = places.set_column(0, SOURCE, places[SOURCE].cast(pa.string()))
                    yield (
                        pl.DataFrame(found)
                        .hstack(pl.DataFrame(places))
                        .with_columns(
                            part=pl.lit(self.number), row=pl.col("row").cast(pl.Int64) + first
                        )
                    )


def _doubtful(fresh: Fresh) -> pa.Table | None:
    parts = [rows for one, new in fresh.doubtful if (rows := one.read(new)).num_rows]
    return pa.concat_tables(parts, promote_options="permissive") if parts else None


def _span(doubtful: pa.Table, column: str, horizon_us: int) -> Timed:
    """Return where to look for what doubtful rows repeat, and for what that repeats."""
    times = doubtful[column].cast(TIMESTAMP).cast(pa.int64()).to_numpy()
    return Timed("", int(times.min()) - horizon_us, int(times.max()) + horizon_us)


_DOUBTFUL: Final = -1
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


def _moved(dropped: pl.DataFrame, held: Sequence[pa.RecordBatch]) -> np.ndarray:
    """Return the event times of dropped rows that repeat no landed one of their own time.

    Rows that a dedupe removed as copies of those may be further than the horizon from the one that
    wins.
    """
    names = ["low", "high", "time"]
    theirs = pl.DataFrame({n: np.concatenate([b[n].to_numpy() for b in held]) for n in names})
    return dropped.join(theirs, on=names, how="anti")["time"].to_numpy()


def _by_part(rows: pl.DataFrame) -> dict[int, np.ndarray]:
    return {part: own["row"].to_numpy() for (part,), own in rows.group_by("part")}


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
