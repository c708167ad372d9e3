"""How far a stream's source is ahead of the lake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from schemas.plan import Plan
from schemas.stream_source import LATEST
from transforms.commit.ranges import Range, Ranges, missing, size
from transforms.sources.kafka.source import KafkaStream
from transforms.sources.streams.vector import Place


@dataclass(frozen=True)
class Behind:
    """A partition of which something has not landed.

    Attributes:
        label: What people call it.
        messages: Positions between where reading begins and the end that are not done.
    """

    label: str
    messages: int


def ends(plan: Plan) -> Mapping[str, Place]:
    """Ask the source where each partition begins and ends now.

    Raises:
        SourceError: It does not answer.
    """
    if plan.stream is None:
        return {}
    kafka = replace(plan.stream.kafka, end=LATEST, ends={})
    return KafkaStream(kafka=kafka, folder=plan.folder).begin({}, 0, 1).places


def behind(places: Mapping[str, Place], done: Ranges) -> list[Behind]:
    """Return what has not landed of each partition, the most first; none that has all of it.

    Args:
        places: Where each partition begins and ends, by source.
        done: Positions done.
    """
    found = []
    for source, place in places.items():
        if place.end is None:
            continue
        wanted = {source: [(first_missing(place.position, done.get(source, [])), place.end)]}
        left = size(missing(wanted, done))
        if left > 0:
            found.append(Behind(place.label or source, left))
    return sorted(found, key=lambda one: (-one.messages, one.label))


def first_missing(begin: int, done: list[Range]) -> int:
    """Return where a partition goes on: behind what is done, at its own start if that is before.

    Commits may leave holes when a run dies. A position behind the source's own start and before the
    first one done is such a hole, too.
    """
    if not done:
        return begin
    first, end = done[0]
    return begin if begin < first else end
