"""What may be wrong with a record, on purpose: each fault is refused by one rule."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from schemas.contract import Column, Contract
from schemas.errors import UsageError
from schemas.plan import FileSource

_NOT_A_VALUE = "?"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing wrong.

    Attributes:
        kind: `cut` (the record ends early), `missing`, `type`, or a rule's kind.
        column: Which column it is in; empty for `cut`.
        value: What stands there instead.
    """

    kind: str
    column: str = ""
    value: Any = None


def faults_of(contract: Contract, form: str) -> list[Fault]:
    """Return what can be wrong with records of a contract, one fault for each column and kind.

    Raises:
        UsageError: The format has no place for what does not fit its types.
    """
    if form not in ("json", "csv"):
        msg = (
            f"broken records must be text; got {form}, whose values have types; "
            "generate json or csv, or leave --broken out"
        )
        raise UsageError(msg)
    made = [Fault(kind="cut")]
    for column in contract.columns:
        if column.read:
            made += _of_column(contract, column)
    return made


def _of_column(contract: Contract, column: Column) -> list[Fault]:
    name, made = column.name, []
    if column.required or name in (*contract.primary_key, contract.event_time):
        made.append(Fault(kind="missing", column=name))
    if not pa.types.is_string(column.type):
        made.append(Fault(kind="type", column=name, value=_NOT_A_VALUE))
    return made + [
        Fault(kind=rule.kind, column=name, value=value)
        for rule in column.rules
        if rule.refuse and (value := _breaking(column, rule.kind, rule.value)) is not None
    ]


def _breaking(column: Column, kind: str, value: Any) -> Any:
    """Return a value of the column's type that breaks a rule; None where none is at hand."""
    if pa.types.is_string(column.type):
        if kind in ("enum", "pattern", "format"):
            return "\N{REPLACEMENT CHARACTER}?!"
        if kind == "min_length" and int(value) > 0:
            return "x" * (int(value) - 1)
        return "x" * (int(value) + 1) if kind == "max_length" else None
    if pa.types.is_integer(column.type) and isinstance(value, int):
        bits = column.type.bit_width - 1
        low = kind in ("minimum", "exclusive_minimum")
        if not low and kind not in ("maximum", "exclusive_maximum"):
            return None
        beyond = value - (kind == "minimum") if low else value + (kind == "maximum")
        return beyond if -(2**bits) <= beyond < 2**bits else None
    return None


Breaker = Callable[[bytes, Fault], bytes]
"""Makes of a good line, with its line end, one that has the fault."""


def breaker(keys: dict[str, str], form: str, source: FileSource) -> Breaker:
    """Return what breaks lines of a format.

    Args:
        keys: Columns of a line, in order, each with its name in records.
        form: json or csv.
        source: How CSV is written.
    """
    if form == "json":
        return lambda line, fault: _break_json(line, fault, keys.get(fault.column, ""))
    names, delimiter = list(keys), source.delimiter

    def break_csv(line: bytes, fault: Fault) -> bytes:
        (cells,) = csv.reader([line.decode()], delimiter=delimiter)
        if fault.kind == "cut":
            # One field more: a line that ends early may be one of fewer, empty, columns.
            cells.append(_NOT_A_VALUE)
        else:
            cells[names.index(fault.column)] = _cell(fault.value, source.written.decimal)
        out = io.StringIO()
        csv.writer(out, delimiter=delimiter, lineterminator="\n").writerow(cells)
        return out.getvalue().encode()

    return break_csv


def _cell(value: object, decimal: str) -> str:
    if isinstance(value, float):
        return str(value).replace(".", decimal)
    return "" if value is None else str(value)


def _break_json(line: bytes, fault: Fault, key: str) -> bytes:
    if fault.kind == "cut":
        return line.rstrip()[:-1] + b"\n"
    record = orjson.loads(line)
    if fault.kind == "missing":
        del record[key]
    else:
        record[key] = fault.value
    return orjson.dumps(record) + b"\n"


def pick(faults: list[Fault], count: int, rng: np.random.Generator) -> list[Fault]:
    """Pick faults, each as likely as any other."""
    return [faults[at] for at in rng.integers(len(faults), size=count).tolist()]
