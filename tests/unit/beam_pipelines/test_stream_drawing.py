"""How a stream is drawn: within the terminal's size, in plain text where colours are not wanted."""

import io
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from beam_pipelines.stream_drawing import Facts, bars, draw, line, picked
from beam_pipelines.stream_view import Row, View
from schemas.plan import Plan
from schemas.planning import load_plan

FLIGHTS = Path("beam_pipelines/flights")
HOUR = 3_600_000_000
START = int(datetime(2013, 8, 14, 9, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(FLIGHTS, mode="stream", runner="prism")


def rows(
    windows: int, *, final: bool, changed: bool = True, values: tuple[object, ...] = (12, -2.25, 7)
) -> list[Row]:
    return [
        Row(START - at * HOUR, (origin, "on time"), values, final, changed)
        for at in range(windows)
        for origin in ("EWR", "JFK", "LGA")
    ]


def facts(plan: Plan, **more: object) -> Facts:
    hourly = (*rows(4, final=False), *rows(4, final=True, changed=False))
    daily = rows(8, final=False, values=(12, 0, -2.25, None, 60, 12_000, 9))
    view = View(
        seq=7,
        commits=5,
        landed_at=1.0,
        took=0.414,
        rows=Counter(kept=120_000, duplicate=2_000),
        rates=(1000.0, 4000.0, 2000.0) * 40,
        watermark_us=START,
        newest={"departures_hourly": hourly, "departures_daily": tuple(daily)},
    )
    given = {"plan": plan, "view": view, "seconds": 61.4, "lag": 1204, "followed": "at commit 6"}
    return Facts(**{**given, **more})  # type: ignore[arg-type]


def drawn(shown: Facts, width: int, height: int) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, color_system=None)
    console.print(draw(shown, width, height))
    return out.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (40, 10), (200, 60)])
def test_nothing_is_drawn_beyond_the_terminal(plan: Plan, width: int, height: int) -> None:
    lines = drawn(facts(plan), width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width


def test_counts_time_lag_and_both_kinds_of_windows_are_there(plan: Plan) -> None:
    text = "\n".join(drawn(facts(plan), 80, 24))
    for said in ("122,000 read", "120,000 kept", "2,000 duplicate", "2013-08-14 09:00:00 UTC"):
        assert said in text
    for said in ("1,204 messages", "took 0.41 s", "1:01", "at commit 6", "early", "final"):
        assert said in text
    assert "departures_daily" not in text
    assert "departures_daily" in "\n".join(drawn(facts(plan), 120, 40))


def test_measures_that_do_not_fit_are_left_out_rather_than_cut(plan: Plan) -> None:
    lines = drawn(facts(plan), 60, 24)
    (title,) = [one for one in lines if one.startswith("window")]
    assert title.split() == ["window", "origin", "delay_class", "flights"]
    assert any(one.endswith("12  early") for one in lines)


def test_what_is_not_known_yet_is_said_so(plan: Plan) -> None:
    shown = facts(plan, view=View(), lag=None, followed=None)
    text = "\n".join(drawn(shown, 80, 24))
    assert text.count("not known yet") == 2
    assert "warehouse" not in text
    assert "none yet" in text
    assert "watermark not known yet" in line(shown)


def test_there_are_no_escapes_without_a_terminal_and_no_colours_if_none_are_wanted(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b" not in "\n".join(drawn(facts(plan), 80, 24)) + line(facts(plan))
    for wanted in (True, False):
        monkeypatch.setenv("NO_COLOR", "" if wanted else "1")
        out = io.StringIO()
        console = Console(file=out, width=80, force_terminal=True, color_system="standard")
        console.print(draw(facts(plan), 80, 24))
        assert ("\x1b[33m" in out.getvalue()) == wanted


def test_open_windows_leave_room_for_final_ones() -> None:
    both = [*rows(9, final=False), *rows(9, final=True)]
    kinds = [row.final for row in picked(both, 11)]
    assert kinds == [False] * 6 + [True] * 5
    assert len(picked(rows(9, final=False), 11)) == 11
    assert len(picked(rows(9, final=True), 11)) == 11
    assert picked(both, 0) == []


def test_bars_are_as_tall_as_their_share_of_the_tallest() -> None:
    assert bars([0, 50, 100], 80) == "▁▅█"
    assert bars([1, 2, 3, 4], 2) == "▆█"
    assert bars([], 80) == bars([0.0], 80) == bars([1.0], 0) == ""
