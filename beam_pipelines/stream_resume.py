"""Where a stream begins: at the state that the last one left, or from what the lake has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from beam_pipelines.progress_screen import place
from beam_pipelines.stream_lock import held, holder
from beam_pipelines.stream_record import Record, state_of
from beam_pipelines.stream_runner import StreamRunner
from schemas.errors import UsageError
from schemas.plan import Plan
from transforms.keys import resolve
from transforms.saved_state import LAYOUT

AUTO: Final = "auto"
RESUME: Final = "resume"
LAKE: Final = "lake"
_NOTHING_LEFT: Final = ("finished", "drained")


@dataclass(frozen=True, kw_only=True)
class Begin:
    """Where a stream begins.

    Attributes:
        path: Savepoint or checkpoint; empty: at what the lake has.
        shares: Restrictions of the state's source; 0: as many as the runner takes.
        key_id: The key of the state's id hashes; empty: the newest.
        note: What a person should know of it; empty: nothing.
    """

    path: str = ""
    shares: int = 0
    key_id: str = ""
    note: str = ""


@contextmanager
def only_stream(
    runner: StreamRunner,
    plan: Plan,
    last: Record | None,
    elsewhere: Callable[[Record], bool] = lambda _: False,
) -> Iterator[None]:
    """Keep other streams of the pipeline out while the block runs.

    Two of them would land nothing twice, but each row would be read and worked on twice.

    Args:
        runner: Where it will run.
        plan: What it will run.
        last: The stream before it.
        elsewhere: Whether a stream of another runner outlived its process, and runs.

    Raises:
        UsageError: One runs.
    """
    with held(plan.out) as alone:
        if not alone:
            msg = (
                f"a pipeline must have one stream at a time; got one that process "
                f"{holder(plan.out)} runs; press Ctrl-C there, or stop it first: penstock stop "
                f"{place(plan)} --drain"
            )
            raise UsageError(msg)
        if last is not None and not last.ended:
            here = last.runner == plan.runner
            if runner.running(last.called) if here else elsewhere(last):
                msg = (
                    f"a pipeline must have one stream at a time; got one that runs on "
                    f"{last.runner} (job {last.called}); stop it first: penstock stop "
                    f"{place(plan)}"
                )
                raise UsageError(msg)
        yield


def where(runner: StreamRunner, plan: Plan, last: Record | None, how: str) -> Begin:
    """Return where a stream begins.

    Args:
        runner: Where it will run.
        plan: What it will run.
        last: The stream before it.
        how: `auto`: at the state of the stream before it, if that fits; `resume`: nowhere else;
            `lake`: never there.

    Raises:
        UsageError: `resume`, and there is nothing that fits.
    """
    if how == LAKE:
        return Begin()
    begin, lacks = _state(runner, plan, last)
    if how == RESUME and not begin.path:
        msg = (
            f"--resume must have a savepoint or checkpoint of this pipeline to go on from; got "
            f"{lacks}; leave it out: the stream then goes on behind what is in the lake"
        )
        raise UsageError(msg)
    return begin


def _state(runner: StreamRunner, plan: Plan, last: Record | None) -> tuple[Begin, str]:
    """Return where to go on, or a note of what is left aside; and what is lacking."""
    if last is None or last.runner != plan.runner:
        return Begin(), f"none that ran on {plan.runner}"
    if last.ended in _NOTHING_LEFT:
        return Begin(), f"one that {last.ended}"
    own = last.savepoint if _is_there(last.savepoint) else runner.restorable(last.called)
    # One that ended before its first checkpoint leaves what it went on from itself.
    path = own or (last.resumed if _is_there(last.resumed) else "")
    if not path and last.stop_request and not (last.savepoint or last.draining):
        found = f"penstock stop {place(plan)} --savepoint finds it"
        return Begin(), f"one whose savepoint may have come after its wait ({found})"
    if not path:
        return Begin(), "one that left neither"
    lacks = ""
    if last.layout != LAYOUT:
        lacks = f"state of layout {last.layout}, of another release (this one reads {LAYOUT})"
    elif last.state != state_of(plan):
        lacks = "the state of another plan"
    elif last.key_id and resolve(plan.secret, plan.folder).by_id(last.key_id) is None:
        lacks = f"a state of the key {last.key_id}, which is lost"
    if lacks:
        note = f"begins behind what is in the lake: {path} holds {lacks}"
        return Begin(note=note), lacks
    return Begin(path=path, shares=last.shares, key_id=last.key_id, note=f"goes on from {path}"), ""


def _is_there(savepoint: str) -> bool:
    """Whether a savepoint is there, as far as can be seen from here."""
    parts = urlsplit(savepoint)
    if parts.scheme not in ("", "file"):
        return True
    return bool(savepoint) and (Path(unquote(parts.path)) / "_metadata").is_file()
