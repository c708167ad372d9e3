"""One run of a stream: from what the lake has on, until its end or until somebody stops it."""

from __future__ import annotations

import json
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

import apache_beam as beam
from pyiceberg.expressions import EqualTo

from beam_pipelines import batch
from beam_pipelines.batch import Options, Result
from beam_pipelines.commit_once import committer
from beam_pipelines.failures import fate, told
from beam_pipelines.noticed import none_kept
from beam_pipelines.stream import StreamEngine, build_stream
from schemas.errors import UsageError
from schemas.names import Destiny
from schemas.plan import Plan
from schemas.plan_json import to_json
from schemas.references import references
from schemas.stream_source import StreamFace
from transforms.commit.lake import Done, Lake, open_lake
from transforms.commit.ranges import Ranges
from transforms.commit.state import State
from transforms.continuous.id_key import own_id_key
from transforms.continuous.in_process import InProcess
from transforms.continuous.positions import DonePositions
from transforms.decode.messages import MessageDecoder
from transforms.middle import RowSteps
from transforms.sources.kafka.source import KafkaStream
from transforms.sources.streams.interface import StreamSource
from transforms.sources.streams.read import ReadStream
from transforms.sources.streams.watermark import Pace

_LOOK_S: Final = 0.25
_COMMITS_S: Final = 2.0
_REPLAY_US: Final = 5_000_000

Told = Callable[[Done, float], None]
"""Is told what readers of the lake may see, and how many seconds the run has lasted."""


class StreamJob(Protocol):
    """A job that was launched."""

    def over(self) -> bool:
        """Whether it came to its end; raises what it failed with."""
        ...

    def cancel(self) -> None:
        """End it; what has landed stays."""
        ...


class StreamRunner(Protocol):
    """Where streams run."""

    @property
    def shares(self) -> int:
        """Restrictions of a source that it takes without losing rows."""
        ...

    @property
    def alone(self) -> bool:
        """Whether workers are threads of this process, whose end is the end of all state."""
        ...

    def pipeline(
        self,
        name: str,
        *,
        bounded: bool,
        savepoint: str = "",
        references: Iterable[str] = (),
    ) -> beam.Pipeline:
        """Open a pipeline for a job of this name.

        Args:
            name: Of the job.
            bounded: Whether its source has an end.
            savepoint: Where its state is restored from; empty: nowhere.
            references: Environment variables that its workers need.
        """
        ...

    def launch(self, root: beam.Pipeline, name: str) -> StreamJob:
        """Start it; returns when it runs."""
        ...


class LakePositions:
    """`DonePositions` of a plan's lake, opened where it is asked; pickles."""

    def __init__(self, plan: Plan) -> None:
        """Describe it; nothing is opened yet."""
        self._plan = plan
        self._done: DonePositions | None = None

    def __call__(self) -> Ranges:
        """Return source -> merged ranges done."""
        if self._done is None:
            self._done = DonePositions(open_lake(self._plan))
        return self._done()

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave out what was opened."""
        return LakePositions, (self._plan,)


def stream(
    plan: Plan,
    runner: StreamRunner,
    *,
    new_key: bool = False,
    watch: Told | None = None,
) -> Result:
    """Run a plan over its streaming source, into the lake; the warehouse follows at the end.

    It begins where the lake's positions end, and ends by itself if the source has an end. An
    interrupt or SIGTERM cancels it: what has landed stays, the rest is read again by the next run.

    Args:
        plan: What to run; its mode is stream.
        runner: Where it runs.
        new_key: Go on without the keys that landed rows were protected with.
        watch: Told of new commits.

    Returns:
        What the run did; `rows` and `destinies` count what it landed.

    Raises:
        PenstockError: As `batch.ingest`; or messages that were to be read are gone.
    """
    began, started = time.monotonic(), time.time()
    result = Result(run_id=uuid.uuid4().hex, plan=plan)
    if plan.stream is None:
        msg = "a stream must have a streaming source; got none; add `source.stream`"
        raise UsageError(msg)
    lake = open_lake(plan)
    with told(lambda: fate(lake, result.run_id)), _stopped_by_sigterm():
        options = Options(new_key=new_key)
        state, keys, recompute = batch.ready(lake, result, options, started)
        RowSteps(plan).setup()
        if recompute:
            one = committer(lake, plan, result.run_id, started, keys)
            one.commit([], {}, sources=None, recompute=recompute)
        source = KafkaStream(kafka=plan.stream.kafka, folder=plan.folder)
        known = starts(source, state)
        left = source.begin(known, 0, 1)  # What is wrong with the source is said before it starts.
        if not (source.bounded and left.finished):
            engine = StreamEngine(
                run_id=result.run_id,
                started=started,
                messages=MessageDecoder(plan.contract, max_future_us=plan.stream.max_future_us),
                key=own_id_key(plan),
                keys=keys,
                soon_us=_REPLAY_US if source.bounded else None,
                here=InProcess() if runner.alone else None,
            )
            name = f"penstock-{plan.name}-{result.run_id[:12]}"
            named = references(json.dumps(to_json(plan)))
            root = runner.pipeline(name, bounded=source.bounded, references=named)
            reading = _reading(plan, plan.stream, source, known, runner.shares)
            raw = root | "Source" >> reading
            _ = build_stream(raw, plan, engine, lake)
            if _stopped(runner.launch(root, name), lake, watch, began):
                result.warnings.append(
                    "stopped: what has landed stays, and the next run goes on behind it"
                )
        _count(lake, state.totals, result)
        if "warehouse" in plan.sinks:
            batch.follow(lake, plan, result)
    result.seconds = time.monotonic() - began
    return result


def starts(source: StreamSource, state: State) -> dict[str, int]:
    """Return for each stream partition of the lake the first position that is not done.

    Commits may leave holes when a run dies. A position behind the source's own start and before the
    first one done is such a hole, too.
    """
    files = set(state.sources["source"].to_pylist())
    begin = source.begin({}, 0, 1).positions
    known = {}
    for name, ranges in state.done.items():
        if name not in files:
            first, end = ranges[0]
            own = begin.get(name, end)
            known[name] = own if own < first else end
    return known


def _reading(
    plan: Plan, face: StreamFace, source: StreamSource, known: Mapping[str, int], shares: int
) -> ReadStream:
    return ReadStream(
        source=source,
        contract=plan.contract,
        pace=Pace(
            disorder_us=face.disorder_us, idle_us=face.idle_us, max_future_us=face.max_future_us
        ),
        known=known,
        done=LakePositions(plan),
        shares=shares,
    )


def _stopped(job: StreamJob, lake: Lake, watch: Told | None, began: float) -> bool:
    """Wait for a job; return whether it was stopped rather than that it came to its end."""
    looked, seq = time.monotonic(), lake.last_done().seq
    try:
        while not job.over():
            time.sleep(_LOOK_S)
            if watch is not None and time.monotonic() - looked > _COMMITS_S:
                looked, done = time.monotonic(), lake.last_done()
                if done.seq != seq:
                    seq = done.seq
                    watch(done, time.monotonic() - began)
    except KeyboardInterrupt:
        job.cancel()
        return True
    return False


def _count(lake: Lake, before: Mapping[str, int], result: Result) -> None:
    """Fill in what this run landed, from the ledger."""
    plan = result.plan
    columns = ["destiny", "step", "rule", "rows"]
    rows = lake.read(
        plan.operations("ledger"), [*columns, "run_id"], EqualTo("run_id", result.run_id)
    )
    counts: Counter[str] = Counter()
    taken: Counter[tuple[str, str, str]] = Counter()
    for row in rows.select(columns).to_pylist():
        counts[row["destiny"]] += row["rows"]
        if row["destiny"] != Destiny.KEPT:
            taken[row["destiny"], row["step"] or "", row["rule"] or ""] += row["rows"]
    result.rows = {"read": counts.total()} | {d.value: counts[d.value] for d in Destiny}
    result.destinies = [
        dict(zip(columns, (*key, n), strict=True))
        for key, n in sorted(taken.items(), key=lambda one: (-one[1], one[0]))
    ]
    result.tables = {
        name: {"rows": count, "added": count - before.get(name, 0)}
        for name, count in lake.row_counts().items()
    }
    if not rows.num_rows:
        result.warnings.append("nothing new: no message landed")
    elif counts.total() and not counts[Destiny.KEPT.value]:
        result.warnings.append(none_kept(result.rows, result.destinies))


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Take SIGTERM for an interrupt while the block runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
