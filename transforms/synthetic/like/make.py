"""Make up columns by the shape of a sample's, within the rules of the contract."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Column, Contract
from transforms.synthetic.like.draw import Draw, any_of, codes_of, numbers_of
from transforms.synthetic.like.guard import Seen, hashes_of, repeated
from transforms.synthetic.like.quantiles import score
from transforms.synthetic.like.repeats import Repeats
from transforms.synthetic.like.shapes import Counted, Keys, Likeness, Lists, Numbers, Picks, Shape
from transforms.synthetic.texts import FORMS
from transforms.synthetic.values import (
    Span,
    breaks,
    column_values,
    timestamps,
    within_rules,
)

_TRIES: Final = 10
_HELPS: Final = 0.97
_POOL: Final = 2
_MOSTLY: Final = 0.9

_Single = Picks | Numbers | Lists | Counted


@dataclass(eq=False)
class Alike:
    """Makes up rows like a sample's, chunk by chunk.

    Attributes:
        contract: What rows must be.
        likeness: What was learnt.
        seed: The same seed gives the same rows.
        rows: How many there will be.
        span: Where event times lie.
    """

    contract: Contract
    likeness: Likeness
    seed: int
    rows: int
    span: Span
    _pools: dict[str, pa.Array] = field(default_factory=dict)
    _taken: dict[str, np.ndarray] = field(default_factory=dict)
    _spent: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Lay out when events happen."""
        rhythm = self.likeness.rhythm
        self._cells = None if rhythm is None else rhythm.cells(self.span)

    def event_times(self, numbers: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        """Return event times of rows by their number, microseconds; None: by the contract alone.

        Numbers ascend, and so do the times.
        """
        rhythm = self.likeness.rhythm
        if self._cells is None or rhythm is None:
            return None
        edges, before = self._cells
        share = (numbers + rng.random(len(numbers))) / self.rows
        times = np.interp(share, before, edges - self.span.start_us).astype(np.int64)
        times += self.span.start_us
        floor = times // rhythm.step_us * rhythm.step_us
        return np.clip(floor, self.span.start_us, self.span.end_us - 1)

    def columns(
        self,
        columns: Sequence[Column],
        numbers: np.ndarray,
        first: int,
        rng: np.random.Generator,
        events: np.ndarray | None,
    ) -> dict[str, pa.Array]:
        """Make up columns of the record.

        Args:
            columns: Those wanted.
            numbers: Of the rows, in the order of event time.
            first: Where to count on from.
            rng: Where chance comes from.
            events: Event times of the rows.
        """
        copula = self.likeness.copula
        timed = events is not None and copula.names[:1] == (self.contract.event_time,)
        given = score((numbers + 0.5) / self.rows) if timed else None
        scores = copula.make(len(numbers), rng, given)
        draw = Draw(count=len(numbers), first=first, rng=rng, scores=scores, events=events)
        made = self._keys(columns, self.likeness.keys, draw)
        return dict(zip((column.name for column in columns), made, strict=True))

    def knows(self, names: Sequence[str]) -> bool:
        """Whether most values of each of these columns may be used as the sample has them."""
        made = [self.likeness.keys.shapes[n].made for n in names if n in self.likeness.keys.shapes]
        return len(made) == len(names) and all(
            isinstance(one, Numbers | Counted)
            or (isinstance(one, Picks) and len(one.ends) > 0 and one.ends[-1] >= _MOSTLY)
            for one in made
        )

    def _keys(self, columns: Sequence[Column], keys: Keys, draw: Draw) -> list[pa.Array]:
        draw = replace(draw, codes=codes_of(columns, keys, draw))
        nulls = keys.nulls.make(draw.count, draw.rng, draw.codes)
        made = []
        for column in columns:
            shape = keys.shapes.get(column.name)
            if column.path == self.contract.event_time and draw.events is not None:
                values = timestamps(draw.events)
            elif shape is None or (shape.made is None and column.name not in nulls):
                values = column_values(column, draw.count, draw.rng, self.span, draw.first)
            else:
                values = self._column(column, shape, draw)
            gone = nulls.get(column.name)
            if gone is not None and gone.any():
                values = pc.if_else(pa.array(gone), pa.scalar(None, values.type), values)
            made.append(values)
        return made

    def _column(self, column: Column, shape: Shape, draw: Draw) -> pa.Array:
        """Make up values of a column, none of them null."""
        match shape.made:
            case Picks() as picks:
                return self._picked(column, picks, draw)
            case Numbers() as numbers:
                return self._settled(column, numbers, draw, numbers.seen)
            case Keys() as keys:
                made = self._keys(column.children, keys, draw)
                return pa.StructArray.from_arrays(made, [c.name for c in column.children])
            case Lists() as lists:
                return self._settled(column, lists, draw, None)
            case Counted() as counted:
                return self._settled(column, counted, draw, None)
        return self._alone(column, draw)

    def _alone(self, column: Column, draw: Draw) -> pa.Array:
        return within_rules(column, draw.count, draw.rng, self.span, draw.first)

    def _picked(self, column: Column, picks: Picks, draw: Draw) -> pa.Array:
        """Pick values that may be used as they are; of the others from a pool, or make them up."""
        place = draw.codes[column.name].copy() if column.name in draw.codes else any_of(picks, draw)
        if picks.seen is None:
            return picks.values.take(pa.array(place))
        known = len(picks.values)
        others = np.flatnonzero(place >= known)
        if picks.repeats is not None:
            pool = self._pool(column, picks, picks.repeats)
            place[others] = known + picks.repeats.pick(len(pool) - known, len(others), draw.rng)
            return pool.take(pa.array(place))
        if len(others) == draw.count:
            return self._settled(column, picks, draw, picks.seen)
        made = self._settled(column, picks, draw.of(others), picks.seen)
        place[others] = known + np.arange(len(others))
        return pa.concat_arrays([picks.values, made]).take(pa.array(place))

    def _pool(self, column: Column, picks: Picks, repeats: Repeats) -> pa.Array:
        """Return values that may be used, and what stands for others that come again: made once."""
        if column.path not in self._pools:
            parts = [self.seed, _POOL, zlib.crc32(column.path.encode())]
            rng = np.random.Generator(np.random.PCG64(parts))
            draw = Draw(count=repeats.wanted(self.rows), first=0, rng=rng)
            made = self._settled(column, picks, draw, picks.seen)
            self._pools[column.path] = pa.concat_arrays([picks.values, made])
        return self._pools[column.path]

    def _settled(
        self,
        column: Column,
        made_of: _Single,
        draw: Draw,
        seen: Seen | None,
    ) -> pa.Array:
        """Make up values until none breaks a rule, or is the sample's; at last by the contract.

        By the shape as long as that helps: few values of it may be left that the sample has not.
        Where the contract leaves no other values than the sample has (a range of three numbers,
        say) what it makes up may be among these, as it would be without the sample.
        """
        values = self._raw(column, made_of, draw)
        # Of a key of several columns whole rows are looked at.
        single = column.unique or self.contract.primary_key == (column.path,)
        vain, before, alone = 0, len(values), int(column.path in self._spent)
        while alone < _TRIES:
            bad = breaks(column, values)
            if seen is not None and alone < _TRIES - 1:
                bad |= seen.among(values)
            if single:
                bad |= self._taken_before(column, values)
            wrong = np.flatnonzero(bad)
            if not len(wrong):
                break
            part = draw.of(wrong)
            vain = 0 if len(wrong) < _HELPS * before else vain + 1
            alone += alone > 0 or vain >= _TRIES
            other = self._alone(column, part) if alone else self._raw(column, made_of, part)
            values, before = _put(values, bad, other), len(wrong)
        if single:
            self._spent |= {column.path} if alone else set()
            taken = self._taken.get(column.path, np.empty(0, np.uint64))
            self._taken[column.path] = np.sort(np.concatenate([taken, hashes_of(values)]))
        return values

    def _taken_before(self, column: Column, values: pa.Array) -> np.ndarray:
        """Return which values of a column without equal ones are there already."""
        known = self._taken.get(column.path, np.empty(0, np.uint64))
        return repeated(hashes_of(values), known)

    def _raw(self, column: Column, made_of: _Single, draw: Draw) -> pa.Array:
        match made_of:
            case Counted():
                steps = made_of.after + draw.first + np.arange(draw.count)
                return pa.array(steps, pa.int64()).cast(column.type)
            case Lists():
                return self._lists(column, made_of, draw)
            case Numbers():
                return numbers_of(column, made_of, draw)
        if made_of.numbers is not None:
            return numbers_of(column, made_of.numbers, draw)
        if made_of.form is not None:
            return FORMS[made_of.form](draw.count, draw.rng)
        if made_of.texts is not None:
            return made_of.texts.make(draw.count, draw.rng)
        return self._alone(column, draw)

    def _lists(self, column: Column, lists: Lists, draw: Draw) -> pa.Array:
        lengths = np.rint(lists.lengths.at(draw.score(column.path))).astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        inner = Draw(count=int(offsets[-1]), first=draw.first, rng=draw.rng)
        items = column.items
        assert items is not None  # noqa: S101  # of an array
        if lists.items is None:
            made = column_values(items, inner.count, draw.rng, self.span, draw.first)
        else:
            made = self._column(items, lists.items, inner)
        return pa.ListArray.from_arrays(pa.array(offsets), made)


def _put(values: pa.Array, where: np.ndarray, others: pa.Array) -> pa.Array:
    """Put other values in the place of some."""
    order = np.arange(len(values))
    order[where] = len(values) + np.arange(len(others))
    return pa.concat_arrays([values, others]).take(pa.array(order))
