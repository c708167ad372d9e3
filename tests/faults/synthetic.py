"""A synthetic source whose every record is a function of its position, and a plan over it.

The oracle of the fault tests: it shares no code with the lake.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import pyarrow as pa

from schemas.contract import Column, Contract
from schemas.names import POSITION_FIELDS, REFUSED, REMOVED, TIMESTAMP
from schemas.plan import Aggregate, FileSource, Measure, Plan, Table, Window
from transforms.commit.landed import Landed
from transforms.commit.removed import fold_removed
from transforms.commit.table_info import TableInfo
from transforms.sinks.lake import FileWriter

HOUR_US = 3_600_000_000
BEGIN_US = 1_700_000_000 * 1_000_000 // HOUR_US * HOUR_US
COLUMNS = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("at", TIMESTAMP, nullable=False),
        pa.field("amount", pa.int64()),
    ]
)
POSITIONS = [
    f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f for f in POSITION_FIELDS
]


def record(source: str, position: int) -> dict[str, object]:
    """What stands at a position, with its destiny."""
    h = zlib.crc32(f"{source}/{position}".encode())
    destiny = "refused" if h % 17 == 0 else "duplicate" if h % 19 == 0 else "kept"
    at = BEGIN_US + (position // 40) * HOUR_US + h % HOUR_US
    return {"id": h % 50, "at": at, "amount": h % 1000, "destiny": destiny}


def plan(out: Path, name: str = "synthetic", **changes: object) -> Plan:
    """Kept rows, and an hourly count and sum of them."""
    contract = Contract(
        id=name,
        name=name,
        version="1.0.0",
        file=out / "contract.odcs.yaml",
        columns=tuple(
            Column(name=f.name, path=f.name, type=f.type, logical="integer") for f in COLUMNS
        ),
        event_time="at",
        primary_key=(),
        hash="c",
    )
    hourly = Aggregate(
        name="hourly",
        window=Window(type="fixed", size_us=HOUR_US),
        group_by=(),
        measures=(
            Measure(name="n", function="count", argument=None, argument_type=None, type=pa.int64()),
            Measure(
                name="total",
                function="sum",
                argument="amount",
                argument_type=pa.int64(),
                type=pa.int64(),
            ),
        ),
        input=pa.schema([("at", TIMESTAMP), ("amount", pa.int64())]),
        event_time="at",
        hash_key=1,
    )
    processed = Table(name=f"processed_data.{name}", schema=pa.schema([*COLUMNS, *POSITIONS]))
    analytics = Table(
        name="analytics.hourly",
        schema=pa.schema(
            [
                pa.field("window_start", TIMESTAMP, nullable=False),
                pa.field("window_end", TIMESTAMP, nullable=False),
                ("n", pa.int64()),
                ("total", pa.int64()),
                ("_epoch", pa.int64()),
                ("_rows", pa.int64()),
                ("_final", pa.bool_()),
            ]
        ),
        partition_by=("day(window_start)",),
    )
    values = {
        "name": name,
        "contract": contract,
        "folder": out,
        "out": out,
        "source": FileSource(path="*.jsonl"),
        "steps": (),
        "aggregates": (hourly,),
        "sinks": {"lake": {}},
        "tables": {t.name: t for t in (processed, analytics)},
        "hash": "p",
        "parts": {"contract": "c", "steps": "s", "aggregate:hourly": "h"},
    }
    return Plan(**(values | changes))


def rows(source: str, start: int, end: int, destiny: str) -> list[dict[str, object]]:
    """Records of a stretch that have a destiny, with their position columns."""
    place = {"_source": source, "_sequence": 0, "_arrived": BEGIN_US, "_watermark": None}
    made = ((p, record(source, p)) for p in range(start, end))
    return [r | place | {"_position": p} for p, r in made if r["destiny"] == destiny]


def kept_batch(source: str, start: int, end: int) -> pa.RecordBatch:
    """Rows as they leave the last step."""
    schema = pa.schema([*COLUMNS, *POSITIONS])
    return pa.RecordBatch.from_pylist(rows(source, start, end, "kept"), schema=schema)


def landed(infos: dict[str, TableInfo], source: str, start: int, end: int) -> Landed:
    """What a worker hands over after reading a stretch."""
    processed, refused = infos
    writers = {name: FileWriter(info) for name, info in infos.items()}
    writers[processed].write(kept_batch(source, start, end))
    dead = [
        r | {"step": "validate", "rule": "seventeen", "reason": "must not", "format": "json"}
        for r in rows(source, start, end, "refused")
    ]
    writers[refused].write(pa.RecordBatch.from_pylist(dead, schema=_plain(REFUSED)))
    copies = [
        r | {"step": "deduplicate-1", "rule": "id"} for r in rows(source, start, end, "duplicate")
    ]
    return Landed(
        files={name: tuple(writer.close()) for name, writer in writers.items()},
        done={source: [(start, end)]},
        removed=fold_removed(pa.RecordBatch.from_pylist(copies, schema=_plain(REMOVED))),
    )


def _plain(schema: pa.Schema) -> pa.Schema:
    return pa.schema(
        [f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f for f in schema]
    )
