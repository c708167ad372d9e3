"""What a batch on Flink shuffles: by the events pipeline, and by batches of rows that go through whole.

The pipeline sends partial aggregates and names of files through its shuffles, and rows and ids wait
in files: a rate over the job's time then says nothing of the shuffle. So a second job does nothing
else: Arrow batches of random bytes, which nothing compresses, go through one GroupByKey by hash
partition. CPU is that of the cluster's processes and their workers, which tell how fast it would be
on a machine that does nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import apache_beam as beam
import pyarrow as pa

from infra.local.servers import manager
from runners.flink.job import Job, find
from runners.flink.launch import KEY_BYTES, open_flink
from runners.flink.options import options
from runners.flink.rest import Rest
from tests import servers
from tests.benchmarks import measure, watch
from tests.benchmarks.environments import ROOT, own
from tests.benchmarks.jobs import event_file
from tests.benchmarks.stream_jobs import ON_FLINK
from transforms import batches as _registers  # noqa: F401 - the coder of record batches

PARALLELISM: Final = 2
BATCH_BYTES: Final = 4 << 20
KEYS: Final = 16
LEAST_MB: Final = 90.0
_HASH: Final = "Hash Partition"
_MB: Final = 1e6
_ID_BYTES: Final = 44


@dataclass(frozen=True, kw_only=True)
class Shuffle:
    """What one job shuffled.

    Attributes:
        bytes: That came in over exchanges by hash, of all vertices, as Flink counts them.
        seconds: From the job's start to its end.
        cpu: CPU seconds of cluster and workers meanwhile.
        key_bytes: About how many come together for its largest key.
    """

    bytes: int
    seconds: float
    cpu: float
    key_bytes: float


class Rate(NamedTuple):
    """MB by second and by CPU second, without what a job takes beside its bytes."""

    by_second: float
    by_cpu: float


def rate(few: Shuffle, many: Shuffle) -> Rate:
    """Compare a job with one of the same kind that shuffles less."""
    more = (many.bytes - few.bytes) / _MB
    return Rate(more / (many.seconds - few.seconds), more / (many.cpu - few.cpu))


def measured(rows: int, megabytes: int, work: Path) -> tuple[Shuffle, Shuffle, Shuffle]:
    """Run the events pipeline; then batches through a GroupByKey, a quarter of them and all."""
    return _events(rows, work), _batches(megabytes // 4, work), _batches(megabytes, work)


def _events(rows: int, work: Path) -> Shuffle:
    from beam_pipelines.ingest import Engine, partitioned  # noqa: PLC0415  not needed by workers
    from schemas.planning import load_plan  # noqa: PLC0415
    from transforms.sources.files import discover  # noqa: PLC0415

    file, out = event_file(rows, work / "data"), work / "out-shuffle"
    shutil.rmtree(out, ignore_errors=True)
    run = ["run", "beam_pipelines/events", "--runner", "flink", "--sinks", "lake", "--json"]
    where = ["--job-endpoint", servers.job_server(), "--flink-rest", servers.flink()]
    sets = ["--set", f"runner.parallelism={PARALLELISM}", "--input", str(file), "--out", str(out)]
    began, cpu = time.time(), _cpu()
    command = [own("python"), "-m", "beam_pipelines", *run, *where, *sets]
    measure.run(command, log=work / "shuffle.log", cwd=ROOT, timeout=600)
    shutil.rmtree(out, ignore_errors=True)
    rest = Rest(options({"rest": servers.flink()}).rest)
    jobs = [job for job in rest.get("/jobs/overview")["jobs"] if job["start-time"] >= began * 1000]
    (name,) = {j["name"] for j in jobs if j["name"].startswith("penstock-events-")}
    plan = load_plan(ROOT / "beam_pipelines" / "events", input=str(file))
    slices = discover(plan.source, plan.folder, {}).slices
    keys = partitioned(Engine(open_pipeline=beam.Pipeline, key_bytes=KEY_BYTES), plan, slices)
    partitions = keys.partitions or plan.hash_partitions
    # Ids come together key by key, though only the names of their files cross.
    return _shuffled(_found(rest, name), cpu, rows * _ID_BYTES / partitions)


def _batches(megabytes: int, work: Path) -> Shuffle:
    count = -(-megabytes * 1_000_000 // BATCH_BYTES)
    chosen = options(
        {
            "rest": servers.flink(),
            "job_endpoint": servers.job_server(),
            "parallelism": PARALLELISM,
        }
    )
    name, said = f"penstock-shuffle-{os.urandom(4).hex()}", work / "shuffled"
    shutil.rmtree(said, ignore_errors=True)
    said.mkdir()
    cpu = _cpu()
    with open_flink(chosen) as flink, flink.batch(name) as root:
        _ = (
            root
            | "Numbers" >> beam.Create(range(count))
            | "Batches" >> beam.ParDo(_Make()).with_output_types(tuple[int, pa.RecordBatch])
            | "Shuffle" >> beam.GroupByKey()
            | "Sizes" >> beam.ParDo(_Tell(str(said))).with_output_types(int)
        )
    told = [json.loads(path.read_text()) for path in said.iterdir()]
    if (came := sum(one["batches"] for one in told)) != count:
        msg = f"every batch must come through the shuffle; {count} were sent, and {came} came"
        raise SystemExit(msg)
    return _shuffled(_found(flink.rest, name), cpu, max(one["bytes"] for one in told))


class _Make(beam.DoFn):
    """Makes a batch of a number, by hash partition: the same random bytes, which costs nothing."""

    def setup(self) -> None:
        values = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(64), BATCH_BYTES // 64, [None, pa.py_buffer(os.urandom(BATCH_BYTES))]
        )
        self._batch = pa.record_batch({"payload": values})

    def process(self, number: int) -> Iterable[tuple[int, pa.RecordBatch]]:
        yield number % KEYS, self._batch


class _Tell(beam.DoFn):
    """Writes down what came of a key."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def process(self, group: tuple[int, Iterable[pa.RecordBatch]]) -> Iterable[int]:
        key, came = group
        sizes = [batch.nbytes for batch in came]
        path = Path(self._folder) / f"{key}.json"
        path.write_text(json.dumps({"batches": len(sizes), "bytes": sum(sizes)}))
        yield len(sizes)


def _found(rest: Rest, name: str) -> Job:
    job = find(rest, name)
    if job is None:
        msg = f"the cluster must know the job that ran; got none named {name}"
        raise SystemExit(msg)
    return job


def _cpu() -> float:
    found = [manager.last(name) for name in ON_FLINK]
    return watch.cpu(watch.tree([one.pid for one in found if one is not None]))


def _shuffled(job: Job, cpu: float, key_bytes: float) -> Shuffle:
    details = job.details()
    seconds = (details["end-time"] - details["start-time"]) / 1000
    return Shuffle(bytes=hashed(details), seconds=seconds, cpu=_cpu() - cpu, key_bytes=key_bytes)


def hashed(details: Any) -> int:
    """Return how many bytes came over exchanges by hash.

    Args:
        details: What Flink says of a job that ended (of a batch it does not say how busy tasks
            were). A task with several inputs counts whole.
    """
    after = {
        node["id"]
        for node in details["plan"]["nodes"]
        if any(one["ship_strategy"].startswith(_HASH) for one in node.get("inputs", ()))
    }
    return sum(v["metrics"]["read-bytes"] for v in details["vertices"] if v["id"] in after)
