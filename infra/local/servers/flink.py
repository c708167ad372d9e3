"""Flink: a JobManager and a TaskManager of a session cluster, and Beam's job server before it.

Both have the Beam runner on their class path, so that a job brings no jars: submission takes 3 s
instead of 16 (`beam_jars.HiddenPath`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from infra.local.servers import asking, beam_jars, installing
from infra.local.servers.server import HOST, Launch, Place, Ports, Server, ServerError, write

VERSION = "1.19.3"
SHA256 = "4a58e3a1fb7d83340bc96b6c080624c6d792d69fae5d294b96224775204a9c60"
SLOTS = 2

_LOGGING = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %-40.40c{1.} - %m%n
"""


def install() -> Path:
    """Get Flink's distribution: the jars inside a package that is on PyPI (230 MB)."""
    return installing.archive(
        "apache-flink-libraries", VERSION, SHA256, ("deps/lib/", "deps/bin/", "deps/plugins/")
    )


def launch_jobmanager(place: Place) -> Launch:
    """Start the session cluster's JobManager."""
    memory = {
        "jobmanager.memory.heap.size": "900m",
        "jobmanager.memory.off-heap.size": "128m",
        "jobmanager.memory.jvm-metaspace.size": "256m",
        "jobmanager.memory.jvm-overhead.min": "100m",
        "jobmanager.memory.jvm-overhead.max": "200m",
    }
    main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
    conf = _configure(place, place.ports, memory)
    return _java(place, conf, ("-Xmx900m",), main)


def launch_taskmanager(place: Place) -> Launch:
    """Start a TaskManager with two slots."""
    conf = _configure(
        place,
        place.peers["flink-jobmanager"],
        {"taskmanager.rpc.port": str(place.ports["rpc"]), "taskmanager.bind-host": HOST},
    )
    heap, dynamic = _resources(place, conf)
    main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
    return _java(place, conf, tuple(heap.split()), main, *dynamic.split())


def launch_job_server(place: Place) -> Launch:
    """Start Beam's job server, which turns pipelines into jobs of the cluster."""
    lib = beam_jars.flink_runner() / "lib"
    rest = place.peers["flink-jobmanager"]["rest"]
    argv = (
        installing.java(),
        "-Xmx1g",
        *beam_jars.OPENS,
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-cp",
        str(place.tools),
        "HiddenPath",
        str(lib),
        "org.apache.beam.runners.flink.FlinkJobServerDriver",
        f"--flink-master={HOST}:{rest}",
        f"--job-host={HOST}",
        f"--job-port={place.ports['job']}",
        f"--artifact-port={place.ports['artifact']}",
        f"--expansion-port={place.ports['expansion']}",
        f"--artifacts-dir={place.folder / 'artifacts'}",
    )
    conf = place.root / "flink-jobmanager" / "conf"
    return Launch(argv, {"FLINK_CONF_DIR": str(conf)})


def jobmanager_answers(place: Place) -> bool:
    """Ask the REST interface for the cluster's overview."""
    return asking.http_json(place.ports["rest"], "/overview") is not None


def taskmanager_answers(place: Place) -> bool:
    """Ask the JobManager whether this TaskManager is registered with free or used slots."""
    said = asking.http_json(place.peers["flink-jobmanager"]["rest"], "/taskmanagers")
    here = f"{HOST}:{place.ports['rpc']}/"
    listed = any(here in t["path"] for t in (said or {}).get("taskmanagers", ()))
    # A killed one stays listed until its heartbeat times out.
    return listed and asking.listens(place.ports["rpc"])


def job_server_answers(place: Place) -> bool:
    """Greet the job and the artifact service."""
    return asking.speaks_grpc(place.ports["job"]) and asking.speaks_grpc(place.ports["artifact"])


def configuration(place: Place, cluster: Ports) -> dict[str, str]:
    """Return the cluster's settings, with those of `PENSTOCK_FLINK` ("key: value; ...") last.

    Args:
        place: Where it runs.
        cluster: The JobManager's ports.
    """
    shared = place.root / "flink"
    return {
        "jobmanager.rpc.address": HOST,
        "jobmanager.rpc.port": str(cluster["rpc"]),
        "jobmanager.bind-host": HOST,
        "jobmanager.memory.process.size": "1400m",
        "taskmanager.host": HOST,
        "taskmanager.numberOfTaskSlots": str(SLOTS),
        # gRPC's buffers for elements of MiBs are direct memory: without it a batch job with a
        # large shuffle ends in a restart loop that looks like a hang.
        "taskmanager.memory.process.size": "6000m",
        "taskmanager.memory.task.off-heap.size": "1g",
        "taskmanager.memory.managed.fraction": "0.2",
        "rest.address": HOST,
        "rest.bind-address": HOST,
        "rest.port": str(cluster["rest"]),
        "parallelism.default": str(SLOTS),
        "state.backend.type": "hashmap",
        # By these names 1.19 knows them; by newer ones it keeps checkpoints in memory.
        "state.checkpoints.dir": f"file://{shared / 'checkpoints'}",
        "state.savepoints.dir": f"file://{shared / 'savepoints'}",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "heartbeat.interval": "2000",
        "heartbeat.timeout": "10000",
        # Outlasts the return of a killed TaskManager.
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": "100",
        "restart-strategy.fixed-delay.delay": "2 s",
        "web.upload.dir": str(place.folder / "uploads"),
        "io.tmp.dirs": str(place.folder / "tmp"),
        "classloader.resolve-order": "parent-first",
        "classloader.check-leaked-classloader": "false",
    } | _said(os.environ.get("PENSTOCK_FLINK", ""))


def _said(text: str) -> dict[str, str]:
    found = {}
    for setting in filter(None, map(str.strip, text.split(";"))):
        key, colon, value = setting.partition(": ")
        if not colon:
            msg = f"PENSTOCK_FLINK must hold `key: value` parted by semicolons; got {setting!r}"
            raise ServerError(msg)
        found[key.strip()] = value.strip()
    return found


def _configure(place: Place, cluster: Ports, own: Mapping[str, str]) -> Path:
    settings = configuration(place, cluster) | dict(own)
    for folder in ("tmp", "uploads"):
        (place.folder / folder).mkdir(parents=True, exist_ok=True)
    text = "".join(f"{key}: {value}\n" for key, value in settings.items())
    write(place.folder, "conf/log4j.properties", _LOGGING)
    return write(place.folder, "conf/config.yaml", text).parent


def _java(place: Place, conf: Path, heap: tuple[str, ...], main: str, *arguments: str) -> Launch:
    argv = (
        installing.java(),
        *heap,
        *beam_jars.OPENS,
        f"-Dlog4j.configurationFile={conf / 'log4j.properties'}",
        "-cp",
        f"{place.tools}/deps/lib/*:{beam_jars.for_cluster()}",
        main,
        "--configDir",
        str(conf),
        *arguments,
    )
    plugins = place.tools / "deps" / "plugins"
    return Launch(argv, {"FLINK_CONF_DIR": str(conf), "FLINK_PLUGINS_DIR": str(plugins)})


def _resources(place: Place, conf: Path) -> tuple[str, str]:
    # Flink's own scripts ask this class for the JVM's flags and the memory settings to pass on.
    text = (conf / "config.yaml").read_bytes()
    kept = place.folder / f"resources-{hashlib.sha256(text).hexdigest()[:12]}.txt"
    if not kept.exists():
        class_path = f"{place.tools}/deps/lib/*:{place.tools}/deps/bin/bash-java-utils.jar"
        said = beam_jars.said_by_java(
            "org.apache.flink.runtime.util.bash.BashJavaUtils",
            class_path,
            "GET_TM_RESOURCE_PARAMS",
            "--configDir",
            str(conf),
        )
        key = "BASH_JAVA_UTILS_EXEC_RESULT:"
        lines = [line.partition(key)[2] for line in said.splitlines() if key in line]
        kept.write_text("\n".join(lines))
    heap, dynamic = kept.read_text().splitlines()
    return heap, dynamic


SERVERS = (
    Server(
        name="flink-jobmanager",
        version=VERSION,
        ports={"rest": 8081, "rpc": 6123},
        install=install,
        launch=launch_jobmanager,
        answers=jobmanager_answers,
    ),
    Server(
        name="flink-taskmanager",
        version=VERSION,
        ports={"rpc": 6122},
        install=install,
        launch=launch_taskmanager,
        answers=taskmanager_answers,
        needs=("flink-jobmanager",),
    ),
    Server(
        name="jobserver",
        version=beam_jars.VERSION,
        ports={"job": 8099, "artifact": 8098, "expansion": 8097},
        install=beam_jars.hidden_path,
        launch=launch_job_server,
        answers=job_server_answers,
        needs=("flink-jobmanager", "flink-taskmanager"),
    ),
)
