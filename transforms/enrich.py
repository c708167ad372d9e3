"""Add columns of a lookup table to each row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from apache_beam.utils.shared import Shared
from typing_extensions import override

from schemas.plan import Step
from transforms.lookups import Lookup, LookupFiles
from transforms.outcome import Kernel, Outcome, StepTransform


@dataclass(eq=False, kw_only=True)
class Enrich(StepTransform):
    """Join a lookup table that fits in memory to each batch, as a left join.

    Input: batches with the key columns (path columns may be keys) and position columns. Output: the
    same rows in the same order; a replaced column stays in its place, new ones follow the last,
    null where the table has no such key or the row's key is null. Nothing is removed or refused.
    The table is found when the transform is made, read once a process, and must be the same version
    for all workers. No state; windows and timestamps stay.

    Attributes:
        enrich: A step of kind `enrich` (`schemas.plan.Step`).
        folder: The pipeline folder.
    """

    enrich: Step
    folder: Path

    @override
    def kernel(self) -> Kernel:
        return EnrichKernel(self.enrich, self.folder)


class EnrichKernel:
    """The pure function of `Enrich`; pickles as the files it reads, never their rows."""

    def __init__(self, step: Step, folder: Path) -> None:
        """Find the files.

        Raises:
            SourceError: When there is none, or one cannot be read.
        """
        self.files = LookupFiles.of(step, folder)
        self._shared = Shared()

    def lookup(self) -> Lookup:
        """Return the table; the first call in a process reads it.

        Raises:
            SourceError: See `LookupFiles.load`.
        """
        table: Lookup = self._shared.acquire(self.files.load)
        return table

    def setup(self) -> None:
        """Read the table now, so that an error ends the run before anything is written."""
        self.lookup()

    def __call__(self, batch: pa.RecordBatch) -> Outcome:
        """Enrich one batch."""
        return Outcome(enrich(batch, self.lookup()))


def enrich(batch: pa.RecordBatch, lookup: Lookup) -> pa.RecordBatch:
    """Left-join a lookup table: as many rows, in order; see `Enrich` for the columns."""
    found = lookup.find([batch.column(name) for name in lookup.on])
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    fields = {field.name: field for field in batch.schema}
    for field, values in zip(lookup.columns.schema, lookup.columns.columns, strict=True):
        columns[field.name] = values.take(found)
        fields[field.name] = field
    return pa.record_batch(list(columns.values()), schema=pa.schema(fields.values()))
