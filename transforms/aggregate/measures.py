"""Accumulators of the measures: what a row adds, how two merge, what comes out.

Each measure is two or three Polars expressions over named accumulator columns, so that merging is
one group-by, in any order and cut. Integers and decimals are summed exactly (128 bits), doubles
to 1e-9 relative; deviations merge as (n, mean, M2) after Chan, Golub and LeVeque (1983).
Null arguments count for nothing; a measure over nulls alone is null (counts are 0).
"""

from __future__ import annotations

from typing import Final

import polars as pl

from schemas.plan import Measure
from transforms.aggregate.hyperloglog import best

TIME: Final = "~time"
"""Column of row inputs that holds the event time (int64 us)."""


def argument(i: int) -> str:
    """Column of row inputs that holds the argument of the i-th measure."""
    return f"~{i}"


def _names(i: int) -> tuple[str, str, str]:
    return f"~{i}a", f"~{i}b", f"~{i}c"


def add_rows(i: int, measure: Measure, dtype: pl.DataType | None) -> list[pl.Expr]:
    """Return the accumulators of a group of rows."""
    (a, b, c), x = _names(i), pl.col(argument(i))
    match measure.function:
        case "count":
            return [(pl.len() if measure.argument is None else x.count()).cast(pl.Int64).alias(a)]
        case "sum" | "avg":
            wide = x.cast(pl.Int128) if dtype is not None and dtype.is_integer() else x
            return [wide.sum().alias(a), x.count().cast(pl.Int64).alias(b)]
        case "stddev":
            y = x.cast(pl.Float64)
            m2 = (y - y.mean()).pow(2).sum()
            return [x.count().cast(pl.Int64).alias(a), y.mean().alias(b), m2.alias(c)]
        case "min" | "max":
            return [(x.min() if measure.function == "min" else x.max()).alias(a)]
        case "approx_count_distinct":
            return [best(argument(i)).alias(a)]
        case _:  # first, last
            time = pl.col(TIME).filter(x.is_not_null())
            edge = time.min() if measure.function == "first" else time.max()
            value = x.filter(x.is_not_null() & (pl.col(TIME) == edge)).min()
            return [edge.alias(a), value.alias(b)]


def merge(i: int, measure: Measure) -> list[pl.Expr]:
    """Return the accumulators of a group of accumulators."""
    a, b, c = _names(i)
    match measure.function:
        case "count":
            return [pl.col(a).sum()]
        case "sum" | "avg":
            return [pl.col(a).sum(), pl.col(b).sum()]
        case "stddev":
            n, mean = pl.col(a), pl.col(b).fill_null(0.0)
            total = n.sum()
            whole = (n * mean).sum() / total
            spread = pl.col(c).sum() + (n * (mean - whole).pow(2)).sum()
            return [total.alias(a), whole.fill_nan(None).alias(b), spread.fill_nan(None).alias(c)]
        case "min" | "max":
            return [pl.col(a).min() if measure.function == "min" else pl.col(a).max()]
        case "approx_count_distinct":
            flat = pl.col(a).explode().drop_nulls().sort()
            return [flat.filter((flat.shift(-1) // 64 != flat // 64).fill_null(value=True)).alias(a)]
        case _:
            edge = pl.col(a).min() if measure.function == "first" else pl.col(a).max()
            return [edge.alias(a), pl.col(b).filter(pl.col(a) == edge).min().alias(b)]


def result(i: int, measure: Measure) -> pl.Expr:
    """Return the measure's value from its accumulators (approx_count_distinct: the sketch)."""
    a, b, c = (pl.col(n) for n in _names(i))
    match measure.function:
        case "sum":
            out = pl.when(b > 0).then(a)
        case "avg":
            out = pl.when(b > 0).then(a.cast(pl.Float64) / b)
        case "stddev":
            out = pl.when(a > 1).then((c / (a - 1)).sqrt())
        case "first" | "last":
            out = b
        case _:
            out = a
    return out.alias(measure.name)
