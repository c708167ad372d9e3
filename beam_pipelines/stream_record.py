"""What is kept of a pipeline's last stream in `out/stream.json`: how to find it and go on."""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from schemas.plan import Plan
from transforms.saved_state import UNMARKED

FILE: Final = "stream.json"
_SOURCE: Final = "source.stream"
_USER: Final = re.compile(r"(?<=://)[^/\s]*@")
_VERSIONS: Final = ("penstock", "apache-beam")
_NOT_STATE: Final = ("group", "refresh_us", "on_gap", "tls", "sasl", "start")


@dataclass(frozen=True, kw_only=True)
class Record:
    """The last stream of a pipeline.

    Attributes:
        runner: Where it ran.
        name: Its job's name there.
        run_id: Its run.
        started: When it began, seconds since the epoch.
        state: What its state was made of (`state_of`): only such a stream can go on from it.
        shares: Restrictions that its source was read by.
        key_id: Which key its id hashes were derived from; empty without a dedupe.
        options: The runner's.
        job: Its job's id; empty while it is being submitted.
        savepoint: Where its savepoint is, if it was stopped with one.
        stop_request: What the cluster calls the last request to stop it with a savepoint, which
            may be fulfilled after whoever asked has given up.
        sets: Overrides of the pipeline file that say what its source is (`source_sets`).
        unfollowed: Sinks that nobody brings up to the lake while it runs, as it was detached.
        draining: Whether its source has been asked to end where it stands.
        ended: Empty while nobody has seen it end; else finished, stopped, cancelled or failed.
            Drained and finished ones leave nothing to go on from.
        resumed: Where its own state came from.
        layout: How its state is laid out (`saved_state`).
    """

    runner: str
    name: str
    run_id: str
    started: float
    state: str
    shares: int
    key_id: str
    options: dict[str, Any]
    job: str = ""
    savepoint: str = ""
    stop_request: str = ""
    sets: list[str] = field(default_factory=list)
    unfollowed: list[str] = field(default_factory=list)
    draining: bool = False
    ended: str = ""
    resumed: str = ""
    layout: int = UNMARKED  # of records that do not say

    @property
    def called(self) -> str:
        """What its runner knows its job by: the id, or the name of one that was never noted."""
        return self.job or self.name


def last_stream(out: Path) -> Record | None:
    """Return the record of a run folder, None if there is none (that can be read)."""
    try:
        return Record(**json.loads((out / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def keep(out: Path, record: Record) -> None:
    """Write the record, whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    part = out / f".{FILE}.part"
    part.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
    part.replace(out / FILE)


def noted(out: Path, record: Record, **changes: Any) -> Record:
    """Change what a record says, unless another stream has taken its place meanwhile."""
    there = last_stream(out)
    if there is not None and there.run_id != record.run_id:
        return replace(record, **changes)
    changed = replace(there or record, **changes)  # others note things of it, too
    keep(out, changed)
    return changed


def note_end(out: Path, record: Record, how: str) -> None:
    """Note how a stream ended, as its follower sees it; who stopped it knows better."""
    there = last_stream(out)
    if there is None or not there.ended:
        noted(out, record, ended=how)


class Draining:
    """Says whether a stream's source has been asked to end, by its record; pickles."""

    def __init__(self, out: Path, run_id: str) -> None:
        """Describe it; nothing is read yet."""
        self._out, self._run_id = out, run_id
        self._looked, self._asked = -math.inf, False

    def __call__(self) -> bool:
        """Look, at most once a second."""
        now = time.monotonic()
        if not self._asked and now - self._looked > 1:
            self._looked = now
            record = last_stream(self._out)
            self._asked = record is not None and record.run_id == self._run_id and record.draining
        return self._asked

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave out what was seen."""
        return Draining, (self._out, self._run_id)


def source_sets(sets: Iterable[str]) -> list[str]:
    """Return the overrides that say what a stream's source is, without users in their URLs.

    Other secrets are references in a pipeline file, and stay so.
    """
    return [_USER.sub("", text) for text in sets if text.startswith(_SOURCE)]


def state_of(plan: Plan) -> str:
    """Hash what a stream's state depends on: state of another one must not be restored."""
    face: dict[str, Any] = {} if plan.stream is None else asdict(plan.stream.kafka)
    ends = face.pop("ends", {})
    parts = [
        plan.hash,
        {name: value for name, value in face.items() if name not in _NOT_STATE},
        sorted([*where, end] for where, end in ends.items()),
        plan.hash_partitions,
        [plan.versions.get(name) for name in _VERSIONS],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
