"""One run of a stream: from what the lake has on, until its end or until somebody stops it."""

from __future__ import annotations

import secrets
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, Final

import apache_beam as beam
from apache_beam.runners.runner import PipelineState
from pyiceberg.expressions import And, EqualTo, LessThanOrEqual

from beam_pipelines import batch
from beam_pipelines.balance import Balance, balance
from beam_pipelines.batch import Options, Result
from beam_pipelines.commit_once import committer
from beam_pipelines.failures import fate, told
from beam_pipelines.following import following
from beam_pipelines.noticed import none_kept
from beam_pipelines.stream import StreamEngine, build_stream
from beam_pipelines.stream_screen import Standing, say
from schemas.errors import UsageError
from schemas.names import Destiny
from schemas.plan import Plan
from schemas.stream_source import StreamFace
from transforms.commit.lake import Lake, open_lake
from transforms.commit.ranges import Ranges
from transforms.commit.state import State
from transforms.continuous.positions import DonePositions
from transforms.decode.messages import MessageDecoder
from transforms.middle import RowSteps
from transforms.sources.kafka.ends import Ends
from transforms.sources.kafka.source import KafkaStream
from transforms.sources.streams.interface import StreamSource
from transforms.sources.streams.read import ReadStream
from transforms.sources.streams.watermark import Pace

_LOOK_S: Final = 0.25
_REPLAY_US: Final = 5_000_000

Watch = Callable[[Standing], AbstractContextManager[None]]
"""Watches a stream while a block runs, from where it stands when it begins."""


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
    open_pipeline: Callable[[], beam.Pipeline],
    *,
    new_key: bool = False,
    watch: Watch | None = None,
) -> Result:
    """Run a plan over its streaming source, into the lake; the warehouse follows beside it.

    It begins where the lake's positions end, and ends by itself if the source has an end. An
    interrupt or SIGTERM cancels it: what has landed stays, the rest is read again by the next run.

    Args:
        plan: What to run; its mode is stream.
        open_pipeline: Opens a pipeline on a runner of streams.
        new_key: Go on without the keys that landed rows were protected with.
        watch: Watches while rows land.

    Returns:
        What the run did; `rows` and `destinies` count what it landed, `balance` says whether the
        ledger accounts for all of it.

    Raises:
        PenstockError: As `batch.ingest`; or messages that were to be read are gone.
    """
    began, started = time.monotonic(), time.time()
    result = Result(run_id=uuid.uuid4().hex, plan=plan)
    if plan.stream is None:
        msg = "a stream must have a streaming source; got none; add `source.stream`"
        raise UsageError(msg)
    lake = open_lake(plan)
    with told(lambda: fate(lake, result.run_id)), _stopped_by_sigterm(), ExitStack() as beside:
        options = Options(new_key=new_key)
        state, keys, recompute = batch.ready(lake, result, options, started)
        RowSteps(plan).setup()
        if recompute:
            one = committer(lake, plan, result.run_id, started, keys)
            one.commit([], {}, sources=None, recompute=recompute)
        source = KafkaStream(kafka=plan.stream.kafka, folder=plan.folder)
        known = starts(source, state)
        left = source.begin(known, 0, 1)  # What is wrong with the source is said before it starts.
        follower = beside.enter_context(following(plan, say))
        if not (source.bounded and left.finished):
            engine = StreamEngine(
                run_id=result.run_id,
                started=started,
                messages=MessageDecoder(plan.contract, max_future_us=plan.stream.max_future_us),
                key=(secrets.randbits(63), secrets.randbits(63)),
                keys=keys,
                soon_us=_REPLAY_US if source.bounded else None,
            )
            root = open_pipeline()
            raw = root | "Source" >> _reading(plan, plan.stream, source, known)
            _ = build_stream(raw, plan, engine, lake)
            standing = Standing(
                plan=plan,
                began=started,
                seq=state.seq,
                done=state.done,
                starts=left.positions,
                ends=Ends(source),
                followed=None if follower is None else lambda: follower.state,
            )
            with nullcontext() if watch is None else watch(standing):
                stopped = _stopped(root.run())
            if stopped:
                result.warnings.append(
                    "stopped: what has landed stays, and the next run goes on behind it"
                )
        result.balance = balance(lake, plan, result.run_id)
        _count(lake, state.totals, result, result.balance)
        if follower is not None:
            follower.finish(lake, result)
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
    plan: Plan, face: StreamFace, source: StreamSource, known: Mapping[str, int]
) -> ReadStream:
    return ReadStream(
        source=source,
        contract=plan.contract,
        pace=Pace(
            disorder_us=face.disorder_us, idle_us=face.idle_us, max_future_us=face.max_future_us
        ),
        known=known,
        done=LakePositions(plan),
    )


def _stopped(job: Any) -> bool:
    """Wait for a job; return whether it was stopped rather than that it came to its end."""
    try:
        while not PipelineState.is_terminal(job.state):
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        job.cancel()
        return True
    job.wait_until_finish()  # Raises what the job failed with.
    return False


def _count(lake: Lake, before: Mapping[str, int], result: Result, now: Balance) -> None:
    """Fill in what this run landed, from the ledger as of a balance: a worker may still commit."""
    plan = result.plan
    columns = ["destiny", "step", "rule", "rows"]
    rows = lake.read(
        plan.operations("ledger"),
        [*columns, "run_id", "seq"],
        And(EqualTo("run_id", result.run_id), LessThanOrEqual("seq", now.seq)),
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
        for name, count in now.totals.items()
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
