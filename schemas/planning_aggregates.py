"""Aggregates and their measures, typed against the rows that leave the last step."""

from __future__ import annotations

import hashlib
from decimal import Decimal, InvalidOperation
from typing import Final

import pyarrow as pa

from schemas.contract import Contract
from schemas.errors import SpecError
from schemas.expressions import Call, Place, call_of
from schemas.located import NodePath, did_you_mean, dotted, quoted
from schemas.noted import Noted
from schemas.pipeline_file import AggregateSpec
from schemas.plan import Aggregate, Measure
from schemas.planning_steps import Flow

FUNCTIONS: Final = (
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "stddev",
    "approx_count_distinct",
    "approx_quantile",
    "first",
    "last",
)
_INSTEAD: Final = {
    "median": "approx_quantile(x, 0.5)",
    "quantile": "approx_quantile(x, 0.5)",
    "percentile": "approx_quantile(x, 0.5)",
    "average": "avg(x)",
    "mean": "avg(x)",
}
"""What others call a function, and how it is written here."""
_QUANTILE_DIGITS: Final = 9

_TAKEN: Final = ("window_start", "window_end")


def plan_aggregate(
    spec: AggregateSpec, flow: Flow, *, contract: Contract, pipeline: str, problems: Noted
) -> Aggregate:
    """Check one aggregate; problems are noted."""
    reader = _Reader(flow, problems)
    reader.groups(spec)
    measures = [
        reader.measure(name, text, (*spec.at, "measures", name))
        for name, text in spec.measures.items()
    ]
    return Aggregate(
        name=spec.name,
        window=spec.window,
        group_by=tuple(name for name in spec.group_by if name in reader.read),
        measures=tuple(measure for measure in measures if measure is not None),
        input=pa.schema([field for field in flow.schema if field.name in reader.read]),
        event_time=contract.event_time_column,
        hash_key=_hash_key(pipeline),
    )


class _Reader:
    """Checks the columns of one aggregate; `read` are the names that it reads."""

    def __init__(self, flow: Flow, problems: Noted) -> None:
        self.read: set[str] = set()
        self._flow, self._problems = flow, problems
        self._taken = set(_TAKEN)

    def groups(self, spec: AggregateSpec) -> None:
        for i, name in enumerate(spec.group_by):
            at = (*spec.at, "group_by", i)
            self._take(name.replace(".", "_"), at)
            kind = self._flow.column(name, at, "a column or a path of an open object")
            if kind is None:
                continue
            self.read.add(name)
            if pa.types.is_nested(kind) or pa.types.is_floating(kind) or pa.types.is_binary(kind):
                must = f"`{dotted(at)}` must be text, integer, decimal, boolean, date or time"
                hint = f"got {quoted(name)}, {kind}; derive a class of it first"
                self._problems.add(at, f"{must}; {hint}")

    def measure(self, name: str, text: str, at: NodePath) -> Measure | None:
        self._take(name, at)
        place = Place(self._problems.located.file, self._problems.located.line(at))
        try:
            call = call_of(text, place=place)
        except SpecError as error:
            self._problems.take(at, error)
            return None
        if must := _wrong_call(call):
            self._problems.add(at, f"`{dotted(at)}`: {must}")
            return None
        if not call.arguments:
            return Measure(
                name=name, function="count", argument=None, argument_type=None, type=pa.int64()
            )
        expression = self._flow.expression(call.arguments[0], at)
        if expression is None:
            return None
        self.read.update(expression.columns)
        result = _result(call.function, expression.type)
        if result is None:
            got = f"measure must have a meaning; got {call.function} of {expression.type}"
            self._problems.add(at, f"`{dotted(at)}`: {got}; CAST it or choose another")
            return None
        return Measure(
            name=name,
            function=call.function,
            argument=expression.sql,
            argument_type=expression.type,
            type=result,
            quantile=_quantile(call),
        )

    def _take(self, name: str, at: NodePath) -> None:
        if name.casefold() in self._taken:
            must = f"`{dotted(at)}` must make a column of its own; got {quoted(name)}"
            self._problems.add(at, f"{must}, which is taken; choose another name")
        self._taken.add(name.casefold())


def _wrong_call(call: Call) -> str | None:
    if call.function not in FUNCTIONS:
        instead = _INSTEAD.get(call.function)
        return (
            f"measure must be a function that aggregates have; got {call.function}; "
            f"{f'write {instead}' if instead else did_you_mean(call.function, FUNCTIONS)}"
        )
    wanted = 2 if call.function == "approx_quantile" else 1
    if len(call.arguments) != wanted and (call.arguments or call.function != "count"):
        return (
            f"{call.function} must have {wanted} argument{'s' * (wanted > 1)}; "
            f"got {len(call.arguments)}; correct it"
        )
    if wanted == 2 and _quantile(call) is None:
        return (
            "approx_quantile must have a quantile from 0 to 1, of at most "
            f"{_QUANTILE_DIGITS} digits, as its second argument; got {call.arguments[1]}; "
            "write for example 0.95"
        )
    return None


def _quantile(call: Call) -> Decimal | None:
    """Return the quantile that a call asks for; None: it asks for none, or wrongly."""
    if len(call.arguments) < 2:
        return None
    try:
        value = Decimal(call.arguments[1].strip("() "))
        fits = 0 <= value <= 1 and round(value, _QUANTILE_DIGITS) == value
    except InvalidOperation:
        return None
    return value if fits else None


def _result(function: str, kind: pa.DataType) -> pa.DataType | None:
    """Type of a measure, or None where it has no meaning."""
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if function in ("count", "approx_count_distinct"):
        return None if pa.types.is_nested(kind) and function != "count" else pa.int64()
    if function in ("avg", "stddev", "approx_quantile"):
        return pa.float64() if number else None
    if function == "sum":
        if pa.types.is_decimal(kind):
            return pa.decimal128(38, kind.scale)
        return kind if number else None
    if pa.types.is_nested(kind) or (pa.types.is_binary(kind) and function in ("min", "max")):
        return None
    return kind


def _hash_key(pipeline: str) -> int:
    """Key of approx_count_distinct: the same in every run, so that its registers merge."""
    digest = hashlib.sha256(f"penstock approx_count_distinct {pipeline}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
