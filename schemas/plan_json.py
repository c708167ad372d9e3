"""The published JSON form of a plan: what a run stores, and what everything outside reads."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa

from schemas.contract import Column
from schemas.expressions import Expression
from schemas.plan import Aggregate, FileSource, Plan, Step, Table
from schemas.references import public, references
from schemas.stream_source import StreamFace


def to_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain JSON values (`schemas/json_schema/plan.schema.json`).

    References stand as they were written: a plan holds no secret value. Durations are microseconds,
    types are Arrow's names.
    """
    return {
        "name": plan.name,
        "hash": plan.hash,
        "parts": dict(plan.parts),
        "runner": plan.runner,
        "mode": plan.mode,
        "cloud": plan.cloud,
        "folder": str(plan.folder),
        "out": str(plan.out),
        "contract": {
            "id": plan.contract.id,
            "name": plan.contract.name,
            "version": plan.contract.version,
            "hash": plan.contract.hash,
            "event_time": plan.contract.event_time,
            "primary_key": list(plan.contract.primary_key),
            "columns": [_column(column) for column in plan.contract.columns],
        },
        "source": _source(plan.source),
        "stream": _stream(plan.stream),
        "steps": [_step(step) for step in plan.steps],
        "aggregates": [_aggregate(aggregate) for aggregate in plan.aggregates],
        "tables": [_table(table) for table in plan.tables.values()],
        "released": [asdict(released) for released in plan.released],
        "sinks": plan.sinks,
        "hash_partitions": plan.hash_partitions,
        "secret": plan.secret,
        "options": plan.options,
        "versions": dict(plan.versions),
    }


def _schema(schema: pa.Schema) -> list[dict[str, Any]]:
    return [{"name": f.name, "type": str(f.type), "nullable": f.nullable} for f in schema]


def _column(column: Column) -> dict[str, Any]:
    return {
        "path": column.path,
        "type": str(column.type),
        "required": column.required,
        "protect": str(column.protect),
        "classification": column.classification,
        "columns": [_column(child) for child in column.children],
    }


def _source(source: FileSource) -> dict[str, Any]:
    shown = replace(source, path=public(source.path))
    return {key: _plain(value) for key, value in asdict(shown).items()}


def _stream(stream: StreamFace | None) -> dict[str, Any] | None:
    if stream is None:
        return None
    ends = [[topic, number, end] for (topic, number), end in sorted(stream.kafka.ends.items())]
    plain = asdict(replace(stream, kafka=replace(stream.kafka, ends={})))
    plain["kafka"] |= {"ends": ends, "topics": list(stream.kafka.topics)}
    return plain


def _step(step: Step) -> dict[str, Any]:
    return {
        "id": step.id,
        "kind": step.kind,
        "parameters": _plain(step.parameters),
        "input": _schema(step.input),
        "output": _schema(step.output),
        "taint": sorted(step.taint),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Expression):
        return {
            "text": value.text,
            "sql": value.sql,
            "type": str(value.type),
            "columns": list(value.columns),
        }
    if isinstance(value, FileSource):
        return _source(value)
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def _aggregate(aggregate: Aggregate) -> dict[str, Any]:
    return {
        "name": aggregate.name,
        "window": asdict(aggregate.window),
        "group_by": list(aggregate.group_by),
        "event_time": aggregate.event_time,
        "input": _schema(aggregate.input),
        "hash_key": aggregate.hash_key,
        "measures": [
            {
                "name": m.name,
                "function": m.function,
                "argument": m.argument,
                "argument_type": None if m.argument_type is None else str(m.argument_type),
                "type": str(m.type),
                "quantile": None if m.quantile is None else float(m.quantile),
            }
            for m in aggregate.measures
        ],
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "schema": _schema(table.schema),
        "partition_by": list(table.partition_by),
        "sort_by": list(table.sort_by),
        "key": list(table.key),
    }


def plan_references(plan: Plan) -> tuple[str, ...]:
    """Return the environment variables that a plan names: what its workers need of ours."""
    return references(json.dumps(to_json(plan)))
