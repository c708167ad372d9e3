"""Errors that come back through a runner, as what they are.

A runner reports what a worker raised as text: a traceback inside a `RuntimeError`. A person gets
the message that was meant, without the traceback; of an error that nobody thought of, class and
place only, since its message may hold values of the data.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from schemas.disk import disk_error, movable
from schemas.errors import PenstockError
from schemas.plan import Plan
from transforms.commit.journal import after
from transforms.commit.lake import Lake

_BEGIN: Final = "Traceback (most recent call last):\n"
_CAUSE: Final = "direct cause of the following exception:"
_RAISED: Final = re.compile(r"^([A-Za-z_][\w.]*)(?:: (.*))?$", re.DOTALL)
_STEP: Final = re.compile(r" \[while running '[^']*'\]\s*$")
_FRAME: Final = re.compile(r'^  File "([^"]+)", line (\d+), in (\S+)', re.MULTILINE)
_ROOMS: Final = re.compile(r"(?:^|.*/)((?:beam_pipelines|transforms|schemas|runners)/.*)")
_MOST_PLACES: Final = 4


class UnexpectedError(PenstockError):
    """Something that nobody thought of."""


class _Raised(NamedTuple):
    """An exception, whether it came as itself or as text."""

    name: str
    kind: type[PenstockError] | None
    message: str
    frames: list[tuple[str, str, str]]


@contextmanager
def told(plan: Plan, fate: Callable[[], str]) -> Iterator[None]:
    """Raise what an error means: one of ours that a runner carries, the disk, or class and place.

    Args:
        plan: What is run.
        fate: Says what has become of the run's rows; asked only if that is not known otherwise.
    """
    # Beam logs a worker's traceback at ERROR before it raises it.
    logger = logging.getLogger("apache_beam")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    except Exception as error:
        if isinstance(error, PenstockError) and not _STEP.search(str(error)):
            raise
        made = meant(error, plan, fate)
        raise made from (error if isinstance(made, UnexpectedError) else None)
    finally:
        logger.setLevel(level)


def meant(error: Exception, plan: Plan, fate: Callable[[], str]) -> PenstockError:
    """Return what a person should be told.

    Only the exception that ended the run, or what it names as its direct cause, is looked at: one
    that was handled on the way is not to blame.
    """
    raised = _from_text(str(error)) if _BEGIN in str(error) else _from_exception(error)
    for one in raised:
        if one.kind is not None:
            made = PenstockError(one.message)
            made.exit_code = one.kind.exit_code
            return made
    places = movable(plan.out, plan.folder)
    for one in raised:
        refused = disk_error(one.message, places, plan.out, fate)
        if refused is not None:
            return refused
    return UnexpectedError(
        f"a run must end without an error that nobody thought of; got {raised[0].name} at "
        f"{_places(raised[0].frames)}; {fate()}; please report these places"
    )


def fate(lake: Lake, run_id: str) -> str:
    """Say what has become of a run's rows, as far as the lake knows."""
    try:
        entries = after(lake.commits(), 0) if lake.exists() else []
    except Exception:  # noqa: BLE001 - this is said on top of another failure
        return "whether it has landed is not known; the next run finds out"
    own = {e.commit_id: e for e in entries if e.run_id == run_id}  # The last state of each.
    done = [e.seq for e in own.values() if e.state == "done"]
    if done:
        return f"the run has landed in the lake (commit {done[-1]})"
    if any(e.state == "intent" for e in own.values()):
        return "its commit has been declared, and the next run finishes it"
    return "nothing of this run has landed"


def _from_exception(error: BaseException | None) -> list[_Raised]:
    """Return the exception and its direct causes."""
    out: list[_Raised] = []
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        where = [(f.filename, str(f.lineno), f.name) for f in frames]
        name, kind, message = _parsed(f"{type(error).__name__}: {error}")
        if isinstance(error, PenstockError):
            kind = type(error)
        out.append(_Raised(name, kind, message, where))
        error = error.__cause__
    return out


def _from_text(text: str) -> list[_Raised]:
    """Return the exception that a traceback's text ends with, and its direct causes."""
    sections = text.split(_BEGIN)[1:]
    out: list[_Raised] = []
    for i in range(len(sections) - 1, -1, -1):
        if out and _CAUSE not in sections[i].rstrip().rpartition("\n")[2]:
            break
        body = re.split(rf"\n\n[^\n]*{_CAUSE}|\n\nDuring handling of the above", sections[i])[0]
        lines = body.split("\n")
        first = next((n for n, line in enumerate(lines) if line[:1].strip()), len(lines))
        name, kind, message = _parsed("\n".join(lines[first:]).rstrip())
        out.append(_Raised(name, kind, message, _FRAME.findall(body)))
    return out


def _parsed(text: str) -> tuple[str, type[PenstockError] | None, str]:
    """Read `module.Class: message`."""
    match = _RAISED.match(text)
    if match is None:
        return "an exception", None, text
    name, message = match[1], match[2] or ""
    if name == "RuntimeError" and _STEP.search(message):
        # Of an exception that Beam cannot make again with its step in the message.
        inner = _RAISED.match(message)
        if inner is not None:
            name, message = inner[1], inner[2] or ""
    return name.rpartition(".")[2], _class(name), _STEP.sub("", message)


def _places(frames: list[tuple[str, str, str]]) -> str:
    """Name the innermost frames of ours, and the very last one."""
    short = [(_ROOMS.match(file), file, line, name) for file, line, name in frames]
    ours = [f"{room[1]}:{line} in {name}" for room, _, line, name in short if room]
    last = [
        f"{'/'.join(f.split('/')[-2:])}:{n} in {name}"
        for room, f, n, name in short[-1:]
        if not room
    ]
    return " < ".join([*last, *ours[: -_MOST_PLACES - 1 : -1]]) or "an unknown place"


def _class(qualified: str) -> type[PenstockError] | None:
    module, _, name = qualified.rpartition(".")
    for kind in _all(PenstockError):
        if kind.__name__ == name and kind.__module__ == module:
            return kind
    return None


def _all(kind: type[PenstockError]) -> Iterator[type[PenstockError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _all(child)
