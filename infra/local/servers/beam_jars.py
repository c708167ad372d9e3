"""Beam's Java job servers, put together from the runners' jars.

A published job server of the SDK's own version is one jar, and is what users are told to take. It
cannot be had from every copy of Maven Central; the runners of 2.70 can, and a newer Python SDK runs
on them. Only the job service is older there. Harness and expansion service must be of the runner's
version: the harness of 2.65 is a jar with old runner classes in it, which break streaming.
"""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

from infra.local.servers import installing

VERSION = "2.70.0"
MANAGED = (
    "org.apache.beam:beam-runners-java-job-service:2.65.0",
    f"org.apache.beam:beam-sdks-java-harness:{VERSION}",
    f"org.apache.beam:beam-sdks-java-expansion-service:{VERSION}",
)
LOGGER = "org.slf4j:slf4j-simple:2.0.16"
# The cluster has these itself.
OF_THE_CLUSTER = ("flink-", "slf4j", "async-profiler")
HIDDEN_PATH = Path(__file__).parent / "java" / "HiddenPath.java"

# What a JDK from 17 on must open to Flink, Spark and Beam.
OPENS = tuple(
    f"--add-{kind}={package}=ALL-UNNAMED"
    for kind, packages in {
        "exports": (
            "java.base/sun.net.util",
            "java.rmi/sun.rmi.registry",
            "jdk.compiler/com.sun.tools.javac.api",
            "java.security.jgss/sun.security.krb5",
        ),
        "opens": (
            "java.base/java.lang",
            "java.base/java.lang.reflect",
            "java.base/java.net",
            "java.base/java.io",
            "java.base/java.nio",
            "java.base/java.text",
            "java.base/java.time",
            "java.base/java.util",
            "java.base/java.util.concurrent",
            "java.base/java.util.concurrent.atomic",
            "java.base/java.util.concurrent.locks",
            "java.base/sun.nio.ch",
            "java.base/sun.nio.cs",
            "java.base/sun.security.action",
            "java.base/sun.util.calendar",
        ),
    }.items()
    for package in packages
)


def flink_runner() -> Path:
    """Return the folder with the Flink job server's jars (`lib`, 157 MB)."""
    return installing.jars(
        f"beam-flink-{VERSION}",
        [f"org.apache.beam:beam-runners-flink-1.19:{VERSION}", LOGGER],
        MANAGED,
    )


def spark_runner() -> Path:
    """Return the folder with the Spark job server's jars (`lib`)."""
    return installing.jars(
        f"beam-spark-{VERSION}", [f"org.apache.beam:beam-runners-spark-3:{VERSION}"], MANAGED
    )


def for_cluster() -> Path:
    """Return one jar of all that a Flink cluster needs to run Beam jobs that bring no jars."""
    lib = flink_runner() / "lib"

    def make(folder: Path) -> None:
        merge(lib, folder / "beam.jar")

    return (
        installing.cached(f"beam-cluster-{VERSION}", f"{lib.parent.name}{OF_THE_CLUSTER}", make)
        / "beam.jar"
    )


def hidden_path() -> Path:
    """Return the jar of `HiddenPath`."""

    def make(folder: Path) -> None:
        javac = installing.tool("javac")
        installing.run([javac, "--release", "17", "-d", "classes", str(HIDDEN_PATH)], folder)
        with zipfile.ZipFile(folder / "hidden.jar", "w") as jar:
            for each in sorted((folder / "classes").iterdir()):
                jar.write(each, each.name)

    return installing.cached("hidden-path", HIDDEN_PATH.read_text(), make) / "hidden.jar"


def merge(lib: Path, out: Path) -> None:
    """Write the jars of a folder as one: first come, first kept; services joined; unsigned."""
    services: dict[str, list[str]] = {}
    manifest = "META-INF/MANIFEST.MF"
    seen = {manifest, "module-info.class"}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as merged:
        merged.writestr(manifest, "Manifest-Version: 1.0\nMulti-Release: true\n\n")
        for path in sorted(lib.glob("*.jar")):
            if path.name.startswith(OF_THE_CLUSTER):
                continue
            with zipfile.ZipFile(path) as jar:
                for name in jar.namelist():
                    if name.startswith("META-INF/services/") and not name.endswith("/"):
                        services.setdefault(name, []).extend(jar.read(name).decode().split("\n"))
                    elif name not in seen and not name.endswith("/") and not _signs(name):
                        seen.add(name)
                        merged.writestr(name, jar.read(name))
        for name, lines in services.items():
            once = dict.fromkeys(line.strip() for line in lines if line.strip())
            merged.writestr(name, "\n".join(once) + "\n")


def _signs(name: str) -> bool:
    return name.startswith("META-INF/") and name.upper().endswith((".SF", ".RSA", ".DSA"))


def said_by_java(main: str, class_path: str, *arguments: str) -> str:
    """Return what a Java program wrote to its output."""
    command = [installing.java(), *OPENS, "-cp", class_path, main, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise installing.failed(main, done.returncode, done.stdout + done.stderr)
    return done.stdout
