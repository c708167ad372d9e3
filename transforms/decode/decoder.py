"""Pick the decoder of a source's format and complete what it decodes; PTransforms over both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput
from apache_beam.typehints.decorators import no_annotations
from typing_extensions import override

from schemas.contract import Contract
from schemas.plan import FileSource
from transforms.changes.meet import Meet
from transforms.decode.columnar import ColumnarDecoder
from transforms.decode.decoded import Decoded
from transforms.decode.delimited import CsvDecoder
from transforms.decode.event_time import Completion
from transforms.decode.json_lines import JsonDecoder
from transforms.decode.preflight import check_files
from transforms.decode.refusals import refuse_long
from transforms.sources.blocks import Block, LongRecord
from transforms.sources.files import Slice, discover, read_blocks
from transforms.sources.slices import COLUMNAR


class Decoder(Protocol):
    """Turns a block into rows and refused records; pickles; may be called from several threads."""

    def decode(self, block: Block) -> Decoded:
        """Decode one block."""
        ...


class FileDecoder:
    """Decodes the blocks of a file source, whatever its format, into complete rows.

    Attributes:
        contract: What rows must be.
        source: Format and its options.
        meet: Meets what is not as the contract has it; None: undeclared columns are passed over,
            and values of another type refused, without a word.
    """

    def __init__(self, contract: Contract, source: FileSource, meet: Meet | None = None) -> None:
        """Make the decoder of the format.

        Raises:
            SpecError: If an expression of the contract does not fit its columns.
        """
        self.contract, self.source, self.meet = contract, source, meet
        self._decoder = _decoder(contract, source, undeclared=meet is not None)
        self._complete = Completion(contract)

    def decode(self, block: Block | LongRecord) -> Decoded:
        """Decode one block, or refuse a record that is too long for one.

        Raises:
            SourceError: If the file as a whole is not what the contract says.
            SchemaChangeError: If a record is not, and the contract says that a run ends then.
        """
        if isinstance(block, Block):
            decoded = self._decoder.decode(block)
            if self.meet is not None:
                decoded = self.meet.types(self.meet.columns(decoded))
            return self._complete(decoded)
        empty = pa.RecordBatch.from_pylist([], schema=self.schema)
        return Decoded(empty, refuse_long(block), lambda _: pa.array([], pa.binary()))

    @property
    def schema(self) -> pa.Schema:
        """Schema of the rows."""
        return self._complete.schema


def make_decoder(contract: Contract, source: FileSource, meet: Meet | None = None) -> FileDecoder:
    """Return what decodes the blocks of a source into rows of a contract."""
    return FileDecoder(contract, source, meet)


def _decoder(contract: Contract, source: FileSource, *, undeclared: bool) -> Decoder:
    if source.format == "csv":
        return CsvDecoder(contract, source)
    if source.format in COLUMNAR:
        return ColumnarDecoder(contract)
    return JsonDecoder(contract, longest=source.max_record_bytes, undeclared=undeclared)


class Read(NamedTuple):
    """Every record of a source, on exactly one of two sides.

    Attributes:
        rows: See `Decoded.rows`.
        refused: `names.REFUSED`.
    """

    rows: PCollection[pa.RecordBatch]
    refused: PCollection[pa.RecordBatch]


@dataclass(eq=False)
class FindSlices(beam.PTransform[PBegin, PCollection[Slice]]):
    """Find the files of a source and cut them into slices, when the pipeline is built.

    Attributes:
        source: Which files.
        folder: Relative paths start here.

    Raises:
        SourceError: See `discover`.
    """

    source: FileSource
    folder: Path

    @override
    def expand(self, root: PBegin) -> PCollection[Slice]:
        slices = discover(self.source, self.folder, {}).slices
        return root | beam.Create(slices).with_output_types(Slice)


@dataclass(eq=False)
class Decode(beam.PTransform[PCollection[Slice], Read]):
    """Read slices and decode their records into batches of rows that fit a contract's types.

    A batch is made of one block, keeps the order of its records and has the timestamp and window of
    its slice; empty batches are left out. Keeps no state. What is refused: see the decoders;
    undeclared columns are passed over whatever the contract says of changes (`Admit` heeds it). A
    file that is damaged, changes while it is read, or lacks a required column fails the pipeline.

    Attributes:
        contract: What rows must be.
        source: Format and its options.
    """

    contract: Contract
    source: FileSource

    @override
    @no_annotations  # Beam infers hints for one output only
    def expand(self, slices: PCollection[Slice]) -> Read:
        sides = slices | "Decode" >> beam.ParDo(
            _Decode(self.contract, self.source)
        ).with_output_types(pa.RecordBatch, refused=pa.RecordBatch).with_outputs(
            "refused", main="rows"
        )
        return Read(sides.rows, sides.refused)


@dataclass(eq=False)
class ReadFiles(beam.PTransform[PBegin, Read]):
    """Read all files of a source as rows of a contract: find, check, spread out and `Decode` them.

    ```
    rows, refused = root | ReadFiles(contract, FileSource(path="events/*.jsonl.gz"), Path.cwd())
    ```
    """

    contract: Contract
    source: FileSource
    folder: Path

    @override
    @no_annotations
    def expand(self, root: PBegin) -> Read:
        found = discover(self.source, self.folder, {}).slices
        check_files(self.contract, self.source, found)
        slices = root | beam.Create(found).with_output_types(Slice)
        # A runner would fuse Create with what follows it, and read in one worker.
        return slices | beam.Reshuffle() | Decode(self.contract, self.source)


class _Decode(beam.DoFn):
    def __init__(self, contract: Contract, source: FileSource) -> None:
        super().__init__()
        self._decoder = make_decoder(contract, source)

    @override
    def process(self, part: Slice) -> Iterator[Any]:
        for block in read_blocks(part):
            rows, refused, *_ = self._decoder.decode(block)
            if rows.num_rows:
                yield rows
            if refused is not None:
                yield TaggedOutput("refused", refused)
