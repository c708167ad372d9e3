"""Reads a data contract: a file in the Open Data Contract Standard, v3.0 to v3.2.

`load_contract` checks shape (the published JSON Schema), then meaning, and says everything that is
wrong at once. Words of the standard that describe (team, servers, tags, examples ...) are left in
the file; words that demand something of a row are honoured or are a problem. Ours, where the
standard has none, are custom properties `penstock:...`:

| on | property | value |
|---|---|---|
| schema object | `penstock:eventTime` | path of the timestamp that is the event time |
| schema object | `penstock:release` | places that classified data may reach in clear, and why |
| schema object, property | `penstock:onChange` | what meets a change: `schemas.contract.OnChange` |
| property | `penstock:mayLack` | files may be without it: null |
| property | `penstock:open` | an object whose undeclared keys stay |
| property | `penstock:protect` | pseudonymize, mask, generalize, drop, keep |
| property | `penstock:protectOptions` | see `schemas.protection` |
| property | `penstock:reason` | why; needed to keep what is classified |
| property, quality check | `penstock:onFailure` | refuse (default) or warn |

What is protected by default: `schemas.contract_protection`. Patterns are searched for in the text,
as in JSON Schema; anchor them with `^` and `$`.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from open_data_contract_standard.model import OpenDataContractStandard, SchemaObject
from pydantic import ValidationError

from schemas.contract import Column, Contract, Promise, Protection, Release
from schemas.contract_columns import ColumnReader, mode_of, not_lacking, struct_type
from schemas.contract_custom import ours
from schemas.contract_rules import runs, unsupported
from schemas.contract_transforms import check_transforms
from schemas.located import Located, NodePath, Problems, did_you_mean, load, quoted
from schemas.structure import check_structure, published


def load_contract(path: Path, *, name: str | None = None) -> Contract:
    """Read and check a contract.

    Args:
        path: The file; named in errors as it is given here.
        name: Which schema object, where the contract has several.

    Returns:
        The contract. A column that is the event time is `required`.

    Raises:
        SpecError: With every problem of the file: line, what must hold, what was found.
    """
    return read_contract(load(path), name=name)


def read_contract(located: Located, *, name: str | None = None) -> Contract:
    """Check a contract that is already loaded; see `load_contract`."""
    problems = Problems(located)
    broken = check_structure(problems, published("contract"))
    if problems.full:  # not every broken node is known
        problems.raise_all()
    model, stubs = _model(located.value, broken, problems)
    chosen = _choose(model, name, problems) if model else None
    if model is None or chosen is None:
        problems.raise_all()
        raise AssertionError  # _choose and _model say why
    schema, node = chosen
    reader = ColumnReader(problems, stubs)
    columns = reader.read(schema.properties or (), (*node, "properties"))
    columns = _keyed(columns, schema, reader, problems)
    for i, check in enumerate(schema.quality or ()):
        if runs(check):
            problems.add((*node, "quality", i), unsupported("a quality check of a schema object"))
    custom = ours(schema.customProperties, node, problems)
    event_time = custom.get("eventTime")
    if event_time is not None:
        columns = _with_event_time(columns, str(event_time), node, reader)
    contract = Contract(
        id=model.id or "",
        name=model.name or schema.name or "",
        version=model.version or "",
        file=located.file,
        columns=columns,
        event_time=event_time,
        primary_key=_primary_key(columns),
        hash="",
        releases=_releases(custom.get("release", ()), schema, node, problems),
        on_change=mode_of(custom.get("onChange")),
        description=schema.description or (model.description and model.description.purpose) or "",
        purpose=(model.description and model.description.purpose) or "",
        usage=(model.description and model.description.usage) or "",
        limitations=(model.description and model.description.limitations) or "",
        promises=tuple(_promises(model)),
        whereabouts=tuple(s.description for s in model.servers or () if s.description),
    )
    if not stubs:  # else types may be missing, and every expression would be wrong
        check_transforms(contract, reader.nodes, problems)
    problems.raise_all()
    return replace(contract, hash=meaning(contract))


def meaning(contract: Contract) -> str:
    """Hash what a contract demands: SHA-256 (hex) of its columns, key and event time.

    Names of the contract, versions, descriptions, reasons and whatever else only describes do not
    count, nor does the order of keys or rules; the order of columns does.
    """

    def column(c: Column) -> dict[str, Any]:
        rules = [[rule.kind, rule.value, rule.refuse] for rule in c.rules]
        return {
            "name": c.name,
            "type": str(c.type),
            "logical": c.logical,
            "required": c.required,
            "unique": c.unique,
            "primary_key": c.primary_key,
            "classified": c.classification is not None,
            "protect": [c.protect, sorted(c.protect_options)],
            "rules": sorted(rules, key=lambda rule: json.dumps(rule, sort_keys=True)),
            "open": c.open,
            "children": [column(child) for child in c.children],
            "items": column(c.items) if c.items else None,
            "formats": c.formats,
            "timezone": c.timezone,
            "transform": c.transform,
            **({"physical": c.physical} if c.physical is not None else {}),
            **({"on_change": c.on_change} if c.on_change is not None else {}),
            **({"may_lack": True} if c.may_lack else {}),
        }

    whole = {
        "columns": [column(c) for c in contract.columns],
        "event_time": contract.event_time,
        "primary_key": contract.primary_key,
        **({"on_change": contract.on_change} if contract.on_change is not None else {}),
    }
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _model(
    value: dict[str, Any], broken: list[NodePath], problems: Problems
) -> tuple[OpenDataContractStandard | None, frozenset[NodePath]]:
    """Read the file into the standard's model without the nodes whose shape is wrong.

    So the rest can be checked too. Also returned: the properties that were touched.
    """
    value, stubs = copy.deepcopy(value), set[NodePath]()
    for path in sorted(broken, key=len, reverse=True):
        _prune(value, path)
        stubs.update(path[:n] for n in range(len(path) + 1) if _is_property(path[:n]))
    try:
        return OpenDataContractStandard.model_validate(value), frozenset(stubs)
    except ValidationError as error:
        for inner in error.errors(include_url=False, include_input=False):
            message = (
                f"the contract must fit the standard; got an error: {inner['msg']}; correct it"
            )
            problems.add(inner["loc"], message)
        return None, frozenset()


def _is_property(path: NodePath) -> bool:
    return len(path) > 3 and (
        path[-1] == "items" or (isinstance(path[-1], int) and path[-2] == "properties")
    )


def _prune(value: Any, path: NodePath) -> None:
    """Remove a node; an entry of a list becomes empty instead: the others keep their place."""
    if not path:
        return
    for part in path[:-1]:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return
    last = path[-1]
    if isinstance(value, dict):
        value.pop(last, None)
    elif isinstance(value, list) and isinstance(last, int) and last < len(value):
        old = value[last]
        name = old.get("name") if isinstance(old, dict) else None
        value[last] = {"name": name} if isinstance(name, str) else {}


def _choose(
    model: OpenDataContractStandard, name: str | None, problems: Problems
) -> tuple[SchemaObject, NodePath] | None:
    schemas = model.schema_ or []
    names = [schema.name or "" for schema in schemas]
    if name is None and len(schemas) == 1:
        return schemas[0], ("schema", 0)
    if name is not None and names.count(name) == 1:
        index = names.index(name)
        return schemas[index], ("schema", index)
    if name is not None:
        hint = did_you_mean(name, names) or "correct the name"
        problems.add(("schema",), f"the contract must have one schema {quoted(name)}; {hint}")
    elif schemas:
        got = ", ".join(names)
        problems.add(
            ("schema",), f"the contract must have one schema; got {got}; choose one by name"
        )
    elif not problems:
        problems.add(("schema",), "the contract must have a schema; got none; add one")
    return None


def _keyed(
    columns: tuple[Column, ...], schema: SchemaObject, reader: ColumnReader, problems: Problems
) -> tuple[Column, ...]:
    """Number the columns of the primary key: by position where it is given, else in file order."""
    properties = schema.properties or []
    given: dict[str, int] = {}
    keys = [i for i, column in enumerate(columns) if column.primary_key]
    for i in keys:
        position = properties[i].primaryKeyPosition
        if position is not None and position != -1:
            given[columns[i].name] = position
    if given and (
        len(given) < len(keys) or sorted(given.values()) != list(range(1, len(keys) + 1))
    ):
        for i in keys:
            node = (*reader.nodes[columns[i].path], "primaryKeyPosition")
            got = given.get(columns[i].name, "none")
            problems.add(
                node,
                f"positions of the primary key must be 1 to {len(keys)}, each once; "
                f"got {got} for `{columns[i].path}`; number them all, or none",
            )
        return columns
    order = {columns[i].name: n for n, i in enumerate(keys, start=1)} | given
    return tuple(
        replace(column, primary_key=order[column.name]) if column.primary_key else column
        for column in columns
    )


def _primary_key(columns: tuple[Column, ...]) -> tuple[str, ...]:
    keys = [(column.primary_key, column.name) for column in columns if column.primary_key]
    return tuple(name for _, name in sorted(keys))


def _with_event_time(
    columns: tuple[Column, ...], path: str, node: NodePath, reader: ColumnReader
) -> tuple[Column, ...]:
    """Check the event time and make its column required: a row without one has no place in time."""
    at, problems = (*node, "customProperties"), reader.problems
    found, outer = _find(columns, path)
    if found is None:
        paths = [c.path for c in _leaves(columns) if c.logical == "timestamp"]
        hint = did_you_mean(path, paths) or "declare a timestamp"
        must = "penstock:eventTime must be the path of a property"
        problems.add(at, f"{must}; got {quoted(path)}; {hint}")
        return columns
    if found.logical != "timestamp":
        must = "the event time must be a timestamp"
        advice = "compute one with transformLogic" if found.logical == "date" else "choose another"
        problems.add(at, f"{must}; got `{path}`, {found.logical}; {advice}")
    if any(c.protect is not Protection.KEEP for c in (found, *outer)):
        must = "the event time must be kept, since windows and keys need it"
        problems.add(
            at,
            f"{must}; got `{path}`, which is protected; set penstock:protect: keep with a reason",
        )
    for column in (found, *outer):
        if column.may_lack and not column.required:
            problems.add(reader.nodes[column.path], not_lacking(column, "the event time"))
    return _required(columns, path)


def _releases(
    entries: Sequence[Mapping[str, str]], schema: SchemaObject, node: NodePath, problems: Problems
) -> tuple[Release, ...]:
    """Return the releases with their lines; whether their places are there is the plan's to say."""
    names = [entry.property for entry in schema.customProperties or ()]
    if "penstock:release" not in names:
        return ()
    at = (*node, "customProperties", names.index("penstock:release"), "value")
    found: dict[str, Release] = {}
    for i, entry in enumerate(entries or ()):
        if entry.keys() != {"place", "reason"}:
            continue  # its shape is wrong, which is told
        place = entry["place"]
        if place in found:
            message = f"a place must be released once; got {quoted(place)} again; remove one"
            problems.add((*at, i), message)
        line = problems.located.line((*at, i))
        found[place] = Release(place=place, reason=entry["reason"], line=line)
    return tuple(found.values())


def _promises(model: OpenDataContractStandard) -> Iterator[Promise]:
    for sla in model.slaProperties or ():
        if sla.property and sla.value is not None:
            value = " ".join(str(part) for part in (sla.value, sla.unit) if part is not None)
            yield Promise(name=sla.property, value=value, element=sla.element or "")


def _find(columns: tuple[Column, ...], path: str) -> tuple[Column | None, list[Column]]:
    outer: list[Column] = []
    while True:
        here = next((c for c in columns if c.path == path or path.startswith(f"{c.path}.")), None)
        if here is None or here.path == path:
            return here, outer
        outer.append(here)
        columns = here.children


def _leaves(columns: tuple[Column, ...]) -> list[Column]:
    return [leaf for c in columns for leaf in (_leaves(c.children) if c.children else [c])]


def _required(columns: tuple[Column, ...], path: str) -> tuple[Column, ...]:
    """Mark the column of that path as required, in the types of closed objects around it too."""
    return tuple(_required_in(column, path) for column in columns)


def _required_in(column: Column, path: str) -> Column:
    if column.path == path:
        return replace(column, required=True)
    if not path.startswith(f"{column.path}."):
        return column
    children = _required(column.children, path)
    kind = column.type if column.open else struct_type(children)
    return replace(column, children=children, type=kind)
