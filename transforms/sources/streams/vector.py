"""The restriction of a streaming source: for each partition where reading goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from typing_extensions import override

from transforms.saved_state import LAYOUT, UNMARKED, other_layout


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where reading stands in one partition.

    Attributes:
        position: Of the next message.
        end: Position that is not read any more (bounded replay); None: there is no end.
        high_us: Highest event time read so far, microseconds UTC; None: none yet.
        label: What people call the partition, for errors and logs.
    """

    position: int
    end: int | None = None
    high_us: int | None = None
    label: str = ""

    @property
    def finished(self) -> bool:
        """Whether nothing is left to read."""
        return self.end is not None and self.position >= self.end


@dataclass(frozen=True)
class Vector:
    """The places of all partitions of one reader, by `_source`.

    Two vectors are equal if their places are, whatever the order.
    """

    places: Mapping[str, Place]

    @property
    def positions(self) -> dict[str, int]:
        """Position by source."""
        return {source: place.position for source, place in self.places.items()}

    @property
    def bounded(self) -> bool:
        """Whether every partition has an end."""
        return all(place.end is not None for place in self.places.values())

    @property
    def finished(self) -> bool:
        """Whether every partition was read to its end."""
        return all(place.finished for place in self.places.values())

    def moved(self, positions: Mapping[str, int], highs: Mapping[str, int]) -> Vector:
        """Return the vector at these positions; event times only grow.

        Partitions that are not among `positions` are gone, new ones have no end.
        """
        moved = {}
        for source, position in positions.items():
            place = self.places.get(source) or Place(position=position)
            known = [at for at in (place.high_us, highs.get(source)) if at is not None]
            high = max(known, default=None)
            moved[source] = replace(place, position=position, high_us=high)
        return Vector(moved)

    def ended(self) -> Vector:
        """Return the vector with its end where it stands."""
        return Vector({s: replace(p, end=p.position) for s, p in self.places.items()})

    def labelled(self, labels: Mapping[str, str]) -> Vector:
        """Return the vector with these labels."""
        return Vector({s: replace(p, label=labels.get(s, p.label)) for s, p in self.places.items()})


class VectorCoder(beam.coders.Coder):
    """JSON with sorted keys: deterministic, and can be read in a checkpoint by a person.

    It begins with the layout. Raises `LayoutError` where another release wrote it.
    """

    @override
    def encode(self, value: Vector) -> bytes:
        places = {
            source: [place.position, place.end, place.high_us, place.label]
            for source, place in sorted(value.places.items())
        }
        return json.dumps([LAYOUT, places], separators=(",", ":")).encode()

    @override
    def decode(self, encoded: bytes) -> Vector:
        read = json.loads(encoded)
        layout, places = read if isinstance(read, list) else (UNMARKED, read)
        if layout != LAYOUT:
            raise other_layout(layout)
        return Vector(
            {
                source: Place(position=position, end=end, high_us=high, label=label)
                for source, (position, end, high, label) in places.items()
            }
        )

    @override
    def is_deterministic(self) -> bool:
        return True

    @override
    def to_type_hint(self) -> type[Vector]:
        return Vector


class VectorTracker(RestrictionTracker):
    """Claims whole vectors: what is claimed has been read up to there.

    It splits at what is claimed (a checkpoint) and nowhere else: messages further on are not known
    yet.
    """

    def __init__(self, vector: Vector) -> None:
        """Begin at `vector`, of which nothing is claimed."""
        self._vector = vector
        self._stopped = False

    @override
    def current_restriction(self) -> Vector:
        return self._vector

    @override
    def try_claim(self, position: Vector) -> bool:
        """Claim everything before `position`; False after a checkpoint: it belongs to another."""
        if self._stopped:
            return False
        self._vector = position
        return True

    @override
    def try_split(self, fraction_of_remainder: float) -> tuple[Vector, Vector] | None:
        if fraction_of_remainder != 0 or self._stopped or self._vector.finished:
            return None
        self._stopped = True
        return self._vector, self._vector

    @override
    def check_done(self) -> None:
        if not self._stopped and not self._vector.finished:
            msg = "a stream must be read to its end or put off; got neither"
            raise ValueError(msg)

    @override
    def current_progress(self) -> RestrictionProgress:
        return RestrictionProgress(completed=1.0, remaining=0.0 if self._vector.finished else 1.0)

    @override
    def is_bounded(self) -> bool:
        return self._vector.bounded

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as new, at what is claimed."""
        return (VectorTracker, (self._vector,))
