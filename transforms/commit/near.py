"""What makes a row itself, read back from the lake: for the dedupe, and for the committer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from pyiceberg.expressions import And, GreaterThanOrEqual, LessThanOrEqual

from schemas.contract import Contract
from schemas.names import POSITION, SOURCE
from schemas.plan import Plan
from transforms.batches import one_batch
from transforms.commit.lake import open_lake, read_at
from transforms.decode.json_text import extract

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Asked:
    """The state of the lake that a run knew when it began; it travels with the run.

    Attributes:
        seq: Sequence number of the last commit, 0 if there was none.
        snapshot: Of `processed_data` as of the last done commit, None if it had no rows.
        began: Last commit when a run began that knows less than that: a stream without a
            checkpoint has asked nothing yet, but adds to the tables of now.
    """

    seq: int = 0
    snapshot: int | None = None
    began: int = 0


@dataclass(frozen=True)
class RowsNear:
    """Reads ids of landed rows whose event time lies in a range; pickles.

    Only data files whose event-time bounds meet the range are opened.

    Attributes:
        plan: Whose `processed_data` table is read.
        by: Columns or paths that make a row itself.
        snapshot: What is read. If it has expired, the last done commit is: a later state only
            knows more, and what lands after `snapshot` the committer asks again.
    """

    plan: Plan
    by: tuple[str, ...]
    snapshot: int

    def __call__(self, first_us: int, last_us: int) -> Iterator[pa.RecordBatch]:
        """Yield rows with `by`, event time, `_source` and `_position`; both ends included."""
        contract = self.plan.contract
        names = id_columns(contract, self.by)
        near = And(
            GreaterThanOrEqual(contract.event_time_column, _iso(first_us)),
            LessThanOrEqual(contract.event_time_column, _iso(last_us)),
        )
        lake = open_lake(self.plan)
        table = lake.load(self.plan.processed)
        if table.snapshot_by_id(self.snapshot) is not None:
            rows = read_at(table, self.snapshot, names, near)
        else:
            rows = lake.read(self.plan.processed, names, near)
        if rows.num_rows:
            yield one_batch(with_paths(rows, contract, self.by))


def id_columns(contract: Contract, by: Sequence[str]) -> list[str]:
    """Return the columns of the lake that hold the `by` values, event time and position."""
    paths = {c.path for c in contract.path_columns()}
    held = [n.partition(".")[0] if n in paths else n for n in by]
    return list(dict.fromkeys([*held, contract.event_time_column, SOURCE, POSITION]))


def with_paths(rows: pa.Table, contract: Contract, by: Sequence[str]) -> pa.Table:
    """Add the `by` values that lie in open objects, read out of their JSON texts, as columns."""
    paths = [c for c in contract.path_columns() if c.path in by]
    for text in dict.fromkeys(c.path.partition(".")[0] for c in paths):
        own = [c for c in paths if c.path.partition(".")[0] == text]
        values = extract(one_batch(rows.select([text]))[text], own)
        for path, column in values.items():
            rows = rows.append_column(path, column)
    return rows


def _iso(us: int) -> str:
    low, high = -62_135_596_800_000_000, 253_402_300_799_999_999  # years 1 to 9999
    return (_EPOCH + timedelta(microseconds=max(low, min(us, high)))).isoformat()
