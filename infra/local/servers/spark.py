"""Spark: Beam's job server with a Spark of two threads inside. Batch only."""

from __future__ import annotations

from pathlib import Path

from infra.local.servers import asking, beam_jars, installing
from infra.local.servers.server import HOST, Launch, Place, Server, write

VERSION = "3.5.6"
SHA256 = "f8b1c4360e41ab398c64904fae08740503bcb6bd389457d659fa6d9f2952cc48"

_LOGGING = """\
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %-40.40c{1.} - %m%n
"""


def install() -> Path:
    """Get Spark's jars, which are inside a package that is on PyPI (317 MB)."""
    return installing.archive("pyspark", VERSION, SHA256, ("deps/jars/",))


def launch(place: Place) -> Launch:
    """Start the job server."""
    logging = write(place.folder, "log4j2.properties", _LOGGING)
    argv = (
        installing.java(),
        "-Xmx2g",
        *beam_jars.OPENS,
        "-Dio.netty.tryReflectionSetAccessible=true",
        f"-Dlog4j2.configurationFile={logging}",
        f"-Dspark.driver.host={HOST}",
        f"-Dspark.driver.bindAddress={HOST}",
        f"-Dspark.local.dir={place.folder / 'tmp'}",
        "-Dspark.ui.enabled=false",
        "-cp",
        # Beam's jars first: Spark brings older copies of some.
        f"{beam_jars.spark_runner()}/lib/*:{place.tools}/deps/jars/*",
        "org.apache.beam.runners.spark.SparkJobServerDriver",
        "--spark-master-url=local[2]",
        f"--job-host={HOST}",
        f"--job-port={place.ports['job']}",
        f"--artifact-port={place.ports['artifact']}",
        f"--expansion-port={place.ports['expansion']}",
        f"--artifacts-dir={place.folder / 'artifacts'}",
    )
    return Launch(argv, {"SPARK_LOCAL_IP": HOST})


def answers(place: Place) -> bool:
    """Greet the job and the artifact service."""
    return asking.speaks_grpc(place.ports["job"]) and asking.speaks_grpc(place.ports["artifact"])


SERVERS = (
    Server(
        name="spark",
        version=VERSION,
        ports={"job": 8199, "artifact": 8198, "expansion": 8197},
        install=install,
        launch=launch,
        answers=answers,
    ),
)
