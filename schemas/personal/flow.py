"""Traces through the steps of a plan: what each column that a step makes is computed from."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from schemas.contract import Contract
from schemas.personal.traces import Level, Trace, Traces, origins, strongest
from schemas.plan import Step


def flow(contract: Contract, steps: tuple[Step, ...]) -> list[Traces]:
    """Return the traces before the first step and after each.

    A derived column has what the columns that its expression reads have; what only says yes or no
    about protected values, and not about clear ones, is free. What a lookup adds has what its key
    has, and is clear where the lookup's column is called as a classified property: it would bring
    back what was protected. What a function declares has what it sees; that it leaves the rest
    alone is not known here.
    """
    traces = [origins(contract)]
    for step in steps:
        made = _STEPS[step.kind](step, traces[-1], contract)
        stay = {name: t for name, t in traces[-1].items() if name not in made}
        traces.append(stay | {name: t for name, t in made.items() if t is not None})
    return traces


_Made = dict[str, Trace | None]
"""Of each column that a step makes or may change: its trace."""


def _nothing(_: Step, __: Traces, ___: Contract) -> _Made:
    return {}


def _derive(step: Step, traces: Traces, _: Contract) -> _Made:
    made: _Made = {}
    for name, expression in step.parameters["columns"].items():
        found = strongest(map(traces.get, expression.columns))
        if found is not None and found.level < Level.CLEAR:
            yes_or_no = pa.types.is_boolean(expression.type)
            found = None if yes_or_no else strongest(map(traces.get, sorted(expression.shown)))
        made[name] = found.through(step.id, name) if found else None
    return made


def _enrich(step: Step, traces: Traces, contract: Contract) -> _Made:
    classified = _classified_names(contract)
    key = strongest(map(traces.get, step.parameters["on"]))
    made: _Made = {}
    for name, added in step.parameters["add"].items():
        column = added["column"]
        path = classified.get(_folded(column)) or classified.get(_folded(name))
        hop = f"{step.parameters['table']}.{column} (called as {path})"
        back = Trace(level=Level.CLEAR, hops=(hop,)) if path else None
        found = strongest((back, key))
        made[name] = found.through(step.id, name) if found else None
    return made


def _python(step: Step, traces: Traces, _: Contract) -> _Made:
    found = seen(step, traces)
    declared = step.parameters["columns"] or ()
    return {name: found.through(step.id, name) if found else None for name in declared}


def seen(step: Step, traces: Traces) -> Trace | None:
    """Return the strongest trace of what a function sees."""
    return strongest(map(traces.get, step.parameters.get("reads", step.input.names)))


_STEPS: dict[str, Callable[[Step, Traces, Contract], _Made]] = {
    "deduplicate": _nothing,
    "filter": _nothing,
    "derive": _derive,
    "enrich": _enrich,
    "python": _python,
}


def _classified_names(contract: Contract) -> dict[str, str]:
    """Return the paths of classified properties by the last word of them, folded."""
    paths = [c.path.removesuffix("[]") for c in contract.leaves() if c.classification]
    return {_folded(path.rpartition(".")[2]): path for path in paths}


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").casefold()
