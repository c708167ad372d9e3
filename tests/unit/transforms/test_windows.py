"""Windows as arithmetic, against windows tried one by one and against Beam's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from apache_beam.transforms.window import FixedWindows, GlobalWindows, SlidingWindows, WindowFn
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.names import TIMESTAMP, WATERMARK
from schemas.plan import Window
from tests.aggregates import aggregate, batch, measure, windows_of
from transforms.aggregate.windowed import Span
from transforms.aggregate.windows import (
    AggregateError,
    Windows,
    bounds,
    late,
    spans,
    touched,
)

DAY = 86_400_000_000

some_windows = st.one_of(
    st.builds(
        lambda size, offset: Window(type="fixed", size_us=size, offset_us=offset % size),
        st.integers(1, 20),
        st.integers(0, 19),
    ),
    st.builds(
        lambda period, more, offset: Window(
            type="sliding", size_us=period + more, period_us=period, offset_us=offset % period
        ),
        st.integers(1, 12),
        st.integers(0, 20),
        st.integers(0, 11),
    ),
    st.just(Window(type="global")),
)
times = st.lists(st.integers(-100, 100), min_size=1, max_size=20)


def _of(window: Window) -> Any:
    return aggregate(measure("n", "count"), window=window)


def _starts(*values: int) -> pa.Array:
    return pa.array(values, pa.int64()).cast(TIMESTAMP)


@settings(max_examples=60, deadline=None)
@given(window=some_windows, times=times)
def test_touched_windows_are_those_that_hold_a_row(window: Window, times: list[int]) -> None:
    found = touched(batch({"t": t} for t in times), _of(window))
    wanted = sorted({start for t in times for start in windows_of(t, window)})
    assert found.cast(pa.int64()).to_pylist() == wanted


@settings(max_examples=40, deadline=None)
@given(window=some_windows, time=st.integers(-100, 100))
def test_bounds_hold_every_row_of_their_windows_and_reach_no_further(
    window: Window, time: int
) -> None:
    for start in windows_of(time, window):
        low, high = bounds(_starts(start), _of(window))
        assert low <= time <= high
        if window.type != "global":
            assert windows_of(low - 1, window).count(start) == 0
            assert windows_of(high + 1, window).count(start) == 0


def test_spans_are_given_window_by_window() -> None:
    firsts, lasts = spans(_starts(0, 30), _of(Window(type="fixed", size_us=10)))
    assert (firsts.tolist(), lasts.tolist()) == ([0, 30], [9, 39])
    assert bounds(_starts(0, 30), _of(Window(type="fixed", size_us=10))) == (0, 39)


@settings(max_examples=60, deadline=None)
@given(window=some_windows, time=st.integers(-50, 50), streaming=st.booleans())
def test_a_row_meets_each_of_its_windows_in_one_beam_window_with_all_rows_of_it(
    window: Window, time: int, *, streaming: bool
) -> None:
    of = _of(window)
    span = Span(
        Windows.of(of),
        0 if window.type == "global" else Windows.of(of).period * (1 if streaming else 3),
    )
    row_in = _beam_windows(span.beam(), time)
    for start in windows_of(time, window):
        carriers = [w for w in row_in if span.starts(w) is None or _in(start, span.starts(w))]
        assert len(carriers) == 1
        if window.type != "global":
            (carrier,) = carriers
            assert carrier.start.micros <= start
            assert start + window.size_us <= carrier.end.micros


def _beam_windows(function: WindowFn, time: int) -> list[Any]:
    return list(function.assign(WindowFn.AssignContext(Timestamp(micros=time))))


def _in(value: int, limits: tuple[int, int] | None) -> bool:
    return limits is not None and limits[0] <= value < limits[1]


def test_in_streams_beam_windows_are_the_aggregates_own() -> None:
    def beam(window: Window) -> WindowFn:
        return Span.of(_of(window), streaming=True).beam()

    minute = 60_000_000
    assert beam(Window(type="fixed", size_us=minute)) == FixedWindows(60)
    assert beam(Window(type="sliding", size_us=minute, period_us=minute // 6)) == SlidingWindows(
        60, 10
    )
    assert beam(Window(type="global")) == GlobalWindows()


def test_in_batch_a_year_of_hours_takes_a_handful_of_beam_windows() -> None:
    hours = Window(type="fixed", size_us=DAY // 24)
    span = Span.of(_of(hours), streaming=False)
    starts = {w.start for day in range(365) for w in _beam_windows(span.beam(), day * DAY)}
    assert len(starts) <= 5


def test_a_row_is_late_if_a_window_had_closed_with_its_lateness_when_it_was_read() -> None:
    window = Window(type="sliding", size_us=10, period_us=5, allowed_lateness_us=2)
    marks = [None, 11, 12, 17]
    rows = batch({"t": 7, WATERMARK: mark} for mark in marks)
    assert late(rows, _of(window)).to_pylist() == [False, False, True, True]
    assert not any(late(rows, _of(Window(type="global"))).to_pylist())


def test_windows_with_rows_between_them_are_refused() -> None:
    with pytest.raises(AggregateError, match="0 < period <= size"):
        Windows.of(_of(Window(type="sliding", size_us=5, period_us=6)))


def test_far_times_have_windows_too() -> None:
    years = np.array([-62135596800_000_000, 253402300799_999_999])
    rows = batch({"t": int(t)} for t in years)
    found = touched(rows, _of(Window(type="fixed", size_us=DAY)))
    assert found.cast(pa.int64()).to_pylist() == (years // DAY * DAY).tolist()
