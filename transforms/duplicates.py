"""Which rows are duplicates: pure functions on (id hash, event time) arrays; rows never travel.

A row is a duplicate iff a kept row has the same `by` values within `horizon` of its event time
(both ends included). Rows of the lake are kept rows and win; among new rows the first by
(`_source`, `_position`) wins. A row with a null in `by` is no duplicate of anything.

Over batch input that can be read again only ids cross the shuffle: two 64-bit halves of a keyed
hash of the `by` values, the event time, a 32-bit content hash and the row's number in its chunk.
The hash is keyed by a secret made for each run, so no input can be built that collides.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from schemas.names import POSITION, POSITION_NAMES, SOURCE, TIMESTAMP

LAKE: Final = ""
"""Chunk name of rows that the lake holds already; sorts before every real chunk."""

IDS: Final = pa.schema(
    [
        ("low", pa.uint64()),
        ("high", pa.uint64()),
        ("time", pa.int64()),
        ("content", pa.uint32()),
        ("row", pa.uint32()),
    ]
)
"""One line per row: id hash, event time (us), content hash, row in its chunk."""

PLACED: Final = IDS.append(pa.field("place", pa.uint64()))
"""As IDS, with a hash of (`_source`, `_position`), where rows of the lake take part: it tells a row
that is read again from a copy of it."""

_CHUNK: Final = b"chunk"


class Duplicates(NamedTuple):
    """Rows of one chunk that are duplicates; `conflict` marks those whose content differs."""

    chunk: str
    rows: np.ndarray
    conflict: np.ndarray


def chunk_name(source: str, start: int) -> str:
    """Name a chunk so that names sort as (`_source`, `_position`) of its rows."""
    return f"{source}\n{start:020d}"


class Ids(NamedTuple):
    """Ids of one chunk, sorted by hash partition.

    Attributes:
        batch: Schema IDS or PLACED with the chunk's name in its metadata.
        cuts: (partition, first row, row after the last) of each partition that has any.
    """

    batch: pa.RecordBatch
    cuts: list[tuple[int, int, int]]


def ids_of(
    rows: pa.RecordBatch | pa.Table,
    by: Sequence[str],
    event_time: str,
    key: tuple[int, int],
    chunk: str,
    partitions: int,
    *,
    placed: bool = False,
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Do as `sorted_ids`; yield (partition, its part of the batch)."""
    batch, cuts = sorted_ids(rows, by, event_time, key, chunk, partitions, placed=placed)
    for partition, start, end in cuts:
        yield partition, batch.slice(start, end - start)


def sorted_ids(
    rows: pa.RecordBatch | pa.Table,
    by: Sequence[str],
    event_time: str,
    key: tuple[int, int],
    chunk: str,
    partitions: int,
    *,
    placed: bool = False,
) -> Ids:
    """Hash the `by` values of a batch and sort the result by hash partition.

    Args:
        rows: Protected rows with `by`, `event_time` and the position columns.
        by: Columns or paths that make a row itself.
        event_time: Column of type timestamp[us, UTC], no nulls.
        key: Two secret 64-bit seeds.
        chunk: Where the rows are (`chunk_name`), or `LAKE`.
        partitions: Number of hash partitions.
        placed: Whether rows of the lake take part.
    """
    names = rows.schema.names
    frame = pl.DataFrame(
        {n: pl.from_arrow(_plain(rows[n])) for n in names if n not in POSITION_NAMES or n in by}
    )
    low, high = (frame.select(by).hash_rows(seed).to_numpy() for seed in key)
    content = frame.hash_rows(key[0])
    table = {
        "low": low,
        "high": high,
        "time": _flat(rows[event_time]).cast(TIMESTAMP).cast(pa.int64()).to_numpy(),
        "content": (content.to_numpy() >> np.uint64(32)).astype(np.uint32),
        "row": np.arange(rows.num_rows, dtype=np.uint32),
    }
    if placed:
        table["place"] = _places(rows, key[1])
    whole = _without_nulls(rows, by)
    part = (low % np.uint64(partitions)).astype(np.int16)
    order = np.argsort(part, kind="stable")
    if whole is not None:
        order = order[whole[order]]
    ends = np.searchsorted(part[order], np.arange(partitions + 1)).tolist()
    schema = (PLACED if placed else IDS).with_metadata({_CHUNK: chunk.encode()})
    batch = pa.RecordBatch.from_arrays([table[n][order] for n in schema.names], schema=schema)
    return Ids(batch, [(p, *cut) for p, cut in enumerate(pairwise(ends)) if cut[1] > cut[0]])


def duplicates(ids: Iterable[pa.RecordBatch], horizon_us: int) -> Iterator[Duplicates]:
    """Find the duplicates among all ids of one partition, lake rows included.

    Args:
        ids: Batches of `ids_of`, of every chunk, in any order.
        horizon_us: How far apart in event time two rows with one id may be, in microseconds.
    """
    parts = sorted(((chunk_of(b), b) for b in ids), key=lambda part: part[0])
    if not parts:
        return
    sizes = [b.num_rows for _, b in parts]
    low = np.concatenate([b["low"].to_numpy() for _, b in parts])
    several = np.flatnonzero(pl.Series(low).is_duplicated().to_numpy())
    if not len(several):
        return
    of = np.repeat(np.arange(len(parts)), sizes)[several]
    # Within a chunk ids were cut by partition in row order, so this order is (source, position).
    column = {
        n: np.concatenate([b[n].to_numpy() for _, b in parts])[several]
        for n in parts[0][1].schema.names[1:]
    } | {"low": low[several], "part": of}
    lost, conflict = _lost(column, np.array([c == LAKE for c, _ in parts])[of], horizon_us)
    for i in np.unique(of[lost]):
        pick = lost & (of == i)
        rows = column["row"][pick]
        order = np.argsort(rows, kind="stable")
        yield Duplicates(parts[i][0], rows[order], conflict[pick][order])


def _lost(
    column: dict[str, np.ndarray], lake: np.ndarray, horizon_us: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows are duplicates and which of those differ from the row that wins.

    Input is in order of precedence. Groups that lie within the horizon are decided at once;
    only groups that span more are walked.
    """
    order = np.lexsort((np.arange(len(lake)), ~lake, column["high"], column["low"]))
    low, high, time = (column[n][order] for n in ("low", "high", "time"))
    new_group = np.ones(len(order), bool)
    new_group[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    group = np.cumsum(new_group) - 1
    first = np.flatnonzero(new_group)[group]
    in_lake, content = lake[order], column["content"][order]
    # A row that the lake holds at this very place is read again, not a copy.
    again = np.zeros(len(order), bool)
    if in_lake.any():
        again = _same_place(group, column["place"][order], in_lake)
    lost = ~in_lake & ~again & (np.arange(len(order)) != first)
    # What the lake's rows hold beside the id was not read: their copies count as plain ones.
    differs = (content != content[first]) & ~in_lake[first]
    starts = np.flatnonzero(new_group)
    spread = np.maximum.reduceat(time, starts) - np.minimum.reduceat(time, starts)
    kept_anyway = in_lake | again
    ends = np.append(starts[1:], len(order))
    for g in np.flatnonzero(spread > horizon_us):
        members = np.arange(starts[g], ends[g])
        for m, won in _walk(members, time, kept_anyway, horizon_us):
            lost[m] = won is not None
            differs[m] = won is not None and not in_lake[won] and content[m] != content[won]
    out, conflict = np.empty(len(order), bool), np.empty(len(order), bool)
    out[order], conflict[order] = lost, differs
    return out, conflict


def _walk(
    members: np.ndarray, time: np.ndarray, kept_anyway: np.ndarray, horizon_us: int
) -> Iterator[tuple[int, int | None]]:
    """Yield each row of a group that the lake does not hold, with the row that it repeats."""
    kept = sorted((int(time[m]), m) for m in members.tolist() if kept_anyway[m])
    for m in members.tolist():
        if kept_anyway[m]:
            continue
        t = int(time[m])
        at = bisect_left(kept, (t - horizon_us, -1))  # the earliest kept row that is near enough
        if at < len(kept) and kept[at][0] <= t + horizon_us:
            yield m, kept[at][1]
        else:
            insort(kept, (t, m))
            yield m, None


def _same_place(group: np.ndarray, place: np.ndarray, in_lake: np.ndarray) -> np.ndarray:
    frame = pl.DataFrame({"group": group, "place": place, "lake": in_lake})
    held = frame.select(pl.col("lake").any().over("group", "place"))["lake"].to_numpy()
    return held & ~in_lake


def _places(rows: pa.RecordBatch | pa.Table, seed: int) -> np.ndarray:
    source = _flat(rows[SOURCE])
    if not pa.types.is_dictionary(source.type):
        source = source.dictionary_encode()
    named = pl.Series(pl.from_arrow(source.dictionary)).hash(seed).to_numpy()
    position = _flat(rows[POSITION]).to_numpy().view(np.uint64)
    return named[source.indices.to_numpy()] ^ (position * np.uint64(0x9E3779B97F4A7C15))


def chunk_of(ids: pa.RecordBatch) -> str:
    """Return the name of the chunk that ids are of."""
    return ids.schema.metadata[_CHUNK].decode()


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    flat = _flat(column)
    return flat.dictionary_decode() if pa.types.is_dictionary(flat.type) else flat


def _without_nulls(rows: pa.RecordBatch | pa.Table, by: Sequence[str]) -> np.ndarray | None:
    columns = [rows[n] for n in by if rows[n].null_count]
    if not columns:
        return None
    valid = _flat(pc.is_valid(columns[0]))
    for column in columns[1:]:
        valid = pc.and_(valid, _flat(pc.is_valid(column)))
    return valid.to_numpy(zero_copy_only=False)
