"""`penstock run`: read the source, land the rows, load the warehouse, say what happened."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from beam_pipelines.cli import flags
from beam_pipelines.cli.ends import say
from beam_pipelines.cli.stream_runners import outlived, stream_runner
from runners import audit
from runners.lean import collect_from_here, import_libraries, no_warnings
from schemas.errors import UsageError

if TYPE_CHECKING:
    from beam_pipelines.batch import Result
    from beam_pipelines.ingest import Engine
    from schemas.plan import Plan

SUMMARY = "run a pipeline: source to lake and warehouse"
EXAMPLES = """\
examples:
  penstock run events/                          everything the pipeline says, on this machine
  penstock run events/ --input more.jsonl.gz    the same pipeline over another file
  penstock run events/ --sinks lake --json      no warehouse; one JSON object on the last line
  penstock run events/ --set aggregates.0.windowing.size=5m
  penstock run events/ --rebuild                build the tables anew after a change of logic
  penstock run events/ --stream --runner prism  its streaming source, until Ctrl-C or its end
  penstock run events/ --stream --runner flink --detach      as a job of a Flink cluster

Run it twice: the second time changes nothing and says so. Kill it: nothing is left half done.
"""
_STALL: Final = "5m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this verb."""
    flags.add_plan_arguments(parser)
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="build this pipeline's tables anew from the whole source and swap them in one commit",
    )
    parser.add_argument(
        "--forget-missing",
        action="store_true",
        help="with --rebuild: go on without files that landed and are gone, or hold other content",
    )
    parser.add_argument(
        "--new-key",
        action="store_true",
        help="go on though the key that landed rows were protected with is lost",
    )
    _add_stream_arguments(parser)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line of stdout"
    )


def _add_stream_arguments(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--resume",
        action="store_const",
        const="resume",
        default="auto",
        dest="begin",
        help="with --stream: go on from the savepoint or checkpoint of the last stream, or fail; "
        "without it a stream does so if there is one of the same plan",
    )
    where.add_argument(
        "--from-lake",
        action="store_const",
        const="lake",
        dest="begin",
        help="with --stream: take no savepoint or checkpoint, go on behind what is in the lake",
    )
    parser.add_argument(
        "--detach",
        action="store_true",
        help="with --stream --runner flink: return when the job runs; penstock stop ends it",
    )
    parser.add_argument(
        "--stall",
        metavar="5m",
        help="with --stream: end a run that lands nothing for so long though its source has "
        "messages (5m); 0s: never",
    )
    parser.add_argument(
        "--stall-warns", action="store_true", help="with --stream: only say so, and go on"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    if args.forget_missing and not args.rebuild:
        msg = "--forget-missing must come with --rebuild; got it alone; add --rebuild or leave it"
        raise UsageError(msg)
    if args.rebuild and args.mode == "stream":
        msg = "--rebuild must come with a batch; got --stream; choose another --out to begin anew"
        raise UsageError(msg)
    stalls = args.stall is not None or args.stall_warns
    if args.mode != "stream" and (args.detach or args.begin != "auto" or stalls):
        msg = (
            "--resume, --from-lake, --detach, --stall and --stall-warns must come with --stream; "
            "got a batch; add --stream, or leave them out"
        )
        raise UsageError(msg)
    plan = flags.plan_of(args)
    if args.begin != "auto" and plan.runner == "prism":
        asked = "--resume" if args.begin == "resume" else "--from-lake"
        msg = (
            f"{asked} must come with a runner that has savepoints; got prism, on which a stream "
            "always goes on behind what is in the lake; leave it out, or use --runner flink"
        )
        raise UsageError(msg)
    _audit(plan)
    result = _stream(plan, args) if plan.mode == "stream" else _batch(plan, args)
    from beam_pipelines import progress_screen  # noqa: PLC0415  Beam and Arrow are slow to import

    if args.json:
        sys.stdout.write(json.dumps(result.json()) + "\n")
    elif args.detach:
        print(*progress_screen.detached(result), sep="\n")
    else:
        print(*progress_screen.summary(result), sep="\n")
    if result.balance is not None:
        balanced = result.balance.line()
        if not args.json:
            print(balanced)
    return 0


def _audit(plan: Plan) -> None:
    """Write down, before anything is read, what will come out in clear and why."""
    if plan.released:
        audit.append(
            plan.out,
            "personal-data-released",
            pipeline=plan.name,
            plan=plan.hash,
            mode=plan.mode,
            released=[asdict(released) for released in plan.released],
        )


def _batch(plan: Plan, args: argparse.Namespace) -> Result:
    if plan.runner == "direct":  # the others speak gRPC, which is postponed there
        import_libraries()
    with no_warnings():
        from beam_pipelines import progress_screen  # noqa: PLC0415  slow to import
        from beam_pipelines.batch import Options, ingest  # noqa: PLC0415
        from transforms.progress import open_progress  # noqa: PLC0415

    collect_from_here()
    parent = None
    if plan.runner != "direct":  # where the workers of a cluster reach, too
        parent = plan.out
        parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".penstock-", dir=parent) as folder,
        _batch_runner(plan) as engine,
    ):
        progress = open_progress(Path(folder) / "progress")
        with progress_screen.screen(plan.name, progress, quiet=args.json) as watch:
            return ingest(
                plan,
                replace(engine, progress=progress),
                options=Options(
                    rebuild=args.rebuild,
                    forget_missing=args.forget_missing,
                    new_key=args.new_key,
                ),
                watch=watch,
            )


@contextmanager
def _batch_runner(plan: Plan) -> Iterator[Engine]:
    from beam_pipelines.ingest import Engine  # noqa: PLC0415  slow to import

    if plan.runner == "direct":
        from runners.direct import Direct  # noqa: PLC0415

        direct = Direct()
        yield Engine(open_pipeline=direct.pipeline, threads=direct.threads)
        return
    with no_warnings():
        from runners.flink.launch import KEY_BYTES, open_flink  # noqa: PLC0415
        from runners.flink.options import FlinkOptions  # noqa: PLC0415
        from schemas.plan_json import plan_references  # noqa: PLC0415
    name = f"penstock-{plan.name}-{uuid.uuid4().hex[:12]}"
    with open_flink(FlinkOptions(**plan.options)) as flink:
        open_pipeline = partial(flink.batch, name, plan_references(plan))
        yield Engine(open_pipeline=open_pipeline, key_bytes=KEY_BYTES)


def _stream(plan: Plan, args: argparse.Namespace) -> Result:
    # Not `import_libraries`: this runner speaks gRPC, which is postponed there.
    with no_warnings():
        from beam_pipelines.stream_follow import Watching  # noqa: PLC0415
        from beam_pipelines.stream_screen import watched  # noqa: PLC0415
        from beam_pipelines.streaming import Asked, stream  # noqa: PLC0415

    watching = Watching(
        stall_s=flags.seconds("--stall", _STALL if args.stall is None else args.stall),
        stall_warns=args.stall_warns,
        warn=lambda text: say(f"warning: {text}"),
    )
    asked = Asked(
        new_key=args.new_key,
        begin=args.begin,
        detach=args.detach,
        watching=watching,
        watch=None if args.json else watched,
        elsewhere=outlived,
        sets=args.sets,
    )
    collect_from_here()
    with stream_runner(plan, {"detach"} if args.detach else set()) as runner:
        return stream(plan, runner, asked)
