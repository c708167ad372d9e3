"""The private side of pyiceberg, in one place: snapshots staged by hand, data files as manifests.

`Table.append`, `commit_transaction` and `add_files` are not used: their retry lands both of two
racing appends; with retry off they delete the manifests of a commit that landed but was answered
by a conflict. `fast_append` never merges manifests.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import _pyarrow_to_schema_without_ids
from pyiceberg.manifest import (
    DataFile,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    write_manifest,
)
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update import AddSnapshotUpdate, AssertTableUUID, RemoveSnapshotsUpdate
from pyiceberg.table.update.snapshot import _MergeAppendFiles, _OverwriteFiles
from pyiceberg.typedef import EMPTY_DICT, Record

_PARTITION: Final = 3
_SORT_ORDER: Final = 15
"""Places of partition and sort order in a DataFile, whose properties have no setters."""

Stored = list[tuple[str, int]]
"""Manifests that hold data files: (path, partition spec id)."""


class Files(NamedTuple):
    """Data files to put into a table and to take out of it."""

    add: list[DataFile]
    remove: list[DataFile]


class _Staging(Transaction):
    """pyiceberg copies the whole metadata whenever a transaction is asked for it, 20 times a send.

    Nothing is staged here before the snapshot itself is, so what was loaded is the answer.
    """

    @property
    def table_metadata(self) -> TableMetadata:
        return super().table_metadata if self._updates else self._table.metadata


class _Append(_MergeAppendFiles):
    """Takes files of older partition specs too: a spec may change between intent and landing."""

    _added_data_files: list[DataFile]

    def _manifests(self) -> list[ManifestFile]:
        everything = self._added_data_files
        present = self._transaction.table_metadata.default_spec_id
        older = [f for f in everything if f.spec_id != present]
        self._added_data_files = [f for f in everything if f.spec_id == present]
        try:
            return [*super()._manifests(), *self._written(older)]
        finally:
            self._added_data_files = everything

    def _written(self, files: list[DataFile]) -> Iterator[ManifestFile]:
        for spec in sorted({f.spec_id for f in files}):
            with self.new_manifest_writer(self.spec(spec)) as writer:
                for file in (f for f in files if f.spec_id == spec):
                    entry = ManifestEntry.from_args(
                        status=ManifestEntryStatus.ADDED,
                        snapshot_id=self._snapshot_id,
                        sequence_number=None,
                        file_sequence_number=None,
                        data_file=file,
                    )
                    writer.add(entry)
            yield writer.to_manifest_file()

    def _summary(self, snapshot_properties: dict[str, str] = EMPTY_DICT) -> Summary:
        everything = self._added_data_files
        present = self._transaction.table_metadata.default_spec_id
        # It would render partitions of older specs by the present one.
        self._added_data_files = [
            f if f.spec_id == present else _unpartitioned(f) for f in everything
        ]
        try:
            return super()._summary(snapshot_properties)
        finally:
            self._added_data_files = everything


class _Overwrite(_OverwriteFiles, _Append):
    """pyiceberg's overwrite never merges manifests and carries delete-only ones along for ever."""

    def _existing_manifests(self) -> list[ManifestFile]:
        return [
            m
            for m in super()._existing_manifests()
            if m.has_added_files() or m.has_existing_files()
        ]


def _unpartitioned(file: DataFile) -> DataFile:
    return _with(file, _PARTITION, Record())


def with_sort_order(file: DataFile, order_id: int) -> DataFile:
    """Return a data file that says by which order of its table it is sorted."""
    return _with(file, _SORT_ORDER, order_id)


def _with(file: DataFile, place: int, value: object) -> DataFile:
    same = copy.copy(file)
    same._data = [*file._data]  # noqa: SLF001
    same._data[place] = value  # noqa: SLF001
    return same


def send(
    catalog: Catalog,
    table: Table,
    files: Files,
    summary: dict[str, str],
    *,
    keep: int,
    pinned: Collection[int] = (),
) -> Snapshot:
    """Stage one snapshot on `table` as loaded and ask the catalog for it, once.

    What is staged requires that the table's head is still the loaded one. Snapshots older than
    the newest `keep`, but none in `pinned`, expire in the same request: the whole metadata is
    copied several times per commit, and grows with them.

    Returns:
        The snapshot that was asked for.

    Raises:
        Exception: Any exception means: unknown. Nothing is ever cleaned up.
    """
    transaction = _Staging(table)
    kind, operation = (
        (_Overwrite, Operation.OVERWRITE) if files.remove else (_Append, Operation.APPEND)
    )
    producer = kind(
        operation=operation, transaction=transaction, io=table.io, snapshot_properties=summary
    )
    for file in files.remove:
        producer.delete_data_file(file)
    for file in files.add:
        producer.append_data_file(file)
    producer.commit()
    (staged,) = (u.snapshot for u in transaction._updates if isinstance(u, AddSnapshotUpdate))  # noqa: SLF001
    old = [s.snapshot_id for s in table.metadata.snapshots[: -keep + 1] if keep > 1]
    expired = [i for i in old if i not in pinned]
    updates = (*transaction._updates, *_expire(expired))  # noqa: SLF001
    same_table = AssertTableUUID(uuid=table.metadata.table_uuid)
    catalog.commit_table(table, (*transaction._requirements, same_table), updates)  # noqa: SLF001
    return staged


def drop_snapshots(catalog: Catalog, table: Table, snapshots: list[int]) -> None:
    """Ask the catalog to forget snapshots; no file is deleted.

    Raises:
        Exception: Any exception means: unknown.
    """
    same_table = AssertTableUUID(uuid=table.metadata.table_uuid)
    catalog.commit_table(table, (same_table,), tuple(_expire(snapshots)))


def _expire(snapshots: list[int]) -> Iterable[RemoveSnapshotsUpdate]:
    return (RemoveSnapshotsUpdate(snapshot_ids=snapshots),) if snapshots else ()


def store(table: Table, where: Table, files: Files) -> Stored:
    """Write data files as manifests (a public format with typed partitions), one for each spec.

    Args:
        table: The table they belong to.
        where: The table in whose metadata folder the manifests are put.
        files: Each with its `spec_id` set.
    """
    out: Stored = []
    everything = [*files.add, *files.remove]
    for spec in sorted({f.spec_id for f in everything}):
        path = where.location_provider().new_metadata_location(f"intent-{uuid.uuid4()}.avro")
        with write_manifest(
            format_version=2,
            spec=table.specs()[spec],
            schema=table.schema(),
            output_file=table.io.new_output(path),
            snapshot_id=0,
            avro_compression="deflate",
        ) as writer:
            for status, some in (
                (ManifestEntryStatus.ADDED, files.add),
                (ManifestEntryStatus.DELETED, files.remove),
            ):
                for file in (f for f in some if f.spec_id == spec):
                    writer.add_entry(
                        ManifestEntry.from_args(
                            status=status,
                            snapshot_id=0,
                            sequence_number=0,
                            file_sequence_number=0,
                            data_file=file,
                        )
                    )
        out.append((path, spec))
    return out


def stored(io: FileIO, manifests: Sequence[tuple[str, int]]) -> Files:
    """Read back what `store` wrote."""
    files = Files([], [])
    for path, spec in manifests:
        manifest = ManifestFile.from_args(
            manifest_path=path,
            manifest_length=0,
            partition_spec_id=spec,
            content=ManifestContent.DATA,
            sequence_number=0,
            added_snapshot_id=0,
        )
        for entry in manifest.fetch_manifest_entry(io, discard_deleted=False):
            gone = entry.status == ManifestEntryStatus.DELETED
            (files.remove if gone else files.add).append(entry.data_file)
    return files


def change(catalog: Catalog, table: Table, stage: Callable[[Transaction], None]) -> None:
    """Stage changes of schema, partition spec or sort order on `table` as loaded, and send them.

    Raises:
        Exception: Any exception means: unknown.
    """
    transaction = Transaction(table)
    stage(transaction)
    if transaction._updates:  # noqa: SLF001
        same_table = AssertTableUUID(uuid=table.metadata.table_uuid)
        requirements = (*transaction._requirements, same_table)  # noqa: SLF001
        catalog.commit_table(table, requirements, transaction._updates)  # noqa: SLF001


def iceberg_schema(schema: pa.Schema) -> Schema:
    """Return an Arrow schema as an Iceberg one; its field ids mean nothing yet.

    Raises:
        TypeError: Iceberg has no such type.
    """
    return assign_fresh_schema_ids(_pyarrow_to_schema_without_ids(schema))
