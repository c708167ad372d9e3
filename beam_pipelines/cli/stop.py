"""`penstock stop`: end a stream that runs by itself, with a savepoint or without."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from beam_pipelines.cli import flags
from beam_pipelines.cli.stream_runners import flink_job, refuse
from runners.flink import CAN as FLINK_CAN
from runners.lean import no_warnings
from runners.prism import CAN as PRISM_CAN
from schemas.errors import PenstockError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from beam_pipelines.stream_record import Record
    from runners.flink.job import Job

SUMMARY = "stop a stream that runs on a cluster"
EXAMPLES = """\
examples:
  penstock stop events/                 cancel it; the next run goes on from its last checkpoint
  penstock stop events/ --savepoint     write a savepoint first: nothing is read twice
  penstock stop events/ --drain         as if the source had come to its end: all windows close

However it is stopped, no row is lost or landed twice. After --drain the next run begins behind what
is in the lake: windows that were closed early are completed as rows for them come. A stream on
prism ends with its process: press Ctrl-C there; it can be drained, and has no savepoints.
"""
_LOOK_S: Final = 0.2
_WAIT: Final = "5m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this verb."""
    flags.add_folder(parser)
    flags.add_out(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--savepoint", action="store_true", help="write a savepoint that the next run goes on from"
    )
    how.add_argument(
        "--drain", action="store_true", help="close all windows first, then write a savepoint"
    )
    parser.add_argument(
        "--to", metavar="URI", help="where the savepoint is put; default beside the checkpoints"
    )
    parser.add_argument(
        "--wait", metavar="5m", help="how long a savepoint or a drain may take (5m)"
    )
    flags.add_rest(parser)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line of stdout"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    from beam_pipelines.stream_record import last_stream, noted  # noqa: PLC0415  imports Arrow

    for flag, given in (("--to", args.to), ("--wait", args.wait)):
        if given is not None and not (args.savepoint or args.drain):
            msg = (
                f"{flag} must come with --savepoint or --drain; got it alone; add one, or leave it "
                "out: the stream is then cancelled at once, without a savepoint"
            )
            raise UsageError(msg)
    out = flags.out_of(args)
    seconds = flags.seconds("--wait", _WAIT if args.wait is None else args.wait)
    record = last_stream(out)
    if record is None:
        msg = f"there must be a stream to stop; got no {out / 'stream.json'}; start one with run"
        raise UsageError(msg)
    needs = [need for need in ("savepoint", "drain") if getattr(args, need)]
    refuse(record.runner, needs, FLINK_CAN if record.runner == "flink" else PRISM_CAN)
    if record.runner == "flink":
        told = _on_flink(record, out, args, seconds)
    else:
        if not args.drain:
            msg = (
                f"a stream on {record.runner} must be stopped where it runs; got penstock stop; "
                "press Ctrl-C there, or send its process a SIGTERM"
            )
            raise UsageError(msg)
        if args.to is not None:
            msg = (
                f"--to must come with Flink; got {record.runner}, which has no savepoints; leave "
                "it out"
            )
            raise UsageError(msg)
        noted(out, record, draining=True)
        told = {"job": record.name, "state": _ended(out, record, seconds), "savepoint": ""}
    told["notes"] = list(_left_behind(record, out, args))
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        where = f", savepoint {told['savepoint']}" if told["savepoint"] else ""
        print(f"job {told['job']}: {told['state'].lower()}{where}")
        for note in told["notes"]:
            print(f"note: {note}")
    return 0


def _left_behind(record: Record, out: Path, args: argparse.Namespace) -> Iterator[str]:
    """Yield what to do about sinks that did not follow while the stream was detached."""
    if not (record.unfollowed and (out / "lake").is_dir()):
        return
    with no_warnings():
        from beam_pipelines.following import left_behind  # noqa: PLC0415  Beam is slow to import
    from schemas.planning import check_pipeline  # noqa: PLC0415
    from transforms.commit.lake import open_lake  # noqa: PLC0415

    try:
        plan = replace(check_pipeline(args.folder)[0], out=out)
        lake = open_lake(plan)
        seq = lake.last_done().seq if lake.exists() else 0
        said = left_behind(plan, record.unfollowed, seq)
    except PenstockError as error:  # the stream has been stopped all the same
        said = f"how far {' and '.join(record.unfollowed)} is, is not known: {error}"
    if said:
        yield said


def _ended(out: Path, record: Record, seconds: float) -> str:
    """Wait until the process that runs a stream notes its end."""
    from beam_pipelines.stream_record import last_stream  # noqa: PLC0415

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        last = last_stream(out)
        if last is None or last.run_id != record.run_id or last.ended:
            return last.ended if last is not None else "gone"
        time.sleep(_LOOK_S)
    msg = (
        f"a drained stream must end within {seconds:.0f} s; got none; see whether its process "
        "lives, and wait longer with --wait"
    )
    raise PenstockError(msg)


def _on_flink(
    record: Record, out: Path, args: argparse.Namespace, seconds: float
) -> dict[str, Any]:
    """End a job on Flink."""
    from beam_pipelines.stream_record import noted  # noqa: PLC0415
    from runners.flink.job import ENDED  # noqa: PLC0415

    job = _job(record, args.rest)
    state = job.state()
    if state in ENDED:
        print(f"job {job.jid} has ended before", file=sys.stderr)
        if record.draining and state == "FINISHED" and not record.ended:
            record = noted(out, record, job=job.jid, ended="drained")
        made = _savepoint_before(job, record, out)
        if args.savepoint and not made:
            msg = (
                f"a savepoint must be made while a job runs; got none of job {job.jid}, which has "
                f"ended ({state.lower()}); run it again: it goes on from its newest checkpoint, or "
                "behind what is in the lake"
            )
            raise PenstockError(msg)
        return {"job": job.jid, "state": state, "savepoint": made}
    if args.drain:
        record = noted(out, record, draining=True)
        job.wait_for_end(seconds)
    if not (args.savepoint or args.drain):
        job.cancel()
        noted(out, record, job=job.jid, ended="cancelled")
        return {"job": job.jid, "state": job.state(), "savepoint": ""}
    request = _asked_to_stop(job, record, out, args)
    _there(made := job.stopped(request, seconds))
    ended = "drained" if args.drain else "stopped"
    kept = "" if args.drain else made
    noted(out, record, job=job.jid, ended=ended, savepoint=kept)
    return {"job": job.jid, "state": ended.upper(), "savepoint": kept}


def _savepoint_before(job: Job, record: Record, out: Path) -> str:
    """Return the savepoint that a job ended with, empty if there is none to go on from.

    It may have come after the stop that asked for it gave up: then it is noted now.
    """
    from beam_pipelines.stream_record import noted  # noqa: PLC0415

    if record.savepoint or record.draining or not record.stop_request:
        return record.savepoint
    # The cluster keeps the answer to a request for some minutes, a job's history for longer.
    request = record.stop_request
    made = job.stopped(request, 0) if job.stops(request) else job.last_savepoint()
    if made:
        _there(made)
        noted(out, record, job=job.jid, ended="stopped", savepoint=made)
    return made


def _job(record: Record, rest: str | None) -> Job:
    """Find the job that a record names."""
    job, url = flink_job(record, rest)
    if job is None:
        msg = (
            f"the cluster at {url} must know the job; got none named {record.name}; name "
            "another cluster with --flink-rest, or just run again: it goes on where it had landed"
        )
        raise UsageError(msg)
    return job


def _asked_to_stop(job: Job, record: Record, out: Path, args: argparse.Namespace) -> str:
    """Ask for a stop with a savepoint, unless one is under way; return the request's id."""
    from beam_pipelines.stream_record import noted  # noqa: PLC0415
    from runners.flink.options import savepoints  # noqa: PLC0415

    folder = args.to or savepoints(record.options)
    if folder and "://" not in folder:
        msg = f"--to must be a URI; got {folder!r}; write file:///... or s3://..."
        raise UsageError(msg)
    drains = args.drain or record.draining  # a savepoint asked for before is none of a drain
    if not drains and record.stop_request and job.stops(record.stop_request):
        return record.stop_request
    request = job.ask_to_stop(folder, drain=args.drain)
    noted(out, record, job=job.jid, stop_request=request)
    return request


def _there(savepoint: str) -> None:
    """See that a savepoint is where it can be looked for."""
    from runners.flink.job import local_folder  # noqa: PLC0415

    there = local_folder(savepoint)
    if there is not None and not (there / "_metadata").is_file():
        msg = (
            f"a savepoint must be there when Flink says so; got no {there}/_metadata; see that "
            "the cluster's machines share this folder, or give --to"
        )
        raise PenstockError(msg)
