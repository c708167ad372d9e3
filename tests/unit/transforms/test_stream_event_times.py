"""Which event times of raw messages count for the watermark."""

from __future__ import annotations

import pyarrow as pa
import pytest

from schemas.names import TIMESTAMP
from tests.contracts import contract
from tests.unit.transforms import json_oracle as oracle
from tests.unit.transforms.raws import CONTRACT, beat, raw
from transforms.sources.streams import event_times
from transforms.sources.streams.event_times import EventTimes, Seen, narrowed

HOUR = 3_600_000_000
TIMES = EventTimes(CONTRACT, max_future_us=5_000_000)


def s(seconds: float) -> int:
    return int(seconds * 1_000_000)


def test_the_lowest_and_the_highest_of_each_source_count() -> None:
    batch = raw(("a", 0, beat(7)), ("b", 0, beat(3)), ("a", 1, beat(5)), arrived=HOUR)
    assert TIMES(batch, HOUR) == Seen(s(3), {"a": s(7), "b": s(3)})


def test_what_cannot_be_read_is_null_or_a_tombstone_does_not_count() -> None:
    batch = raw(
        ("a", 0, b"{"), ("a", 1, b'{"at":null}'), ("a", 2, None), ("a", 3, b'{"at":"no"}'),
        ("b", 0, beat(1)), arrived=HOUR,
    )  # fmt: skip
    assert TIMES(batch, HOUR) == Seen(s(1), {"b": s(1)})
    assert TIMES(batch.slice(0, 4), HOUR) == Seen(None, {})


def test_a_row_from_the_year_2099_does_not_count() -> None:
    far = b'{"at":"2099-01-01T00:00:00Z"}'
    batch = raw(("a", 0, far), ("a", 1, beat(8)), arrived=s(3))
    assert TIMES(batch, HOUR) == Seen(s(8), {"a": s(8)})
    assert TIMES(raw(("a", 1, beat(8.001)), arrived=s(3)), HOUR) == Seen(None, {})


def test_an_arrival_that_a_producer_made_up_is_held_against_the_clock() -> None:
    far = b'{"at":"2099-01-01T00:00:00Z"}'
    assert TIMES(raw(("a", 0, far), arrived=2**61), HOUR) == Seen(None, {})


def test_without_event_time_arrival_counts() -> None:
    times = EventTimes(contract(oracle.column("n", pa.int64(), "integer")), 0)
    assert times(raw(("a", 0, b"{"), arrived=9), 10) == Seen(9, {"a": 9})


def test_of_a_large_batch_the_high_is_never_more_than_it_is_and_small_sources_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_times, "SAMPLE", 16)
    rows = [("a", i, beat(i % 97)) for i in range(500)] + [("b", 0, beat(1)), ("a", 500, beat(50))]
    seen = TIMES(raw(*rows, arrived=HOUR), HOUR)
    assert not seen.exact
    assert s(50) <= seen.high["a"] <= s(96)
    assert seen.high["b"] == s(1)


def test_only_the_columns_that_event_time_is_made_of_are_read() -> None:
    text = pa.string()
    wanted = contract(
        oracle.column("y", pa.int64(), "integer"),
        oracle.column("x", text, "string", required=True),
        oracle.column("z", text, "string"),
        oracle.column(
            "at",
            TIMESTAMP,
            "timestamp",
            transform="timezone('UTC', make_timestamp(y, 1, 2, 3, 4, 5))",
        ),
        event_time="at",
    )
    assert [c.name for c in narrowed(wanted).columns] == ["y", "at"]
    found = EventTimes(wanted, HOUR)(raw(("a", 0, b'{"y":1970}'), arrived=30 * HOUR), 99 * HOUR)
    assert found.high == {"a": 86_400_000_000 + 3 * HOUR + s(245)}


def test_an_event_time_within_an_open_object_is_found() -> None:
    at = oracle.column("at", TIMESTAMP, "timestamp", "p.at")
    other = oracle.column("e", pa.string(), "string", "p.e")
    wanted = contract(
        oracle.column("p", pa.string(), "object", open=True, children=(other, at)),
        event_time="p.at",
    )
    assert [c.path for c in narrowed(wanted).path_columns()] == ["p.at"]
    batch = raw(("a", 0, b'{"p":{"e":1,"at":"1970-01-01T00:00:02Z"}}'), arrived=HOUR)
    assert EventTimes(wanted, 0)(batch, HOUR).high == {"a": s(2)}
