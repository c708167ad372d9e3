"""The syntax tree of a row expression: parsed by DuckDB, checked, written out again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import duckdb
import pyarrow as pa

from schemas.functions import CLOCK, Functions, names
from schemas.located import did_you_mean

Node = dict[str, Any]

MAX_LENGTH: Final = 10_000
"""Characters of an expression."""

MAX_BRACKETS: Final = 200
"""Brackets open at once: DuckDB's parser takes quadratic time in them (24 s for 5,000)."""

MAX_SIZE: Final = 10_000
"""Characters or items that a function may be told to make."""

# The memory limit does not hold for what these make of a number in a row (8 GB for 10^9 items).
_SIZED: Final = {
    "array_resize": (1,),
    "bitstring": (1,),
    "generate_series": (0, 1, 2),
    "list_resize": (1,),
    "lpad": (1,),
    "range": (0, 1, 2),
    "repeat": (1,),
    "rpad": (1,),
}
# As does a width in a form (`%1000000000d`).
_FORMED: Final = names("format printf")

_ALLOWED: Final = names(
    "BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA OPERATOR "
    "TYPE"
)
_REFUSED: Final = {
    "WINDOW": "a window function",
    "SUBQUERY": "a subquery",
    "STAR": "`*` or COLUMNS()",
    "PARAMETER": "a parameter",
    "DEFAULT": "DEFAULT",
    "POSITIONAL_REFERENCE": "a column by number",
}
_HINTS: Final = {
    "must be of one row": "aggregates belong under `aggregates`",
    "must give the same value at any time": "use a column of the row",
    "must read nothing but the row": "use `enrich` to look things up",
    "must be one that row expressions may call": "leave it out",
}


class Refusal(Exception):  # noqa: N818 - becomes a SpecError with file and line
    """Why an expression is refused: what must hold; got; what to do."""


def parse(connection: duckdb.DuckDBPyConnection, text: str) -> Node:
    """Return the tree of the one expression that the text is.

    Raises:
        Refusal: The text is too long, no SQL, or anything else than one expression.
        RecursionError: It is nested some hundred levels deep.
    """
    if len(text) > MAX_LENGTH:
        msg = f"expression must have at most {MAX_LENGTH:,} characters; got {len(text):,}; split it"
        raise Refusal(msg)
    if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text):
        msg = "expression must be Unicode text without NUL; got something else; retype it"
        raise Refusal(msg)
    if _brackets(text) > MAX_BRACKETS:
        must = f"expression must have at most {MAX_BRACKETS} brackets open at once"
        msg = f"{must}; got more; split it into steps"
        raise Refusal(msg)
    parsed = _serialize(connection, f"SELECT ({text}\n)")
    if parsed["error"]:
        msg = f"expression must be SQL; got `{_short(text)}`: {parsed['error_message']}; correct it"
        raise Refusal(msg.replace("\n", " "))
    if parsed["statements"][0].get("named_param_map"):
        msg = f"expression must name columns; got a parameter in `{_short(text)}`; write the column"
        raise Refusal(msg)
    # Whatever closes the bracket early shows in the statement around the expression.
    frame = _serialize(connection, "SELECT (1\n)")["statements"]
    statements = parsed["statements"]
    expressions = statements[0]["node"].pop("select_list", [])
    frame[0]["node"].pop("select_list")
    if statements != frame or len(expressions) != 1 or expressions[0]["alias"]:
        msg = f"expression must be one SQL expression; got `{_short(text)}`; write only that"
        raise Refusal(msg)
    node: Node = expressions[0]
    if node.get("function_name") == "row" and not node["arguments"]:
        msg = "expression must not be empty; got nothing; write one, or remove the key"
        raise Refusal(msg)
    return node


def _brackets(text: str) -> int:
    opened = most = 0
    for c in text:
        opened += (c in "([{") - (c in ")]}")
        most = max(most, opened)
    return most


def render(connection: duckdb.DuckDBPyConnection, node: Node) -> str:
    """Write a tree as SQL."""
    statement = _serialize(connection, "SELECT 1")
    statement["statements"][0]["node"]["select_list"] = [node]
    row = connection.execute(
        "SELECT json_deserialize_sql(CAST(? AS JSON))", [json.dumps(statement)]
    ).fetchall()[0]
    return "(" + str(row[0]).removeprefix("SELECT ") + ")"


def _serialize(connection: duckdb.DuckDBPyConnection, sql: str) -> Node:
    row = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0]
    loaded: Node = json.loads(row[0])
    return loaded


def alike(node: Node) -> Iterator[list[Node]]:
    """Yield the groups of expressions that SQL brings to one type: compared or chosen between."""
    match node["class"], node["type"]:
        case "COMPARISON", _:
            yield [node["left"], node["right"]]
        case "BETWEEN", _:
            yield [node["input"], node["lower"], node["upper"]]
        case "CASE", _:
            yield [check["then_expr"] for check in node["case_checks"]] + [node["else_expr"]]
        case "OPERATOR", "COMPARE_IN" | "COMPARE_NOT_IN" | "OPERATOR_COALESCE":
            yield node["children"]
    for child in _children(node):
        yield from alike(child)


def shown(node: Node) -> set[str]:
    """Return the columns of a resolved tree whose values, not only a yes or no, are in its result.

    `CASE WHEN a IS NULL THEN b ELSE 'c' END` shows `b`.
    """
    match node["class"], node["type"]:
        case "COLUMN_REF", _:
            return {".".join(node["column_names"])}
        case (("COMPARISON" | "BETWEEN" | "CONJUNCTION"), _):
            return set()
        case "OPERATOR", kind if kind.startswith(("COMPARE_", "OPERATOR_IS_", "OPERATOR_NOT")):
            return set()
        case "CASE", _:
            results = [check["then_expr"] for check in node["case_checks"]] + [node["else_expr"]]
            return set().union(*map(shown, results))
    return set().union(*map(shown, _children(node)))


def _children(value: Any) -> Iterator[Node]:
    """Yield the nearest nodes below a node."""
    for part in value.values() if isinstance(value, dict) else value:
        if isinstance(part, dict) and "class" in part:
            yield part
        elif isinstance(part, dict | list):
            yield from _children(part)


class Resolver:
    """Checks a tree and turns each name into a column of the batch.

    Attributes:
        columns: Names of the columns found so far.
    """

    def __init__(self, schema: pa.Schema, functions: Functions) -> None:
        """Resolve against these columns and functions."""
        self.columns: set[str] = set()
        self._schema = schema
        self._functions = functions

    def resolve(self, node: Node, bound: frozenset[str] = frozenset()) -> Node:
        """Return the tree with resolved columns; `bound` are the parameters of lambdas around it.

        Raises:
            Refusal: A node is not allowed, or a name is unknown.
        """
        kind = node["class"]
        if kind not in _ALLOWED or node["type"] == "GROUPING_FUNCTION":
            msg = f"expression must be of one row; got {_REFUSED.get(kind, kind)}; leave it out"
            raise Refusal(msg)
        if kind == "COLUMN_REF":
            path = node["column_names"]
            return node if path[0].casefold() in bound else self._column(path)
        if kind == "FUNCTION":
            self._check_call(node)
        if kind == "LAMBDA":
            return self._lambda(node, bound)
        return {key: self._part(part, bound) for key, part in node.items()}

    def _part(self, part: Any, bound: frozenset[str]) -> Any:
        if isinstance(part, list):
            return [self._part(one, bound) for one in part]
        if not isinstance(part, dict):
            return part
        if "class" in part:
            return self.resolve(part, bound)
        return {key: self._part(value, bound) for key, value in part.items()}

    def _lambda(self, node: Node, bound: frozenset[str]) -> Node:
        if node["syntax_type"] == "SINGLE_ARROW":
            msg = (
                "expression must write JSON access as a call and a lambda as `lambda x: ...`; "
                "got `->`; use json_extract(column, '$.key')"
            )
            raise Refusal(msg)
        left = node["lhs"]
        parameters = [left, *_children(left)] if left["class"] == "COLUMN_REF" else _children(left)
        own = {n["column_names"][0].casefold() for n in parameters if n["class"] == "COLUMN_REF"}
        return {**node, "expr": self.resolve(node["expr"], bound | own)}

    def _check_call(self, node: Node) -> None:
        name = node["function_name"].lower()
        shown = "count(*)" if name == "count_star" else name
        if node["schema"] or node["catalog"]:
            msg = (
                f"function must be called by its name alone; got {node['schema']}.{shown}; "
                f"write {shown}(...)"
            )
            raise Refusal(msg)
        if why := self._functions.why_not(name, len(node["arguments"])):
            if not re.fullmatch(r"\w+", name):  # operators are functions, too
                msg = f"operator {why}; got {shown}; write one such as + - * / % || = < >="
                raise Refusal(msg)
            hint = _HINTS.get(why) or did_you_mean(name, self._functions.allowed)
            msg = f"function {why}; got {shown}; {hint}"
            raise Refusal(msg)
        _check_sizes(name, [argument["expression"] for argument in node["arguments"]])
        extra = node["filter"] or node["distinct"] or node["order_bys"]["orders"]
        if extra or node["export_state"]:
            msg = f"function must be of one row; got {shown} with DISTINCT, FILTER or ORDER BY"
            raise Refusal(msg + "; leave that out")

    def _column(self, path: list[str]) -> Node:
        for size in range(len(path), 0, -1):
            column = self._known(".".join(path[:size]))
            if column is None:
                continue
            self.columns.add(column)
            node: Node = {**_COLUMN, "column_names": [column]}
            kind = self._schema.field(column).type
            for at, name in enumerate(path[size:], size):
                kind = _field(kind, name, path[:at])
                node = {**_EXTRACT, "children": [node, _text(name)]}
            return node
        written = ".".join(path)
        if len(path) == 1 and written.lower() in CLOCK:
            msg = f"function must give the same value at any time; got {written}; use a column"
            raise Refusal(msg)
        msg = f"expression must name columns of the row; got {written}; "
        raise Refusal(msg + did_you_mean(written, self._schema.names))

    def _known(self, name: str) -> str | None:
        if name in self._schema.names:
            return name
        same = [known for known in self._schema.names if known.casefold() == name.casefold()]
        return same[0] if len(same) == 1 else None


def _check_sizes(name: str, arguments: list[Node]) -> None:
    """Refuse sizes that come from a row."""
    for at in _SIZED.get(name, ()):
        node = arguments[at] if at < len(arguments) else _NUMBER
        literal = node["literal"]["text"] if node["class"] == "CONSTANT" else None
        if literal is None or not re.fullmatch("[0-9]+", literal) or int(literal) > MAX_SIZE:
            must = f"size that {name} makes must be a number up to {MAX_SIZE:,}, written out"
            msg = f"{must}; got another; write the number"
            raise Refusal(msg)
    if name in _FORMED and arguments and not is_text(arguments[0]):
        msg = f"form of {name} must be text, written out; got an expression; write the form"
        raise Refusal(msg)


def is_text(node: Node) -> bool:
    """Whether a node is text, written out."""
    return bool(node["class"] == "CONSTANT" and node["literal"]["kind"] == "STRING")


_NUMBER: Final[Node] = {"class": "CONSTANT", "literal": {"kind": "INTEGER", "text": "1"}}
_AT: Final[Node] = {"alias": "", "query_location": 0, "query_location_length": 0}
_COLUMN: Final[Node] = {"class": "COLUMN_REF", "type": "COLUMN_REF", **_AT}
_EXTRACT: Final[Node] = {"class": "OPERATOR", "type": "STRUCT_EXTRACT", **_AT}


def _text(value: str) -> Node:
    literal = {"kind": "STRING", "text": value}
    return {"class": "CONSTANT", "type": "VALUE_CONSTANT", **_AT, "literal": literal}


def _field(kind: pa.DataType, name: str, parents: list[str]) -> pa.DataType:
    parent = ".".join(parents)
    if not pa.types.is_struct(kind):
        hint = f"use json_extract_string({parent}, '$.{name}') if it is JSON text"
        msg = f"expression must name columns of the row; got {parent}.{name}; {hint}"
        raise Refusal(msg)
    fields = [kind.field(i) for i in range(kind.num_fields)]
    same = [field for field in fields if field.name.casefold() == name.casefold()]
    if not same:
        known = [f"{parent}.{field.name}" for field in fields]
        msg = f"expression must name fields of {parent}; got {parent}.{name}; "
        raise Refusal(msg + did_you_mean(f"{parent}.{name}", known))
    return same[0].type


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:50]}..."
