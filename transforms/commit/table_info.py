"""What a worker must know to write data files of a table: no catalog, and it pickles."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
from pyiceberg.io import FileIO, load_file_io
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table


@dataclass(frozen=True)
class TableInfo:
    """A table as of when it was loaded.

    Attributes:
        name: Full name (`processed_data.flights`).
        location: Root of its files.
        schema: Iceberg schema with field ids.
        spec: Partition spec in force; its id goes into every data file.
        properties: Table properties (metrics modes, target sizes).
        io: Properties of the file system.
    """

    name: str
    location: str
    schema: Schema
    spec: PartitionSpec
    properties: dict[str, str] = field(default_factory=dict)
    io: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Table) -> TableInfo:
        """Take the facts of a loaded table."""
        metadata = table.metadata
        return cls(
            name=".".join(table.name()),
            location=metadata.location,
            schema=metadata.schema(),
            spec=metadata.spec(),
            properties=dict(metadata.properties),
            io={k: v for k, v in table.io.properties.items() if isinstance(v, str)},
        )

    @cached_property
    def arrow(self) -> pa.Schema:
        """The table's Arrow schema: small types, field ids in the metadata of each field."""
        return pa.schema([_small(f) for f in schema_to_pyarrow(self.schema)])

    def file_io(self) -> FileIO:
        """Open the file system."""
        return load_file_io(self.io, self.location)


def _small(of: pa.Field) -> pa.Field:
    return pa.field(of.name, _small_type(of.type), of.nullable, of.metadata)


def _small_type(of: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(of):
        return pa.string()
    if pa.types.is_large_binary(of):
        return pa.binary()
    if pa.types.is_struct(of):
        return pa.struct([_small(of.field(i)) for i in range(of.num_fields)])
    if pa.types.is_large_list(of) or pa.types.is_list(of):
        return pa.list_(_small(of.value_field))
    return of
