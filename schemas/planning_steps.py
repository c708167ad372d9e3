"""Types flow through the steps: what each reads, checked against what the ones before it make."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from schemas.contract import Contract, Protection
from schemas.durations import parse_duration
from schemas.errors import SpecError
from schemas.expressions import Expression, Place, check
from schemas.located import NodePath, did_you_mean, dotted, quoted
from schemas.names import TIMESTAMP
from schemas.noted import Noted
from schemas.pipeline_file import StepSpec, file_source
from schemas.plan import Step
from schemas.protection import protected_schema
from schemas.user_function import check_function, module_file

LOGICAL: Final = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": TIMESTAMP,
    "time": pa.time64("us"),
}
"""Arrow types of the logical types that a pipeline file may name."""


class Flow:
    """The columns of a batch as they are after the steps read so far.

    Attributes:
        schema: Contract, path and derived columns. New ones follow the last.
        protection: Of contract columns and paths, what was done to them.
    """

    def __init__(self, contract: Contract, problems: Noted, folder: Path) -> None:
        """Start with the columns that protection leaves."""
        self.schema = protected_schema(contract)
        columns = (*contract.columns, *contract.path_columns())
        self.protection = {column.path: column.protect for column in columns}
        self._contract, self._problems, self._folder = contract, problems, folder
        self._unknown: set[str] = set()
        self._deduplicated = False
        self._by: tuple[str, ...] = ()

    def step(self, spec: StepSpec) -> Step:
        """Check one step and go on with its columns; problems are noted."""
        before = self.schema
        parameters: dict[str, Any] = getattr(self, f"_{spec.kind}")(spec.body, spec.at)
        return Step(
            id=spec.id,
            kind=spec.kind,
            parameters=parameters,
            input=before,
            output=self.schema,
        )

    def expression(
        self, text: str, at: NodePath, expect: pa.DataType | None = None
    ) -> Expression | None:
        """Check a row expression; None, with a problem noted, if it is refused."""
        place = Place(self._problems.located.file, self._problems.located.line(at))
        try:
            return check(text, self.schema, place=place, expect=expect)
        except SpecError as error:
            # What reads a column that itself failed can only fail in its turn.
            if not self._unknown.intersection(re.findall(r"\w+", text)):
                self._problems.take(at, error)
            return None

    def column(self, name: str, at: NodePath, what: str) -> pa.DataType | None:
        """Return the type of a column that is named outright; None with a problem noted."""
        if name in self.schema.names:
            return self.schema.field(name).type
        if name in self._unknown:
            return None
        must = f"`{dotted(at)}` must name {what}; got {quoted(name)}"
        if self.protection.get(name) is Protection.DROP:
            self._problems.add(at, f"{must}, which the contract drops; name another")
        elif (first := name.partition(".")[0]) != name and first in self.schema.names:
            self._problems.add(
                at, f"{must}, a part of {quoted(first)}; derive a column of it first"
            )
        else:
            self._problems.add(at, f"{must}; {did_you_mean(name, self.schema.names)}")
        return None

    def _set(self, fields: Mapping[str, pa.DataType], at: NodePath, *, replaces: bool) -> None:
        """Add columns, or replace them where a step may."""
        known = {name.casefold(): name for name in self.schema.names}
        for name, kind in fields.items():
            other = known.get(name.casefold())
            here = (*at, name)
            if other is not None and (other != name or not replaces):
                must = f"`{dotted(at)}` must make columns of other names than the row has"
                self._problems.add(here, f"{must}; got {quoted(name)}; choose another name")
            elif other is not None and (why := self._fixed(name)):
                must = f"`{dotted(at)}` must leave {why} as it is; got {quoted(name)}"
                self._problems.add(here, f"{must}; choose another name")
            known[name.casefold()] = name
            field = pa.field(name, kind)
            at_index = self.schema.get_field_index(name)
            if at_index < 0:
                self.schema = self.schema.append(field)
            else:
                self.schema = self.schema.set(at_index, field)

    def _fixed(self, name: str) -> str | None:
        """Say why a contract column may not be replaced, or None."""
        if name == self._contract.event_time:
            return "the event time"
        if name in self._contract.primary_key:
            return "the primary key"
        if name in self._by:
            return "a column that the pipeline deduplicates by"
        if any(column.name == name and column.open for column in self._contract.columns):
            return "an open object"
        return None

    def _deduplicate(self, body: Mapping[str, Any], at: NodePath) -> dict[str, Any]:
        if self._deduplicated:
            must = "a pipeline must deduplicate once; got a second step"
            self._problems.add(at, f"{must}; name all columns in one `by`")
        self._deduplicated = True
        self._by = tuple(body["by"])
        for i, name in enumerate(body["by"]):
            here = (*at, "by", i)
            kind = self.column(name, here, "a column or a path of an open object")
            done = self.protection.get(name, Protection.KEEP)
            if kind is not None and done not in (Protection.KEEP, Protection.PSEUDONYMIZE):
                must = f"`{dotted(here)}` must be kept or pseudonymized; got {quoted(name)}"
                why = f"which the contract protects ({done})"
                self._problems.add(here, f"{must}, {why}; different rows would be duplicates")
            elif kind is not None and pa.types.is_nested(kind):
                must = f"`{dotted(here)}` must be a single value; got {quoted(name)}, {kind}"
                self._problems.add(here, f"{must}; derive a column of it first")
        wrong = self._problems.broken(*at, "horizon")
        return {
            "by": list(body["by"]),
            "horizon_us": 0 if wrong else parse_duration(body["horizon"]),
        }

    def _derive(self, body: Mapping[str, str], at: NodePath) -> dict[str, Any]:
        found = {name: self.expression(text, (*at, name)) for name, text in body.items()}
        columns = {name: e for name, e in found.items() if e is not None}
        self._unknown.update(body.keys() - columns.keys())
        self._set({name: e.type for name, e in columns.items()}, at, replaces=True)
        return {"columns": columns}

    def _filter(self, body: Mapping[str, str], at: NodePath) -> dict[str, Any]:
        return {"keep": self.expression(body["keep"], (*at, "keep"), pa.bool_())}

    def _enrich(self, body: Mapping[str, Any], at: NodePath) -> dict[str, Any]:
        for name in body["on"]:
            here = (*at, "on", name)
            kind = self.column(name, here, "a column of the row")
            done = self.protection.get(name)
            if kind is not None and done in (Protection.PSEUDONYMIZE, Protection.MASK):
                must = f"`{dotted(here)}` must have its clear value; got {quoted(name)}"
                self._problems.add(
                    here, f"{must}, which the contract protects ({done}); keep it, or name another"
                )
        add = _additions(body["add"])
        self._set(
            {name: LOGICAL[a["type"]] for name, a in add.items()}, (*at, "add"), replaces=False
        )
        return {
            "table": body["table"],
            "from": file_source(body["from"]["files"]),
            "on": dict(body["on"]),
            "add": add,
        }

    def _python(self, body: Mapping[str, Any], at: NodePath) -> dict[str, Any]:
        columns = body.get("columns")
        kinds = {name: LOGICAL[logical] for name, logical in (columns or {}).items()}
        self._set(kinds, (*at, "columns"), replaces=True)
        reads = body.get("reads")
        for i, name in enumerate(reads or ()):
            self.column(name, (*at, "reads", i), "a column of the row")
        code = module_file(body["call"], self._folder)
        wrong = check_function(body["call"], code) if code is not None else None
        if wrong is not None:
            here = (*at, "call")
            self._problems.add(here, f"`{dotted(here)}` {wrong}")
        # A changed function is a changed step; one that is installed is known by its name only.
        return {
            "call": body["call"],
            "columns": dict(columns) if columns is not None else None,
            **({"reads": list(reads)} if reads is not None else {}),
            "code": _digest(code) if code is not None and wrong is None else None,
        }


def _digest(code: Path) -> str:
    return hashlib.sha256(code.read_bytes()).hexdigest()


def _additions(add: Any) -> dict[str, dict[str, str]]:
    if isinstance(add, list):
        return {name: {"column": name, "type": "string"} for name in add}
    return {
        name: {"column": a, "type": "string"}
        if isinstance(a, str)
        else {"column": a["column"], "type": a.get("type", "string")}
        for name, a in add.items()
    }
