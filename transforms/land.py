"""Rows to data files of the lake, and everything a run has read to its one committer."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsList, PCollection
from apache_beam.typehints.decorators import no_annotations
from typing_extensions import override

from schemas.errors import PenstockError
from transforms.admit import Read
from transforms.commit.landed import Landed
from transforms.commit.table_info import TableInfo
from transforms.parallel import ThreadedDoFn
from transforms.progress import Progress
from transforms.sinks.lake import FileWriter


@dataclass(eq=False)
class WriteFiles(beam.PTransform[PCollection[pa.RecordBatch], PCollection[Landed]]):
    """Write batches to Parquet files of a lake table; nothing is visible before the commit.

    Columns that the table lacks (path columns) are left out; columns that only the table has come
    from `constants` or are null. One file a thread and bundle, rolled at the writer's size.

    Attributes:
        info: The table.
        constants: Column name -> text that every row gets.
        threads: Threads of the DoFn (1 on clusters).
        progress: Where counts for a person's screen go, or None.
    """

    info: TableInfo
    constants: tuple[tuple[str, str], ...] = ()
    threads: int = 1
    progress: Progress | None = None

    @override
    @no_annotations
    def expand(self, rows: PCollection[pa.RecordBatch]) -> PCollection[Landed]:
        return rows | "Write" >> beam.ParDo(_WriteFiles(self)).with_output_types(Landed)


class _WriteFiles(ThreadedDoFn):
    def __init__(self, options: WriteFiles) -> None:
        super().__init__(options.threads)
        self.info, self.progress = options.info, options.progress
        self.constants = dict(options.constants)

    @override
    def start_bundle(self) -> None:
        super().start_bundle()
        self._local = threading.local()
        self._writers: list[FileWriter] = []

    @override
    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        yield from self.submit(self.kernel, batch)

    def kernel(self, batch: pa.RecordBatch) -> tuple[()]:
        if not hasattr(self._local, "writer"):
            self._local.writer = FileWriter(self.info)
            self._writers.append(self._local.writer)
        self._local.writer.write(with_constants(batch, self.constants))
        if self.progress is not None:
            self.progress.add(landed=batch.num_rows)
        return ()

    @override
    def flush(self) -> Iterator[Landed]:
        for files in self.map(FileWriter.close, self._writers):
            if files:
                yield Landed(files={self.info.name: tuple(files)})


def with_constants(batch: pa.RecordBatch, constants: dict[str, str]) -> pa.RecordBatch:
    """Return the batch with columns that hold one text each; the writer fits it to its table."""
    for name, text in constants.items():
        batch = batch.append_column(name, pa.repeat(text, batch.num_rows))
    return batch


class UnbalancedError(PenstockError):
    """A step lost rows, or made some, without saying so."""


@dataclass(frozen=True)
class Reads:
    """Records read per source, and the positions they stand at."""

    records: dict[str, int]
    done: dict[str, list[tuple[int, int]]]


class SumReads(beam.CombineFn):
    """Reads of a run: how many records, and which positions were read completely."""

    @override
    def create_accumulator(self) -> Reads:
        return Reads({}, {})

    @override
    def add_input(self, accumulator: Reads, element: Read) -> Reads:
        source, start, end, records = element
        accumulator.records[source] = accumulator.records.get(source, 0) + records
        accumulator.done.setdefault(source, []).append((start, end))
        return accumulator

    @override
    def merge_accumulators(self, accumulators: Iterable[Reads]) -> Reads:
        total = self.create_accumulator()
        for reads in accumulators:
            for source, records in reads.records.items():
                total.records[source] = total.records.get(source, 0) + records
            for source, ranges in reads.done.items():
                total.done.setdefault(source, []).extend(ranges)
        return total

    @override
    def extract_output(self, accumulator: Reads) -> Reads:
        return accumulator


@dataclass(eq=False)
class CommitOnce(beam.PTransform[PCollection[Landed], PCollection[str]]):
    """Hand everything that was landed to one committer, at the end of a batch.

    Attributes:
        commit: Called once with what was read, all `Landed`, and the panes of each aggregate; its
            text result (JSON) is the output. Pickles; opens the lake itself.
        reads: What was read.
        footprints: What reading says of each file.
        panes: Aggregate name -> finished panes.
    """

    commit: Any
    reads: PCollection[Read]
    footprints: PCollection[pa.RecordBatch]
    panes: dict[str, PCollection[pa.RecordBatch]]

    @override
    @no_annotations
    def expand(self, landed: PCollection[Landed]) -> PCollection[str]:
        names = sorted(self.panes)
        read = self.reads | "Reads" >> beam.CombineGlobally(SumReads())
        together = (
            landed
            | "OneCommitter" >> beam.Map(lambda one: (0, one)).with_output_types(tuple[int, Landed])
            | "Collect" >> beam.GroupByKey()
        )
        start = landed.pipeline | "End" >> beam.Create([names])
        return start | "Commit" >> beam.ParDo(
            _Commit(self.commit),
            AsList(read),
            AsList(self.footprints),
            AsList(together),
            *(AsList(self.panes[name]) for name in names),
        ).with_output_types(str)


class _Commit(beam.DoFn):
    def __init__(self, commit: Any) -> None:
        self.commit = commit

    @override
    @no_annotations  # Beam takes the hint of `*panes` for a tuple, which no pane at all is not
    def process(
        self,
        names: list[str],
        reads: list[Reads],
        footprints: list[pa.RecordBatch],
        together: list[tuple[int, Iterable[Landed]]],
        *panes: list[pa.RecordBatch],
    ) -> Iterator[str]:
        landed = [one for _, several in together for one in several]
        yield self.commit(
            reads[0] if reads else Reads({}, {}),
            footprints,
            landed,
            {
                name: pa.Table.from_batches(batches)
                for name, batches in zip(names, panes, strict=True)
                if batches
            },
        )
