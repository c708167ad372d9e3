"""Learn the shape of a sample's columns, under the contract: its rules win over the sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import Column, Contract
from transforms.synthetic.like.dependence import Copula, Nulls, scores_of
from transforms.synthetic.like.given import (
    Codes,
    Given,
    members_of,
    most_explaining,
    most_telling,
    usable,
)
from transforms.synthetic.like.guard import Guard, is_personal
from transforms.synthetic.like.quantiles import Quantiles, quantiles_of
from transforms.synthetic.like.rhythm import Rhythm, rhythm_of, step_us_of
from transforms.synthetic.like.scalars import NO_EVENT, Scalars, Values
from transforms.synthetic.like.shapes import (
    Counted,
    Keys,
    Lists,
    Made,
    Numbers,
    Picks,
    Shape,
)
from transforms.synthetic.values import at_path, breaks


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
        beside = self.contract.event_time in self.table.column_names  # also if in an open object
        values = at_path(self.table, [str(self.contract.event_time)] if beside else path)
        column = next(c for c in self.contract.leaves() if c.path == self.contract.event_time)
        kept = values.is_valid().to_numpy(zero_copy_only=False)
        kept[kept] = ~breaks(column, values.drop_null())
        times = values.cast(pa.int64()).fill_null(0).to_numpy()
        if kept.sum() < 2 * self.guard.least:
            return
        self._events = np.where(kept, times, NO_EVENT)
        step = step_us_of(times[kept])
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
        masks: dict[str, np.ndarray] = {}
        codes: dict[str, Codes] = {}
        for column, values in zip(columns, arrays, strict=True):
            if not len(values) or values.null_count == len(values):
                self.absent.append(column.path)
                continue
            mask = values.is_null().to_numpy(zero_copy_only=False)
            shape = self._column(
                column, values.drop_null(), rows[~mask], personal=personal, listed=listed
            )
            shapes[column.name] = shape
            if isinstance(shape.made, Picks) and usable(own := _coded(shape.made, values, mask)):
                codes[column.name] = own
            if not self._is_there(column):
                masks[column.name] = mask
        if not listed:
            for column in columns:
                hidden = personal or is_personal(column)
                self._group(column, shapes, codes, rows, personal=hidden)
        given: dict[str, Given] = {}
        before: dict[str, Codes] = {}
        for name, own in codes.items():
            if parents := most_telling(own, before):
                given[name] = Given.of(parents, own, self.guard.least)
            before[name] = own
        sure = {name: own for name, own in codes.items() if name not in masks}
        nulls = Nulls.of(masks, self.guard.least, sure)
        self.hows |= {c.path: shapes[c.name].how for c in columns if c.name in shapes}
        return Keys(shapes=shapes, nulls=nulls, given=given)

    def _is_there(self, column: Column) -> bool:
        """Whether a column may not be null."""
        event = f"{self.contract.event_time}.".startswith(f"{column.path}.")
        return column.required or column.unique or column.primary_key is not None or event

    def _group(
        self,
        column: Column,
        shapes: dict[str, Shape],
        codes: dict[str, Codes],
        rows: np.ndarray,
        *,
        personal: bool,
    ) -> None:
        """Learn the numbers of a column by the values of another one, if these explain them."""
        shape, numbers = shapes.get(column.name), self.numeric.get(column.path)
        if shape is None or not isinstance(shape.made, Numbers) or numbers is None:
            return
        scores = scores_of(numbers[rows])
        by = most_explaining(scores, codes)
        if by is None:
            return
        step = 0.0 if shape.made.after_event else float(shape.made.step or 0)
        groups: dict[int, Quantiles] = {}
        for code, members in members_of(codes[by], scores):
            found = quantiles_of(
                numbers[rows[members]], self.guard.least, shared=not personal, step=step
            )
            if found is not None:
                groups[code] = found
                scores[members] = scores_of(scores[members])
        numbers[rows] = scores  # what goes with other columns is where a row is in its group
        made = replace(shape.made, by=by, groups=groups)
        shapes[column.name] = Shape(how=f"{shape.how} by {by}", made=made)

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
        found = Values(column, values, rows, personal, listed)
        made, ranked = Scalars(self.contract, self.guard, self._events).learn(found)
        if ranked is not None:
            self.numeric[column.path] = np.full(self.table.num_rows, np.nan)
            self.numeric[column.path][ranked.rows] = ranked.numbers
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


def _coded(picks: Picks, values: pa.Array, mask: np.ndarray) -> Codes:
    """Return values as their numbers among those to pick from; others have one together."""
    others = picks.seen is not None
    known = len(picks.values)
    codes = pc.index_in(values, picks.values).fill_null(known if others else -1).to_numpy()
    return Codes(np.where(mask, -1, codes).astype(np.int64), known + others)


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
