"""One run of a stream: from what the lake has on, until its end or until somebody stops it."""

from __future__ import annotations

import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from beam_pipelines import batch
from beam_pipelines.balance import balance
from beam_pipelines.batch import Options, Result
from beam_pipelines.commit_once import committer
from beam_pipelines.failures import fate, told
from beam_pipelines.following import following
from beam_pipelines.stream import StreamEngine, build_stream
from beam_pipelines.stream_follow import Watching, follow
from beam_pipelines.stream_gaps import gaps, skips, vanished
from beam_pipelines.stream_lag import first_missing
from beam_pipelines.stream_landed import count_landed
from beam_pipelines.stream_record import (
    Draining,
    Record,
    keep,
    last_stream,
    note_end,
    noted,
    source_sets,
    state_of,
)
from beam_pipelines.stream_resume import AUTO, Begin, only_stream, where
from beam_pipelines.stream_runner import StreamJob, StreamRunner
from beam_pipelines.stream_screen import Standing, say
from beam_pipelines.stream_start import Begun, record_start
from schemas.errors import SourceError, UsageError
from schemas.plan import Plan
from schemas.plan_json import plan_references
from schemas.stream_source import StreamFace
from transforms.changes.kept import kept_changes, since
from transforms.changes.meet import Meet
from transforms.commit.committer import Committer
from transforms.commit.lake import Lake, open_lake
from transforms.commit.ranges import Ranges
from transforms.commit.state import State
from transforms.continuous.id_key import IdKey, own_id_key
from transforms.continuous.in_process import InProcess
from transforms.continuous.positions import DonePositions
from transforms.decode.message_format import MessageFormat
from transforms.middle import RowSteps
from transforms.saved_state import LAYOUT
from transforms.sources.kafka.ends import Ends
from transforms.sources.kafka.source import KafkaStream
from transforms.sources.streams.interface import StreamSource
from transforms.sources.streams.read import ReadStream
from transforms.sources.streams.vector import Place, Vector
from transforms.sources.streams.watermark import Pace

_REPLAY_US: Final = 5_000_000

Watch = Callable[[Standing], AbstractContextManager[None]]
"""Shows a stream while a block runs, from where it stands when it begins."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a person asks for beside the plan.

    Attributes:
        new_key: Go on without the keys that landed rows were protected with.
        begin: See `stream_resume.where`.
        detach: Return when the job runs.
        watching: How it is followed.
        watch: Shows it while rows land.
        elsewhere: Whether a stream of another runner, by its record, runs.
        sets: Overrides of the pipeline file that the plan was made with.
    """

    new_key: bool = False
    begin: str = AUTO
    detach: bool = False
    watching: Watching = field(default_factory=Watching)
    watch: Watch | None = None
    elsewhere: Callable[[Record], bool] = lambda _: False
    sets: Sequence[str] = ()


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


def stream(plan: Plan, runner: StreamRunner, asked: Asked) -> Result:
    """Run a plan over its streaming source, into the lake; warehouse and Kafka follow beside it.

    It begins at the state that the last stream left, if the runner has states, else where the
    lake's positions end; and ends by itself if the source has an end. An interrupt or SIGTERM
    cancels it: what has landed stays, the rest is read again by the next run.

    Args:
        plan: What to run; its mode is stream.
        runner: Where it runs.
        asked: What else is asked for.

    Returns:
        What the run did; `rows` and `destinies` count what it landed, `balance` says whether the
        ledger accounts for all of it. Of a detached job, which one it is.

    Raises:
        PenstockError: As `batch.ingest`; or messages that were to be read are gone.
    """
    began, started = time.monotonic(), time.time()
    result = Result(run_id=uuid.uuid4().hex, plan=plan)
    if plan.stream is None:
        msg = "a stream must have a streaming source; got none; add `source.stream`"
        raise UsageError(msg)
    last = last_stream(plan.out)
    lake = open_lake(plan)
    with (
        told(plan, lambda: fate(lake, result.run_id)),
        _stopped_by_sigterm(),
        ExitStack() as beside,
    ):
        beside.enter_context(only_stream(runner, plan, last, asked.elsewhere))
        options = Options(new_key=asked.new_key)
        known = kept_changes(plan)
        state, keys, recompute = batch.ready(lake, result, options, started)
        RowSteps(plan).setup()
        own = committer(lake, plan, result.run_id, started, keys)
        if recompute:
            own.commit([], {}, sources=None, recompute=recompute)
        source, left, begun = _opened(plan, plan.stream, own, state)
        result.warnings += begun.warnings
        if not (source.bounded and left.finished):
            begin = where(runner, plan, last, asked.begin)
            engine = StreamEngine(
                run_id=result.run_id,
                started=started,
                messages=_format(plan, plan.stream)(
                    plan.contract,
                    max_future_us=plan.stream.max_future_us,
                    meet=Meet(plan.contract),
                ),
                key=(0, 0) if plan.deduplicate is None else own_id_key(plan, begin.key_id),
                keys=keys,
                soon_us=_REPLAY_US if source.bounded else None,
                begun=begun.memory,
                here=InProcess() if runner.alone else None,
            )
            left_over = _left_over(plan, runner, last) - {begin.path, ""}
            shares = begin.shares or runner.shares
            reading = _reading(plan, plan.stream, source, begun.known, shares, result.run_id)
            job, record = _launched(plan, runner, reading, engine, begin, lake, asked)
            for path in left_over:
                runner.discard(path)
            if begin.note:
                result.warnings.append(begin.note)
            result.job = {
                "id": job.id,
                "page": job.page,
                "from": begin.path,
                "seconds": round(time.monotonic() - began, 3),
            }
            if asked.detach:
                job.over()  # one that cannot be restored has failed by now
                result.seconds = time.monotonic() - began
                return result
            follower = beside.enter_context(following(plan, say))
            standing = Standing(
                plan=plan,
                run_id=result.run_id,
                began=started,
                seq=state.seq,
                done=state.done,
                starts=left.positions,
                ends=Ends(source),
                followed=None if follower is None else follower.told_state,
            )
            places = left.places if source.bounded else None
            with nullcontext() if asked.watch is None else asked.watch(standing):
                stopped = _stopped(job, record, lake, asked.watching, places, plan)
            if stopped:
                result.warnings.append(
                    "stopped: what has landed stays, and the next run goes on behind it"
                )
        else:
            follower = beside.enter_context(following(plan, say))
        passed = _passed_over(lake, result, source, left) if skips(plan) else []
        result.warnings += [said for said in passed if said not in result.warnings]
        result.balance = balance(lake, plan, result.run_id)
        result.changes = since(known, kept_changes(plan))
        count_landed(lake, state.totals, result, result.balance)
        if follower is not None:
            follower.finish(lake, result)
    result.seconds = time.monotonic() - began
    return result


def _opened(
    plan: Plan, face: StreamFace, own: Committer, state: State
) -> tuple[KafkaStream, Vector, Begun]:
    """Open the source, where it goes on, and record that; says what is wrong with it."""
    source = KafkaStream(kafka=face.kafka, folder=plan.folder)
    _format(plan, face).check()
    known = starts(source, state)
    left = source.begin(known, 0, 1)
    return source, left, record_start(own, plan, state, known, left)


def _format(plan: Plan, face: StreamFace) -> MessageFormat:
    return MessageFormat(kafka=face.kafka, folder=plan.folder)


def _launched(
    plan: Plan,
    runner: StreamRunner,
    reading: ReadStream,
    engine: StreamEngine,
    begin: Begin,
    lake: Lake,
    asked: Asked,
) -> tuple[StreamJob, Record]:
    """Build the pipeline and start it; its record is there before it is."""
    name = f"penstock-{plan.name}-{engine.run_id[:12]}"
    record = Record(
        runner=plan.runner,
        name=name,
        run_id=engine.run_id,
        started=engine.started,
        state=state_of(plan),
        shares=reading.shares,
        key_id=engine.key.key_id if isinstance(engine.key, IdKey) else "",
        options=plan.options,
        resumed=begin.path,
        sets=source_sets(asked.sets),
        unfollowed=sorted(batch.FOLLOWERS & plan.sinks.keys()) if asked.detach else [],
        layout=LAYOUT,
    )
    root = runner.pipeline(
        name,
        bounded=reading.source.bounded,
        savepoint=begin.path,
        references=plan_references(plan),
    )
    _ = build_stream(root | "Source" >> reading, plan, engine, lake)
    keep(plan.out, record)
    try:
        job = runner.launch(root, name)
    except BaseException:
        note_end(plan.out, record, "failed")
        raise
    return job, noted(plan.out, record, job=job.id)


def _left_over(plan: Plan, runner: StreamRunner, last: Record | None) -> set[str]:
    """Return the checkpoints that the last stream had, and went on from."""
    if last is None or last.runner != plan.runner:
        return set()
    return {last.resumed, runner.restorable(last.called)}


def _passed_over(lake: Lake, result: Result, source: KafkaStream, left: Vector) -> list[str]:
    """Say what was to be read and is gone, that of the start included."""
    places, lost = left.places, list[str]()
    with suppress(SourceError):  # the broker may be gone by now
        places = source.begin({}, 0, 1).places
        done = DonePositions(lake)()
        lost = vanished({s: done[s] for s in left.places if s in done}, places)
    found = gaps(lake, result.plan, {**left.places, **places}, run_id=result.run_id)
    return [*(gap.said() for gap in found), *lost]


def starts(source: StreamSource, state: State) -> dict[str, int]:
    """Return for each stream partition of the lake the first position that is not done."""
    files = set(state.sources["source"].to_pylist())
    begin = source.begin({}, 0, 1).positions
    return {
        name: first_missing(begin.get(name, ranges[0][1]), ranges)
        for name, ranges in state.done.items()
        if name not in files
    }


def _reading(
    plan: Plan,
    face: StreamFace,
    source: StreamSource,
    known: Mapping[str, int],
    shares: int,
    run_id: str,
) -> ReadStream:
    return ReadStream(
        source=source,
        contract=plan.contract,
        decoder=_format(plan, face),
        pace=Pace(
            disorder_us=face.disorder_us, idle_us=face.idle_us, max_future_us=face.max_future_us
        ),
        known=known,
        done=LakePositions(plan),
        draining=Draining(plan.out, run_id),
        shares=shares,
    )


def _stopped(
    job: StreamJob,
    record: Record,
    lake: Lake,
    watching: Watching,
    places: Mapping[str, Place] | None,
    plan: Plan,
) -> bool:
    """Wait for a job; return whether it was stopped rather than that it came to its end."""
    try:
        finished = follow(job, plan, lake, watching, places=places)
        if not finished:
            job.cancel()
    except BaseException:  # One that we give up may run on.
        with suppress(Exception):
            job.cancel()
            note_end(plan.out, record, "failed")
        raise
    note_end(plan.out, record, "finished" if finished else "cancelled")
    return not finished


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
