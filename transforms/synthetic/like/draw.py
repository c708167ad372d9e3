"""The chance of each row, and what follows from it alone: which values are picked, and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from schemas.contract import Column
from transforms.synthetic.like.given import Codes, members_of
from transforms.synthetic.like.quantiles import nearest
from transforms.synthetic.like.rhythm import DAY_US
from transforms.synthetic.like.shapes import Keys, Numbers, Picks
from transforms.synthetic.values import on_grid


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """The rows that values are made up for.

    Attributes:
        count: How many.
        first: Number of the first: what is counted goes on from there.
        rng: Where chance comes from.
        scores: Normal scores of numbers by path, which are correlated.
        events: Event times of the rows, microseconds; None: not read from the record.
        codes: By name which value of another column of the same object each row has.
    """

    count: int
    first: int
    rng: np.random.Generator
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    events: np.ndarray | None = None
    codes: Mapping[str, np.ndarray] = field(default_factory=dict)

    def of(self, chosen: np.ndarray) -> Draw:
        """Return some of the rows, to be drawn once more: independent of other columns."""
        events = None if self.events is None else self.events[chosen]
        codes = {name: own[chosen] for name, own in self.codes.items()}
        return replace(self, count=len(chosen), scores={}, events=events, codes=codes)

    def score(self, path: str) -> np.ndarray:
        """Return the scores of a column."""
        known = self.scores.get(path)
        return self.rng.standard_normal(self.count) if known is None else known


def codes_of(columns: Sequence[Column], keys: Keys, draw: Draw) -> dict[str, np.ndarray]:
    """Choose which value each row has, of columns whose values are picked."""
    codes: dict[str, np.ndarray] = {}
    for column in columns:
        shape = keys.shapes.get(column.name)
        if shape is not None and isinstance(shape.made, Picks):
            given = keys.given.get(column.name)
            codes[column.name] = (
                any_of(shape.made, draw) if given is None else given.make(codes, draw.rng)
            )
    return codes


def any_of(picks: Picks, draw: Draw) -> np.ndarray:
    """Choose values as often as the sample has them; the number after the last is another one."""
    place = np.searchsorted(picks.ends, draw.rng.random(draw.count), side="right")
    return np.minimum(place, len(picks.values) - (picks.seen is None))


def numbers_of(column: Column, numbers: Numbers, draw: Draw) -> pa.Array:
    """Make up numbers, dates or times of a column."""
    kind = column.type
    scores = draw.score(column.path)
    values = numbers.quantiles.at(scores)
    if numbers.by is not None:
        codes = draw.codes[numbers.by]
        for code, members in members_of(Codes(codes, int(codes.max(initial=0)) + 1), scores):
            group = numbers.groups.get(code)
            if group is not None:
                values[members] = group.at(scores[members])
    if numbers.usual is not None:
        values = nearest(values, numbers.usual)
    if numbers.after_event and draw.events is not None:
        values = values + draw.events // (DAY_US if pa.types.is_date(kind) else 1)
    if numbers.step is None:
        return pa.array(values, kind)
    near = np.floor if pa.types.is_temporal(kind) else np.rint
    return on_grid(kind, near(values / float(numbers.step)).astype(np.int64), numbers.step)
