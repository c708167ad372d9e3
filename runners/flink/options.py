"""How a job is put on Flink: what can be chosen, and the Beam flags that it becomes."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from runners.worker import COMMAND
from schemas.durations import parse_duration
from schemas.errors import UsageError
from schemas.located import did_you_mean

JOB_ENDPOINT: Final = "PENSTOCK_JOB_ENDPOINT"
REST: Final = "PENSTOCK_FLINK_REST"
_WORKERS: Final = ("process", "loopback", "external")
_LEAST: Final = {"parallelism": 1, "worker_processes": 0, "restarts": 0, "bundle_elements": 1}
_LENGTHS: Final = ("checkpoint_every", "restart_delay", "bundle_time")
_IDLE_SOURCE_MS: Final = 500


@dataclass(frozen=True, kw_only=True)
class FlinkOptions:
    """What a person may choose of a job on Flink; all of it is in the plan.

    Attributes:
        job_endpoint: `host:port` of Beam's job server.
        rest: `host:port` or URL of the JobManager's REST interface.
        parallelism: Subtasks of each step; the job takes as many slots.
        workers: `process` (TaskManagers start them by `worker_command`), `loopback` (threads of
            the launching process: for tries, the job ends with it) or `external` (a worker pool
            that listens at `worker_pool`).
        worker_command: What a TaskManager executes for a worker.
        worker_python: The interpreter of the workers; it must have Penstock and its extras.
        worker_pool: `host:port`, with `workers=external`.
        worker_processes: Worker processes a TaskManager has; 0: as many as `parallelism`.
        checkpoints: URI of the folder for checkpoints and savepoints, which every TaskManager and
            the JobManager reach; empty: as the cluster is configured.
        checkpoint_every: Time between checkpoints.
        restarts: How often in its life a failed stream begins again at its last checkpoint ...
        restart_delay: ... and how long it waits each time: together longer than a machine takes
            to come back.
        bundle_elements: A bundle ends after so many elements (of MiBs each) ...
        bundle_time: ... or so much time: it is part of the latency.
        flags: More Beam flags, as on a command line.
    """

    job_endpoint: str = "127.0.0.1:8099"
    rest: str = "127.0.0.1:8081"
    parallelism: int = 1
    workers: str = "process"
    worker_command: str = str(COMMAND)
    worker_python: str = sys.executable
    worker_pool: str = ""
    worker_processes: int = 0
    checkpoints: str = ""
    checkpoint_every: str = "5s"
    restarts: int = 100
    restart_delay: str = "2s"
    bundle_elements: int = 20
    bundle_time: str = "100ms"
    flags: str = ""

    def json(self) -> dict[str, Any]:
        """Return the options as the plan holds them."""
        return asdict(self)


def options(given: Mapping[str, Any]) -> FlinkOptions:
    """Make options of what was given (`--set runner.NAME=VALUE`), the environment and defaults.

    Raises:
        UsageError: There is no such option, or its value is none that it can have.
    """
    known = {field.name: field for field in fields(FlinkOptions)}
    named = {"job_endpoint": JOB_ENDPOINT, "rest": REST}
    made: dict[str, Any] = {
        name: os.environ[variable] for name, variable in named.items() if variable in os.environ
    }
    for name, value in given.items():
        if name not in known:
            hint = did_you_mean(name, known)
            msg = f"runner.{name} must be an option of flink ({', '.join(known)}); got it; {hint}"
            raise UsageError(msg)
        made[name] = value if known[name].type == "int" else str(value)
    return _checked(FlinkOptions(**made))


def _checked(found: FlinkOptions) -> FlinkOptions:
    for name, least in _LEAST.items():
        value = getattr(found, name)
        if type(value) is not int or value < least:
            msg = f"runner.{name} must be a whole number from {least} on; got {value!r}; correct it"
            raise UsageError(msg)
    for name in _LENGTHS:
        try:
            short = parse_duration(getattr(found, name)) < 1000
        except ValueError as error:
            msg = f"runner.{name} {error}"
            raise UsageError(msg) from None
        if short:
            msg = f"runner.{name} must be longer than nothing; got {getattr(found, name)}; write 5s"
            raise UsageError(msg)
    if found.workers not in _WORKERS:
        hint = did_you_mean(found.workers, _WORKERS)
        msg = f"runner.workers must be one of {', '.join(_WORKERS)}; got {found.workers!r}; {hint}"
        raise UsageError(msg)
    if (found.workers == "external") != bool(found.worker_pool):
        msg = (
            "runner.worker_pool must be given with runner.workers=external, and only then; got "
            f"{found.worker_pool or 'none'} with {found.workers}; correct one of them"
        )
        raise UsageError(msg)
    rest = found.rest if "://" in found.rest else f"http://{found.rest}"
    return replace(found, rest=rest.rstrip("/"))


def savepoints(chosen: Mapping[str, Any]) -> str:
    """Return the URI of the folder for savepoints; empty: as the cluster is configured."""
    folder = str(chosen.get("checkpoints", "")).rstrip("/")
    return f"{folder}/savepoints" if folder else ""


def beam_flags(
    chosen: FlinkOptions,
    *,
    name: str,
    bounded: bool,
    savepoint: str = "",
    environment: Mapping[str, str],
) -> list[str]:
    """Return the flags of a streaming job.

    Args:
        chosen: What was chosen.
        name: The job's, on the cluster.
        bounded: Whether its source has an end.
        savepoint: Where state is restored from.
        environment: Variables that workers need, beside those of their TaskManager.
    """
    flags = [
        "--runner=PortableRunner",
        f"--job_endpoint={chosen.job_endpoint}",
        f"--job_name={name}",
        "--streaming",
        f"--parallelism={chosen.parallelism}",
        f"--checkpointing_interval={_ms(chosen.checkpoint_every)}",
        # Without it a job was RUNNING, with good checkpoints, and gave nothing.
        "--finish_bundle_before_checkpointing",
        # Switches it off: a source alone with its reader is named after the chain of both, which
        # there is only at a parallelism of one, and no savepoint is restored at another.
        "--operator_chaining",
        "--retain_externalized_checkpoints_on_cancellation",
        f"--number_of_execution_retries={chosen.restarts}",
        f"--execution_retry_delay={_ms(chosen.restart_delay)}",
        f"--max_bundle_size={chosen.bundle_elements}",
        f"--max_bundle_time_mills={_ms(chosen.bundle_time)}",
        # It would run `pip freeze`; the workers' environment is not made of ours.
        "--experiments=disable_logging_submission_environment",
        *_workers(chosen, environment),
    ]
    if chosen.checkpoints:
        flags += [
            "--state_backend=filesystem",
            f"--state_backend_storage_path={chosen.checkpoints}",
        ]
    if bounded:
        # Otherwise Flink keeps the job alive after the end of its source, for checkpoints' sake.
        flags.append(f"--shutdown_sources_after_idle_ms={_IDLE_SOURCE_MS}")
    if savepoint:
        flags.append(f"--savepoint_path={savepoint}")
    return [*flags, *shlex.split(chosen.flags)]


def batch_flags(chosen: FlinkOptions, *, name: str, environment: Mapping[str, str]) -> list[str]:
    """Return the flags of a batch job; see `beam_flags`."""
    return [
        "--runner=PortableRunner",
        f"--job_endpoint={chosen.job_endpoint}",
        f"--job_name={name}",
        f"--parallelism={chosen.parallelism}",
        *_workers(chosen, environment),
        *shlex.split(chosen.flags),
    ]


def _workers(chosen: FlinkOptions, environment: Mapping[str, str]) -> list[str]:
    many = f"--sdk_worker_parallelism={chosen.worker_processes or chosen.parallelism}"
    if chosen.workers == "loopback":
        return ["--environment_type=LOOPBACK", many]
    # Not 0, else every stage starts a worker of its own; not as long as a restart waits, else the
    # job of a worker that died is restarted with that.
    kept = f"--environment_cache_millis={max(1, _ms(chosen.restart_delay) // 2)}"
    if chosen.workers == "external":
        config = chosen.worker_pool
        return ["--environment_type=EXTERNAL", f"--environment_config={config}", kept, many]
    process = {
        "command": chosen.worker_command,
        "env": {"PENSTOCK_WORKER_PYTHON": chosen.worker_python, **environment},
    }
    config = json.dumps(process)
    return ["--environment_type=PROCESS", f"--environment_config={config}", kept, many]


def _ms(text: str) -> int:
    return parse_duration(text) // 1000
