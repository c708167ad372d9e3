"""Check every rule of the contract on every row, a column at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.contract import Column, Contract
from schemas.errors import UsageError
from transforms.rules import Check, check, item_rows

Rows = NDArray[np.int64]


class Checked(NamedTuple):
    """Each row of the batch is either in `rows` or named once in `numbers`.

    Attributes:
        rows: The rows that keep every refusing rule, in order, same schema.
        numbers: Numbers (in the batch) of the refused rows, ascending.
        rules: For each of them the kind of the first rule it breaks, in contract order.
        reasons: For each of them column and expected form of all rules that it breaks.
        warnings: `path: rule` -> number of rows that break a rule which only counts.
    """

    rows: pa.RecordBatch
    numbers: Rows
    rules: list[str]
    reasons: list[str]
    warnings: dict[str, int]


def validate(batch: pa.RecordBatch, contract: Contract) -> Checked:
    """Find the rows that break a rule of the contract.

    Checks `required` (a key of a nested object only where the object is there; the primary key and
    the event time always) and every Rule of top-level columns, struct fields, items of arrays and,
    through the path columns, declared keys of open objects. Null passes every rule but `required`.
    `unique` is not a rule of one row: see `transforms.deduplicate`.

    Args:
        batch: Contract columns and path columns, in any order among others.
        contract: What must hold.

    Raises:
        UsageError: When the batch lacks a column of the contract, or a rule has no meaning for its
            column's type.
    """
    checks, nodes = _compiled(contract)
    broken: dict[int, Rows] = {}
    for number, rows in _broken(batch, nodes):
        broken[number] = np.union1d(broken[number], rows) if number in broken else rows
    warnings = {
        f"{checks[number].path}: {checks[number].rule}": len(np.unique(rows))
        for number, rows in sorted(broken.items())
        if not checks[number].refuse
    }
    refusing = {number: rows for number, rows in broken.items() if checks[number].refuse}
    if not refusing:
        return Checked(batch, np.empty(0, np.int64), [], [], warnings)
    numbers, rules, reasons = _explain(refusing, checks)
    keep = np.ones(batch.num_rows, np.bool_)
    keep[numbers] = False
    return Checked(batch.filter(pa.array(keep)), numbers, rules, reasons, warnings)


@dataclass(frozen=True)
class _Node:
    """A column with something to check in or under it; numbers say the order of the contract."""

    column: str
    required: int | None = None
    tests: tuple[tuple[int, Check], ...] = ()
    fields: tuple[_Node, ...] = ()
    items: _Node | None = None
    paths: tuple[_Node, ...] = ()


@dataclass
class _Compiler:
    contract: Contract
    checks: list[Check] = field(default_factory=list)

    def node(self, column: Column, path: str, name: str, *, required: bool) -> _Node | None:
        there = Check(path, "required", "there and not null", refuse=True, test=None)
        number = self._add(there) if required else None
        tests = tuple(
            (self._add(c), c) for c in (check(column, rule, path) for rule in column.rules)
        )
        fields: list[_Node] = []
        paths: list[_Node] = []
        if column.open:
            paths = self._paths(column)
        else:
            for child in column.children:
                made = self.node(child, f"{path}.{child.name}", child.name, required=child.required)
                fields += [made] if made else []
        items = None
        if column.items is not None and pa.types.is_list(column.type):
            inner = column.items
            items = self.node(inner, f"{path}[]", "", required=inner.required)
        if number is None and not tests and not fields and not paths and items is None:
            return None
        return _Node(name, number, tests, tuple(fields), items, tuple(paths))

    def _paths(self, column: Column, *, certain: bool = True) -> list[_Node]:
        made: list[_Node] = []
        for child in column.children:
            if child.children:
                # Whether an optional object inside JSON text is there, a null leaf does not say.
                made += self._paths(child, certain=certain and child.required)
            elif leaf := self.node(
                child, child.path, child.path, required=child.required and certain
            ):
                made.append(leaf)
        return made

    def _add(self, made: Check) -> int:
        self.checks.append(made)
        return len(self.checks) - 1


@lru_cache(maxsize=8)
def _compiled(contract: Contract) -> tuple[tuple[Check, ...], tuple[_Node, ...]]:
    compiler = _Compiler(contract)
    nodes: list[_Node] = []
    for column in contract.columns:
        always = column.primary_key is not None or column.path == contract.event_time
        node = compiler.node(column, column.path, column.name, required=column.required or always)
        nodes += [node] if node else []
    return tuple(compiler.checks), tuple(nodes)


def _broken(batch: pa.RecordBatch, nodes: tuple[_Node, ...]) -> Iterator[tuple[int, Rows]]:
    for node in nodes:
        values = _column(batch, node.column)
        yield from _broken_values(node, values, None, None)
        for leaf in node.paths:
            present = values.is_valid() if values.null_count else None
            yield from _broken_values(leaf, _column(batch, leaf.column), None, present)


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    index = batch.schema.get_field_index(name)
    if index < 0:
        msg = (
            f"a batch to validate must hold the contract's columns; got none named {name!r}; "
            "decode the records by this contract first"
        )
        raise UsageError(msg)
    values = batch.column(index)
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _broken_values(
    node: _Node, values: pa.Array, rows: Rows | None, present: pa.BooleanArray | None
) -> Iterator[tuple[int, Rows]]:
    """Numbers of the checks that fail and the rows where they do.

    Args:
        node: What to check.
        values: Values of the column; `rows` are their rows, None where value i is of row i.
        rows: See `values`.
        present: Where the object around them is there; None if it is everywhere.
    """
    if node.required is not None and values.null_count:
        missing = values.is_null()
        if present is not None:
            missing = pc.and_(missing, present)
        yield from _failed(node.required, missing, rows)
    for number, made in node.tests:
        keeps = made.test(values) if made.test else None
        if keeps is not None and not pc.all(keeps, min_count=0).as_py():
            yield from _failed(number, pc.invert(pc.fill_null(keeps, fill_value=True)), rows)
    if node.fields:
        columns = values.flatten()
        inner = values.is_valid() if values.null_count else None
        for child in node.fields:
            index = values.type.get_field_index(child.column)
            yield from _broken_values(child, columns[index], rows, inner)
    if node.items is not None:
        of_items = item_rows(values)
        outer = of_items if rows is None else rows[of_items]
        yield from _broken_values(node.items, values.flatten(), outer, None)


def _failed(number: int, mask: pa.BooleanArray, rows: Rows | None) -> Iterator[tuple[int, Rows]]:
    places = np.flatnonzero(mask.to_numpy(zero_copy_only=False)).astype(np.int64)
    if len(places):
        yield number, places if rows is None else np.unique(rows[places])


def _explain(
    broken: dict[int, Rows], checks: tuple[Check, ...]
) -> tuple[Rows, list[str], list[str]]:
    """One rule and one reason for each broken row; rows that break the same share the text."""
    rows = np.concatenate(list(broken.values()))
    numbers = np.repeat(list(broken), [len(each) for each in broken.values()])
    order = np.lexsort((numbers, rows))
    rows, numbers = rows[order], numbers[order]
    unique, starts = np.unique(rows, return_index=True)
    texts: dict[tuple[int, ...], str] = {}
    rules: list[str] = []
    reasons: list[str] = []
    for each in np.split(numbers, starts[1:]):
        key: tuple[int, ...] = tuple(each.tolist())
        if key not in texts:
            texts[key] = "; ".join(_reason(checks[number]) for number in key)
        rules.append(checks[key[0]].rule)
        reasons.append(texts[key])
    return unique, rules, reasons


def _reason(made: Check) -> str:
    return f"{made.path} must be {made.expected} ({made.rule})"


def describe(contract: Contract) -> list[str]:
    """Return what `validate` checks, one line a check, in the order of the contract."""
    return [_reason(made) for made in _compiled(contract)[0]]
