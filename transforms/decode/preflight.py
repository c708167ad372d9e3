"""Look at the head of each file before any is read, so that a wrong one is told at once."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.contract import Contract
from schemas.plan import FileSource
from transforms.decode.columnar import ColumnarDecoder
from transforms.decode.delimited import CsvDecoder
from transforms.sources.columnar_files import columnar_schema
from transforms.sources.slices import Slice, read_header
from transforms.sources.stored import Stored


def check_files(contract: Contract, source: FileSource, slices: Iterable[Slice]) -> None:
    """Check that the files to be read have the columns that a contract needs.

    Reads the header of CSV files and the schema of Parquet and Avro files; JSON lines have none.

    Raises:
        SourceError: If a required column is missing, a name is there twice, a type cannot be the
            contract's, or a file is damaged where it is looked at.
    """
    if source.format == "json":
        return
    csv, columnar = CsvDecoder(contract, source), ColumnarDecoder(contract)
    for name, piece in {piece.source: piece for piece in slices}.items():
        if source.format == "csv":
            if header := read_header(piece):
                csv.check(header, name)
            continue
        with Stored(piece.path, piece.identity) as file:
            columnar.check(columnar_schema(file, source.format), name)
