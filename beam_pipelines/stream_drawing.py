"""How a stream is drawn: a few lines of counts and the newest rows of its aggregates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from beam_pipelines.stream_view import Row, View
from schemas.names import Destiny
from schemas.plan import Aggregate, Plan

if TYPE_CHECKING:
    from rich.console import Group

_BARS: Final = "▁▂▃▄▅▆▇█"
_TALL: Final = 24
_TITLES: Final = 3
_GAP: Final = 2
_DAY_US: Final = 86_400_000_000
_UNKNOWN: Final = "not known yet"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is shown.

    Attributes:
        plan: What runs.
        view: What has landed.
        seconds: How long it has run.
        lag: Messages that are there and not done; None: not known.
        followed: How far the warehouse is; None: there is none.
        trouble: What keeps the lake from being read now; None: nothing does.
    """

    plan: Plan
    view: View
    seconds: float
    lag: int | None
    followed: str | None = None
    trouble: str | None = None

    @property
    def now(self) -> float:
        """Rows a second that the newest commit brought."""
        return self.view.rates[-1] if self.view.rates else 0.0

    @property
    def mean(self) -> float:
        """Rows a second since the run began."""
        return self.view.rows.total() / max(self.seconds, 0.001)


def line(facts: Facts) -> str:
    """Return one line for a pipe or a log."""
    view = facts.view
    parts = [
        f"{facts.plan.name}: {facts.seconds:.0f} s",
        f"{view.rows.total():,} read",
        *_destinies(view),
        f"{facts.now:,.0f} rows/s",
        f"watermark {_instant(view.watermark_us)}",
        f"lag {_lag(facts)}",
        f"commit {view.seq} in {view.took:.2f} s",
    ]
    return "  ".join(parts)


def draw(facts: Facts, width: int, height: int) -> Group:
    """Return what a terminal of this size shows."""
    from rich.console import Group  # noqa: PLC0415  not paid for in a pipe
    from rich.text import Text  # noqa: PLC0415

    plan, view = facts.plan, facts.view
    minutes, seconds = divmod(int(facts.seconds), 60)
    clock = f"{minutes}:{seconds:02d}"
    title = f"{plan.name}  stream on {plan.runner}"
    rest = max(width - len(title) - len(clock), 1)
    out = [
        Text.assemble((title, "bold"), " " * rest, clock),
        Text("─" * width, style="dim"),
        _fact("rows", f"{view.rows.total():,} read", *_destinies(view)),
        _fact("rows/s", f"{facts.now:>7,.0f} now", f"{facts.mean:>7,.0f} mean"),
        _fact("watermark", _instant(view.watermark_us)),
        _fact("lag", _lag(facts)),
        _fact("commits", *_commits(facts)),
    ]
    room = width - len(out[3].plain) - _GAP
    out[3].append("  " + bars(view.rates, room), style="cyan")
    if facts.followed is not None:
        out.append(_fact("warehouse", facts.followed))
    out += _tables(facts, width, height - len(out) - 1)
    for one in out:
        one.truncate(width, overflow="ellipsis")
    return Group(*out)


def bars(values: Sequence[float], room: int) -> str:
    """Return the newest values as a line of bars, the tallest full."""
    shown = values[-room:] if room > 0 else ()
    top = max(shown, default=0)
    if top <= 0:
        return ""
    return "".join(_BARS[round(v / top * (len(_BARS) - 1))] for v in shown)


def picked(rows: Sequence[Row], room: int) -> list[Row]:
    """Return as many rows as there is room for: the newest, some of them final if there are any."""
    final = [row for row in rows if row.final]
    early = [row for row in rows if not row.final]
    some = min(len(final), max(room // 2, room - len(early)))
    return early[: room - some] + final[:some]


def _tables(facts: Facts, width: int, room: int) -> list[Any]:
    """Return the lines of as many aggregates as there is room for."""
    shown = [a for a in facts.plan.aggregates if a.name in facts.view.newest]
    shown = shown[: 2 if room > _TALL else 1]
    out = []
    for aggregate in shown:
        most = room // len(shown) - _TITLES
        if most > 0:
            out += _table(aggregate, picked(facts.view.newest[aggregate.name], most), width)
    return out


def _table(aggregate: Aggregate, rows: Sequence[Row], width: int) -> list[Any]:
    from rich.text import Text  # noqa: PLC0415

    names = ["window", *aggregate.group_names, *(m.name for m in aggregate.measures)]
    cells = [
        [_start(row.start_us, aggregate), *map(_value, row.groups), *map(_value, row.measures)]
        for row in rows
    ]
    widths = [max(len(line[i]) for line in [names, *cells]) for i in range(len(names))]
    left = 1 + len(aggregate.group_names)
    most = len(names)
    while most > left and sum(widths[:most]) + _GAP * most + len("final") > width:
        most -= 1

    def text(line: Sequence[str]) -> str:
        return (" " * _GAP).join(
            cell.ljust(w) if i < left else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(line[:most], widths, strict=False))
        )

    out = [Text(""), Text(aggregate.name, style="bold"), Text(text(names), style="dim")]
    for row, line in zip(rows, cells, strict=True):
        kind = ("final", "green") if row.final else ("early", "yellow")
        style = "" if row.changed else "dim"
        out.append(Text.assemble((text(line), style), " " * _GAP, kind))
    return out


def _fact(name: str, *parts: str) -> Any:
    from rich.text import Text  # noqa: PLC0415

    return Text.assemble((f"{name:<11}", "dim"), "   ".join(parts))


def _destinies(view: View) -> list[str]:
    shown = [d for d in Destiny if view.rows[d.value] or d is Destiny.KEPT]
    return [f"{view.rows[d.value]:,} {d.value}" for d in shown]


def _commits(facts: Facts) -> list[str]:
    view = facts.view
    if facts.trouble is not None:
        return [f"{view.commits}", f"the lake cannot be read now: {facts.trouble}"]
    if view.landed_at is None:
        return ["none yet"]
    return [f"{view.commits}", f"the last took {view.took:.2f} s"]


def _lag(facts: Facts) -> str:
    return _UNKNOWN if facts.lag is None else f"{facts.lag:,} messages"


def _instant(us: int | None) -> str:
    return _UNKNOWN if us is None else f"{_time(us):%Y-%m-%d %H:%M:%S} UTC"


def _time(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1e6, UTC)


def _start(us: int, aggregate: Aggregate) -> str:
    whole = aggregate.window.size_us % _DAY_US == 0
    return f"{_time(us):%Y-%m-%d}" if whole else f"{_time(us):%Y-%m-%d %H:%M}"


def _value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
