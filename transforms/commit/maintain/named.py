"""Files that something names: a table's metadata, its snapshots, a commit that is still kept.

What is named is needed by a reader, an open intent, or a follower at most seven days behind: rows
of `_commits` are kept that long, and each names the manifests of the data files it put in and out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pyiceberg.io import FileIO
from pyiceberg.table import Table

from transforms.commit.iceberg import stored
from transforms.commit.journal import Entry, after
from transforms.commit.lake import Lake


@dataclass
class Named:
    """What is named, brought up to date as commits come.

    Attributes:
        seq: Rows of `_commits` are asked from this commit on.
        forgotten: Snapshots that name nothing.
        paths: Every file that is named.
    """

    seq: int = 0
    forgotten: Collection[int] = ()
    paths: set[str] = field(default_factory=set)
    _manifests: set[str] = field(default_factory=set)

    def learn(self, lake: Lake, tables: Iterable[str]) -> None:
        """Add what is named now; what was named before stays.

        Tables are read before `_commits`: of a commit that lands meanwhile at least the row is met.
        """
        for name in (*tables, lake.operations("commits")):
            table = lake.load(name)
            self.paths.update(_of_metadata(table))
            self.paths.update(self._of_snapshots(table))
        commits = lake.commits()
        rows = after(commits, self.seq - 1)
        self.paths.update(self._of_history(commits.io, rows))
        self.seq = max([self.seq, *(entry.seq for entry in rows)])

    def _of_snapshots(self, table: Table) -> Iterator[str]:
        for snapshot in table.metadata.snapshots:
            if snapshot.snapshot_id in self.forgotten or snapshot.manifest_list in self._manifests:
                continue
            self._manifests.add(snapshot.manifest_list)
            yield snapshot.manifest_list
            for manifest in snapshot.manifests(table.io):
                if manifest.manifest_path in self._manifests:
                    continue
                self._manifests.add(manifest.manifest_path)
                yield manifest.manifest_path
                for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                    yield entry.data_file.file_path

    def _of_history(self, io: FileIO, rows: Iterable[Entry]) -> Iterator[str]:
        manifests = dict(one for row in rows for part in row.parts.values() for one in part)
        new = [one for one in manifests.items() if one[0] not in self._manifests]
        self._manifests.update(manifests)
        with ThreadPoolExecutor(8) as pool:
            for files in pool.map(lambda one: stored(io, [one]), new):
                yield from (file.file_path for file in (*files.add, *files.remove))
        yield from manifests


def _of_metadata(table: Table) -> Iterator[str]:
    metadata = table.metadata
    yield table.metadata_location
    yield from (entry.metadata_file for entry in metadata.metadata_log)
    for statistics in (*metadata.statistics, *metadata.partition_statistics):
        yield statistics.statistics_path
