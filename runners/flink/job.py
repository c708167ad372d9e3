"""One job of a Flink cluster: followed, cancelled, stopped with a savepoint."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any, Final

from runners.flink.rest import FlinkError, GoneError, Rest, first_line

ENDED: Final = ("FINISHED", "CANCELED", "FAILED", "SUSPENDED")
_LOOK_S: Final = 0.1
_CANCEL_S: Final = 60.0
_PYTHON: Final = "Traceback (most recent call last):\n"
_JAVA_FRAME: Final = re.compile(r"^\s+(at |\.\.\. \d+ more)|^\s*(Caused by: )", re.MULTILINE)


class JobFailedError(FlinkError):
    """A job failed; its text is what the worker raised, with its traceback, if it was a worker."""


@dataclass(frozen=True)
class Job:
    """A job of a cluster.

    Attributes:
        rest: The cluster.
        jid: Its id there.
        name: Its name.
    """

    rest: Rest
    jid: str
    name: str = ""

    def state(self) -> str:
        """Return Flink's state of it.

        Raises:
            GoneError: The cluster does not know it (any more).
        """
        return str(self.rest.get(f"/jobs/{self.jid}")["state"])

    def runs(self) -> bool:
        """Whether every subtask runs, its worker with it."""
        found = self.rest.get(f"/jobs/{self.jid}")
        return found["state"] == "RUNNING" and all(
            vertex["status"] in ("RUNNING", "FINISHED") for vertex in found["vertices"]
        )

    def cancel(self) -> None:
        """Cancel it and wait until it is over; checkpoints stay.

        Raises:
            FlinkError: It goes on all the same.
        """
        try:
            self.rest.patch(f"/jobs/{self.jid}?mode=cancel")
        except FlinkError:
            if self.state() not in ENDED:
                raise
        until = time.monotonic() + _CANCEL_S
        while (state := self.state()) not in ENDED:
            if time.monotonic() > until:
                msg = (
                    f"a cancelled job must end within {_CANCEL_S:.0f} s; got {state}; look at "
                    f"{self.rest.url}/#/job/{self.jid}, and run penstock stop again"
                )
                raise FlinkError(msg)
            time.sleep(_LOOK_S)

    def failure(self) -> JobFailedError:
        """Return why it failed: the text that a worker raised, or one sentence of Flink's."""
        try:
            found = self.rest.get(f"/jobs/{self.jid}/exceptions?maxExceptions=1")
        except GoneError:
            found = {}
        text = str(found.get("root-exception") or "")
        return JobFailedError(said(text))


def said(text: str) -> str:
    """Return what a Java stack trace says of what happened.

    A worker's error is in it as a Python traceback, which is returned whole: what it means is told
    by whoever raised it. Otherwise the sentence of the innermost cause.
    """
    at = text.find(_PYTHON)
    if at >= 0:
        inner = text[at:]
        frame = _JAVA_FRAME.search(inner)
        return inner[: frame.start()].rstrip() if frame else inner
    causes = re.findall(r"^Caused by: (.*)$", text, re.MULTILINE)
    last = first_line(causes[-1] if causes else text)
    return f"a job on Flink must not fail; got {last or 'no reason'}; look at its exceptions"


def named(rest: Rest, name: str) -> dict[str, Any] | None:
    """Return the newest job of a name, as the cluster lists it, or None."""
    found = [job for job in rest.get("/jobs/overview")["jobs"] if job["name"] == name]
    return max(found, key=lambda job: job["start-time"], default=None)
