"""When a stream's panes fire: the pipeline file's trigger as Beam's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from apache_beam.transforms.trigger import (
    AccumulationMode,
    AfterCount,
    AfterProcessingTime,
    AfterWatermark,
    TriggerFn,
)
from apache_beam.utils.timestamp import Duration

from schemas.durations import parse_duration
from schemas.plan import Window

LATENESS_MARGIN_US: Final = 3_600_000_000
"""Beam allows this much more lateness than the window does: lateness is decided once, by us, and
whatever we count must not be dropped by Beam, which says nothing when it drops."""


def streaming_options(window: Window) -> dict[str, Any]:
    """Return the options of `WindowInto` for a stream: trigger, accumulation, lateness.

    Without `late` each late element fires a pane; a trigger without one is refused by Beam.
    """
    spec = window.trigger or {"type": "after_watermark"}
    early, late = spec.get("early"), spec.get("late")
    return {
        "trigger": AfterWatermark(
            early=None if early is None else _firing(early),
            late=AfterCount(1) if late is None else _firing(late),
        ),
        "accumulation_mode": AccumulationMode.ACCUMULATING,
        "allowed_lateness": Duration(micros=window.allowed_lateness_us + LATENESS_MARGIN_US),
    }


def _firing(spec: Mapping[str, Any]) -> TriggerFn:
    if spec["type"] == "after_count":
        return AfterCount(spec["count"])
    return AfterProcessingTime(parse_duration(spec["delay"]) / 1_000_000)
