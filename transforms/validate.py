"""Check every rule of the contract on every row, a column at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints.decorators import no_annotations
from numpy.typing import NDArray
from typing_extensions import override

from schemas.contract import Contract
from transforms.contract_checks import broken, compiled
from transforms.keys import DEFAULT_REFERENCE, resolve
from transforms.outcome import keep, refused
from transforms.row_records import row_records
from transforms.rules import Check
from transforms.sealing import seal

Rows = NDArray[np.int64]

WARNINGS: Final = pa.schema(
    [pa.field("rule", pa.string(), nullable=False), pa.field("rows", pa.int64(), nullable=False)]
)


class Checked(NamedTuple):
    """Each row of the batch is either in `rows` or named once in `numbers`.

    Attributes:
        rows: The rows that keep every refusing rule, in order, same schema.
        numbers: Numbers (in the batch) of the refused rows, ascending.
        rules: For each of them the kind of the first rule it breaks, in contract order.
        reasons: For each of them column and expected form of all rules that it breaks.
        warnings: Path and rule -> numbers of the rows that break a rule which only counts.
    """

    rows: pa.RecordBatch
    numbers: Rows
    rules: list[str]
    reasons: list[str]
    warnings: dict[tuple[str, str], Rows]


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
    checks, nodes = compiled(contract)
    found: dict[int, Rows] = {}
    for number, rows in broken(batch, nodes):
        found[number] = np.union1d(found[number], rows) if number in found else rows
    warnings: dict[tuple[str, str], Rows] = {}
    for number, rows in sorted(found.items()):
        if not checks[number].refuse:
            key = checks[number].path, checks[number].rule
            warnings[key] = np.union1d(warnings[key], rows) if key in warnings else rows
    refusing = {number: rows for number, rows in found.items() if checks[number].refuse}
    if not refusing:
        return Checked(batch, np.empty(0, np.int64), [], [], warnings)
    numbers, rules, reasons = _explain(refusing, checks)
    return Checked(keep(batch, numbers), numbers, rules, reasons, warnings)


class Validated(NamedTuple):
    """Every input row, in one of `rows` and `refused`; `warnings` counts beside them."""

    rows: PCollection[pa.RecordBatch]
    refused: PCollection[pa.RecordBatch]
    warnings: PCollection[pa.RecordBatch]


@dataclass(eq=False, kw_only=True)
class Validate(beam.PTransform[PCollection[pa.RecordBatch], Validated]):
    """Refuse the rows that break a rule of a contract.

    Input: batches with contract, path and position columns. Output: `rows` unchanged but for the
    refused ones; `refused` (`schemas.names.REFUSED`, the record being the row written as JSON,
    sealed if the contract has personal data); `warnings` (schema WARNINGS, one row a batch and
    broken rule that only counts). No state; order, windows and timestamps stay.

    Attributes:
        contract: What must hold.
        step: Id of the step, written into `refused`.
        secret: Reference of the keys that seal; read only if the contract has personal data.
        folder: What a relative reference starts from.
    """

    contract: Contract
    step: str = "validate"
    secret: str = DEFAULT_REFERENCE
    folder: Path = Path()

    @override
    @no_annotations
    def expand(self, rows: PCollection[pa.RecordBatch]) -> Validated:
        out = rows | "Validate" >> beam.ParDo(_Validate(self)).with_output_types(
            pa.RecordBatch, refused=pa.RecordBatch, warnings=pa.RecordBatch
        ).with_outputs("refused", "warnings", main="rows")
        return Validated(out.rows, out.refused, out.warnings)


class _Validate(beam.DoFn):
    def __init__(self, options: Validate) -> None:
        self.contract, self.step = options.contract, options.step
        self.secret, self.folder = options.secret, options.folder

    @override
    def setup(self) -> None:
        classified = self.contract.classified
        self._keyring = resolve(self.secret, self.folder) if classified else None

    @override
    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        checked = validate(batch, self.contract)
        if checked.rows.num_rows:
            yield checked.rows
        if len(checked.numbers):
            record = row_records(batch, checked.numbers, self.contract)
            if self._keyring is not None:
                record = seal(record, self._keyring)
            dead = refused(
                batch,
                checked.numbers,
                self.step,
                checked.rules,
                checked.reasons,
                record=record,
                format="json",
            )
            yield TaggedOutput("refused", dead)
        if checked.warnings:
            names = [f"{path}: {rule}" for path, rule in checked.warnings]
            columns = [names, [len(rows) for rows in checked.warnings.values()]]
            yield TaggedOutput("warnings", pa.record_batch(columns, schema=WARNINGS))


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
    return [_reason(made) for made in compiled(contract)[0]]
