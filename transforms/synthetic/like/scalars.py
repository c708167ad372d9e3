"""Learn the shape of one scalar column: values to pick, texts by shape, numbers by quantiles."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Column, Contract
from transforms.rules import literal
from transforms.synthetic.like.guard import Guard, Seen
from transforms.synthetic.like.quantiles import quantiles_of, step_of, usual_values
from transforms.synthetic.like.repeats import Repeats
from transforms.synthetic.like.rhythm import DAY_US, step_us_of
from transforms.synthetic.like.shapes import Counted, Made, Numbers, Picks
from transforms.synthetic.like.text_shapes import shapes_of

NO_EVENT: Final = np.iinfo(np.int64).min
"""Stands for the event time of a record that has none."""

_FRESH: Final = 0.95
"""Share of different values from which on none is taken to come again on purpose."""
_SPARSE: Final = 10
"""Whole numbers are identifiers if their range has so many times the numbers that are there."""


_MOST_STEPS: Final = 2.0**62
"""Numbers are counted in steps as 64-bit integers."""


class Ranked(NamedTuple):
    """Numbers whose ranks go together with other columns'."""

    rows: np.ndarray
    numbers: np.ndarray


@dataclass(frozen=True, eq=False)
class Values:
    """What a column has in a sample.

    Attributes:
        column: The column.
        values: Not null, and within its rules.
        rows: The record of each.
        personal: Whether none of them may come out.
        listed: Whether they are in arrays.
    """

    column: Column
    values: pa.Array
    rows: np.ndarray
    personal: bool
    listed: bool


class Scalars:
    """Learns scalar columns of one sample."""

    def __init__(self, contract: Contract, guard: Guard, events: np.ndarray | None) -> None:
        """Keep what they are learnt by.

        Args:
            contract: What rows must be.
            guard: What may come out.
            events: Event time of each record, microseconds; NO_EVENT where there is none.
        """
        self.contract, self.guard, self.events = contract, guard, events

    def learn(self, found: Values) -> tuple[Made | None, Ranked | None]:
        """Return what values are made of, and what other columns may go with."""
        column, kind = found.column, found.column.type
        enumerated = next((rule.value for rule in column.rules if rule.kind == "enum"), None)
        if enumerated is not None or pa.types.is_boolean(kind):
            return _allowed(kind, enumerated, found.values), None
        if pa.types.is_string(kind):
            return self._texts(found), None
        if alone(column, self.contract):
            return (_counted(found.values) if pa.types.is_integer(kind) else None), None
        return self._numbers(found)

    def _texts(self, found: Values) -> Picks | None:
        values, least = found.values, self.guard.least
        single = alone(found.column, self.contract)
        known, counts = self.guard.shared(values, found.rows, personal=found.personal or single)
        others = values.filter(pc.invert(pc.is_in(values, known)))
        ends = np.cumsum(counts) / max(len(values), 1)
        if len(others) < least:
            return Picks(values=known, ends=ends / ends[-1]) if len(known) else None
        form = next((str(r.value) for r in found.column.rules if r.kind == "format"), None)
        return Picks(
            values=known,
            ends=ends,
            form=form,
            texts=None if form else shapes_of(others, least, personal=found.personal),
            repeats=None if single else _repeats(others),
            seen=Seen.of(pa.concat_arrays([others, pa.array(self.guard.never, pa.string())])),
        )

    def _numbers(self, found: Values) -> tuple[Made | None, Ranked | None]:
        column, rows, least = found.column, found.rows, self.guard.least
        numbers = numbers_in(found.values)
        step = _step(column, numbers)
        if pa.types.is_integer(column.type) and _is_sparse(numbers, least, step):
            return self._identifiers(found, step), None
        if step is not None and np.abs(numbers).max(initial=0.0) >= _MOST_STEPS * float(step):
            return None, None
        after = None if found.listed else self._after_event(column, numbers, rows)
        if after is not None:
            rows, numbers = after
        quantiles = quantiles_of(
            numbers,
            least,
            shared=not found.personal,
            step=float(step or 0) if after is None else 0.0,
        )
        if quantiles is None:
            return None, None
        told_apart = pa.types.is_integer(column.type) and _tells_apart(numbers, step)
        seen = Seen.of(found.values) if found.personal or told_apart else None
        usual = None if found.personal or after else usual_values(numbers, least)
        made = Numbers(
            quantiles=quantiles, step=step, after_event=after is not None, seen=seen, usual=usual
        )
        return made, None if found.listed else Ranked(rows, numbers)

    def _identifiers(self, found: Values, step: Decimal | None) -> Picks | None:
        values = found.values
        known, counts = self.guard.shared(values, found.rows, personal=found.personal)
        others = values.filter(pc.invert(pc.is_in(values, known)))
        quantiles = quantiles_of(numbers_in(others), self.guard.least, shared=False)
        if quantiles is None:
            return None
        return Picks(
            values=known,
            ends=np.cumsum(counts) / len(values),
            numbers=Numbers(quantiles=quantiles, step=step),
            repeats=_repeats(others),
            seen=Seen.of(others),
        )

    def _after_event(self, column: Column, numbers: np.ndarray, rows: np.ndarray) -> Ranked | None:
        """Return how long after their event dates or times are, if that tells more than they do."""
        dated = pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)
        if not dated or self.events is None:
            return None
        events = self.events[rows]
        there = events != NO_EVENT
        lags = numbers[there] - events[there] // (DAY_US if pa.types.is_date(column.type) else 1)
        if not len(lags) or _width(lags) > _width(numbers) / 2:
            return None
        return Ranked(rows[there], lags)


def _step(column: Column, numbers: np.ndarray) -> Decimal | None:
    """Return what values are multiples of, in microseconds or days for times; None: of nothing."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        return Decimal(step_us_of(numbers.astype(np.int64)))
    if pa.types.is_date(kind):
        return Decimal(1)
    step = step_of(numbers)
    rule = next((r.value for r in column.rules if r.kind == "multiple_of"), None)
    if rule is not None and (step is None or step % Decimal(str(rule))):
        return Decimal(str(rule))
    if step is None and pa.types.is_decimal(kind):
        return Decimal(1).scaleb(-kind.scale)
    return Decimal(1) if step is None and pa.types.is_integer(kind) else step


def alone(column: Column, contract: Contract) -> bool:
    """Whether no value of a column may come again."""
    return column.unique or (column.name,) == contract.primary_key == (column.path,)


def numbers_in(values: pa.Array) -> np.ndarray:
    """Return numbers as doubles; times as microseconds, dates as days."""
    kind = values.type
    if pa.types.is_date(kind):
        values = values.cast(pa.int32())
    elif pa.types.is_temporal(kind):
        values = values.cast(pa.int64())
    return values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _allowed(kind: pa.DataType, enumerated: object, values: pa.Array) -> Picks | None:
    """Values that the contract itself names, as often as the sample has them."""
    named = [True, False] if enumerated is None else [literal(kind, v) for v in enumerated]  # type: ignore[attr-defined]
    allowed = pa.array(named, kind)
    at = pc.index_in(values, allowed).drop_null().to_numpy()
    if not len(at):
        return None
    counts = np.bincount(at, minlength=len(allowed))
    return Picks(values=allowed, ends=np.cumsum(counts) / counts.sum())


def _counted(values: pa.Array) -> Counted:
    most = max(int(pc.max(values).as_py()), 0)
    unit = 10 ** (len(str(most)) - 1)
    return Counted(after=(most // unit + 1) * unit)


def _repeats(values: pa.Array) -> Repeats | None:
    counts = pc.value_counts(values).field("counts").to_numpy()
    return Repeats.of(counts) if len(counts) < _FRESH * len(values) else None


def _is_sparse(numbers: np.ndarray, least: int, step: Decimal | None) -> bool:
    """Whether whole numbers come again although their range has many more of them."""
    found, counts = np.unique(numbers, return_counts=True)
    rare = counts < least
    rows = int(counts[rare].sum())
    if rows < max(2 * least, len(numbers) / 10) or rare.sum() > 0.7 * rows:
        return False
    return _room(found, step) > _SPARSE * len(found)


def _tells_apart(numbers: np.ndarray, step: Decimal | None) -> bool:
    """Whether whole numbers are nearly all different, of a range with many more of them."""
    found = np.unique(numbers)
    few = len(found) < _FRESH * len(numbers)
    return not few and _room(found, step) > _SPARSE * len(found)


def _room(ordered: np.ndarray, step: Decimal | None) -> float:
    """Return how many steps there are from the least to the greatest number."""
    return float(ordered[-1] - ordered[0]) / float(step or 1) if len(ordered) else 0.0


def _width(values: np.ndarray) -> float:
    low, high = np.quantile(values, [0.1, 0.9])
    return float(high - low)
