"""Follow a stream's job: new commits, restarts, and whether anything lands at all."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Final

from beam_pipelines.failures import meant
from beam_pipelines.stream_gaps import gaps, skips
from beam_pipelines.stream_lag import Behind, behind, ends
from beam_pipelines.stream_runner import StreamJob
from schemas.errors import PenstockError, SourceError
from schemas.plan import Plan
from transforms.commit.lake import Lake
from transforms.continuous.positions import DonePositions
from transforms.sources.streams.vector import Place

_LOOK_S: Final = 0.25
_COMMITS_S: Final = 2.0
_GAPS_S: Final = 10.0
_TROUBLES: Final = 10
_NAMED: Final = 3
_WRONG: Final = 2


class StalledError(PenstockError):
    """A stream's job runs, and lands nothing of what its source has."""


@dataclass(frozen=True, kw_only=True)
class Watching:
    """How a job is followed.

    Attributes:
        stall_s: For how long nothing need land though the source has something; 0: for ever.
        stall_warns: Whether a stall is only told of; else it ends the run.
        warn: Told of what is wrong though the job goes on.
    """

    stall_s: float = 0.0
    stall_warns: bool = False
    warn: Callable[[str], None] | None = None


def follow(
    job: StreamJob,
    plan: Plan,
    lake: Lake,
    watching: Watching,
    *,
    places: Mapping[str, Place] | None = None,
) -> bool:
    """Wait until a job comes to its end, or an interrupt or SIGTERM comes.

    Args:
        job: It runs.
        plan: What it runs.
        lake: Where its rows land.
        watching: How.
        places: Where each partition ends, if those ends are fixed.

    Returns:
        Whether it came to its end.

    Raises:
        StalledError: Nothing landed in time though the source has something.
        PenstockError: It failed, or fails again and again, in a way that no retry mends.
    """
    look = _Look(job, plan, lake, watching, places)
    looked = time.monotonic()
    with _interrupts() as interrupted:
        while not job.over():
            time.sleep(_LOOK_S)
            if interrupted.is_set():
                return False
            if time.monotonic() - looked > _COMMITS_S:
                looked = time.monotonic()
                look()
    return True


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Note interrupts instead of raising them: libraries make errors of their own of one.

    A second one is raised.
    """
    came = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if came.is_set():
            signal.default_int_handler(number, frame)
        came.set()

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Look:
    """What is looked at every few seconds."""

    def __init__(
        self,
        job: StreamJob,
        plan: Plan,
        lake: Lake,
        watching: Watching,
        places: Mapping[str, Place] | None,
    ) -> None:
        self._job, self._plan, self._lake, self._watching = job, plan, lake, watching
        self._places = places
        self._seq = lake.last_done().seq
        self._done = DonePositions(lake, every=0)
        self._moved = time.monotonic()
        self._troubles, self._warned = 0, ""
        self._skips, self._asked, self._gaps_seq = skips(plan), self._moved, self._seq

    def __call__(self) -> None:
        now = time.monotonic()
        done = self._lake.last_done()
        if done.seq != self._seq:
            self._seq, self._moved = done.seq, now
            self._troubles, self._warned = 0, ""
        if self._skips and self._seq != self._gaps_seq and now - self._asked > _GAPS_S:
            self._asked = now
            self._gaps()
        self._trouble()
        stall_s = self._watching.stall_s
        if stall_s and now - self._moved > stall_s:
            self._moved = now
            said = self._stalled(stall_s)
            if said and not self._watching.stall_warns:
                raise StalledError(said)
            if said:
                self._warn(said)

    def _trouble(self) -> None:
        """Tell of a restart; end what no restart mends."""
        error = self._job.trouble()
        if error is None:
            return
        # What the runner itself says (a machine is gone, there is no slot) passes: the stall sees
        # if it does not.
        told = (
            error
            if isinstance(error, PenstockError)
            else meant(error, self._plan, lambda: _RETRIED)
        )
        self._troubles += told is not error
        if told.exit_code == _WRONG or self._troubles >= _TROUBLES:
            raise told
        if str(told) != self._warned:
            self._warned = str(told)
            self._warn(f"the job failed and begins again at its last checkpoint: {told}")

    def _gaps(self) -> None:
        """Tell of what was passed over since this was asked last."""
        after, self._gaps_seq = self._gaps_seq, self._seq
        found = gaps(self._lake, self._plan, {}, after=after)
        if found:
            with suppress(SourceError):  # then they are told without the partitions' names
                found = gaps(self._lake, self._plan, ends(self._plan), after=after)
        for gap in found:
            self._warn(gap.said())

    def _warn(self, text: str) -> None:
        if self._watching.warn is not None:
            self._watching.warn(text)

    def _stalled(self, seconds: float) -> str:
        """Say what is wrong, or nothing if the source has nothing that has not landed."""
        try:
            left = behind(self._places or ends(self._plan), self._done())
        except SourceError as error:
            return f"a stream must land rows; got none for {seconds:.0f} s: {error}"
        if not left:
            return ""
        return (
            f"a stream must land rows while its source has some; got none for {seconds:.0f} s, "
            f"though {_counted(left)}; {self._job.stuck()}; look there"
            f"{f' ({self._job.page})' if self._job.page else ''}, and run it again: it goes on "
            "where it had landed"
        )


_RETRIED: Final = "what has landed stays, and it is tried again"


def _counted(left: list[Behind]) -> str:
    named = ", ".join(f"{one.label} {one.messages:,}" for one in left[:_NAMED])
    more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    return f"{sum(one.messages for one in left):,} messages wait ({named}{more})"
