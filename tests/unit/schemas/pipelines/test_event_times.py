"""Which event times a pipeline takes: those whose windows lie within the years 1 to 9999."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.plan import Window
from schemas.windowing import FIRST_US, LAST_US, event_times
from tests.aggregates import aggregate, measure
from transforms.aggregate.windows import Windows

DAY = 86_400_000_000


@settings(max_examples=100, deadline=None)
@given(period=st.integers(1, 9 * DAY), more=st.integers(0, 9 * DAY), offset=st.integers(0, DAY))
def test_all_windows_of_the_first_and_the_last_time_are_within_and_of_no_other(
    period: int, more: int, offset: int
) -> None:
    window = Window(
        type="sliding", size_us=period + more, period_us=period, offset_us=offset % period
    )
    windows = Windows.of(aggregate(measure("n", "count"), window=window))
    first, last = event_times([window])
    times = np.array([first - 1, first, last, last + 1])
    slices = windows.slices(times)
    starts, ends = windows.first(slices), windows.ends(windows.last(slices))
    assert (starts >= FIRST_US).tolist() == [False, True, True, True]
    assert (ends <= LAST_US).tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    ("windows", "limits"),
    [
        ([], (FIRST_US, LAST_US)),
        ([Window(type="global")], (FIRST_US, LAST_US)),
        ([Window(type="sessions", gap_us=DAY)], (FIRST_US, LAST_US - DAY)),
        ([Window(type="fixed", size_us=DAY)], (FIRST_US, LAST_US - DAY)),
    ],
)
def test_the_narrowest_window_decides(windows: list[Window], limits: tuple[int, int]) -> None:
    assert event_times(windows) == limits
    assert event_times([*windows, Window(type="sessions", gap_us=1)])[1] == min(
        limits[1], LAST_US - 1
    )
