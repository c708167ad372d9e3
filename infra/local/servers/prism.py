"""Prism: Beam's own local runner for batch and streams, built from Beam's Go module."""

from __future__ import annotations

from pathlib import Path

from infra.local.servers import asking, installing
from infra.local.servers.server import HOST, Launch, Place, Server, ServerError

VERSION = "2.77.0"
MODULE = "github.com/apache/beam/sdks/v2"
LISTENS = "go/pkg/beam/runners/prism/internal/jobservices/server.go"
ON_ALL, ON_LOOPBACK = (
    'net.Listen("tcp", fmt.Sprintf(":%d"',
    f'net.Listen("tcp", fmt.Sprintf("{HOST}:%d"',
)


def install() -> Path:
    """Build prism (66 MB; minutes the first time), with its port on loopback only.

    As published it listens on every interface, and runs what anybody sends it.
    """
    return installing.cached(f"prism-{VERSION}", f"{MODULE}{ON_LOOPBACK}", build)


def build(folder: Path) -> None:
    """Vendor the module, change the one line that opens the port, and build the command."""
    go = installing.tool("go")
    source = folder / "source"
    source.mkdir()
    (source / "main.go").write_text("package main\n\nfunc main() {}\n")
    environment = {"GOFLAGS": "-mod=mod", "GOWORK": "off"}
    for step in (
        ["mod", "init", "prism"],
        ["get", "-tool", f"{MODULE}/go/cmd/prism@v{VERSION}"],
        ["mod", "vendor"],
    ):
        installing.run([go, *step], source, **environment)
    opens = source / "vendor" / MODULE / LISTENS
    text = opens.read_text()
    if text.count(ON_ALL) != 1:
        msg = f"prism must open its port in one place; {LISTENS} of {VERSION} does not; look there"
        raise ServerError(msg)
    opens.write_text(text.replace(ON_ALL, ON_LOOPBACK))
    target = ["-trimpath", "-o", str(folder / "prism"), f"{MODULE}/go/cmd/prism"]
    installing.run([go, "build", *target], source, GOFLAGS="-mod=vendor", GOWORK="off")
    installing.remove(source)


def launch(place: Place) -> Launch:
    """Start prism with its page of jobs."""
    return Launch(
        (
            str(place.tools / "prism"),
            f"--job_port={place.ports['job']}",
            f"--web_port={place.ports['web']}",
        )
    )


def answers(place: Place) -> bool:
    """Greet the job service, and ask for the page of jobs."""
    return asking.speaks_grpc(place.ports["job"]) and asking.listens(place.ports["web"])


SERVERS = (
    Server(
        name="prism",
        version=VERSION,
        ports={"job": 8073, "web": 8074},
        install=install,
        launch=launch,
        answers=answers,
    ),
)
