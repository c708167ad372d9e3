"""`penstock status`: what a pipeline's stream does, and how far it is behind its source."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from beam_pipelines.cli import flags
from beam_pipelines.cli.stream_runners import flink_job
from runners.lean import collect_from_here, deferred_models, import_libraries, no_warnings
from schemas.errors import PenstockError

if TYPE_CHECKING:
    from beam_pipelines.stream_record import Record
    from beam_pipelines.stream_status import Landed
    from runners.flink.job import Job
    from schemas.plan import Plan

SUMMARY = "say what a stream does: state, watermark, lag, rows/s, last checkpoint, last commit"
EXAMPLES = """\
examples:
  penstock status events/           for a person
  penstock status events/ --json    for a program

Of a stream that does not run, it says what is known without it: what has landed, and what waits.
Of a batch pipeline it says the last commit; what is new in its files the next run finds out.
"""

_SHOWN: Final = 5
_WELL: Final = ("CREATED", "INITIALIZING", "RUNNING", "FINISHED", "CANCELED", "SUSPENDED")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this verb."""
    flags.add_folder(parser)
    flags.add_out(parser)
    flags.add_sets(parser)
    flags.add_rest(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    with deferred_models():  # Arrow and DuckDB are slow to import
        from schemas.planning import check_pipeline  # noqa: PLC0415

    import_libraries()
    from beam_pipelines.stream_record import last_stream  # noqa: PLC0415
    from beam_pipelines.stream_status import landed  # noqa: PLC0415
    from transforms.commit.lake import open_lake  # noqa: PLC0415

    collect_from_here()
    out = flags.out_of(args)
    record = last_stream(out)
    plan, _ = check_pipeline(args.folder, [*(record.sets if record else ()), *args.sets])
    plan = replace(plan, out=out)
    there = (plan.out / "lake").is_dir()  # to open one makes it
    found = landed(plan, open_lake(plan) if there else None)
    mode = "batch" if plan.stream is None else "stream"
    told = {"pipeline": plan.name, "mode": mode} | _job(record, plan, args) | _lake(found)
    if told["state"] not in ("NONE", "RUNNING"):  # what it landed before is no rate of now
        told["rows_per_second"] = None
    told["notes"] = [*told["notes"], *found.notes, *_changed(plan, args)]
    if record is not None and record.unfollowed:
        told["notes"] += _left_behind(record.unfollowed, plan, found.seq)
    if args.json:
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        print(*_lines(told), sep="\n")
    return 0


def _left_behind(sinks: list[str], plan: Plan, seq: int) -> Iterator[str]:
    with no_warnings():
        from beam_pipelines.following import left_behind  # noqa: PLC0415  Beam is slow to import

    if said := left_behind(plan, sinks, seq):
        yield said


def _changed(plan: Plan, args: argparse.Namespace) -> Iterator[str]:
    from transforms.changes.kept import kept_changes  # noqa: PLC0415

    if changes := [c for c in kept_changes(plan) if c.kind.met_by_contract]:
        names = dict.fromkeys(c.called or "others" for c in changes)
        shown = ", ".join(list(names)[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
        folder = shlex.quote(str(args.folder))
        yield f"records differ from the contract ({shown}): penstock evolve {folder} --dry-run"


def _job(record: Record | None, plan: Plan, args: argparse.Namespace) -> dict[str, Any]:
    """Return what is known of the job."""
    from beam_pipelines.stream_lock import holder  # noqa: PLC0415  its package is slow to import

    told: dict[str, Any] = {
        "runner": None,
        "job": None,
        "state": "NONE",
        "page": None,
        "started": None,
        "watermark": None,
        "restarts": None,
        "checkpoint": None,
        "savepoint": None,
        "notes": [],
    }
    if record is None:
        return told
    told |= {
        "runner": record.runner,
        "job": record.called,
        "state": record.ended.upper() or "UNKNOWN",
        "started": datetime.fromtimestamp(record.started, UTC).isoformat(timespec="seconds"),
        "savepoint": record.savepoint or None,
    }
    if record.runner == "flink":
        try:
            told |= _on_flink(record, plan, args.rest)
        except PenstockError as error:
            told["notes"] = [str(error)]
    elif not record.ended:
        runs = bool(holder(plan.out))
        told["state"] = "RUNNING" if runs else "ENDED"
        told["notes"] = [] if runs else ["its process died: the next run goes on where it landed"]
    return told


def _on_flink(record: Record, plan: Plan, rest: str | None) -> dict[str, Any]:
    from runners.flink.job import END_MS, checkpoint  # noqa: PLC0415

    job, url = flink_job(record, rest)
    if job is None:
        return {"notes": [f"the cluster at {url} does not know the job any more"]}
    state = job.state()
    told: dict[str, Any] = {"job": job.jid, "page": job.page}
    if not record.ended or state == "RUNNING":
        told["state"] = state
    said = job.checkpoints()
    told["notes"] = list(_failed(job, plan, state))
    # Going on from a savepoint counts as the first.
    told["restarts"] = max(said["counts"]["restored"] - bool(record.resumed), 0)
    told["checkpoint"] = checkpoint(said)
    if state == "RUNNING" and (low := job.watermark_ms()) is not None:
        told["watermark"] = "end" if low > END_MS else _time(low / 1000)
    return told


def _failed(job: Job, plan: Plan, state: str) -> Iterator[str]:
    """Say what a job fails with that nobody follows."""
    from beam_pipelines.failures import meant  # noqa: PLC0415  imports Arrow

    error = None if state in _WELL else job.failure()
    if error is not None:
        ours = isinstance(error, PenstockError)
        yield f"the job fails: {error if ours else meant(error, plan, lambda: 'it begins again')}"


def _lake(found: Landed) -> dict[str, Any]:
    lag = None
    if found.lag is not None:
        lag = {
            "messages": sum(one.messages for one in found.lag),
            "partitions": {one.label: one.messages for one in found.lag},
        }
    rate = found.rows_per_second
    at = found.at.isoformat(timespec="seconds") if found.at else None
    return {
        "lag": lag,
        "passed_over": {
            "positions": sum(gap.end - gap.start for gap in found.gaps),
            "gaps": [
                {
                    "partition": gap.label,
                    "from": gap.start,
                    "to": gap.end - 1,
                    "commit": gap.seq,
                    "at": gap.at.isoformat(timespec="seconds") if gap.at else None,
                }
                for gap in found.gaps
            ],
        },
        "rows_per_second": None if rate is None else round(rate, 1),
        "commit": {"seq": found.seq, "at": at, "rows": found.rows} if found.seq else None,
    }


def _lines(told: dict[str, Any]) -> Iterator[str]:
    """Yield the lines for a person."""
    yield from _job_lines(told)
    yield from _lake_lines(told)
    for note in told["notes"]:
        yield f"note: {note}"


def _job_lines(told: dict[str, Any]) -> Iterator[str]:
    if told["job"] is None and told["mode"] == "batch":
        yield f"{told['pipeline']}: a batch pipeline, with no stream to lag behind its source"
    elif told["job"] is None:
        yield f"{told['pipeline']}: no stream has run"
    else:
        yield f"{told['pipeline']}: {told['state'].lower()} on {told['runner']}, job {told['job']}"
        yield f"  started     {told['started']}"
    for name in ("page", "watermark", "restarts"):
        if told[name]:
            yield f"  {name:<11} {told[name]}"


def _lake_lines(told: dict[str, Any]) -> Iterator[str]:
    lag, rate, commit, kept = (told[k] for k in ("lag", "rows_per_second", "commit", "checkpoint"))
    if lag is not None:
        most = ", ".join(f"{label} {n:,}" for label, n in list(lag["partitions"].items())[:3])
        yield f"  lag         {lag['messages']:,} messages{f' ({most} ...)' if most else ''}"
    if found := told["passed_over"]["gaps"]:
        last = found[-1]
        most = f"{told['passed_over']['positions']:,} positions that were gone"
        place = f"{last['partition']}, {last['from']} to {last['to']}"
        yield f"  passed over {most}; the last {place}, in commit {last['commit']} of {last['at']}"
    if rate is not None:
        yield f"  landing     {rate:,.0f} messages/s"
    if kept is not None:
        yield f"  checkpoint  {kept['at']}, {kept['bytes']:,} bytes in {kept['seconds']:.1f} s"
    if told["savepoint"]:
        yield f"  savepoint   {told['savepoint']}"
    if commit is not None:
        yield f"  commit      {commit['seq']} of {commit['at']}, {commit['rows']:,} rows"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
