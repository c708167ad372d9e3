"""What a local server is: how to get it, how to start it, how to know that it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]
HOST = "127.0.0.1"


class ServerError(UsageError):
    """A local server cannot be installed, started or stopped."""


Ports = Mapping[str, int]


@dataclass(frozen=True)
class Place:
    """Where one server runs.

    Attributes:
        tools: What its `install` made: read only, shared by every run.
        folder: Its own folder for configuration and data; outlives a restart.
        ports: Its ports by name, all on 127.0.0.1.
        peers: The ports of each server that it needs.
        root: The state folder of all servers.
    """

    tools: Path
    folder: Path
    ports: Ports
    peers: Mapping[str, Ports]
    root: Path


@dataclass(frozen=True)
class Launch:
    """A command line, and what it needs in its environment beside ours."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Server:
    """One process, from package registry to answer.

    Attributes:
        name: Its name in `make up SERVERS="..."` and of its files in the state folder.
        version: Of the server itself.
        ports: Default ports by name; the first is the one its address names.
        install: Returns the folder with what it needs, making it if it is missing.
        launch: Writes its configuration into its folder and returns how to start it.
        answers: Asks it something that only works once it can be used; False, or any `OSError`,
            means not yet.
        needs: Names of servers that must be up before it.
        seconds: How long it may take to answer.
        patience: How many seconds it may take to end by itself.
    """

    name: str
    version: str
    ports: Ports
    install: Callable[[], Path]
    launch: Callable[[Place], Launch]
    answers: Callable[[Place], bool]
    needs: tuple[str, ...] = ()
    seconds: float = 180  # ten times what it takes on a quiet machine
    patience: float = 20


def write(folder: Path, name: str, text: str) -> Path:
    """Write a configuration file of a server and return its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
