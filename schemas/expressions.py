"""Row expressions: SQL over the columns of one batch, checked when the plan is made.

DuckDB is parser, binder and evaluator (docs/decisions/0001-expression-engine.md). The text is
parsed into DuckDB's own syntax tree, which is checked node by node against a list of what is
allowed; what runs is the tree written out again, so that no comment, bracket or semicolon of the
text survives. An expression is a function of its row alone: the same in any batch, at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import duckdb
import pyarrow as pa

from schemas.errors import Problem, SpecError
from schemas.functions import Functions
from schemas.sql_engine import BATCH, connect
from schemas.sql_tree import Node, Refusal, Resolver, alike, is_text, parse, render, shown
from schemas.sql_types import lake_type, quote

_T = TypeVar("_T")


class Place(NamedTuple):
    """Where an expression is written."""

    file: Path
    line: int


@dataclass(frozen=True, kw_only=True)
class Expression:
    """A checked row expression; build with `check`.

    Attributes:
        text: As a person wrote it.
        sql: What runs: DuckDB SQL over the columns of a relation, of type `type`; the quoted name
            alone where the expression is a column.
        type: Arrow type of the result.
        columns: Names of the batch columns that it reads, in schema order.
        shown: Those of them whose values are in its result, not only a yes or no about them.
    """

    text: str
    sql: str
    type: pa.DataType
    columns: tuple[str, ...]
    shown: frozenset[str] = frozenset()


def check(
    text: str, schema: pa.Schema, *, place: Place, expect: pa.DataType | None = None
) -> Expression:
    """Check one row expression against the columns of a batch.

    `a.b` names the batch column `a.b` if there is one, else field `b` of the struct column `a`.

    Args:
        text: SQL, in DuckDB's dialect.
        schema: Columns that the expression may read.
        place: File and line, for the error.
        expect: The type that the result must have, if only one will do.

    Returns:
        The expression, ready to run.

    Raises:
        SpecError: With one problem. Refused are unknown columns and functions, wrong types,
            aggregates, window functions, subqueries, functions that give another value at another
            time or read anything but the row, and anything that is not one expression.
    """
    try:
        return _checker().check(text, schema, expect)
    except Refusal as refusal:
        raise SpecError([Problem(place.file, place.line, str(refusal))]) from None


class Call(NamedTuple):
    """A function call at the top of an expression: its name, small, and its arguments as SQL."""

    function: str
    arguments: tuple[str, ...]


def call_of(text: str, *, place: Place) -> Call:
    """Take a measure apart: `sum(a + b)` is `sum` of `(a + b)`.

    Args:
        text: SQL; `count(*)` has no arguments.
        place: File and line, for the error.

    Raises:
        SpecError: The text is anything else than one plain call.
    """
    try:
        return _checker().call(text)
    except Refusal as refusal:
        raise SpecError([Problem(place.file, place.line, str(refusal))]) from None


@cache
def _checker() -> _Checker:
    return _Checker()


class _Checker:
    """One closed connection and its catalog of functions."""

    def __init__(self) -> None:
        self._connection = connect()
        self._functions = Functions(self._connection)
        self._lock = Lock()

    def check(self, text: str, schema: pa.Schema, expect: pa.DataType | None) -> Expression:
        with self._lock:
            return self._guarded(lambda: self._check(text, schema, expect))

    def _guarded(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except RecursionError:
            msg = "expression must be simpler; got one nested too deep; split it into steps"
            raise Refusal(msg) from None
        except duckdb.Error as error:
            raise Refusal(_explain(error)) from None

    def call(self, text: str) -> Call:
        with self._lock:
            node = self._guarded(lambda: parse(self._connection, text))
            plain = node["class"] == "FUNCTION" and not node["is_operator"] and not node["schema"]
            if not plain or node["filter"] or node["distinct"] or node["order_bys"]["orders"]:
                msg = (
                    f"measure must be one plain function call; got `{text[:60]}`; "
                    "write for example sum(amount)"
                )
                raise Refusal(msg)
            name = node["function_name"].lower()
            arguments = [a["expression"] for a in node["arguments"]]
            written = self._guarded(lambda: [render(self._connection, a) for a in arguments])
            return Call("count" if name == "count_star" else name, tuple(written))

    def _check(self, text: str, schema: pa.Schema, expect: pa.DataType | None) -> Expression:
        resolver = Resolver(schema, self._functions)
        tree = resolver.resolve(parse(self._connection, text))
        columns = tuple(name for name in schema.names if name in resolver.columns)
        self._register(schema, columns)
        for group in alike(tree):
            self._check_alike(group)
        sql = render(self._connection, tree)
        found = self._type(sql)
        known = lake_type(found, expect)
        if known is None:
            msg = (
                f"expression must give a type that a table can hold; got {found}; "
                "CAST it to BIGINT, DOUBLE, DECIMAL, VARCHAR or TIMESTAMPTZ"
            )
            raise Refusal(msg)
        if expect is not None and known[0] != expect:
            msg = f"expression must give {expect}; got {known[0]}; compare or CAST it"
            raise Refusal(msg)
        if str(found) != known[1]:
            sql = f"CAST({sql} AS {known[1]})"
        elif tree["class"] == "COLUMN_REF":
            sql = quote(columns[0])
        if not columns:
            # A constant that cannot be computed would refuse every row.
            self._connection.sql(f"SELECT {sql}").fetchall()
        values = frozenset(shown(tree).intersection(columns))
        return Expression(text=text, sql=sql, type=known[0], columns=columns, shown=values)

    def _register(self, schema: pa.Schema, columns: tuple[str, ...]) -> None:
        seen: dict[str, str] = {}
        for name in columns:
            if (other := seen.setdefault(name.casefold(), name)) != name:
                msg = (
                    "columns of an expression must differ by more than case; "
                    f"got {other} and {name}; rename one"
                )
                raise Refusal(msg)
        fields = [schema.field(name) for name in columns] or [pa.field("_", pa.int8())]
        self._connection.register(BATCH, pa.schema(fields).empty_table())

    def _type(self, sql: str) -> Any:
        # The text was written by DuckDB from a checked tree.
        return self._connection.sql(f"SELECT {sql} FROM {BATCH}").types[0]  # noqa: S608

    def _check_alike(self, group: list[Node]) -> None:
        """Refuse text beside numbers: DuckDB would convert each value, and fail on some rows."""
        texts = [node for node in group if is_text(node)]
        others = [node for node in group if not is_text(node)]
        types = list(self._types(others))
        wanted = next((k for k in types if str(k) != "VARCHAR" and k.id != "null"), None)
        if wanted is None or wanted.id in ("list", "struct", "array", "map"):
            return
        if any(str(kind) == "VARCHAR" for kind in types):
            msg = (
                "values that are compared or chosen between must be of one type; "
                f"got VARCHAR and {wanted}; CAST one of them"
            )
            raise Refusal(msg)
        for node in texts:
            literal = render(self._connection, node)[1:-1]
            try:
                self._connection.sql(f"SELECT CAST({literal} AS {wanted})").fetchall()
            except duckdb.Error:
                msg = (
                    "values that are compared or chosen between must be of one type; "
                    f"got {literal} beside {wanted}; write it as {wanted}, or CAST the other"
                )
                raise Refusal(msg) from None

    def _types(self, nodes: list[Node]) -> Iterator[Any]:
        for node in nodes:
            try:
                yield self._type(render(self._connection, node))
            except duckdb.Error:
                continue  # the parameter of a lambda, or an error that the whole will show


def _explain(error: duckdb.Error) -> str:
    """Say in one line what DuckDB found."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = (lines or ["nothing that can be read"])[0].split(". You might need")[0]
    what = first.split(" Error: ", 1)[-1].rstrip(".!").removeprefix("No function matches ")
    if "given name and argument types" in first:
        call = what.split("argument types ", 1)[-1].strip("'")
        return f"expression must call functions with types they take; got {call}; CAST an argument"
    return f"expression must make sense to DuckDB; got: {what}; correct it"
