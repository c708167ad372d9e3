"""When events happen: by day, and by the hour of the day and the day of the week."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from transforms.synthetic.like.quantiles import Quantiles, chance, quantiles_of
from transforms.synthetic.values import Span

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
_WEEK: Final = 7
_MONDAY: Final = 3  # 1970-01-01 was a Thursday
_UNITS_US: Final = (DAY_US, HOUR_US, 60_000_000, 1_000_000, 1_000)
_WHOLE: Final = 0.995
_MOST_CELLS: Final = 1_000_000


@dataclass(frozen=True, eq=False)
class Rhythm:
    """How the event times of a sample are spread.

    Attributes:
        span: Where they lie, in whole hours, or whole days if that is a month or more.
        trend: Quantiles over all of it, if that is less than a day; None: even.
        dates: Share of the events on each day of it, if it is more; None: even.
        days: Events of a day of the week, from Monday, relative to the mean.
        hours: Share of each hour of the day, by day of the week.
        step_us: What times are multiples of.
    """

    span: Span
    trend: Quantiles | None
    dates: np.ndarray | None
    days: np.ndarray
    hours: np.ndarray
    step_us: int

    def cells(self, span: Span) -> tuple[np.ndarray, np.ndarray]:
        """Return times and the share of events before each.

        Over the sample's own span events follow its trend, over another only days and hours.
        """
        own = span == self.span
        length = span.end_us - span.start_us
        if length < DAY_US or length > _MOST_CELLS * HOUR_US:
            edges = np.linspace(span.start_us, span.end_us, 2049)
            if own and self.trend is not None:
                return edges, _even(self._before(edges))
            return edges, np.linspace(0, 1, len(edges))
        inner = np.arange(span.start_us // HOUR_US + 1, -(-span.end_us // HOUR_US)) * HOUR_US
        edges = np.r_[span.start_us, inner, span.end_us]
        hour = edges[:-1] // HOUR_US
        day = hour // 24
        weekday = (day + _MONDAY) % _WEEK
        share = self.hours[weekday, hour % 24] * np.diff(edges) / HOUR_US
        if own and self.dates is not None:
            number = (day - day[0]).astype(np.int64)
            whole = np.bincount(number, share)
            share *= (self.dates / np.where(whole > 0, whole, 1))[number]
        else:
            share *= self.days[weekday]
        return edges, _even(np.r_[0.0, np.cumsum(share)])

    def _before(self, times: np.ndarray) -> np.ndarray:
        """Return the share of the sample's events before each time."""
        trend = self.trend
        assert trend is not None  # noqa: S101  # asked by those who know
        return np.interp(times, trend.values, chance(trend.scores), left=0.0, right=1.0)


def _even(shares: np.ndarray) -> np.ndarray:
    """Return them from 0 to 1, each above the one before."""
    shares = shares - shares[0]
    total = shares[-1]
    even = np.linspace(0, 1, len(shares))
    return even if total <= 0 else (1 - 1e-9) * shares / total + 1e-9 * even


def rhythm_of(times: np.ndarray, least: int, step_us: int, *, whole: bool) -> Rhythm:
    """Learn when events happen.

    Args:
        times: Microseconds since the epoch.
        least: Events that say something together.
        step_us: What times are multiples of.
        whole: Whether these are all, not parts from here and there: then they tell the trend.
    """
    low, high = int(times.min()), int(times.max()) + 1
    unit = DAY_US if high - low >= 30 * DAY_US else HOUR_US
    span = Span(start_us=low // unit * unit, end_us=-(-high // unit) * unit)
    long = span.end_us - span.start_us >= DAY_US
    trend = None if long or not whole else quantiles_of(times.astype(float), least, shared=False)
    dates = _dates(times, span, least) if long and whole else None
    hour = times // HOUR_US % 24
    weekday = (times // DAY_US + _MONDAY) % _WEEK
    counts = np.zeros((_WEEK, 24))
    np.add.at(counts, (weekday, hour), 1)
    covered = (high - low) / DAY_US
    all_hours = counts.sum(axis=0)
    usable = covered >= 1 and (whole or (all_hours > 0).all())
    even = np.full((_WEEK, 24), 1 / 24)
    days = np.ones(_WEEK)
    if not usable:
        return Rhythm(span, trend, dates, days, even, step_us)
    hours = np.tile(all_hours / all_hours.sum(), (_WEEK, 1))
    if whole and covered >= 2 * _WEEK:
        of_day = counts.sum(axis=1)
        known = of_day >= 24 * least
        hours[known] = counts[known] / of_day[known, None]
        days = of_day / of_day.mean()
    return Rhythm(span, trend, dates, days, hours, step_us)


def _dates(times: np.ndarray, span: Span, least: int) -> np.ndarray:
    """Return the share of events on each day; days with few that follow each other share evenly."""
    first, last = span.start_us // DAY_US, (span.end_us - 1) // DAY_US
    counts = np.bincount(times // DAY_US - first, minlength=last - first + 1)
    few = counts < least
    new = np.ones(len(few), bool)
    new[1:] = ~few[1:] | (few[1:] != few[:-1])
    run = np.cumsum(new) - 1
    even = np.bincount(run, counts) / np.bincount(run)
    return even[run] / counts.sum()


def step_us_of(times: np.ndarray) -> int:
    """Return what nearly all times are multiples of, microseconds: a day, an hour ... or 1."""
    for unit in _UNITS_US:
        if (times % unit == 0).mean() >= _WHOLE:
            return unit
    return 1
