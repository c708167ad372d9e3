"""What differs between two plans, by what a person would name: a column, a step, a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

_ADDED: Final = "added"
_REMOVED: Final = "removed"
_CHANGED: Final = "changed"

_Things = dict[str, dict[str, Any]]
"""Name -> field -> value."""


class Change(NamedTuple):
    """One difference.

    Attributes:
        what: column, contract, source, stream, step, aggregate, table, sink, option or version.
        name: Which one.
        change: added, removed or changed.
        field: Of something that changed: which of its fields.
        before: Its value; None if it has none.
        after: The same.
    """

    what: str
    name: str
    change: str
    field: str = ""
    before: Any = None
    after: Any = None


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Compare two plans in their published form (`plan_json.to_json`).

    >>> changes({"sinks": {"lake": {}}}, {"sinks": {"lake": {}, "warehouse": {}}})
    [Change(what='sink', name='warehouse', change='added', field='', before=None, after=None)]
    """
    before, after = _things(old), _things(new)
    found = [one for what in after for one in _compared(what, before[what], after[what])]
    contract = [one for one in found if one.what in ("contract", "column")]
    hashes = tuple(plan.get("contract", {}).get("hash") for plan in (old, new))
    if hashes[0] != hashes[1] and not contract:
        found.insert(0, Change("contract", "rules, texts", _CHANGED))
    return found


def _compared(what: str, old: _Things, new: _Things) -> Iterator[Change]:
    for name in dict.fromkeys([*old, *new]):
        if name not in old:
            yield Change(what, name, _ADDED)
        elif name not in new:
            yield Change(what, name, _REMOVED)
        else:
            for field in dict.fromkeys([*old[name], *new[name]]):
                before, after = old[name].get(field), new[name].get(field)
                if before != after:
                    yield Change(what, name, _CHANGED, field, before, after)
    both = [name for name in old if name in new]
    if what == "step" and both != [name for name in new if name in old]:
        yield Change(what, "order", _CHANGED, "", both, [name for name in new if name in old])


def _things(plan: Mapping[str, Any]) -> dict[str, _Things]:
    contract = plan.get("contract", {})
    told = ("version", "event_time", "primary_key")
    return {
        "contract": {name: {"": contract[name]} for name in told if name in contract},
        "column": dict(_columns(contract.get("columns", ()))),
        "source": _each(plan.get("source")),
        "stream": _each(plan.get("stream")),
        "step": {
            step["id"]: {"kind": step["kind"], **_flat(step["parameters"])}
            for step in plan.get("steps", ())
        },
        "aggregate": {one["name"]: _aggregate(one) for one in plan.get("aggregates", ())},
        "table": {one["name"]: _table(one) for one in plan.get("tables", ())},
        "sink": {name: _flat(options) for name, options in plan.get("sinks", {}).items()},
        "option": _each(plan.get("options"))
        | {
            name: {"": plan[name]}
            for name in ("runner", "cloud", "out", "secret", "hash_partitions")
            if name in plan
        },
        "version": _each(plan.get("versions")),
    }


def _columns(columns: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for column in columns:
        fields = ("type", "required", "protect", "classification")
        yield column["path"], {name: column[name] for name in fields}
        yield from _columns(column["columns"])


def _aggregate(one: Mapping[str, Any]) -> dict[str, Any]:
    measures = {f"measure {m['name']}": _measure(m) for m in one["measures"]}
    window = {f"window.{name}": value for name, value in _flat(one["window"]).items()}
    return {"group_by": one["group_by"], "event_time": one["event_time"], **window, **measures}


def _measure(one: Mapping[str, Any]) -> str:
    quantile = "" if one["quantile"] is None else f", {one['quantile']}"
    return f"{one['function']}({one['argument'] or '*'}{quantile})"


def _table(one: Mapping[str, Any]) -> dict[str, Any]:
    columns = {
        f"column {f['name']}": f["type"] + ("" if f["nullable"] else ", never null")
        for f in one["schema"]
    }
    return {**columns, "partitioned by": one["partition_by"], "sorted by": one["sort_by"]}


def _each(value: Any) -> _Things:
    """Return each leaf of a value as a thing of its own."""
    return {name: {"": leaf} for name, leaf in _flat(value or {}).items()}


def _flat(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, part in value.items():
        if isinstance(part, Mapping) and "sql" in part:  # an expression
            out[before + name] = " ".join(part["text"].split())
        elif isinstance(part, Mapping):
            out |= _flat(part, f"{before}{name}.")
        else:
            out[before + name] = part
    return out
