"""Decode CSV: columns by name, every value read strictly, every record in rows or refused.

The first record names the fields, unless the source does. A field is null if its text stands
without quotes in `nulls`. Empty lines are no records. Fields of object and array columns hold JSON
text.

Refused by record (rule `csv`): another number of fields than the header has, a quote that never
closes (the line it stands on), text behind a closing quote, a carriage return without a newline,
a NUL byte, bytes that are not UTF-8. By value: rule `type` (see `casts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.contract import Contract
from schemas.names import POSITION
from schemas.plan import FileSource
from transforms.decode.casts import cast_text
from transforms.decode.csv_text import Framed, Layout, frame, read_texts
from transforms.decode.decoded import Decoded, Numbers, Undeclared, everything
from transforms.decode.headers import csv_names, find_columns, lacking, undeclared
from transforms.decode.nested import NestedTexts
from transforms.decode.refusals import refusals
from transforms.decode.typed import (
    Failures,
    nested,
    nulled_rows,
    position_columns,
    rows_of,
    undeclared_keys,
)
from transforms.decode.written_texts import expected_as_written, plain
from transforms.sources.blocks import Block
from transforms.sources.csv_records import delimiter_byte
from transforms.sources.lines import Bytes


class CsvDecoder:
    """Decodes blocks of CSV records; stateless but for what it knows of the contract.

    Args:
        contract: What rows must be.
        source: `nulls`, `delimiter`, and how values are `written`.
    """

    def __init__(self, contract: Contract, source: FileSource) -> None:
        """Keep what it reads; nothing is opened."""
        self.contract, self.source = contract, source
        self._nested = NestedTexts(contract)

    def check(self, header: bytes, source: str) -> None:
        """Check a file's header before any of its rows are read.

        Raises:
            SourceError: See `headers`.
        """
        names = csv_names(header, self.source.delimiter, source)
        find_columns(self.contract, names, source, in_header=True)

    def decode(self, block: Block) -> Decoded:
        """Decode the records of a block.

        Returns:
            Rows: the columns that the contract reads, path columns, position columns; transformed
            columns and `_event_time` are still missing. Refused records are `csv`: the header
            line and the record as it stands.

        Raises:
            SourceError: If the header is not as it must be.
        """
        assert isinstance(block.data, np.ndarray)  # noqa: S101  # blocks of text formats are bytes
        data, delimiter = block.data, delimiter_byte(self.source.delimiter)
        names = csv_names(block.header, self.source.delimiter, block.source)
        places = find_columns(self.contract, names, block.source, in_header=True)
        framed = frame(data, delimiter)
        layout = Layout(len(names), tuple(places.values()), self.source.nulls, delimiter)
        texts, kept, broken = read_texts(data, framed, layout)
        columns, failures = self._typed(dict(zip(places, texts, strict=True)), len(kept))
        positions = block.start + framed.starts
        rows = rows_of(self.contract, columns, failures, position_columns(block, positions[kept]))
        why = {i: ("csv", reason) for i, reason in broken.items()}
        why |= {int(kept[i]): told for i, told in failures.first.items()}
        numbers = sorted(why)
        refused = refusals(
            position_columns(block, positions[numbers]),
            [why[i] for i in numbers],
            "csv",
            _records(data, framed, block.header, numbers),
        )
        decoded = Decoded(rows, refused, _originals(block, data, framed), "csv")
        return decoded._replace(
            undeclared=(
                *everything(decoded, undeclared(self.contract, names)),
                *_inside(failures, kept, np.array(numbers, np.int64)),
            ),
            lacking=lacking(self.contract, places),
            nulled=nulled_rows(failures),
        )

    def _typed(self, texts: dict[str, pa.Array], n: int) -> tuple[dict[str, pa.Array], Failures]:
        failures = Failures(n)
        columns: dict[str, pa.Array] = {}
        written = self.source.written
        for column in self.contract.columns:
            if column.name in texts and not nested(column):
                read, misread = plain(texts[column.name], column, written)
                columns[column.name], bad = cast_text(read, column)
                reason = f"`{column.name}` must be {expected_as_written(column, written)}"
                failures.wrong(misread, reason, column, self.contract)
                failures.wrong(bad, reason, column, self.contract)
        columns |= self._nested.read(texts, failures)
        return columns, failures


def _inside(failures: Failures, kept: Numbers, refused: Numbers) -> Iterator[Undeclared]:
    """Yield what is undeclared in JSON texts; records that break the format are refused, too."""
    at = np.searchsorted(refused, kept[failures.bad()])
    for one in undeclared_keys(failures):
        yield one._replace(refused=at[one.refused])


def _originals(block: Block, data: Bytes, framed: Framed) -> Callable[[pa.RecordBatch], pa.Array]:
    return partial(_find, block.start, data, framed, block.header)


def _find(start: int, data: Bytes, framed: Framed, header: bytes, rows: pa.RecordBatch) -> pa.Array:
    at = rows[POSITION].to_numpy() - start
    return _records(data, framed, header, np.searchsorted(framed.starts, at))


def _records(
    data: Bytes, framed: Framed, header: bytes, numbers: list[int] | NDArray[np.int64]
) -> pa.Array:
    starts, ends = framed.starts[numbers].tolist(), framed.ends[numbers].tolist()
    found = [
        header + b"\n" + data[a:b].tobytes().removesuffix(b"\n").removesuffix(b"\r")
        for a, b in zip(starts, ends, strict=True)
    ]
    return pa.array(found, pa.binary())
