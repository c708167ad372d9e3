"""Columns that are computed from the record's own: the standard's `transformLogic`."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from schemas.contract import Column, Contract, Protection
from schemas.errors import SpecError
from schemas.expressions import Place, check
from schemas.located import NodePath, Problems


def check_transforms(contract: Contract, nodes: Mapping[str, NodePath], problems: Problems) -> None:
    """Check the expressions of computed columns.

    They may name the top-level columns that are read from the record and the declared keys of open
    objects (`properties.amount`).

    Args:
        contract: Its columns.
        nodes: Where each column is in the file.
        problems: Where to add what is wrong: the expression itself, another type than the column's,
            or personal data in a column that says nothing about it.
    """
    computed = [column for column in contract.columns if not column.read]
    if not computed:
        return
    read = (column for column in contract.columns if column.read)
    readable = {column.path: column for column in (*read, *contract.path_columns())}
    schema = pa.schema([pa.field(c.path, c.type) for c in readable.values()])
    for column in computed:
        node = (*nodes[column.path], "transformLogic")
        place = Place(problems.located.file, problems.located.line(node))
        try:
            made = check(column.transform or "", schema, place=place, expect=column.type)
        except SpecError as error:
            for problem in error.problems:
                problems.add(node, f"transformLogic of `{column.path}`: {problem.message}")
            continue
        personal = [name for name in made.columns if _personal(readable[name])]
        silent = not column.classification and column.protect is Protection.KEEP
        if personal and silent and not column.protect_reason:
            problems.add(
                node,
                "a property computed from personal ones must be classified, protected, or kept "
                f"with a reason; got `{column.path}`, which reads `{personal[0]}`; "
                "add classification, or penstock:protect",
            )


def _personal(column: Column) -> bool:
    """Whether a column or anything in it is classified or protected."""
    inner = (*column.children, *((column.items,) if column.items else ()))
    protected = bool(column.classification) or column.protect is not Protection.KEEP
    return protected or any(_personal(child) for child in inner)
