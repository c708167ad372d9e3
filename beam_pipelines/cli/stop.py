"""`penstock stop`: end a stream that runs by itself, with a savepoint or without."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from beam_pipelines.cli import flags
from beam_pipelines.cli.stream_runners import refuse
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
is in the lake: windows that were closed early are completed as rows for them come.
"""


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
        "--wait", default="5m", metavar="5m", help="how long a savepoint may take (5m)"
    )
    flags.add_rest(parser)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line of stdout"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    from beam_pipelines.stream_record import last_stream, noted  # noqa: PLC0415  imports Arrow

    out = flags.out_of(args)
    record = last_stream(out)
    if record is None:
        msg = f"there must be a stream to stop; got no {out / 'stream.json'}; start one with run"
        raise UsageError(msg)
    job = _job(record, args)
    told: dict[str, Any] = {"job": job.jid, "savepoint": ""}
    state = job.state()
    if _has_ended(state):
        print(f"job {job.jid} has ended before: {state.lower()}", file=sys.stderr)
        told["state"] = state
    elif args.savepoint or args.drain:
        told |= _with_savepoint(job, record, args)
        ended = "drained" if args.drain else "stopped"
        kept = "" if args.drain else told["savepoint"]
        noted(out, record, job=job.jid, ended=ended, savepoint=kept)
    else:
        job.cancel()
        told["state"] = "CANCELED"
        noted(out, record, job=job.jid, ended="cancelled")
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        where = f", savepoint {told['savepoint']}" if told["savepoint"] else ""
        print(f"job {job.jid}: {told['state'].lower()}{where}")
    return 0


def _job(record: Record, args: argparse.Namespace) -> Job:
    """Find the job that a record names."""
    from runners.flink import CAN as FLINK_CAN  # noqa: PLC0415
    from runners.flink.job import known  # noqa: PLC0415
    from runners.flink.options import options  # noqa: PLC0415
    from runners.flink.rest import Rest  # noqa: PLC0415

    needs = [need for need in ("savepoint", "drain") if getattr(args, need)]
    can = FLINK_CAN if record.runner == "flink" else frozenset[str]()
    refuse(record.runner, needs, can)
    if record.runner != "flink":
        msg = (
            f"a stream on {record.runner} must be stopped where it runs; got penstock stop; press "
            "Ctrl-C there, or send its process a SIGTERM"
        )
        raise UsageError(msg)
    given = record.options | ({"rest": args.rest} if args.rest else {})
    rest = Rest(options(given).rest)
    job = known(rest, record.job or record.name)
    if job is None:
        msg = (
            f"the cluster at {rest.url} must know the job; got none named {record.name}; name "
            "another cluster with --flink-rest, or just run again: it goes on where it had landed"
        )
        raise UsageError(msg)
    return job


def _with_savepoint(job: Job, record: Record, args: argparse.Namespace) -> dict[str, Any]:
    """Stop a job with a savepoint, and see that it is there."""
    from runners.flink.job import local_folder  # noqa: PLC0415
    from runners.flink.options import savepoints  # noqa: PLC0415

    folder = args.to or savepoints(record.options)
    if folder and "://" not in folder:
        msg = f"--to must be a URI; got {folder!r}; write file:///... or s3://..."
        raise UsageError(msg)
    seconds = flags.seconds("--wait", args.wait)
    made = job.stop(folder, drain=args.drain, seconds=seconds)
    there: Path | None = local_folder(made)
    if there is not None and not (there / "_metadata").is_file():
        msg = (
            f"a savepoint must be there when Flink says so; got no {there}/_metadata; see that "
            "the cluster's machines share this folder, or give --to"
        )
        raise PenstockError(msg)
    return {"state": job.state(), "savepoint": made}


def _has_ended(state: str) -> bool:
    from runners.flink.job import ENDED  # noqa: PLC0415

    return state in ENDED
