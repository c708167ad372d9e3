"""Whole records in the order of their event time, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Contract
from schemas.errors import UsageError
from transforms.rules import check
from transforms.synthetic.computed import Computed
from transforms.synthetic.like.guard import repeated
from transforms.synthetic.like.make import Alike
from transforms.synthetic.like.shapes import Likeness
from transforms.synthetic.values import Span, at_path, column_values, timestamps

CHUNK: Final = 100_000
_BEYOND: Final = 10
"""After so many tries keys of several columns go on beyond those of a sample."""
_BETWEEN: Final = 15
"""And after so many its times do."""
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
        like: What a sample is like; None: by the contract alone.
    """

    rows: int
    seed: int
    span: Span
    known: Sequence[pa.Table] = ()
    like: Likeness | None = None


def records(contract: Contract, wanted: Wanted) -> Iterator[pa.Table]:
    """Make up records that keep every rule of a contract.

    Yields:
        Tables of at most CHUNK rows in the order of event time, if that is read from the record:
        the columns that are read from records, objects as structs of their declared keys.

    Raises:
        UsageError: The rules leave no value, or fewer keys than rows are wanted.
    """
    maker = _Rows(contract, wanted)
    spare = wanted.rows  # what is counted goes on from there in rows that take the place of others
    for first in range(0, wanted.rows, CHUNK):
        rng = np.random.Generator(np.random.PCG64([wanted.seed, first]))
        numbers = np.arange(first, min(first + CHUNK, wanted.rows))
        made = maker.make(numbers, first, rng)
        failed, hashes = maker.check(made)
        for attempt in range(_TRIES):
            bad = failed | maker.repeated(hashes)
            if not bad.any():
                break
            times = maker.times_of(made)
            if times is not None:
                times = maker.between(times, bad, first, rng) if attempt >= _BETWEEN else times[bad]
            others = maker.make(numbers[bad], spare, rng, times, beyond=attempt >= _BEYOND)
            spare += others.num_rows
            made = _replaced(made, bad, others)
            failed[bad], hashes[bad] = maker.check(others)
            if attempt >= _BETWEEN and (now := maker.times_of(made)) is not None:
                order = np.argsort(now, kind="stable")
                made, failed, hashes = made.take(pa.array(order)), failed[order], hashes[order]
        maker.keep(failed, hashes)
        yield made


class _Rows:
    """Makes rows, and tells which of them cannot stay: a run would refuse or drop them."""

    def __init__(self, contract: Contract, wanted: Wanted) -> None:
        self.contract, self.wanted = contract, wanted
        self.columns = [column for column in contract.columns if column.read]
        self.computed = Computed(contract)
        self.seen = np.empty(0, np.uint64)
        self.alike = None
        if wanted.like is not None:
            self.alike = Alike(contract, wanted.like, wanted.seed, wanted.rows, wanted.span)
        path = (contract.event_time or "").split(".")
        self.event_path = path if path[0] in {column.name for column in self.columns} else []

    def make(
        self,
        numbers: np.ndarray,
        first: int,
        rng: np.random.Generator,
        times: np.ndarray | None = None,
        *,
        beyond: bool = False,
    ) -> pa.Table:
        """Make rows with these numbers in the order of event time, at these times if given.

        `beyond` a sample, the columns of a key of several are made by the contract alone.
        """
        alike, wanted = self.alike, self.wanted
        if times is None and alike is not None:
            times = alike.event_times(numbers, rng)
        arrays = {} if alike is None else alike.columns(self.columns, numbers, first, rng, times)
        arrays |= self._referred(len(numbers), rng)
        keys = self.contract.primary_key
        if beyond and alike is not None and len(keys) > 1:
            arrays = {name: values for name, values in arrays.items() if name not in keys}
        for column in self.columns:
            if column.name not in arrays:
                arrays[column.name] = column_values(column, len(numbers), rng, wanted.span, first)
        table = pa.table({column.name: arrays[column.name] for column in self.columns})
        if not self.event_path:
            return table
        if times is None:
            times = event_times(wanted, numbers, rng)
        at = timestamps(times)
        _check_times(self.contract, at)
        return _put(table, self.event_path, at)

    def between(
        self, times: np.ndarray, bad: np.ndarray, first: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Return times for some rows of a chunk: anywhere up to the next that a sample could have.

        Those of a chunk end where the next one begins.
        """
        rhythm = None if self.alike is None else self.alike.likeness.rhythm
        if rhythm is None or self.event_path[0] not in self.contract.primary_key:
            return times[bad]
        later = times[bad] + rng.integers(0, rhythm.step_us, int(bad.sum()))
        last = first + len(times) >= self.wanted.rows
        return np.minimum(later, self.wanted.span.end_us - 1 if last else times.max())

    def _referred(self, count: int, rng: np.random.Generator) -> dict[str, pa.Array]:
        """Pick keys of other tables; like a sample only where its own cannot be used."""
        referred: dict[str, pa.Array] = {}
        for known in self.wanted.known:
            if self.alike is not None and self.alike.knows(known.column_names):
                continue
            picked = known.take(pa.array(rng.integers(known.num_rows, size=count)))
            columns_of = zip(known.column_names, picked.columns, strict=True)
            referred |= {name: values.combine_chunks() for name, values in columns_of}
        return referred

    def check(self, table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """Return which rows cannot be computed, so that a run refuses them, and hashes of keys.

        Without a key the hashes say nothing.
        """
        computed, failed = self.computed(table)
        keys = self.contract.primary_key
        if not keys:
            return failed, np.empty(table.num_rows, np.uint64)
        named = {name: computed[name] if name in computed else table[name] for name in keys}
        frame: pl.DataFrame = pl.DataFrame(pa.table(named))
        return failed, frame.hash_rows(1).to_numpy(writable=True)

    def repeated(self, hashes: np.ndarray) -> np.ndarray:
        """Return which rows have a key that is there already."""
        if not self.contract.primary_key:
            return np.zeros(len(hashes), bool)
        return repeated(hashes, self.seen)

    def keep(self, failed: np.ndarray, hashes: np.ndarray) -> None:
        """Note the keys of rows that stay.

        Raises:
            UsageError: Some of the rows cannot.
        """
        if failed.any():
            _not_computable(self.contract)
        again = self.repeated(hashes)
        if again.any():
            found = len(self.seen) + int((~again).sum())
            _too_few(self.contract.primary_key, found, self.wanted)
        if self.contract.primary_key:
            self.seen = np.sort(np.concatenate([self.seen, hashes]))

    def times_of(self, table: pa.Table) -> np.ndarray | None:
        """Return the event times of rows, microseconds; None: not read from records."""
        if not self.event_path:
            return None
        return at_path(table, self.event_path).cast(pa.int64()).to_numpy(zero_copy_only=False)


def event_times(wanted: Wanted, numbers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return ascending event times of rows by number, in microseconds since the epoch."""
    span = wanted.span.end_us - wanted.span.start_us
    share = (numbers + rng.random(len(numbers))) / wanted.rows
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


def _replaced(table: pa.Table, rows: np.ndarray, others: pa.Table) -> pa.Table:
    """Put other rows in the place of some."""
    order = np.arange(table.num_rows)
    order[rows] = table.num_rows + np.arange(others.num_rows)
    return pa.concat_tables([table, others]).take(pa.array(order)).combine_chunks()


def _not_computable(contract: Contract) -> None:
    names = ", ".join(column.name for column in contract.columns if not column.read)
    msg = (
        f"computed columns ({names}) must be computable from values that keep the contract's "
        "rules; got rows that are not; give what they are computed from narrower rules"
    )
    raise UsageError(msg)


def _too_few(keys: Sequence[str], found: int, wanted: Wanted) -> None:
    together = wanted.like is not None and len(keys) > 1
    advice = "leave --like out" if together else "let the key's rules leave more room"
    msg = (
        f"the key ({', '.join(keys)}) must have a value for every row; got {found:,} or a few more "
        f"for {wanted.rows:,} rows; ask for fewer rows, or {advice}"
    )
    raise UsageError(msg)
