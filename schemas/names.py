"""Names and schemas that every room shares: position columns, destinies, refused rows."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import pyarrow as pa

TIMESTAMP: Final = pa.timestamp("us", "UTC")

SOURCE: Final = "_source"
POSITION: Final = "_position"
SEQUENCE: Final = "_sequence"
ARRIVED: Final = "_arrived"
WATERMARK: Final = "_watermark"
EVENT_TIME: Final = "_event_time"
"""Added by decode only when the contract's event time is not itself a top-level column."""

POSITION_FIELDS: Final = (
    pa.field(SOURCE, pa.dictionary(pa.int32(), pa.string()), nullable=False),
    pa.field(POSITION, pa.int64(), nullable=False),
    pa.field(SEQUENCE, pa.int32(), nullable=False),
    pa.field(ARRIVED, TIMESTAMP, nullable=False),
    pa.field(WATERMARK, TIMESTAMP),
)
"""Appended to the contract's columns by decode, in this order, and carried for good."""

POSITION_NAMES: Final = tuple(field.name for field in POSITION_FIELDS)


class Destiny(StrEnum):
    """What became of a row that was read; each row has exactly one."""

    KEPT = "kept"
    REFUSED = "refused"
    DUPLICATE = "duplicate"
    FILTERED = "filtered"
    LATE = "late"


REFUSED: Final = pa.schema(
    [
        pa.field(SOURCE, pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field(POSITION, pa.int64(), nullable=False),
        pa.field(SEQUENCE, pa.int32(), nullable=False),
        pa.field(ARRIVED, TIMESTAMP, nullable=False),
        pa.field("step", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("record", pa.binary()),
    ]
)
"""What a step emits for each row it refuses.

`step` is the step's id, `rule` a short stable name (`json`, `type`, `required`, `enum` ...; the
dead letters are grouped by it), `reason` says column, rule and expected form, never a value.
`record` is the original record (`format` json, csv or bytes), or null when it must be fetched by
its position.
"""

REMOVED: Final = pa.schema(
    [
        pa.field(SOURCE, pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field(POSITION, pa.int64(), nullable=False),
        pa.field(SEQUENCE, pa.int32(), nullable=False),
        pa.field("destiny", pa.string(), nullable=False),
        pa.field("step", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
    ]
)
"""What a step emits for each row it takes out on purpose (`duplicate`, `filtered`)."""

TRIED: Final = (
    pa.field("tried_at", TIMESTAMP),
    pa.field("tried_step", pa.string()),
    pa.field("tried_rule", pa.string()),
    pa.field("tried_reason", pa.string()),
)
"""Columns of a dead letter that say by what the last replay refused it again; null before one."""

MENDED_AT: Final = pa.field("mended_at", TIMESTAMP)
"""Column of a dead letter: when a person put another record in; null: it is as it came."""
