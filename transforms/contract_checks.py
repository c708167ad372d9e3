"""All checks of a contract as one tree over its columns, and the rows of a batch that fail them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.contract import Column, Contract
from schemas.errors import UsageError
from schemas.names import EVENT_TIME
from transforms.rules import Check, check, item_rows

Rows = NDArray[np.int64]
_THERE = "there and not null"


@dataclass(frozen=True)
class Node:
    """A column with something to check in or under it; numbers say the order of the contract."""

    column: str
    required: int | None = None
    tests: tuple[tuple[int, Check], ...] = ()
    fields: tuple[Node, ...] = ()
    items: Node | None = None
    paths: tuple[Node, ...] = ()


@dataclass
class _Compiler:
    checks: list[Check] = field(default_factory=list)

    def node(self, column: Column, path: str, name: str, *, required: bool) -> Node | None:
        there = Check(path, "required", _THERE, refuse=True, test=None)
        number = self.add(there) if required else None
        tests = tuple(
            (self.add(c), c) for c in (check(column, rule, path) for rule in column.rules)
        )
        fields: list[Node] = []
        paths: list[Node] = []
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
        if number is None and not (tests or fields or paths or items):
            return None
        return Node(name, number, tests, tuple(fields), items, tuple(paths))

    def _paths(self, column: Column, *, certain: bool = True) -> list[Node]:
        made: list[Node] = []
        for child in column.children:
            if child.children:
                # Whether an optional object inside JSON text is there, a null leaf does not say.
                made += self._paths(child, certain=certain and child.required)
            elif leaf := self.node(
                child, child.path, child.path, required=child.required and certain
            ):
                made.append(leaf)
        return made

    def add(self, made: Check) -> int:
        self.checks.append(made)
        return len(self.checks) - 1


@lru_cache(maxsize=8)
def compiled(contract: Contract) -> tuple[tuple[Check, ...], tuple[Node, ...]]:
    """Return the checks of a contract in its order, and the tree that runs them.

    Raises:
        UsageError: When a rule has no meaning for its column's type.
    """
    compiler = _Compiler()
    nodes: list[Node] = []
    for column in contract.columns:
        always = column.primary_key is not None or column.path == contract.event_time
        node = compiler.node(column, column.path, column.name, required=column.required or always)
        nodes += [node] if node else []
    if contract.event_time_column == EVENT_TIME:
        there = Check(f"{contract.event_time}", "required", _THERE, refuse=True, test=None)
        nodes.append(Node(EVENT_TIME, compiler.add(there)))
    return tuple(compiler.checks), tuple(nodes)


def broken(batch: pa.RecordBatch, nodes: tuple[Node, ...]) -> Iterator[tuple[int, Rows]]:
    """Yield numbers of the checks that fail with the rows (ascending) where they do.

    Raises:
        UsageError: When the batch lacks a column of the contract.
    """
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
    node: Node, values: pa.Array, rows: Rows | None, present: pa.BooleanArray | None
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
