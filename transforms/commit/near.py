"""Rows the lake holds near a run's event times, for the dedupe shuffle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from pyiceberg.expressions import And, GreaterThanOrEqual, LessThanOrEqual

from schemas.names import POSITION, SOURCE
from schemas.plan import Plan
from transforms.batches import one_batch
from transforms.commit.lake import open_lake
from transforms.decode.json_text import extract

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class RowsNear:
    """Reads ids of landed rows whose event time lies in a range; pickles.

    Only data files whose event-time bounds meet the range are opened.

    Attributes:
        plan: Whose `processed_data` table is read, as of the last done commit.
        by: Columns or paths that make a row itself.
    """

    plan: Plan
    by: tuple[str, ...]

    def __call__(self, first_us: int, last_us: int) -> Iterator[pa.RecordBatch]:
        """Yield rows with `by`, event time, `_source` and `_position`; both ends included."""
        contract = self.plan.contract
        event_time = contract.event_time_column
        paths = [c for c in contract.path_columns() if c.path in self.by]
        texts = {c.path.partition(".")[0] for c in paths}
        direct = [n for n in self.by if n not in {c.path for c in paths}]
        names = list(dict.fromkeys([*direct, *texts, event_time, SOURCE, POSITION]))
        near = And(
            GreaterThanOrEqual(event_time, _iso(first_us)),
            LessThanOrEqual(event_time, _iso(last_us)),
        )
        rows = open_lake(self.plan).read(self.plan.processed, names, near)
        for text in texts:
            own = [c for c in paths if c.path.partition(".")[0] == text]
            values = extract(one_batch(rows.select([text]))[text], own)
            for path, column in values.items():
                rows = rows.append_column(path, column)
        if rows.num_rows:
            yield one_batch(rows)


def _iso(us: int) -> str:
    low, high = -62_135_596_800_000_000, 253_402_300_799_999_999  # years 1 to 9999
    return (_EPOCH + timedelta(microseconds=max(low, min(us, high)))).isoformat()
