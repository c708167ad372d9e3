"""The measures: how each makes accumulators of rows, merges them, and ends in a value.

Accumulators are columns, one row per group. All measures ignore nulls (count(*) counts rows); over
nothing but nulls count and approx_count_distinct are 0, the others null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from typing_extensions import override

from schemas.plan import Aggregate, Measure
from transforms.aggregate import extremes, moments, quantiles, sketch, sums
from transforms.aggregate.groups import Groups
from transforms.aggregate.moments import Moments
from transforms.aggregate.windows import AggregateError

Columns = dict[str, pa.Array]


@dataclass(frozen=True)
class Values:
    """The argument of a measure over some rows, and the group of each.

    Attributes:
        groups: Of the rows.
        there: Which rows have a value; None: all (count(*)).
        values: These values, without the nulls; None for count(*).
        times: Event times of all rows.
    """

    groups: Groups
    there: NDArray[np.bool_] | None
    values: Any
    times: NDArray[np.int64]

    @classmethod
    def of(cls, groups: Groups, values: pa.Array | None, times: NDArray[np.int64]) -> Values:
        """Leave the nulls out."""
        if values is None or values.null_count == 0:
            return cls(groups, None, values, times)
        there = pc.is_valid(values).to_numpy(zero_copy_only=False)
        return cls(groups, there, values.drop_null(), times)

    @property
    def ids(self) -> NDArray[np.int64]:
        """Group of each value."""
        return self.groups.ids if self.there is None else self.groups.ids[self.there]

    @property
    def counts(self) -> pa.Array:
        """Number of values of each group."""
        return pa.array(np.bincount(self.ids, minlength=self.groups.count))

    @property
    def when(self) -> NDArray[np.int64]:
        """Event time of each value."""
        return self.times if self.there is None else self.times[self.there]


class Kind:
    """What a measure does; columns are named by their part of the accumulator."""

    parts: ClassVar[tuple[str, ...]]

    def __init__(self, measure: Measure, aggregate: Aggregate) -> None:
        """Keep what the measure is."""
        self.measure, self.key = measure, aggregate.hash_key
        self.place = f"{aggregate.name}.{measure.name}"

    def start(self, rows: Values) -> Columns:
        """Make the accumulators of the groups of some rows."""
        raise NotImplementedError

    def merge(self, groups: Groups, parts: Columns) -> Columns:
        """Merge accumulators by group."""
        raise NotImplementedError

    def finish(self, parts: Columns) -> pa.Array:
        """Return the value of each group, of the measure's type."""
        raise NotImplementedError


class Count(Kind):
    """count(*), count(x)."""

    parts = ("n",)

    @override
    def start(self, rows: Values) -> Columns:
        return {"n": rows.counts}

    @override
    def merge(self, groups: Groups, parts: Columns) -> Columns:
        return {"n": pa.array(groups.sum(parts["n"].to_numpy()))}

    @override
    def finish(self, parts: Columns) -> pa.Array:
        return parts["n"].cast(self.measure.type)


class Sum(Kind):
    """sum(x): exact, rounded once.

    NaN if a value is NaN or infinities of both signs meet; a double too large is infinite.
    """

    parts = ("n", "digits", "special")

    @override
    def start(self, rows: Values) -> Columns:
        ids, count, values = rows.ids, rows.groups.count, rows.values
        special: NDArray[Any] = np.zeros(count)
        if pa.types.is_floating(values.type):
            plain = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
            finite = np.isfinite(plain)
            if not finite.all():
                with np.errstate(invalid="ignore"):
                    special = np.bincount(ids[~finite], plain[~finite], count)
                ids, values = ids[finite], pa.array(plain[finite])
        digits = sums.add(ids, count, values)
        return {"n": rows.counts, "digits": digits, "special": pa.array(special)}

    @override
    def merge(self, groups: Groups, parts: Columns) -> Columns:
        with np.errstate(invalid="ignore"):
            special = np.bincount(groups.ids, parts["special"].to_numpy(), groups.count)
        return {
            "n": pa.array(groups.sum(parts["n"].to_numpy())),
            "digits": sums.merge(groups.ids, groups.count, parts["digits"]),
            "special": pa.array(special),
        }

    @override
    def finish(self, parts: Columns) -> pa.Array:
        none = parts["n"].to_numpy() == 0
        kind = self.measure.type
        if pa.types.is_floating(kind):
            total = sums.as_doubles(parts["digits"])
            return pa.array(total + parts["special"].to_numpy(), mask=none)
        width = kind.bit_width // 32
        words, fits = sums.as_words(parts["digits"], width)
        if pa.types.is_integer(kind):
            plain = pa.array(words.view(np.int64).ravel(), mask=none)
        else:
            valid = pa.array(~none).buffers()[1]
            plain = pa.Array.from_buffers(kind, len(none), [valid, pa.py_buffer(words)])
            fits &= _precise(plain)
        if not fits.all():
            msg = (
                f"{self.place} must fit {kind}; got {int((~fits).sum())} sums that do not; "
                "sum CAST(... AS DOUBLE) or CAST(... AS DECIMAL(38, 0)) instead"
            )
            raise AggregateError(msg)
        return plain


class Average(Sum):
    """avg(x): the exact sum, rounded once, divided by the number of values."""

    @override
    def finish(self, parts: Columns) -> pa.Array:
        n = parts["n"].to_numpy()
        mean = sums.as_doubles(parts["digits"], np.maximum(n, 1))
        kind = self.measure.argument_type
        if kind is not None and pa.types.is_decimal(kind):
            mean = mean / 10.0**kind.scale
        return pa.array(mean + parts["special"].to_numpy(), mask=n == 0)


class Deviation(Kind):
    """stddev(x): of the sample (n - 1), null below two values."""

    parts = ("n", "mean", "rest", "m2")

    @override
    def start(self, rows: Values) -> Columns:
        plain = rows.values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return self._columns(moments.merge(rows.ids, rows.groups.count, moments.of_rows(plain)))

    @override
    def merge(self, groups: Groups, parts: Columns) -> Columns:
        return self._columns(moments.merge(groups.ids, groups.count, self._moments(parts)))

    @override
    def finish(self, parts: Columns) -> pa.Array:
        result, defined = moments.deviation(self._moments(parts))
        return pa.array(result, mask=~defined).cast(self.measure.type)

    def _columns(self, found: Moments) -> Columns:
        return {name: pa.array(column) for name, column in zip(self.parts, found, strict=True)}

    def _moments(self, parts: Columns) -> Moments:
        return Moments(*(parts[name].to_numpy() for name in self.parts))


class Distinct(Kind):
    """approx_count_distinct(x)."""

    parts = ("registers",)

    @override
    def start(self, rows: Values) -> Columns:
        return {"registers": sketch.add(rows.ids, rows.groups.count, rows.values, self.key)}

    @override
    def merge(self, groups: Groups, parts: Columns) -> Columns:
        return {"registers": sketch.merge(groups.ids, groups.count, parts["registers"])}

    @override
    def finish(self, parts: Columns) -> pa.Array:
        return pa.array(sketch.estimate(parts["registers"])).cast(self.measure.type)


class Quantile(Kind):
    """approx_quantile(x, q)."""

    parts = ("buckets",)

    @override
    def start(self, rows: Values) -> Columns:
        return {"buckets": quantiles.add(rows.ids, rows.groups.count, rows.values)}

    @override
    def merge(self, groups: Groups, parts: Columns) -> Columns:
        return {"buckets": quantiles.merge(groups.ids, groups.count, parts["buckets"])}

    @override
    def finish(self, parts: Columns) -> pa.Array:
        return quantiles.estimate(parts["buckets"], self.measure.quantile or Decimal(0))


class Extreme(Kind):
    """min(x), max(x)."""

    parts = ("value",)

    @override
    def start(self, rows: Values) -> Columns:
        return {"value": self._best(rows)}

    @override
    def merge(self, groups: Groups, parts: Columns) -> Columns:
        return {"value": self._best(Values.of(groups, parts["value"], groups.ids))}

    @override
    def finish(self, parts: Columns) -> pa.Array:
        return parts["value"].cast(self.measure.type)

    def _best(self, rows: Values) -> pa.Array:
        largest = self.measure.function == "max"
        return extremes.best(rows.ids, rows.groups.count, rows.values, largest=largest)


class End(Kind):
    """first(x), last(x) by event time; of values at the same time the smallest."""

    parts = ("time", "value")

    @override
    def start(self, rows: Values) -> Columns:
        latest = self.measure.function == "last"
        times, values = extremes.at_end(
            rows.ids, rows.groups.count, rows.when, rows.values, latest=latest
        )
        return {"time": times, "value": values}

    @override
    def merge(self, groups: Groups, parts: Columns) -> Columns:
        times = parts["time"].fill_null(0).to_numpy(zero_copy_only=False)
        return self.start(Values.of(groups, parts["value"], times))

    @override
    def finish(self, parts: Columns) -> pa.Array:
        return parts["value"].cast(self.measure.type)


KINDS: Final[Mapping[str, type[Kind]]] = {
    "count": Count,
    "sum": Sum,
    "avg": Average,
    "stddev": Deviation,
    "approx_count_distinct": Distinct,
    "approx_quantile": Quantile,
    "min": Extreme,
    "max": Extreme,
    "first": End,
    "last": End,
}


def kinds(aggregate: Aggregate) -> Sequence[Kind]:
    """Return what each measure of an aggregate does, in their order.

    Raises:
        AggregateError: A function that has no measure here.
    """
    unknown = [m.function for m in aggregate.measures if m.function not in KINDS]
    if unknown:
        msg = f"measures must be one of {', '.join(KINDS)}; got {unknown[0]}; choose another"
        raise AggregateError(msg)
    return [KINDS[m.function](m, aggregate) for m in aggregate.measures]


def _precise(values: pa.Array) -> NDArray[np.bool_]:
    limit = pa.scalar(10**values.type.precision - 1, pa.decimal128(values.type.precision, 0))
    limit = limit.cast(pa.decimal128(values.type.precision, 0))
    whole = pa.Array.from_buffers(
        pa.decimal128(values.type.precision, 0), len(values), [None, values.buffers()[1]]
    )
    inside = pc.and_(pc.less_equal(whole, limit), pc.greater_equal(whole, pc.negate(limit)))
    return inside.to_numpy(zero_copy_only=False)
