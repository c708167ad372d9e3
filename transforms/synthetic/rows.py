"""Whole records in the order of their event time, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Column, Contract
from schemas.errors import UsageError
from transforms.rules import check
from transforms.synthetic.values import Span, column_values, timestamps

CHUNK: Final = 100_000
_DAY_US: Final = 86_400_000_000
_TRIES: Final = 20
_DAILY: Final = 0.6  # the busiest hour has four times the events of the quietest


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which rows are made up.

    Attributes:
        rows: How many distinct ones.
        seed: The same seed gives the same rows.
        span: Where event times lie; over a day and more they follow the day's rhythm.
        known: Tables whose rows give their columns values together: references to other tables.
    """

    rows: int
    seed: int
    span: Span
    known: Sequence[pa.Table] = ()


def records(contract: Contract, wanted: Wanted) -> Iterator[pa.Table]:
    """Make up records that keep every rule of a contract.

    Yields:
        Tables of at most CHUNK rows in the order of event time, if that is read from the record:
        the columns that are read from records, objects as structs of their declared keys.

    Raises:
        UsageError: The rules leave no value, or fewer keys than rows are wanted.
    """
    columns = [column for column in contract.columns if column.read]
    keys = _keys(contract)
    seen = np.empty(0, np.uint64)
    for first in range(0, wanted.rows, CHUNK):
        rng = np.random.Generator(np.random.PCG64([wanted.seed, first]))
        count = min(CHUNK, wanted.rows - first)
        made = _chunk(contract, columns, wanted, first, count, rng)
        for _ in range(_TRIES if keys else 0):
            hashes = _hashes(made, keys)
            again = _repeated(hashes, seen)
            if not again.any():
                break
            other = _chunk(contract, columns, wanted, wanted.rows + first, int(again.sum()), rng)
            made = _replaced(made, again, other, contract.event_time)
        if keys:
            hashes = _hashes(made, keys)
            if _repeated(hashes, seen).any():
                _too_few(keys, len(seen), wanted.rows)
            seen = np.sort(np.concatenate([seen, hashes]))
        yield made


def _chunk(
    contract: Contract,
    columns: Sequence[Column],
    wanted: Wanted,
    first: int,
    count: int,
    rng: np.random.Generator,
) -> pa.Table:
    referred: dict[str, pa.Array] = {}
    for known in wanted.known:
        picked = known.take(pa.array(rng.integers(known.num_rows, size=count)))
        columns_of = zip(known.column_names, picked.columns, strict=True)
        referred |= {name: values.combine_chunks() for name, values in columns_of}
    arrays = {
        column.name: referred[column.name]
        if column.name in referred
        else column_values(column, count, rng, wanted.span, first)
        for column in columns
    }
    table = pa.table(arrays)
    if contract.event_time is None or contract.event_time.split(".")[0] not in arrays:
        return table
    times = timestamps(event_times(wanted, first % wanted.rows, count, rng))
    _check_times(contract, times)
    return _put(table, contract.event_time.split("."), times)


def event_times(wanted: Wanted, first: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return ascending event times of rows `first` and on, in microseconds since the epoch."""
    span = wanted.span.end_us - wanted.span.start_us
    share = (first + np.arange(count) + rng.random(count)) / wanted.rows
    if span < _DAY_US:
        return wanted.span.start_us + (share * span).astype(np.int64)
    grid = np.linspace(0, span, min(int(span // 600_000_000) + 2, 1_000_000))
    turn = 2 * np.pi / _DAY_US
    passed = grid - _DAILY / turn * np.sin(turn * grid)  # of 1 - 0.6 cos: midnight is quiet
    at = np.interp(share * passed[-1], passed, grid)
    return wanted.span.start_us + np.minimum(at, span - 1).astype(np.int64)


def _check_times(contract: Contract, times: pa.Array) -> None:
    column = next(one for one in contract.leaves() if one.path == contract.event_time)
    for rule in column.rules:
        one = check(column, rule, column.path)
        kept = one.test(times) if one.test is not None else None
        if kept is not None and not pc.all(kept).as_py():
            msg = (
                f"event times must keep the rules of `{column.path}`; got some that are not "
                f"{one.expected}; choose --from and --span accordingly"
            )
            raise UsageError(msg)


def _put(table: pa.Table, path: Sequence[str], values: pa.Array) -> pa.Table:
    at = table.schema.get_field_index(path[0])
    if len(path) == 1:
        return table.set_column(at, path[0], values)
    inner = table[path[0]].combine_chunks()
    children = dict(zip((f.name for f in inner.type), inner.flatten(), strict=True))
    below = _put(pa.table(children), path[1:], values)
    arrays = [column.combine_chunks() for column in below.columns]
    return table.set_column(at, path[0], pa.StructArray.from_arrays(arrays, below.column_names))


def _keys(contract: Contract) -> list[str]:
    """Columns whose values together must not repeat, as far as records hold them."""
    names = [c.name for c in contract.columns if c.read and c.name in contract.primary_key]
    if len(names) != len(contract.primary_key):
        names = []  # a key that is computed: what it is made of says nothing alone
    return names


def _hashes(table: pa.Table, keys: Sequence[str]) -> np.ndarray:
    frame: pl.DataFrame = pl.DataFrame(table.select(list(keys)))
    return frame.hash_rows(1).to_numpy()


def _repeated(hashes: np.ndarray, seen: np.ndarray) -> np.ndarray:
    again = np.ones(len(hashes), bool)
    again[np.unique(hashes, return_index=True)[1]] = False
    at = np.searchsorted(seen, hashes)
    found = at < len(seen)
    found[found] = seen[at[found]] == hashes[found]
    return again | found


def _replaced(
    table: pa.Table, rows: np.ndarray, others: pa.Table, event_time: str | None
) -> pa.Table:
    """Put other rows in the place of some; these keep their event times."""
    order = np.arange(table.num_rows)
    order[rows] = table.num_rows + np.arange(others.num_rows)
    mixed = pa.concat_tables([table, others]).take(pa.array(order)).combine_chunks()
    name = (event_time or "").split(".")[0]
    if event_time == name and name in table.column_names:
        return mixed.set_column(table.schema.get_field_index(name), name, table[name])
    return mixed


def _too_few(keys: Sequence[str], found: int, wanted: int) -> None:
    msg = (
        f"the key ({', '.join(keys)}) must have a value for every row; got {found:,} or a few more "
        f"for {wanted:,} rows; ask for fewer rows, or let the key's rules leave more room"
    )
    raise UsageError(msg)
