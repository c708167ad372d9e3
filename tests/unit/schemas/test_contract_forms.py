"""Patterns of dates and times, checked against the parser that their forms are written for."""

import datetime as dt

import pytest

from schemas.contract_forms import iso, strptime_forms


def at(*parts: int, hours: int | None = None) -> dt.datetime:
    zone = None if hours is None else dt.timezone(dt.timedelta(hours=hours))
    return dt.datetime(*parts, tzinfo=zone)  # type: ignore[arg-type]


READ = [
    ("yyyy-MM-dd", "date", "2026-01-31", at(2026, 1, 31)),
    ("yyyyMMdd", "date", "20260131", at(2026, 1, 31)),
    ("d MMM yy", "date", "1 Jan 26", at(2026, 1, 1)),
    ("M/d/yyyy H:mm", "timestamp", "1/2/2026 9:05", at(2026, 1, 2, 9, 5)),
    ("h:mm a", "time", "9:05 PM", at(1900, 1, 1, 21, 5)),
    ("yyyyMd", "date", None, None),
    ("dd MMM yy", "date", "31 Jan 26", at(2026, 1, 31)),
    ("yyyy-DDD", "date", "2026-031", at(2026, 1, 31)),
    ("MM/dd/yyyy hh:mm a", "timestamp", "01/31/2026 09:05 PM", at(2026, 1, 31, 21, 5)),
    ("yyyy-MM-dd'T'HH:mm:ss.SSS", "timestamp", "2026-01-31T09:05:06.007",
     at(2026, 1, 31, 9, 5, 6, 7000)),
    ("yyyy-MM-dd HH:mmXXX", "timestamp", "2026-01-31 09:05+02:00",
     at(2026, 1, 31, 9, 5, hours=2)),
    ("yyyy'year'MM''dd", "date", "2026year01'31", at(2026, 1, 31)),
    ("yyyy%MM%dd", "date", "2026%01%31", at(2026, 1, 31)),
    ("HH:mm:ss", "time", "09:05:06", at(1900, 1, 1, 9, 5, 6)),
    ("yyyy-MM-dd'T", "date", None, None),
    ("yyyy-MM-dd[", "date", None, None),
    ("yyyy[-MM[-dd]]", "date", None, None),
    ("[a][a][a][a]yyyy-MM-dd", "date", None, None),
    ("yyyy-MM", "date", None, None),
    ("mm:ss", "time", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "logical", "text", "value"), READ)
def test_a_pattern_reads_what_it_says_or_is_refused(
    pattern: str, logical: str, text: str | None, value: dt.datetime | None
) -> None:
    forms = strptime_forms(pattern, logical)
    if text is None:
        assert isinstance(forms, str)
        assert forms.count("; ") == 2
        return
    assert isinstance(forms, tuple)
    form = forms[0].replace("%-", "%")  # Python's reads one digit, too
    assert dt.datetime.strptime(text, form) == value  # noqa: DTZ007


def test_optional_parts_are_tried_longest_first() -> None:
    assert strptime_forms("yyyy-MM-dd[ HH:mm[:ss]]", "date") == (
        "format must close each [ once; got 'yyyy-MM-dd[ HH:mm[:ss]]'; correct it"
    )
    assert strptime_forms("yyyy-MM-dd[ HH:mm][XXX]", "timestamp") == (
        "%Y-%m-%d %H:%M%z",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%d%z",
        "%Y-%m-%d",
    )


@pytest.mark.parametrize(
    ("value", "logical", "expected"),
    [
        ("2026-01-31", "date", "2026-01-31"),
        ("2026-02-30", "date", None),
        ("09:30", "time", "09:30:00"),
        ("09:30Z", "time", None),
        ("2026-01-31T09:30:00Z", "timestamp", "2026-01-31T09:30:00+00:00"),
        ("2026-01-31 09:30", "timestamp", "2026-01-31T14:30:00+00:00"),
        ("0001-01-01T00:00+10:00", "timestamp", None),
        (20260131, "date", None),
    ],
)
def test_limits_have_one_form(value: object, logical: str, expected: str | None) -> None:
    assert iso(value, logical, "America/New_York") == expected
