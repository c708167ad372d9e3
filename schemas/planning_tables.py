"""The lake tables of a plan: their columns as they land, partitions, order, keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from schemas.contract import Contract
from schemas.located import did_you_mean, dotted, quoted
from schemas.names import (
    EVENT_TIME,
    MENDED_AT,
    POSITION,
    POSITION_FIELDS,
    REFUSED,
    SEQUENCE,
    SOURCE,
    TIMESTAMP,
    TRIED,
)
from schemas.noted import Noted
from schemas.plan import Aggregate, Table, Window

_HOUR_US: Final = 3_600_000_000
_PARTITION: Final = re.compile(
    r"(?P<time>year|month|day|hour)\((?P<of>\w+)\)"
    r"|(?P<sized>bucket|truncate)\((?P<size>[1-9][0-9]{0,5}), *(?P<in>\w+)\)"
    r"|(?P<column>\w+)"
)


def plan_tables(
    name: str,
    contract: Contract,
    rows: pa.Schema,
    *,
    aggregates: Sequence[Aggregate],
    lake: Mapping[str, Any],
    problems: Noted,
) -> dict[str, Table]:
    """Return the tables by full name; problems of `sinks.lake` are noted.

    Args:
        name: The pipeline's name.
        contract: Its contract.
        rows: Columns that leave the last step.
        aggregates: In order.
        lake: Options of the lake sink.
        problems: Where to note.
    """
    processed = Table(
        name=f"processed_data.{name}",
        schema=_processed(contract, rows),
        partition_by=tuple(_spaced(text) for text in lake.get("partition_by", ())),
        sort_by=tuple(lake.get("sort_by", ())),
        key=(SOURCE, POSITION, SEQUENCE),
    )
    _check_lake(processed, lake, problems)
    refused = Table(
        name=f"operations.{name}_refused",
        schema=pa.schema(
            [
                *_landed(REFUSED),
                pa.field("contract_version", pa.string(), nullable=False),
                pa.field("run_id", pa.string(), nullable=False),
                *TRIED,
                MENDED_AT,
            ]
        ),
        key=(SOURCE, POSITION, SEQUENCE),
    )
    tables = [processed, refused, *map(_aggregate, aggregates)]
    return {table.name: table for table in tables}


def _processed(contract: Contract, rows: pa.Schema) -> pa.Schema:
    paths = {column.path for column in contract.path_columns()}
    fields = [field for field in rows if field.name not in paths]
    if contract.event_time_column == EVENT_TIME:
        fields.append(pa.field(EVENT_TIME, TIMESTAMP, nullable=False))
    return pa.schema([*fields, *_landed(POSITION_FIELDS)])


def _landed(fields: Any) -> Iterator[pa.Field]:
    """Yield fields as they land: a dictionary is its values."""
    for field in fields:
        kind = field.type
        yield field.with_type(kind.value_type) if pa.types.is_dictionary(kind) else field


def _aggregate(aggregate: Aggregate) -> Table:
    return Table(
        name=f"analytics.{aggregate.name}",
        schema=aggregate.schema,
        partition_by=(_partition(aggregate.window),),
        key=("window_start", *aggregate.group_names),
    )


def _partition(window: Window) -> str:
    """Return the transform that cuts an aggregate's table.

    A commit rewrites the files of the partitions it touches, and each partition of a commit is a
    file: by day a year of hourly windows was 365 files and a quarter of the whole run's time.
    """
    return "day(window_start)" if 0 < window.size_us < _HOUR_US else "month(window_start)"


def _spaced(text: str) -> str:
    return re.sub(r", *", ", ", text)


def _check_lake(table: Table, lake: Mapping[str, Any], problems: Noted) -> None:
    for option in ("partition_by", "sort_by"):
        for i, text in enumerate(lake.get(option, ())):
            at = ("sinks", "lake", option, i)
            match = _PARTITION.fullmatch(text)
            if match is None or (option == "sort_by" and not match["column"]):
                forms = "a column, day(c), bucket(16, c) or truncate(4, c)"
                must = forms if option == "partition_by" else "a column"
                problems.add(at, f"`{dotted(at)}` must be {must}; got {quoted(text)}; correct it")
                continue
            name = match["of"] or match["in"] or match["column"]
            if name not in table.schema.names:
                must = f"`{dotted(at)}` must name a column of {table.name}; got {quoted(name)}"
                problems.add(at, f"{must}; {did_you_mean(name, table.schema.names)}")
                continue
            if why := _unfit(match, table.schema.field(name).type):
                problems.add(at, f"`{dotted(at)}` must {why}; got {quoted(text)}; correct it")


def _unfit(match: re.Match[str], kind: pa.DataType) -> str | None:
    if pa.types.is_nested(kind):
        return "be of a column with single values"
    if match["time"]:
        dated = pa.types.is_timestamp(kind) or (pa.types.is_date(kind) and match["time"] != "hour")
        return None if dated else f"be of a timestamp column, not {kind}"
    if match["sized"] == "truncate":
        cut = pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)
        return None if cut else f"be of text or whole numbers, not {kind}"
    if pa.types.is_floating(kind) or (match["sized"] and pa.types.is_boolean(kind)):
        return f"be of a column with exact values, not {kind}"
    return None
