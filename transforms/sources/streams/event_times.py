"""Event times of raw messages, of no more than the fields that they need: what moves watermarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.contract import Column, Contract
from schemas.expressions import Place, check
from schemas.names import ARRIVED, POSITION_FIELDS, SOURCE
from transforms.decode.messages import MessageDecoder
from transforms.sources.streams.raw import source_codes

SAMPLE: Final = 1024
"""Rows of a batch that are decoded here at most twice: all would cost as much as decode does."""


@dataclass(frozen=True)
class Seen:
    """Event times of a batch, in microseconds UTC.

    Attributes:
        low: The lowest; None if no row has one that counts.
        high: The highest, by source; sources without one are missing.
        exact: Whether every row was looked at. Of a large batch some rows are, the last of each
            source among them: `high` may be too low then, which holds the watermark back, and
            `low` too high.
    """

    low: int | None
    high: Mapping[str, int]
    exact: bool = True


class EventTimes:
    """Reads the event times of raw batches by a contract; pickles.

    An event time that is missing, cannot be read, or is more than `max_future_us` ahead of both
    the message's arrival and the clock does not count: decode refuses such a row later. (A broker
    may take a message's arrival from its producer, whose clock may be wrong.)
    """

    def __init__(
        self,
        contract: Contract,
        max_future_us: int,
        decoder: Callable[[Contract], MessageDecoder] = MessageDecoder,
    ) -> None:
        """Prepare to read; a contract without event time takes that of arrival."""
        self.max_future_us = max_future_us
        self._contract = narrowed(contract)
        self._decoder = decoder(self._contract)

    def __call__(self, raw: pa.RecordBatch, now_us: int) -> Seen:
        """Return the event times of a raw batch that count.

        Args:
            raw: As its source made it.
            now_us: Wall clock.
        """
        if self._contract.event_time is not None and raw.num_rows >= 2 * SAMPLE:
            seen = self._all(raw.take(pa.array(_sample(raw))), now_us)
            return replace(seen, exact=False)
        return self._all(raw, now_us)

    def _all(self, raw: pa.RecordBatch, now_us: int) -> Seen:
        if self._contract.event_time is None:
            rows = raw.select([field.name for field in POSITION_FIELDS])
            times = _micros(rows[ARRIVED])
        else:
            rows = self._decoder.decode(raw).rows
            times = _micros(rows[self._contract.event_time_column])
        most = np.minimum(_micros(rows[ARRIVED]), now_us) + self.max_future_us
        counts = times <= most
        if not counts.any():
            return Seen(None, {})
        sources = rows[SOURCE].dictionary.to_pylist()
        codes = source_codes(rows, sources)[counts]
        times = times[counts]
        high = np.full(len(sources), np.iinfo(np.int64).min)
        np.maximum.at(high, codes, times)
        there = np.unique(codes).tolist()
        return Seen(int(times.min()), {sources[code]: int(high[code]) for code in there})


def _sample(raw: pa.RecordBatch) -> np.ndarray:
    """Choose about `SAMPLE` rows, evenly, and the last of each source."""
    codes = raw[SOURCE].indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    last = np.append(np.flatnonzero(np.diff(codes[order])), len(order) - 1)
    chosen = np.arange(0, len(order), len(order) // SAMPLE)
    return np.sort(order[np.union1d(chosen, last)])


def narrowed(contract: Contract) -> Contract:
    """Return the contract with only the columns that its event time is made of."""
    if contract.event_time is None:
        return replace(contract, columns=(), primary_key=())
    name, *below = contract.event_time.split(".")
    (column,) = (c for c in contract.columns if c.name == name)
    if column.transform is None:
        return replace(contract, columns=(_only(column, tuple(below)),), primary_key=())
    read = [(c.name, c.type) for c in contract.columns if c.read]
    read += [(c.path, c.type) for c in contract.path_columns()]
    place = Place(contract.file, 1)
    needs = check(column.transform, pa.schema(read), place=place, expect=column.type).columns
    roots = {need.split(".")[0] for need in needs}
    inputs = tuple(c for c in contract.columns if c.name in roots)
    return replace(contract, columns=(*inputs, column), primary_key=())


def _only(column: Column, path: tuple[str, ...]) -> Column:
    """Leave out what an open object declares beside a path; other objects are of one type."""
    if not path or not column.open:
        return column
    (child,) = (c for c in column.children if c.name == path[0])
    inner = replace(child, children=()) if len(path) == 1 else _below(child, path[1:])
    return replace(column, children=(inner,))


def _below(column: Column, path: tuple[str, ...]) -> Column:
    (child,) = (c for c in column.children if c.name == path[0])
    inner = child if len(path) == 1 else _below(child, path[1:])
    return replace(column, children=(inner,))


def _micros(times: pa.Array) -> np.ndarray:
    return times.cast(pa.int64()).to_numpy()
