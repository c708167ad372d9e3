"""Event-time bounds of a table's data files, remembered by manifest.

A manifest never changes, and decoding one costs about 0.1 ms of CPU a data file. So a committer
decodes each once, and base rows of `_commits` tell the next process the span of each manifest, so
that it decodes only those that meet its windows. Hints only: what is not known is looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from pyiceberg.manifest import DataFile, ManifestContent, ManifestFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table

from schemas.errors import CommitError
from transforms.commit.bounds import bounds

FOREVER = (int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max))


class Timed(NamedTuple):
    """A data file and its least and greatest event time, microseconds; FOREVER if unknown."""

    path: str
    low: int
    high: int


def timed(file: DataFile, schema: Schema, column: str) -> Timed:
    """Read a file's event-time bounds from its statistics."""
    return Timed(file.file_path, *(bounds(file, schema, column) or FOREVER))


Hints = dict[str, dict[str, tuple[int, int]]]
"""Event-time column -> manifest path -> span of all its files."""


@dataclass
class FileTimes:
    """What one process knows of one table."""

    spans: Hints = field(default_factory=dict)
    _files: dict[tuple[str, str], list[Timed]] = field(default_factory=dict)

    def near(
        self, table: Table, snapshot: int | None, column: str, first: int, last: int
    ) -> list[Timed]:
        """Return the data files at a snapshot whose event times may lie in [first, last]."""
        out = []
        for manifest in _manifests(table, snapshot):
            span = self.spans.get(column, {}).get(manifest.manifest_path)
            if span is None or (span[0] <= last and span[1] >= first):
                files = self._decoded(table, manifest, column)
                out += [f for f in files if f.low <= last and f.high >= first]
        return out

    def learn(self, hints: Mapping[str, Mapping[str, tuple[int, int]]]) -> None:
        """Take what an earlier process knew."""
        for column, spans in hints.items():
            own = self.spans.setdefault(column, {})
            own.update({path: (low, high) for path, (low, high) in spans.items()})

    def hints(self, table: Table, snapshot: int | None) -> Hints:
        """Return what is known of the manifests at a snapshot, and forget all others."""
        there = {m.manifest_path for m in _manifests(table, snapshot)}
        self._files = {k: v for k, v in self._files.items() if k[0] in there}
        self.spans = {
            column: {path: span for path, span in spans.items() if path in there}
            for column, spans in self.spans.items()
        }
        return self.spans

    def _decoded(self, table: Table, manifest: ManifestFile, column: str) -> list[Timed]:
        key = (manifest.manifest_path, column)
        if key not in self._files:
            schema = table.schema()
            entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
            files = [timed(e.data_file, schema, column) for e in entries]
            self._files[key] = files
            if files:
                span = (min(f.low for f in files), max(f.high for f in files))
                self.spans.setdefault(column, {})[manifest.manifest_path] = span
        return self._files[key]


def _manifests(table: Table, snapshot: int | None) -> Iterator[ManifestFile]:
    found = None if snapshot is None else table.snapshot_by_id(snapshot)
    if found is not None:
        for manifest in found.manifests(table.io):
            if manifest.content == ManifestContent.DELETES:
                msg = (
                    f"rows of {'.'.join(table.name())} must be removed by Penstock only; got a "
                    "delete file of another writer; compact the table there, and rebuild"
                )
                raise CommitError(msg)
            yield manifest
