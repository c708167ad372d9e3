"""One job of a Flink cluster: followed, cancelled, stopped with a savepoint."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from runners.flink.rest import FlinkError, GoneError, NoAnswerError, Rest, first_line

ENDED: Final = ("FINISHED", "CANCELED", "FAILED", "SUSPENDED")
END_MS: Final = 1 << 61
"""A watermark above it is that of the end."""

_NEVER_MS: Final = -(1 << 62)
_LOOK_S: Final = 0.1
_ENDS_S: Final = 60.0
_NOWHERE: Final = "<checkpoint-not-externally-addressable>"
_PYTHON: Final = "Traceback (most recent call last):\n"
_JAVA_FRAME: Final = re.compile(r"^\s+(at |\.\.\. \d+ more)|^\s*(Caused by: )", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """A job of a cluster.

    Attributes:
        rest: The cluster.
        jid: Its id there.
    """

    rest: Rest
    jid: str

    @property
    def page(self) -> str:
        """Where a person sees it."""
        return f"{self.rest.url}/#/job/{self.jid}"

    def details(self) -> Any:
        """Return what the cluster says of it: `state`, `vertices` ...

        Raises:
            GoneError: The cluster does not know it (any more).
        """
        return self.rest.get(f"/jobs/{self.jid}")

    def state(self) -> str:
        """Return Flink's state of it; raises as `details`."""
        return str(self.details()["state"])

    def runs(self) -> bool:
        """Whether every subtask runs, its worker with it."""
        found = self.details()
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
        if not _waited(lambda: self.state() in ENDED, _ENDS_S):
            msg = (
                f"a cancelled job must end within {_ENDS_S:.0f} s; got {self.state()}; look at "
                f"{self.page}, and run penstock stop again"
            )
            raise FlinkError(msg)

    def ask_to_stop(self, folder: str, *, drain: bool) -> str:
        """Ask that it be stopped with a savepoint; return the request's id, for `stopped`.

        Args:
            folder: URI of the folder that the savepoint is put into.
            drain: End all windows first, as if the source had come to its end: the state is then
                of no use to go on from.
        """
        body = {"targetDirectory": folder, "drain": drain}
        return str(self.rest.post(f"/jobs/{self.jid}/stop", body)["request-id"])

    def stopped(self, request: str, seconds: float) -> str:
        """Wait until it has been stopped.

        Args:
            request: What `ask_to_stop` returned, in this process or an earlier one.
            seconds: How long the savepoint may take.

        Returns:
            Where the savepoint is.

        Raises:
            GoneError: The cluster does not know the request (any more).
            FlinkError: It was not made; the job goes on.
        """
        answer: dict[str, Any] = {}

        def made() -> bool:
            answer.update(self._asked(request))
            return answer["status"]["id"] == "COMPLETED"

        if not _waited(made, seconds):
            msg = (
                f"a savepoint must be made within {seconds:.0f} s; got none so far; it may still "
                f"come: look at {self.page}, or run penstock stop again with --wait"
            )
            raise FlinkError(msg)
        outcome = answer["operation"]
        if "location" not in outcome:
            trace = str(outcome.get("failure-cause", {}).get("stack-trace", ""))
            msg = f"a savepoint must be made; got {_innermost(trace)}; look at {self.page}"
            raise FlinkError(msg)
        if not _waited(lambda: self.state() in ENDED, _ENDS_S):
            msg = (
                f"a stopped job must end within {_ENDS_S:.0f} s; got {self.state()} after its "
                f"savepoint {outcome['location']}; run penstock stop to cancel it"
            )
            raise FlinkError(msg)
        return str(outcome["location"])

    def stops(self, request: str) -> bool:
        """Whether a request of `ask_to_stop` is under way, or was fulfilled."""
        try:
            answer = self._asked(request)
        except GoneError:
            return False
        return answer["status"]["id"] != "COMPLETED" or "location" in answer["operation"]

    def last_savepoint(self) -> str:
        """Return where the last savepoint of it is, as its history has it; empty: none."""
        made = self.checkpoints().get("latest", {}).get("savepoint") or {}
        path = made.get("external_path", _NOWHERE)
        return "" if path == _NOWHERE or made.get("discarded") else str(path)

    def _asked(self, request: str) -> Any:
        return self.rest.get(f"/jobs/{self.jid}/savepoints/{request}")

    def wait_for_end(self, seconds: float) -> None:
        """Wait until every task has all of the input that it will ever get.

        Raises:
            FlinkError: There is more after this time.
        """
        if not _waited(lambda: (self.watermark_ms() or 0) > END_MS, seconds):
            msg = (
                f"a drained job must come to its end within {seconds:.0f} s; got more input; "
                "run penstock stop again, with a longer --wait"
            )
            raise FlinkError(msg)

    def checkpoints(self) -> Mapping[str, Any]:
        """Return the cluster's account of checkpoints: `counts`, `latest` ..."""
        found: dict[str, Any] = self.rest.get(f"/jobs/{self.jid}/checkpoints")
        return found

    def failure(self) -> Exception | None:
        """Return what last failed in it.

        What a worker raised is a RuntimeError with the worker's traceback as its text, as Beam's
        runners raise it; anything else one sentence.
        """
        text = self.trouble()[1]
        return failure(text) if text else None

    def trouble(self) -> tuple[int, str]:
        """Return when (ms since 1970) it last failed, and the stack trace; 0 and "": never."""
        found = self.rest.get(f"/jobs/{self.jid}/exceptions?maxExceptions=1")
        return int(found.get("timestamp") or 0), str(found.get("root-exception") or "")

    def watermark_ms(self) -> int | None:
        """Return up to where event time is complete in every task, ms; None: nowhere yet."""
        found: list[int] = []
        for vertex in self.details()["vertices"]:
            path = f"/jobs/{self.jid}/vertices/{vertex['id']}/watermarks"
            found += [int(one["value"]) for one in self.rest.get(path)]
        low = min(found, default=_NEVER_MS)
        return None if low <= _NEVER_MS else low


def find(rest: Rest, name: str) -> Job | None:
    """Return the newest job of a name, or None."""
    found = [job for job in rest.get("/jobs/overview")["jobs"] if job["name"] == name]
    newest = max(found, key=lambda job: job["start-time"], default=None)
    return None if newest is None else Job(rest, newest["jid"])


def known(rest: Rest, name: str) -> Job | None:
    """Return a job by its id or its name; None if the cluster does not know it."""
    job = Job(rest, name)
    try:
        job.state()
    except NoAnswerError:
        raise
    except FlinkError:  # a name is no id at all, an id may be forgotten
        return find(rest, name)
    return job


def newest_checkpoint(job: Job, folder: str) -> str:
    """Return the newest checkpoint that a job left, empty if there is none to be found.

    Args:
        job: It may be one that the cluster has forgotten.
        folder: URI of the folder that its checkpoints were put into; looked at if it is local.
    """
    kept = local_folder(folder)
    if kept is not None:
        made = [path for path in (kept / job.jid).glob("chk-*") if (path / "_metadata").is_file()]
        newest = max(made, key=lambda path: int(path.name.removeprefix("chk-")), default=None)
        return "" if newest is None else newest.as_uri()
    try:
        latest = job.checkpoints()["latest"].get("completed") or {}
    except GoneError:
        return ""
    path = latest.get("external_path", _NOWHERE)
    return "" if path == _NOWHERE or latest.get("discarded") else str(path)


def discard(path: str, folder: str) -> None:
    """Remove what a job kept beside a checkpoint that is in its folder of a local `folder`."""
    kept, root = local_folder(path), local_folder(folder)
    if kept is not None and root is not None and kept.name.startswith("chk-"):
        own = kept.parent
        if own.parent == root:
            shutil.rmtree(own, ignore_errors=True)


def checkpoint(said: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the last checkpoint that was completed, of what `Job.checkpoints` says.

    Keys: `at` (ISO 8601), `seconds` it took, `bytes` of state, `path` (None: not kept).
    """
    latest = said["latest"].get("completed")
    if latest is None:
        return None
    at = datetime.fromtimestamp(latest["latest_ack_timestamp"] / 1000, UTC)
    path = latest["external_path"]
    return {
        "at": at.isoformat(timespec="seconds"),
        "seconds": latest["end_to_end_duration"] / 1000,
        "bytes": latest["state_size"],
        "path": None if path == _NOWHERE else path,
    }


def local_folder(uri: str) -> Path | None:
    """Return the folder of a `file:` URI, None for any other."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def failure(text: str) -> Exception:
    """Return what a Java stack trace says of what happened, without Java's frames."""
    at = text.find(_PYTHON)
    if at < 0:
        return FlinkError(
            f"a job on Flink must not fail; got {_innermost(text)}; look at its exceptions, and "
            "run it again: it goes on where it had landed"
        )
    inner = text[at:]
    frame = _JAVA_FRAME.search(inner)
    return RuntimeError(inner[: frame.start()].rstrip() if frame else inner.rstrip())


def _innermost(text: str) -> str:
    causes = re.findall(r"^Caused by: (.*)$", text, re.MULTILINE)
    return first_line(causes[-1] if causes else text) or "no reason"


def _waited(holds: Callable[[], bool], seconds: float) -> bool:
    """Wait until something holds; return whether it does."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_S)
    return True
