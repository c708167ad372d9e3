"""The data contract as frozen values: what a row must look like, and what is personal in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pyarrow as pa


class Protection(StrEnum):
    """What happens to a column's values right after validation."""

    KEEP = "keep"
    PSEUDONYMIZE = "pseudonymize"
    MASK = "mask"
    GENERALIZE = "generalize"
    DROP = "drop"


class OnChange(StrEnum):
    """What meets records that are not as the contract has them (`penstock:onChange`).

    A change is a column that the contract does not declare, a value that is not of its column's
    type, or a file without a column that is declared.
    """

    EVOLVE = "evolve"
    FREEZE = "freeze"
    DISCARD_VALUE = "discard_value"
    DISCARD_ROW = "discard_row"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One check of a column's non-null values.

    Attributes:
        kind: `enum`, `minimum`, `maximum`, `exclusive_minimum`, `exclusive_maximum`,
            `multiple_of`, `pattern`, `format` (uuid, email, ipv4, ipv6, uri, hostname),
            `min_length`, `max_length` (characters), `min_items`, `max_items`, `unique_items`.
        value: The rule's argument, a JSON value (a tuple for `enum`); dates and times are ISO 8601
            text, timestamps in UTC.
        refuse: Whether a row that breaks the rule is refused; otherwise it is only counted.
    """

    kind: str
    value: object
    refuse: bool = True


@dataclass(frozen=True, kw_only=True)
class Column:
    """One property of the contract.

    Attributes:
        name: Name in the tables, and in records too unless `physical` is another.
        physical: Key in records (the standard's physicalName); None: `name`.
        path: Dotted path from the record's root (`properties.email`).
        type: Arrow type in the lake; an open object is `pa.string()` and holds JSON text.
        logical: The standard's logicalType: string, integer, number, boolean, date, timestamp,
            time, object, array.
        open: Whether this is a semi-structured object; then `children` are the declared keys, which
            travel beside it as *path columns* named by their dotted path and never land.
        formats: For timestamps, dates and times: how text is read. `()` is ISO 8601;
            otherwise strptime-like forms in the order tried.
        timezone: Zone of timestamps whose text names none.
        transform: SQL expression over the record's own columns (the standard's transformLogic);
            such a column is not read from the record.
        on_change: What meets a change of it, where it says that itself; see `Contract.met`.
        may_lack: Whether a file may be without it: its rows have null there, and a run says so,
            whatever `on_change` says. For columns that came later than some of the files.
    """

    name: str
    path: str
    type: pa.DataType
    logical: str
    required: bool = False
    unique: bool = False
    primary_key: int | None = None
    classification: str | None = None
    protect: Protection = Protection.KEEP
    protect_reason: str | None = None
    protect_options: tuple[tuple[str, object], ...] = ()
    rules: tuple[Rule, ...] = ()
    open: bool = False
    children: tuple[Column, ...] = ()
    items: Column | None = None
    formats: tuple[str, ...] = ()
    timezone: str = "UTC"
    transform: str | None = None
    description: str = ""
    physical: str | None = None
    on_change: OnChange | None = None
    may_lack: bool = False

    @property
    def key(self) -> str:
        """Its name in records."""
        return self.name if self.physical is None else self.physical

    @property
    def read(self) -> bool:
        """Whether decode reads it from the record."""
        return self.transform is None


@dataclass(frozen=True, kw_only=True)
class Release:
    """A place that classified data may reach in clear, and why (`penstock:release`).

    `place` is named as the refusal names it (`processed.size`); `line` is where the file says so.
    """

    place: str
    reason: str
    line: int = 1


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What the contract promises of the data as a whole (`slaProperties`); it only describes.

    Attributes:
        name: latency, retention, frequency ...
        value: As it is written, with its unit: `1 h`, `10 y`.
        element: What it is promised of; empty: all of it.
    """

    name: str
    value: str
    element: str = ""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """A checked data contract; build with `schemas.contract_file.load_contract`.

    Attributes:
        columns: Top-level columns in file order.
        event_time: Dotted path of the event time, or None (`_arrived` is used).
        primary_key: Column names in key order; empty if the contract names none.
        hash: SHA-256 (hex) over the meaning of the contract.
        releases: Beside the columns that are kept, what may come out in clear.
        purpose, usage, limitations: What the contract says of itself, for people.
        promises: What it promises of the data as a whole.
        whereabouts: What it says of where the data is, or how to get it (of its `servers`).
        on_change: What meets changes of the columns that do not say it themselves, and columns
            that are not declared. None: those are passed over, values of another type refused.
        event_times: First and last event time (us) that a row of the pipeline may have, both
            included; None: any. Not in the contract: a plan sets it, for its windows.
    """

    id: str
    name: str
    version: str
    file: Path
    columns: tuple[Column, ...]
    event_time: str | None
    primary_key: tuple[str, ...]
    hash: str
    description: str = ""
    releases: tuple[Release, ...] = ()
    purpose: str = ""
    usage: str = ""
    limitations: str = ""
    promises: tuple[Promise, ...] = ()
    whereabouts: tuple[str, ...] = ()
    on_change: OnChange | None = None
    event_times: tuple[int, int] | None = None

    def met(self, column: Column) -> OnChange | None:
        """Return what meets a change of a top-level column."""
        return self.on_change if column.on_change is None else column.on_change

    @property
    def event_time_column(self) -> str:
        """Top-level batch column that holds the event time after decode."""
        if self.event_time is None:
            return "_arrived"
        return self.event_time if "." not in self.event_time else "_event_time"

    @property
    def classified(self) -> bool:
        """Whether records may hold personal data: then refused and raw ones are encrypted.

        Any column may be personal, and what nobody has declared: those are kept in quarantine.
        """
        holders = [c for c in self.columns if c.children or c.items is not None]
        modes = (self.on_change, *(c.on_change for c in holders))
        return self.personal or OnChange.QUARANTINE in modes

    @property
    def personal(self) -> bool:
        """Whether any column is personal."""
        return any(c.classification or c.protect is not Protection.KEEP for c in self.leaves())

    def leaves(self) -> tuple[Column, ...]:
        """All columns, nested ones too, depth first, parents before children."""

        def walk(columns: tuple[Column, ...]) -> list[Column]:
            out: list[Column] = []
            for c in columns:
                out += [c, *walk(c.children), *(walk((c.items,)) if c.items else [])]
            return out

        return tuple(walk(self.columns))

    def path_columns(self) -> tuple[Column, ...]:
        """Declared leaf keys of open objects, in order; batches carry each as a column `path`."""

        def walk(columns: tuple[Column, ...]) -> list[Column]:
            out: list[Column] = []
            for c in columns:
                out += walk(c.children) if c.children else [c]
            return out

        return tuple(leaf for c in self.columns if c.open for leaf in walk(c.children))

    def arrow_schema(self) -> pa.Schema:
        """Top-level columns as they land (before `drop` protection)."""
        return pa.schema([pa.field(c.name, c.type, nullable=not c.required) for c in self.columns])
