"""The watermark as Beam asks for it: set by the reader, kept through checkpoints, never back."""

from __future__ import annotations

import apache_beam as beam
from apache_beam.io.iobase import WatermarkEstimator
from apache_beam.transforms.core import WatermarkEstimatorProvider
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Timestamp
from typing_extensions import override

from transforms.sources.streams.vector import Vector


class ReaderWatermark(WatermarkEstimator):
    """Says what the reader last said."""

    def __init__(self, watermark: Timestamp) -> None:
        """Begin with what was said before the checkpoint."""
        self._watermark = watermark

    @override
    def current_watermark(self) -> Timestamp:
        return self._watermark

    @override
    def get_estimator_state(self) -> Timestamp:
        return self._watermark

    @override
    def observe_timestamp(self, timestamp: Timestamp) -> None:
        """Do nothing: how far time has come is not what the last element says."""

    def known_us(self) -> int | None:
        """Return the watermark in microseconds UTC; None before the first."""
        return None if self._watermark == MIN_TIMESTAMP else int(self._watermark.micros)

    def advance(self, watermark_us: int) -> None:
        """Set the watermark unless it is further on already."""
        self._watermark = max(self._watermark, Timestamp(micros=watermark_us))


class WatermarkProvider(WatermarkEstimatorProvider):
    """Makes a `ReaderWatermark` of what a checkpoint holds."""

    @override
    def initial_estimator_state(self, element: int, restriction: Vector) -> Timestamp:
        return MIN_TIMESTAMP

    @override
    def create_watermark_estimator(self, estimator_state: Timestamp) -> ReaderWatermark:
        return ReaderWatermark(estimator_state)

    @override
    def estimator_state_coder(self) -> beam.coders.Coder:
        return beam.coders.TimestampCoder()
