"""Learn the shape of a sample's columns, under the contract: its rules win over the sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Column, Contract
from transforms.rules import literal
from transforms.synthetic.like.dependence import Copula, Nulls
from transforms.synthetic.like.guard import Guard, Seen, is_personal
from transforms.synthetic.like.quantiles import quantiles_of, step_of
from transforms.synthetic.like.repeats import Repeats
from transforms.synthetic.like.rhythm import DAY_US, Rhythm, rhythm_of
from transforms.synthetic.like.shapes import (
    Counted,
    Keys,
    Lists,
    Made,
    Numbers,
    Picks,
    Shape,
)
from transforms.synthetic.like.text_shapes import shapes_of
from transforms.synthetic.values import breaks

_UNITS_US: Final = (DAY_US, 3_600_000_000, 60_000_000, 1_000_000, 1_000)
_WHOLE: Final = 0.995
_NO_EVENT: Final = np.iinfo(np.int64).min
_FRESH: Final = 0.95
"""Share of different values from which on none is taken to come again on purpose."""
_SPARSE: Final = 10
"""Whole numbers are identifiers if their range has so many times the numbers that are there."""


class _Lags(NamedTuple):
    """How long after the event: of those values whose record has one."""

    there: np.ndarray
    lags: np.ndarray


@dataclass(eq=False)
class Learner:
    """Learns the columns of one sample; collects what goes across them.

    Attributes:
        contract: What rows must be.
        table: The sample: the contract's columns, and path columns of open objects.
        guard: What may come out.
        whole: Whether the table is all of the sample, not parts of it.
    """

    contract: Contract
    table: pa.Table
    guard: Guard
    whole: bool
    numeric: dict[str, np.ndarray] = field(default_factory=dict)
    hows: dict[str, str] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    rhythm: Rhythm | None = None
    _events: np.ndarray | None = None

    def learn(self) -> Keys:
        """Learn all columns."""
        self._learn_events()
        columns = [column for column in self.contract.columns if column.read]
        arrays = [self.table[column.name].combine_chunks() for column in columns]
        return self._keys(columns, arrays, np.arange(self.table.num_rows), personal=False)

    def copula(self) -> Copula:
        """Return how the numbers go together; of those that were learnt."""
        return Copula.of(self.numeric)

    def _learn_events(self) -> None:
        path = (self.contract.event_time or "").split(".")
        if path[0] not in self.table.column_names:
            return
        values = self.table[path[0]].combine_chunks()
        if pa.types.is_string(values.type) and len(path) > 1:  # of an open object
            values = self.table[".".join(path)].combine_chunks()
        else:
            for key in path[1:]:
                values = pc.struct_field(values, [key])
        column = next(c for c in self.contract.leaves() if c.path == self.contract.event_time)
        kept = values.is_valid().to_numpy(zero_copy_only=False)
        kept[kept] = ~breaks(column, values.drop_null())
        times = values.cast(pa.int64()).fill_null(0).to_numpy()
        if kept.sum() < 2 * self.guard.least:
            return
        self._events = np.where(kept, times, _NO_EVENT)
        step = _step_us(times[kept])
        self.rhythm = rhythm_of(times[kept], self.guard.least, step, whole=self.whole)
        self.numeric[column.path] = np.where(kept, times, np.nan)

    def _keys(
        self,
        columns: Sequence[Column],
        arrays: Sequence[pa.Array],
        rows: np.ndarray,
        *,
        personal: bool,
        listed: bool = False,
    ) -> Keys:
        """Learn the columns of an object.

        Args:
            columns: Its keys.
            arrays: Of each as many values as there are `rows`.
            rows: The record of each value.
            personal: Whether the object is.
            listed: Whether it is in an array.
        """
        shapes: dict[str, Shape] = {}
        nullable: list[str] = []
        masks: list[np.ndarray] = []
        for column, values in zip(columns, arrays, strict=True):
            if not len(values) or values.null_count == len(values):
                self.absent.append(column.path)
                continue
            mask = values.is_null().to_numpy(zero_copy_only=False)
            shape = self._column(
                column, values.drop_null(), rows[~mask], personal=personal, listed=listed
            )
            shapes[column.name] = shape
            self.hows[column.path] = shape.how
            if not (
                column.required
                or column.unique
                or column.primary_key is not None
                or f"{self.contract.event_time}.".startswith(f"{column.path}.")
            ):
                nullable.append(column.name)
                masks.append(mask)
        return Keys(shapes=shapes, nulls=Nulls.of(nullable, masks, self.guard.least))

    def _column(
        self, column: Column, values: pa.Array, rows: np.ndarray, *, personal: bool, listed: bool
    ) -> Shape:
        personal |= is_personal(column)
        if column.path == self.contract.event_time and self.rhythm is not None:
            return Shape(how="times")
        if column.open or pa.types.is_struct(column.type):
            return self._object(column, values, rows, personal=personal, listed=listed)
        if column.items is not None:
            return self._list(column.items, values, rows, personal=personal)
        bad = breaks(column, values)
        if bad.any():
            values, rows = values.filter(pa.array(~bad)), rows[~bad]
        made = self._scalar(column, values, rows, personal=personal, listed=listed)
        return Shape(how=_how(made), made=made)

    def _object(
        self, column: Column, values: pa.Array, rows: np.ndarray, *, personal: bool, listed: bool
    ) -> Shape:
        if not column.children or (column.open and not self._has(column.children)):
            return Shape(how="contract")
        if column.open or pa.types.is_string(values.type):
            arrays = [self._inside(child).take(pa.array(rows)) for child in column.children]
        else:
            arrays = values.flatten()
        keys = self._keys(column.children, arrays, rows, personal=personal, listed=listed)
        return Shape(how="object", made=keys)

    def _has(self, columns: Sequence[Column]) -> bool:
        """Whether the keys of an open object stand beside it: not where it is within another."""
        return all(
            self._has(c.children) if c.children else c.path in self.table.column_names
            for c in columns
        )

    def _inside(self, column: Column) -> pa.Array:
        """Return a key of an open object; of an object in it only whether anything is there."""
        if not column.children:
            return self.table[column.path].combine_chunks()
        inner = [self._inside(child).is_valid() for child in column.children]
        there = inner[0]
        for one in inner[1:]:
            there = pc.or_(there, one)
        return pc.if_else(there, "", pa.scalar(None, pa.string()))

    def _list(self, items: Column, values: pa.Array, rows: np.ndarray, *, personal: bool) -> Shape:
        lengths = pc.list_value_length(values).to_numpy().astype(float)
        spread = quantiles_of(lengths, self.guard.least, shared=True, step=1.0)
        if spread is None:
            return Shape(how="contract")
        flat = values.flatten()
        parents = np.repeat(rows, lengths.astype(np.int64))
        inner = None
        if flat.null_count < len(flat):
            there = flat.is_valid().to_numpy(zero_copy_only=False)
            inner = self._column(
                items, flat.drop_null(), parents[there], personal=personal, listed=True
            )
            self.hows[items.path] = inner.how
        return Shape(how="lengths", made=Lists(lengths=spread, items=inner))

    def _scalar(
        self, column: Column, values: pa.Array, rows: np.ndarray, *, personal: bool, listed: bool
    ) -> Made | None:
        kind = column.type
        enumerated = next((rule.value for rule in column.rules if rule.kind == "enum"), None)
        if enumerated is not None or pa.types.is_boolean(kind):
            return _allowed(kind, enumerated, values)
        if pa.types.is_string(kind):
            return self._texts(column, values, rows, personal=personal)
        if alone(column, self.contract):
            return _counted(values) if pa.types.is_integer(kind) else None
        return self._numbers(column, values, rows, personal=personal, listed=listed)

    def _texts(
        self, column: Column, values: pa.Array, rows: np.ndarray, *, personal: bool
    ) -> Picks | None:
        single = alone(column, self.contract)
        known, counts = self.guard.shared(values, rows, personal=personal or single)
        others = values.filter(pc.invert(pc.is_in(values, known)))
        ends = np.cumsum(counts) / max(len(values), 1)
        if len(others) < self.guard.least:
            if not len(known):
                return None
            return Picks(values=known, ends=ends / ends[-1])
        form = next((str(r.value) for r in column.rules if r.kind == "format"), None)
        return Picks(
            values=known,
            ends=ends,
            form=form,
            texts=None if form else shapes_of(others, self.guard.least, personal=personal),
            repeats=None if single else _repeats(others),
            seen=Seen.of(pa.concat_arrays([others, pa.array(self.guard.never, pa.string())])),
        )

    def _numbers(
        self, column: Column, values: pa.Array, rows: np.ndarray, *, personal: bool, listed: bool
    ) -> Made | None:
        numbers = numbers_in(values)
        finite = np.isfinite(numbers)
        numbers, rows, values = numbers[finite], rows[finite], values.filter(pa.array(finite))
        step = self._step(column, numbers)
        if pa.types.is_integer(column.type) and _is_sparse(numbers, self.guard.least, step):
            return self._identifiers(values, rows, step, personal=personal)
        seen = Seen.of(values) if personal else None
        after = None if listed else self._after_event(column, numbers, rows)
        if after is not None:
            rows, numbers = rows[after.there], after.lags
        quantiles = quantiles_of(
            numbers,
            self.guard.least,
            shared=not personal,
            step=0.0 if after is not None else float(step or 0),
        )
        if quantiles is None:
            return None
        if not listed:
            self.numeric[column.path] = np.full(self.table.num_rows, np.nan)
            self.numeric[column.path][rows] = numbers
        return Numbers(quantiles=quantiles, step=step, after_event=after is not None, seen=seen)

    def _identifiers(
        self, values: pa.Array, rows: np.ndarray, step: Decimal | None, *, personal: bool
    ) -> Picks | None:
        known, counts = self.guard.shared(values, rows, personal=personal)
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

    def _after_event(self, column: Column, numbers: np.ndarray, rows: np.ndarray) -> _Lags | None:
        """Return how long after their event dates or times are, if that tells more than they do."""
        dated = pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)
        if not dated or self._events is None:
            return None
        events = self._events[rows]
        there = events != _NO_EVENT
        lags = numbers[there] - events[there] // (DAY_US if pa.types.is_date(column.type) else 1)
        if not len(lags) or _width(lags) > _width(numbers) / 2:
            return None
        return _Lags(there, lags)

    def _step(self, column: Column, numbers: np.ndarray) -> Decimal | None:
        kind = column.type
        if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
            return Decimal(_step_us(numbers.astype(np.int64)))
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
    room = (found[-1] - found[0]) / float(step or 1)
    return bool(room > _SPARSE * len(found))


def _step_us(times: np.ndarray) -> int:
    for unit in _UNITS_US:
        if (times % unit == 0).mean() >= _WHOLE:
            return unit
    return 1


def _width(values: np.ndarray) -> float:
    low, high = np.quantile(values, [0.1, 0.9])
    return float(high - low)


def _how(made: Made | None) -> str:
    match made:
        case Numbers():
            return "quantiles" if not made.after_event else "quantiles after the event"
        case Picks():
            kinds = [f"{len(made.values)} values"] if len(made.values) else []
            if made.seen is not None:
                kinds.append(made.form or ("numbers" if made.numbers else "shapes"))
            return " and ".join(kinds) + (" that repeat" if made.repeats else "")
        case Counted():
            return "counted"
        case _:
            return "contract"
