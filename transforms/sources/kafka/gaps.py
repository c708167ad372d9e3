"""What is to be read and what is there: positions that are gone, and topics that were made anew."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, NamedTuple

from schemas.errors import SourceError
from transforms.sources.streams.raw import Span

LOG: Final = logging.getLogger("penstock.kafka")


class GapError(SourceError):
    """Messages that were to be read are gone; nothing was passed over."""


class Judged(NamedTuple):
    """Where reading goes on after a look at what there is.

    Attributes:
        positions: By source.
        lost: Spans that are passed over.
    """

    positions: dict[str, int]
    lost: list[Span]


def judge(
    wanted: Mapping[str, int],
    first: Mapping[str, int],
    last: Mapping[str, int],
    labels: Mapping[str, str],
    policy: str,
) -> Judged:
    """Compare positions with what the partitions still hold.

    Args:
        wanted: Position where each source goes on.
        first: First offset of each source that is there.
        last: Offset after the last message.
        labels: What people call the sources.
        policy: `fail` or `skip`.

    Raises:
        GapError: Retention has overtaken a position, or its topic is not there any more (deleted,
            or made anew under its name), and the policy is `fail`; or, whatever the policy, a
            partition ends before the position: it was cut back, and other messages may come to
            stand at offsets that have landed.
    """
    positions, lost = {}, []
    for source, position in wanted.items():
        name = labels.get(source) or source
        if source not in first:
            msg = (
                f"a topic must stay the one whose messages landed; got {name} gone or made anew "
                f"(its id is part of {source}), read up to {position}"
            )
            _gap(msg, "to go on without it; one made anew is read from its beginning", policy)
            lost.append(Span(source, position, position, 0, lost=True))
        elif position < first[source]:
            count = first[source] - position
            msg = (
                f"messages must be kept until they are read; got {count} of {name} removed, "
                f"from {position} to {first[source] - 1}"
            )
            _gap(msg, "to go on behind them", policy)
            lost.append(Span(source, position, first[source], 0, lost=True))
            positions[source] = first[source]
        elif position > last[source]:
            msg = (
                f"a partition must not be cut back; got {name} ending at {last[source]}, read up "
                f"to {position}: other messages may come to stand where these stood; make the "
                "topic anew, so that it gets another id"
            )
            raise GapError(msg)
        else:
            positions[source] = position
    return Judged(positions, lost)


def _gap(what: str, effect: str, policy: str) -> None:
    if policy == "fail":
        msg = f"{what}; set source.stream.kafka.on_gap: skip {effect}"
        raise GapError(msg)
    LOG.warning("kafka.gap", extra={"penstock.gap": what})
