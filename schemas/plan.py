"""The plan: what contract, pipeline file and flags become; one immutable value."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.contract import Contract
from schemas.names import TIMESTAMP
from schemas.stream_source import StreamFace


@dataclass(frozen=True, kw_only=True)
class Written:
    """How a CSV file writes what is not plain: booleans are `true` and `false`, numbers `-1234.5`.

    Attributes:
        trim: Whether spaces around a field are no part of it.
        trues: Words that mean true beside `true`, in any case.
        falses: The same of false.
        decimal: What stands before decimals: a point or a comma.
        thousands: What may stand between groups of three digits; a space is one of any width.
        signs: What may stand before or behind a number, once, with or without a space between.
    """

    trim: bool = False
    trues: tuple[str, ...] = ()
    falses: tuple[str, ...] = ()
    decimal: str = "."
    thousands: str = ""
    signs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FileSource:
    """Batch face of the source.

    Attributes:
        path: Local path, glob or URL of any pyarrow/fsspec filesystem; relative paths are from
            the pipeline folder.
        format: json (one record a line), csv, parquet or avro.
        rewritten: `fail` or `append`: what happens when a landed file was rewritten.
        nulls: CSV: unquoted texts that mean null.
        delimiter: CSV.
        names: CSV: of the fields, in order, if the file does not name them; else it has a header.
        skip: CSV: lines before the header, or before the first record if `names` stands for it.
        written: CSV: how it writes values.
        compression: `auto` (by magic, checked against the name), `none`, `gzip`, `zstd` or `zip`.
        block_bytes: About how many (decompressed) bytes of whole records are decoded at a time.
        max_record_bytes: A longer record is refused by pointer and hash, without its bytes.
        max_expansion: How many times its stored size a compressed file may decompress to before
            it is taken for a bomb; a file may always decompress to 1 GiB.
    """

    path: str
    format: str = "json"
    rewritten: str = "fail"
    nulls: tuple[str, ...] = ("",)
    delimiter: str = ","
    names: tuple[str, ...] = ()
    skip: int = 0
    written: Written = Written()
    compression: str = "auto"
    block_bytes: int = 4 << 20
    max_record_bytes: int = 64 << 20
    max_expansion: int = 250


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the middle, in order.

    Attributes:
        id: The step's `name`, else kind and ordinal of that kind (`derive-1`); the Beam label.
        kind: deduplicate, derive, filter, enrich or python.
        parameters: Kind-specific, JSON-like:
            deduplicate: {"by": [path, ...], "horizon_us": int}
            derive: {"columns": {name: schemas.expressions.Expression, ...}}
            filter: {"keep": schemas.expressions.Expression}
            enrich: {"table": str, "from": FileSource, "on": {row column: lookup column},
                     "add": {new name: {"column": lookup column, "type": logicalType}}}
            python: {"call": "module:function", "columns": {name: logicalType} | None,
                     "code": SHA-256 of the module's file in the pipeline folder, or None,
                     "reads": [name, ...], the only columns that it sees; not there: all}
        input: Arrow schema of contract, derived and path columns before this step.
        output: The same after it.
        taint: Names of output columns that hold clear personal data.
    """

    id: str
    kind: str
    parameters: dict[str, Any]
    input: pa.Schema
    output: pa.Schema
    taint: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Window:
    """`type` fixed, sliding, sessions or global; all durations in microseconds.

    `trigger` is the pipeline file's JSON form, used in streams only.
    """

    type: str
    size_us: int = 0
    period_us: int = 0
    gap_us: int = 0
    offset_us: int = 0
    allowed_lateness_us: int = 0
    trigger: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One aggregate function over one row expression.

    Attributes:
        function: count, sum, min, max, avg, stddev, approx_count_distinct, approx_quantile, first,
            last.
        argument: SQL row expression, or None for count(*).
        argument_type: Its Arrow type.
        type: Arrow type of the result.
        quantile: Of approx_quantile: from 0 to 1.
    """

    name: str
    function: str
    argument: str | None
    argument_type: pa.DataType | None
    type: pa.DataType
    quantile: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """A windowed aggregate over the rows that leave the last step.

    `group_by` are column names or paths; `input` the columns and paths that groups and measures
    read, with their types; `event_time` the batch column that windows are taken of;
    `hash_key` keys approx_count_distinct (fixed by the plan).
    """

    name: str
    window: Window
    group_by: tuple[str, ...]
    measures: tuple[Measure, ...]
    input: pa.Schema
    event_time: str
    hash_key: int

    @property
    def sessions(self) -> bool:
        """Whether a window is a session: the rows of a group with no `gap` of time in between."""
        return self.window.type == "sessions"

    @property
    def group_names(self) -> tuple[str, ...]:
        """Names of `group_by` in the aggregate's table: a path's dots are no part of a name."""
        return tuple(name.replace(".", "_") for name in self.group_by)

    @property
    def schema(self) -> pa.Schema:
        """Schema of finished rows, which is that of the aggregate's table."""
        groups = [
            self.input.field(name).with_name(landed)
            for name, landed in zip(self.group_by, self.group_names, strict=True)
        ]
        return pa.schema(
            [
                pa.field("window_start", TIMESTAMP, nullable=False),
                pa.field("window_end", TIMESTAMP, nullable=False),
                *groups,
                *(pa.field(measure.name, measure.type) for measure in self.measures),
                pa.field("_epoch", pa.int64(), nullable=False),
                pa.field("_rows", pa.int64(), nullable=False),
                pa.field("_final", pa.bool_(), nullable=False),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the lake.

    `schema` is the Arrow schema as it lands (position columns included; `_source` as string);
    `partition_by` are Iceberg transforms as text (`day(event_time)`, `bucket(16, user_id)`, `c`).
    """

    name: str
    schema: pa.Schema
    partition_by: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    key: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Released:
    """A place that personal data is let out to: in clear, or one person a group.

    `way` leads there from the property, through steps and columns; `reason` is the contract's.
    """

    place: str
    way: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything downstream reads this; nothing parses or checks twice.

    Attributes:
        name: The pipeline's name, an identifier.
        folder: The pipeline folder.
        out: Where a local run leaves everything.
        stream: Streaming face of the source; None if it has none.
        sinks: name -> options, e.g. {"lake": {}, "warehouse": {}}.
        tables: Lake tables by full name (`processed_data.flights`).
        hash_partitions: Partitions of every shuffle by hash.
        hash: SHA-256 (hex) over what decides the rows: contract, steps, aggregates, references.
        parts: Hash of `contract`, of `steps`, and of each `aggregate:<name>`, to say what changed.
        released: Where personal data is let out, as the contract says.
        secret: Reference of the pseudonym key (`file:...`, `env:...`), never its value.
    """

    name: str
    contract: Contract
    folder: Path
    out: Path
    source: FileSource
    steps: tuple[Step, ...]
    aggregates: tuple[Aggregate, ...]
    sinks: dict[str, dict[str, Any]]
    tables: dict[str, Table]
    runner: str = "direct"
    mode: str = "batch"
    cloud: str = "local"
    stream: StreamFace | None = None
    hash_partitions: int = 8
    hash: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    released: tuple[Released, ...] = ()
    secret: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def row_steps(self) -> tuple[Step, ...]:
        """Steps that look at one row at a time, in order; all of them run before the dedupe.

        A row is a duplicate of a *kept* row, so what the file names after the dedupe comes before
        it too: a run over two files then gives what a run over each of them gives (to the second
        run a row that the first one filtered is not there). No step takes a column out, and none
        may change one that the dedupe reads.
        """
        return tuple(step for step in self.steps if step.kind != "deduplicate")

    @property
    def deduplicate(self) -> Step | None:
        """The one step that compares rows, if the pipeline has it."""
        return next((step for step in self.steps if step.kind == "deduplicate"), None)

    @property
    def processed(self) -> str:
        """Full name of the table of kept rows."""
        return f"processed_data.{self.name}"

    def operations(self, name: str) -> str:
        """Full name of one of this pipeline's operations tables (`refused`, `ledger` ...)."""
        return f"operations.{self.name}_{name}"
