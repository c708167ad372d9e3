"""The way out: a function of the user's own, from record batch to record batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from typing_extensions import override

from schemas.errors import PenstockError
from schemas.names import EVENT_TIME, POSITION, POSITION_NAMES, SEQUENCE, SOURCE, Destiny
from transforms.batches import one_batch
from transforms.outcome import Kernel, Outcome, StepTransform, refused, removed
from transforms.user_code import Function, load_function

RULE = "python"
_PLACE = {SOURCE: pa.string(), POSITION: pa.int64(), SEQUENCE: pa.int64()}
_OURS = frozenset({*POSITION_NAMES, EVENT_TIME})
_TEXTS = (pa.string(), pa.large_string(), pa.string_view())


class PythonStepError(PenstockError):
    """A python step's function broke its promise (columns, types, rows), or cannot be imported."""


@dataclass(eq=False, kw_only=True)
class Python(StepTransform):
    """Call a function of the user's own on each batch.

    Input: batches with position columns. The function gets the whole batch and returns a
    `pyarrow.RecordBatch`: rows may be missing or in another order, none added; the position columns
    stay. With `reads` it gets these columns and the position columns alone, and can change no
    other. Output: `columns` if given, else the columns that went in. Rows that do not come back
    have destiny `filtered`. When it raises, the batch is halved until the rows are found on which
    it does, so its result for a row must not hang on the other rows; these are refused with rule
    `python` and the name of the exception's class. An ImportError, or a result that breaks the
    promise, ends the run. No state; windows and timestamps stay.

    Attributes:
        call: `module:function`, the module in `folder` or installed.
        folder: The pipeline folder.
        columns: Schema of what the function returns, position columns not included; None if it is
            that of its input. With `reads` only of what it adds or changes; None: nothing.
        reads: Names of the columns that the function sees; None: all.
    """

    call: str
    folder: Path
    columns: pa.Schema | None = None
    reads: tuple[str, ...] | None = None

    @override
    def kernel(self) -> Kernel:
        return PythonKernel(self.step, self.call, self.folder, self.columns, self.reads)


class PythonKernel:
    """The pure function of `Python`; pickles as the name of the user's function."""

    def __init__(
        self,
        step: str,
        call: str,
        folder: Path,
        columns: pa.Schema | None,
        reads: tuple[str, ...] | None = None,
    ) -> None:
        """See `Python`; the function is imported by `setup` or at the first batch."""
        self.step, self.call, self.folder, self.columns = step, call, folder, columns
        self.reads = reads

    def __getstate__(self) -> dict[str, Any]:
        names = ("step", "call", "folder", "columns", "reads")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def function(self) -> Function:
        """The user's function.

        Raises:
            UsageError: When it cannot be found.
        """
        return load_function(self.call, self.folder)

    def setup(self) -> None:
        """Import the function now, so that an error ends the run before anything is written."""
        _ = self.function

    def __call__(self, batch: pa.RecordBatch) -> Outcome:
        """Call the function on one batch.

        Raises:
            PythonStepError: When the result breaks the promise.
        """
        pieces: list[_Piece] = []
        failed: list[tuple[int, str]] = []
        for start, piece in self._tried(batch, 0) if batch.num_rows else ():
            if isinstance(piece, str):
                failed.append((start, piece))
            else:
                pieces.append(piece)
        table = pa.Table.from_batches([piece.rows for piece in pieces], self._promised(batch))
        rows = one_batch(table.unify_dictionaries())
        came = np.zeros(batch.num_rows, np.bool_)
        came[[number for number, _ in failed]] = True
        for piece in pieces:
            came[piece.numbers] = True
        gone = np.flatnonzero(~came)
        numbers = np.array([number for number, _ in failed], np.int64)
        reasons = [f"{self.call} must return rows; it raised {kind}" for _, kind in failed]
        return Outcome(
            rows,
            removed(batch, gone, Destiny.FILTERED, self.step, RULE),
            refused(batch, numbers, self.step, RULE, reasons),
        )

    def _tried(self, batch: pa.RecordBatch, start: int) -> Iterator[tuple[int, _Piece | str]]:
        """Results of parts of the batch; for a single row that fails the exception's class."""
        try:
            returned = self.function(self._seen(batch))
        except (ImportError, MemoryError) as error:
            msg = (
                f"{self.call} must find what it imports at import time; "
                f"got {type(error).__name__}; move the import to the top of the module"
            )
            raise PythonStepError(msg) from error
        except Exception as error:  # noqa: BLE001 - whatever the user's code raises
            if batch.num_rows <= 1:
                yield start, type(error).__name__
                return
            half = batch.num_rows // 2
            yield from self._tried(batch.slice(0, half), start)
            yield from self._tried(batch.slice(half), start + half)
            return
        yield start, self._checked(batch, returned, start)

    def _checked(self, batch: pa.RecordBatch, returned: Any, start: int) -> _Piece:
        if not isinstance(returned, pa.RecordBatch):
            self._fail("return a pyarrow.RecordBatch", f"got {type(returned).__name__}")
        promised = self._promised(batch)
        allowed = promised.names if self.reads is None else self._seen(batch).schema.names
        theirs = self._theirs(promised)
        names = enumerate(returned.schema.names, 1)
        if extra := [i for i, name in names if name not in theirs.union(allowed)]:
            # Not by name: a function that turns values into columns would have them shown.
            self._fail("return only declared columns", f"got {len(extra)} more, at {extra[0]}")
        numbers = self._numbers(batch, returned)
        order = np.argsort(numbers)
        if (order[1:] < order[:-1]).any():
            returned, numbers = returned.take(pa.array(order)), numbers[order]
        kept = batch if len(numbers) == batch.num_rows else batch.take(pa.array(numbers))
        columns = [
            self._column(returned, field) if field.name in theirs else kept.column(field.name)
            for field in promised
        ]
        return _Piece(pa.record_batch(columns, schema=promised), numbers + start)

    def _seen(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What the function gets."""
        if self.reads is None:
            return batch
        return batch.select([n for n in batch.schema.names if n in self.reads or n in _OURS])

    def _theirs(self, promised: pa.Schema) -> set[str]:
        """Names of the columns that are taken from what the function returns."""
        if self.reads is None:
            return set(promised.names) - _OURS
        return set(self.columns.names if self.columns is not None else ())

    def _promised(self, batch: pa.RecordBatch) -> pa.Schema:
        if self.columns is None:
            return batch.schema
        if self.reads is not None:
            ours = [field for field in batch.schema if field.name in _OURS]
            rest = {field.name: field for field in batch.schema if field.name not in _OURS}
            return pa.schema([*(rest | {f.name: f for f in self.columns}).values(), *ours])
        return pa.schema([*self.columns, *(field for field in batch.schema if field.name in _OURS)])

    def _column(self, returned: pa.RecordBatch, field: pa.Field) -> pa.Array:
        index = returned.schema.get_field_index(field.name)
        if index < 0:
            self._fail(f"return the column {field.name!r} once", "got none, or several")
        values = returned.column(index)
        if values.type != field.type:
            if not _widens(values.type, field.type):
                self._fail(f"return {field.name!r} as {field.type}", f"got {values.type}")
            values = values.cast(field.type)
        if values.null_count and not field.nullable:
            self._fail(f"return {field.name!r} without nulls", "got some")
        return values

    def _numbers(self, batch: pa.RecordBatch, returned: pa.RecordBatch) -> NDArray[np.int64]:
        """Row numbers in `batch` of the rows that came back."""
        places, found = self._places(batch), self._places(returned)
        if found.equals(places):
            return np.arange(batch.num_rows, dtype=np.int64)
        joined = found.join(
            places.with_row_index("row"), on=list(_PLACE), how="left", maintain_order="left"
        )["row"]
        if joined.null_count():
            got = f"got {joined.null_count()} at positions that did not come in"
            self._fail("add no rows", got)
        if again := len(joined) - joined.n_unique():
            self._fail("return each row at most once", f"got {again} more than once")
        return joined.cast(pl.Int64).to_numpy()

    def _places(self, batch: pa.RecordBatch) -> pl.DataFrame:
        try:
            columns = {name: batch.column(name).cast(kind) for name, kind in _PLACE.items()}
        except (KeyError, pa.ArrowException) as error:
            self._fail("keep the position columns", "got others", error)
        return pl.DataFrame({name: pl.from_arrow(values) for name, values in columns.items()})

    def _fail(self, must: str, got: str, cause: Exception | None = None) -> NoReturn:
        msg = f"{self.step}: {self.call} must {must}; {got}; change the function"
        raise PythonStepError(msg) from cause


def _widens(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether every value of one type is one of the other, written another way."""
    if pa.types.is_dictionary(given):
        given = given.value_type
    same: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType], bool]], ...] = (
        (lambda t: t in _TEXTS, pa.types.is_string),
        (pa.types.is_integer, lambda t: t == pa.int64()),
        (pa.types.is_floating, lambda t: t == pa.float64()),
        (lambda t: pa.types.is_timestamp(t) and t.unit in ("s", "ms", "us"), pa.types.is_timestamp),
    )
    zones = getattr(given, "tz", None) is None and getattr(wanted, "tz", None) is not None
    return given == wanted or (
        not zones and any(narrow(given) and wide(wanted) for narrow, wide in same)
    )


class _Piece(NamedTuple):
    """Rows that came back and their numbers in the whole batch, ascending."""

    rows: pa.RecordBatch
    numbers: NDArray[np.int64]
