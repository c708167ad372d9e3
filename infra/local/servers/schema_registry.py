"""Schema Registry: Apicurio, which speaks Confluent's protocol under /apis/ccompat/v7.

Confluent's own is not on Maven Central, and Apicurio from 3 on wants Java 21. This one keeps its
schemas in memory: they are gone when it ends, as the topics of a new broker would be.
"""

from __future__ import annotations

from pathlib import Path

from infra.local.servers import asking, installing
from infra.local.servers.server import HOST, Launch, Place, Server

VERSION = "2.6.13.Final"
SHA256 = "3cda1b34aa020fb4ac4dd6a66018d757e81e437f97e20a1f92d366b70091c6ba"
CONFLUENT = "/apis/ccompat/v7"


def install() -> Path:
    """Get the registry (142 MB)."""
    coordinate = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
    return installing.maven_archive(f"apicurio-registry-{VERSION}", coordinate, SHA256)


def launch(place: Place) -> Launch:
    """Start it."""
    return Launch(
        (
            installing.java(),
            "-Xmx512m",
            f"-Dquarkus.http.host={HOST}",
            f"-Dquarkus.http.port={place.ports['http']}",
            "-jar",
            str(place.tools / f"apicurio-registry-app-{VERSION}-runner.jar"),
        )
    )


def answers(place: Place) -> bool:
    """Ask for the list of subjects."""
    return isinstance(asking.http_json(place.ports["http"], f"{CONFLUENT}/subjects"), list)


SERVERS = (
    Server(
        name="schema-registry",
        version=VERSION,
        ports={"http": 8085},
        install=install,
        launch=launch,
        answers=answers,
    ),
)
