"""How far reading may be ahead of what has landed, with a clock that the test moves."""

from __future__ import annotations

from transforms.commit.ranges import Ranges
from transforms.sources.streams.permit import InFlight, Permit
from transforms.sources.streams.raw import Span


class FakeClock:
    now = 0

    def wall(self) -> int:
        return self.now

    def steady(self) -> int:
        return self.now


class Lake:
    def __init__(self) -> None:
        self.done: Ranges = {}
        self.asked = 0

    def __call__(self) -> Ranges:
        self.asked += 1
        return self.done


def test_reading_stops_when_too_much_is_in_flight_and_goes_on_when_it_has_landed() -> None:
    clock, lake = FakeClock(), Lake()
    permit = Permit(lake, 10, clock)
    permit.ask()
    permit.sent([Span("a", 0, 8, 8)])
    assert permit.allows()
    permit.sent([Span("b", 5, 9, 4)])
    assert not permit.allows()
    lake.done = {"a": [(0, 8)]}
    clock.now += 999_999
    assert permit.ask() is None, "asked at most once a second"
    assert not permit.allows()
    clock.now += 1
    assert permit.ask() == {"a": 8, "b": 5}
    assert permit.allows()
    assert lake.asked == 2


def test_without_anybody_to_ask_everything_is_allowed_and_nothing_kept() -> None:
    permit = Permit(None, 1, FakeClock())
    permit.sent([Span("a", 0, 100, 100)])
    assert permit.allows()
    assert permit.ask() is None
    assert permit.in_flight.rows == 0


def test_only_what_landed_without_a_hole_is_acknowledged() -> None:
    flight = InFlight()
    flight.sent([Span("a", 0, 10, 9), Span("a", 10, 20, 10), Span("a", 20, 30, 10)])
    flight.landed({"a": [(10, 20)]})
    assert (flight.rows, flight.landed_up_to()) == (19, {"a": 0})
    flight.landed({"a": [(0, 20)]})
    assert (flight.rows, flight.landed_up_to()) == (10, {"a": 20})
    flight.landed({"a": [(0, 25)]})
    assert (flight.rows, flight.landed_up_to()) == (10, {"a": 20}), "half landed has not landed"
    flight.landed({"a": [(0, 30)]})
    assert (flight.rows, flight.landed_up_to()) == (0, {"a": 30})


def test_a_lost_span_needs_no_landing() -> None:
    flight = InFlight()
    flight.sent([Span("a", 0, 50, 0, lost=True), Span("a", 50, 51, 1)])
    flight.landed({"a": [(50, 51)]})
    assert flight.landed_up_to() == {"a": 51}
