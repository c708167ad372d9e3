"""Reading dates and times: ISO 8601 and strptime-like forms, against Python's own."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.decode.text_times import dates, times, timestamps

# Two digits of a year stand for 1969 to 2068.
YEARS = (dt.datetime(1970, 1, 1), dt.datetime(2068, 1, 1))  # noqa: DTZ001
FORMS = (
    "%Y-%m-%d %H:%M:%S",
    "%d/%m/%y %H:%M",
    "%b %d, %Y %I:%M %p",
    "%Y%j %H.%M.%S.%f",
    "%Y-%m-%dT%H:%M:%S%z",
    "%a, %d %B %Y %H:%M",
    "100%% %Y.%m.%d",
    "%-m/%-d/%Y %-H:%M",
    "%-d. %B %Y %-I:%M %p",
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.datetimes(*YEARS), max_size=5),
    st.sampled_from(FORMS),
)
def test_what_strftime_writes_is_read_back(moments: list[dt.datetime], form: str) -> None:
    moments = [m.replace(tzinfo=dt.UTC) for m in moments]
    texts = [m.strftime(form) for m in moments]
    read = form.replace("%-", "%")  # Python's reads one digit, too
    want = [dt.datetime.strptime(t, read).replace(tzinfo=dt.UTC) for t in texts]
    assert timestamps(pa.array(texts, pa.string()), (form,)).to_pylist() == want


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.datetimes(), min_size=1, max_size=3), st.sampled_from(["", "Z", "+09:30", "-01"])
)
def test_iso_texts_are_read_as_python_reads_them(moments: list[dt.datetime], zone: str) -> None:
    texts = [m.isoformat() + zone for m in moments]
    want = []
    for text in texts:
        at = dt.datetime.fromisoformat(text)
        try:
            want.append((at if at.tzinfo else at.replace(tzinfo=dt.UTC)).astimezone(dt.UTC))
        except OverflowError:
            want.append(None)
    assert timestamps(pa.array(texts)).to_pylist() == want


def test_a_column_of_one_form_reads_like_its_rows_one_by_one() -> None:
    texts = [f"2026-02-{1 + n % 28:02}T{n % 24:02}:30:00.{n:06}Z" for n in range(200)]
    for odd in (
        "2026-02-30T00:00:00.000000Z",
        "2026-02-01T00:00:00Z",
        "0000-02-01T00:00:00.000000Z",
        "2026-02-01T00:00:0a.000000Z",
        "2026-02-01t00:00:00.000000z",
        "",
    ):
        whole = timestamps(pa.array([*texts, odd]))
        alone = [timestamps(pa.array([text]))[0].as_py() for text in [*texts[:3], odd]]
        assert whole.take([0, 1, 2, 200]).to_pylist() == alone


def test_the_seventh_digit_of_a_fraction_and_on_are_cut_off() -> None:
    got = timestamps(pa.array(["2026-01-01T00:00:00.1234569Z", "1969-12-31T23:59:59.999999999Z"]))
    assert [t.microsecond for t in got.to_pylist()] == [123456, 999999]


def test_a_local_time_shown_twice_is_the_earlier_and_one_never_shown_is_unreadable() -> None:
    texts = [
        "2026-11-01T01:30:00",
        "2026-03-08T02:30:00",
        "2026-07-01T12:00:00",
        "2026-07-01T12:00:00Z",
    ]
    got = timestamps(pa.array(texts), (), "America/New_York").to_pylist()
    zone = ZoneInfo("America/New_York")
    assert got[0] == dt.datetime(2026, 11, 1, 1, 30, tzinfo=zone, fold=0).astimezone(dt.UTC)
    assert got[1] is None
    assert got[2] == dt.datetime(2026, 7, 1, 12, tzinfo=zone).astimezone(dt.UTC)
    assert got[3] == dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)


def test_forms_are_tried_in_order() -> None:
    texts = pa.array(["2026-01-02", "02.01.2026", "x", None])
    assert (
        dates(texts, ("%Y-%m-%d", "%d.%m.%Y")).to_pylist() == [dt.date(2026, 1, 2)] * 2 + [None] * 2
    )


@pytest.mark.parametrize(
    "text", ["2026-1-2", "2026-01-32", "0000-01-01", "20260102", "2026-01-02 ", "\uff12026-01-02"]
)
def test_what_is_no_iso_date_is_unreadable(text: str) -> None:
    assert dates(pa.array([text])).to_pylist() == [None]


def test_times_of_day() -> None:
    texts = pa.array(["09:30", "23:59:59.999999", "24:00", "09:30Z", "9:30", None])
    want = [dt.time(9, 30), dt.time(23, 59, 59, 999999), None, None, None, None]
    assert times(texts).to_pylist() == want
    assert times(pa.array(["12:05 AM", "12:05 pm"]), ("%I:%M %p",)).to_pylist() == [
        dt.time(0, 5),
        dt.time(12, 5),
    ]
