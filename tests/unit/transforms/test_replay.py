"""Dead letters decoded again: each record at its own place, whatever stands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.plan import Plan
from schemas.planning import load_plan
from tests.pipelines.shop import PIPELINE, make_folder
from transforms.replay import HELD, Replayer
from transforms.replay_files import FromFiles

ARRIVED = datetime(2026, 3, 1, tzinfo=UTC)
GOOD = b'{"sale_id": "s%d", "sold_at": "2026-03-01T00:00:00Z", "country": "de", "pieces": %d}'
HEADER = b"sale_id,sold_at,country,pieces\n"
STREAM = '  stream: {kafka: {topic: sales, brokers: "b:1"%s}, max_future: 5m}\nsteps:'

Place = tuple[str, int, int]


def held(rows: Sequence[tuple[Place, str, bytes | None]]) -> pa.Table:
    named = [(*place, ARRIVED, form, record, None) for place, form, record in rows]
    dicts = [dict(zip(HELD.names, row, strict=True)) for row in named]
    return pa.Table.from_pylist(dicts, schema=HELD)


def replayed(
    plan: Plan, rows: Sequence[tuple[Place, str, bytes | None]]
) -> dict[Place, int | str | None]:
    """Place -> the pieces of a row, or the rule that refuses it."""
    out: dict[Place, int | str | None] = {}
    for decoded in Replayer(plan, FromFiles(plan, {}))(held(rows)):
        for side, column in ((decoded.rows, "pieces"), (decoded.refused, "rule")):
            for row in side.to_pylist() if side is not None else ():
                place = (row["_source"], row["_position"], row["_sequence"])
                assert place not in out
                assert row["_arrived"] == ARRIVED
                out[place] = row[column]
    return out


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return load_plan(make_folder(tmp_path))


def stream_plan(root: Path, more: str) -> Plan:
    pipeline = PIPELINE.replace("steps:", STREAM % more, 1)
    return load_plan(make_folder(root, pipeline=pipeline))


def test_json_records_of_one_position_keep_their_sequence(plan: Plan) -> None:
    rows = [(("file:///b", 7, n), "json", GOOD % (n, n)) for n in (3, 1, 2)]
    rows += [(("file:///a", 7, 1), "json", b"{"), (("file:///a", 9, 0), "json", GOOD % (9, 9))]
    assert replayed(plan, rows) == {
        ("file:///b", 7, 3): 3,
        ("file:///b", 7, 1): 1,
        ("file:///b", 7, 2): 2,
        ("file:///a", 7, 1): "json",
        ("file:///a", 9, 0): 9,
    }


CSV = [
    (("file:///a", 50, 0), "csv", HEADER + b"s1,2026-03-01T00:00:00Z,de,5"),
    (("file:///b", 10, 0), "csv", HEADER + b"s2,2026-03-01T00:00:00Z,de,six"),
    (("file:///a", 20, 0), "csv", b"pieces," + HEADER[:-8] + b"\n7,s3,2026-03-01T00:00:00Z,de"),
    (("file:///a", 90, 0), "csv", HEADER + b"s4,2026-03-01T00:00:00Z,fr,8"),
]
MADE = {
    ("file:///a", 50, 0): 5,
    ("file:///b", 10, 0): "type",
    ("file:///a", 20, 0): 7,
    ("file:///a", 90, 0): 8,
}


def test_csv_records_are_read_under_the_header_that_they_came_with(plan: Plan) -> None:
    assert replayed(plan, CSV) == MADE


@pytest.mark.parametrize(
    "record",
    [
        b's5,"2026-03-01T00:00:00Z,de,8',
        b"s5,2026-03-01T00:00:00Z,de,8\ns6,2026-03-01T00:00:00Z,de,8",
        b"",
    ],
    ids=["a quote that never closes", "two records", "none"],
)
def test_a_csv_record_that_is_not_one_takes_no_other_with_it(plan: Plan, record: bytes) -> None:
    rows = [(("file:///a", 40, 0), "csv", HEADER + record), *CSV]
    assert replayed(plan, rows) == {("file:///a", 40, 0): "csv", **MADE}


def test_records_that_are_nowhere_are_refused(plan: Plan) -> None:
    rows = [
        (("file:///a", 1, 0), "json", None),
        (("c/t/0", 1, 0), "json", None),
        (("file:///a", 2, 0), "pointer", b"{}"),
    ]
    assert set(replayed(plan, rows).values()) == {"record"}


def test_messages_are_decoded_by_the_stream_of_the_plan(tmp_path: Path) -> None:
    far = b'{"sale_id": "s1", "sold_at": "2026-03-02T00:00:00Z", "country": "de", "pieces": 3}'
    rows = [(("c/t/0", 4, 0), "json", far), (("c/t/1", 4, 0), "json", GOOD % (2, 2))]
    rows.append((("file:///a", 4, 0), "json", far))
    plan = stream_plan(tmp_path, "")
    assert replayed(plan, rows) == {
        ("c/t/0", 4, 0): "event_time",  # more than max_future after it arrived
        ("c/t/1", 4, 0): 2,
        ("file:///a", 4, 0): 3,
    }


def test_messages_whose_key_the_contract_reads_cannot_be_replayed(tmp_path: Path) -> None:
    rows = [(("c/t/0", 4, 0), "json", GOOD % (2, 2)), (("file:///a", 4, 0), "json", GOOD % (3, 3))]
    plan = stream_plan(tmp_path, ", key: country")
    assert replayed(plan, rows) == {("c/t/0", 4, 0): "key", ("file:///a", 4, 0): 3}
