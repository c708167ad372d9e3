"""Reads the `windowing` of an aggregate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from schemas.located import NodePath, dotted
from schemas.noted import Noted
from schemas.plan import Window

FIRST_US: Final = -62_135_596_800_000_000
LAST_US: Final = 253_402_300_799_999_999
"""The years 1 to 9999: what every engine that reads a table can hold."""

_DURATIONS: Final = ("size", "period", "gap", "offset", "allowed_lateness")
_MOST_WINDOWS: Final = 1_000
_NEEDED: Final = {"fixed": ("size",), "sliding": ("size", "period"), "sessions": ("gap",)}
_SETTABLE: Final = {
    "fixed": ("size", "offset"),
    "sliding": ("size", "period", "offset"),
    "sessions": ("gap",),
    "global": (),
}


def read_window(problems: Noted, at: NodePath) -> Window:
    """Return the window; what is wrong with it is noted, and the value then of no use."""
    body = problems.node(at)
    kind = body["type"]
    for key in ("size", "period", "gap", "offset"):
        if key in body and key not in _SETTABLE[kind]:
            must = f"`{dotted(at)}` of type {kind} must not have `{key}`; got it; remove it"
            problems.add((*at, key), must)
    for key in _NEEDED.get(kind, ()):
        if key not in body:
            must = f"`{dotted(at)}` of type {kind} must have `{key}`; got none"
            problems.add(at, f"{must}; add for example {key}: 1h")
    read = {key: problems.duration((*at, key)) for key in body if key in _DURATIONS}
    given = {key: length for key, length in read.items() if length is not None}
    for key in ("size", "period", "gap"):
        if given.get(key) == 0:
            must = f"`{dotted(at)}.{key}` must be more than nothing; got 0"
            problems.add((*at, key), f"{must}; write for example 1h")
    if body.get("accumulation_mode") == "discarding":
        must = f"`{dotted(at)}.accumulation_mode` must be accumulating; got discarding"
        why = "aggregate rows are upserted, so that a part would replace the whole; remove it"
        problems.add((*at, "accumulation_mode"), f"{must}; {why}")
    if "trigger" in body:
        _trigger(problems, (*at, "trigger"))
        if kind == "sessions":
            must = f"`{dotted(at)}` of type sessions must not have `trigger`; got it; remove it"
            problems.add((*at, "trigger"), f"{must}: their rows come with every commit")
        if kind == "global" and "early" not in body["trigger"]:
            must = f"`{dotted(at)}.trigger` of type global must have `early`; got none"
            why = "a stream's one window never ends, so that it would never have a row; add it"
            problems.add((*at, "trigger"), f"{must}; {why}")
    if not problems.broken(*at):
        _fits(problems, at, kind, given)
    return Window(
        type=kind,
        size_us=given.get("size", 0),
        period_us=given.get("period", 0),
        gap_us=given.get("gap", 0),
        offset_us=given.get("offset", 0),
        allowed_lateness_us=given.get("allowed_lateness", 0),
        trigger=body.get("trigger"),
    )


def check_durations(problems: Noted, at: NodePath) -> None:
    """Note the durations that are wrong in a window which cannot be read, whatever else is."""
    aggregate = problems.node(at[:-1])
    body = aggregate.get(at[-1]) if isinstance(aggregate, dict) else None
    for key, value in body.items() if isinstance(body, dict) else ():
        if key in _DURATIONS and isinstance(value, str) and not problems.broken(*at, key):
            problems.duration((*at, key))


def event_times(windows: Iterable[Window]) -> tuple[int, int]:
    """Return the first and the last event time (us) all of whose windows are within the years."""
    first, last = FIRST_US, LAST_US
    for window in windows:
        if window.type == "sessions":
            last = min(last, LAST_US - window.gap_us)
        elif window.type != "global":
            period, offset = window.period_us or window.size_us, window.offset_us
            final = (LAST_US - window.size_us - offset) // period * period + offset
            earliest = -((offset - FIRST_US) // period) * period + offset
            first = max(first, earliest + window.size_us - period)
            last = min(last, final + period - 1)
    return first, last


def _fits(problems: Noted, at: NodePath, kind: str, given: Mapping[str, int]) -> None:
    size, period = given.get("size", 0), given.get("period", 0)
    if kind == "sliding" and not size >= period >= size / _MOST_WINDOWS:
        must = f"`{dotted(at)}.period` must be at most the size and put a row in at most"
        more = f"{must} {_MOST_WINDOWS:,} windows; got another; correct it"
        problems.add((*at, "period"), more)
    if given.get("offset", 0) >= (period or size or 1) and given.get("offset", 0):
        must = f"`{dotted(at)}.offset` must be shorter than a window's step; got a longer one"
        problems.add((*at, "offset"), f"{must}; correct it")


def _trigger(problems: Noted, at: NodePath) -> None:
    for part in ("early", "late"):
        firing = problems.node(at).get(part)
        if firing is None:
            continue
        needed = "delay" if firing["type"] == "after_processing_time" else "count"
        for key in ("delay", "count"):
            if (key in firing) != (key == needed):
                got = "got it; remove it" if key in firing else "got none; add it"
                must = f"`{dotted((*at, part))}` of type {firing['type']} must "
                must += f"{'have' if key == needed else 'not have'} `{key}`; {got}"
                problems.add((*at, part), must)
        if "delay" in firing:
            problems.duration((*at, part, "delay"))
