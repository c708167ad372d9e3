"""Aggregates and their measures, typed against the rows that leave the last step."""

from __future__ import annotations

import hashlib
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
    "first",
    "last",
)
LATER: Final = ("approx_quantile",)
"""Part of the grammar, not yet of the engine."""

_TAKEN: Final = ("window_start", "window_end")


def plan_aggregate(
    spec: AggregateSpec, flow: Flow, contract: Contract, pipeline: str, problems: Noted
) -> Aggregate:
    """Check one aggregate; problems are noted."""
    read: set[str] = set()
    seen = set(_TAKEN)
    for i, name in enumerate(spec.group_by):
        at = (*spec.at, "group_by", i)
        _unique(name.replace(".", "_"), seen, at, problems)
        kind = flow.column(name, at, "a column or a path of an open object")
        if kind is None:
            continue
        read.add(name)
        if pa.types.is_nested(kind) or pa.types.is_floating(kind) or pa.types.is_binary(kind):
            must = f"`{dotted(at)}` must be text, integer, decimal, boolean, date or time"
            hint = f"got {quoted(name)}, {kind}; derive a class of it first"
            problems.add(at, f"{must}; {hint}")
    measures = []
    for name, text in spec.measures.items():
        at = (*spec.at, "measures", name)
        _unique(name, seen, at, problems)
        measure = _measure(name, text, at, flow, problems, read)
        if measure is not None:
            measures.append(measure)
    return Aggregate(
        name=spec.name,
        window=spec.window,
        group_by=spec.group_by,
        measures=tuple(measures),
        input=pa.schema([field for field in flow.schema if field.name in read]),
        event_time=contract.event_time_column,
        hash_key=_hash_key(pipeline),
    )


def _unique(name: str, seen: set[str], at: NodePath, problems: Noted) -> None:
    if name.casefold() in seen:
        must = f"`{dotted(at)}` must make a column of its own; got {quoted(name)}"
        problems.add(at, f"{must}, which is taken; choose another name")
    seen.add(name.casefold())


def _measure(
    name: str, text: str, at: NodePath, flow: Flow, problems: Noted, read: set[str]
) -> Measure | None:
    place = Place(problems.located.file, problems.located.line(at))
    try:
        call = call_of(text, place=place)
    except SpecError as error:
        problems.take(at, error)
        return None
    must = _wrong_call(call)
    if must:
        problems.add(at, f"`{dotted(at)}`: {must}")
        return None
    if not call.arguments:
        return Measure(
            name=name, function="count", argument=None, argument_type=None, type=pa.int64()
        )
    expression = flow.expression(call.arguments[0], at)
    if expression is None:
        return None
    read.update(expression.columns)
    result = _result(call.function, expression.type)
    if result is None:
        got = f"got {call.function} of {expression.type}"
        problems.add(
            at, f"`{dotted(at)}`: measure must have a meaning; {got}; CAST or choose another"
        )
        return None
    return Measure(
        name=name,
        function=call.function,
        argument=expression.sql,
        argument_type=expression.type,
        type=result,
    )


def _wrong_call(call: Call) -> str | None:
    known = (*FUNCTIONS, *LATER)
    if call.function not in known:
        return (
            f"measure must be one of {', '.join(known)}; got {call.function}; "
            f"{did_you_mean(call.function, known)}"
        )
    wanted = 2 if call.function in LATER else 1
    if len(call.arguments) != wanted and (call.arguments or call.function != "count"):
        return (
            f"{call.function} must have {wanted} argument{'s' * (wanted > 1)}; "
            f"got {len(call.arguments)}; correct it"
        )
    return None


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
