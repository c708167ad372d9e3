"""Which ports the servers use: their usual ones, or those that `PORTS` says."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Mapping

from infra.local.servers.server import HOST, Ports, Server, ServerError

FREE = "free"
PATIENCE = 5.0
_FREE_RANGE = (20_000, 32_000)
Overrides = Mapping[str, int | str]


def wanted(text: str) -> Overrides:
    """Parse `kafka=19092 kafka.controller=19093`, or `free` for any free port everywhere.

    Returns:
        Port by `server` (its first port) or `server.port`; `{"*": "free"}` for the word alone.

    Raises:
        ServerError: A word that is neither.
    """
    found: dict[str, int | str] = {}
    for word in text.replace(",", " ").split():
        name, _, port = word.partition("=")
        if word == FREE:
            found["*"] = FREE
        elif port.isdigit() and 0 < int(port) < 65536:
            found[name] = int(port)
        else:
            msg = (
                f"PORTS must hold words like kafka=19092 or flink-jobmanager.rpc=16123, or the "
                f"word {FREE}; got {word!r}"
            )
            raise ServerError(msg)
    return found


def chosen(server: Server, overrides: Overrides, before: Ports) -> Ports:
    """Say which ports a server takes: overridden ones, else those it had, else the usual ones.

    Args:
        server: The server.
        overrides: What `wanted` returned.
        before: The ports it had when it last ran; empty if it never did.
    """
    found: dict[str, int] = {}
    for position, (name, usual) in enumerate(server.ports.items()):
        port = overrides.get(f"{server.name}.{name}")
        if port is None and position == 0:
            port = overrides.get(server.name)
        if port is None:
            port = before.get(name)
        if port is None:
            port = free() if overrides.get("*") == FREE else usual
        found[name] = int(port)
    return found


def free() -> int:
    """Return a port of 127.0.0.1 that nobody uses now.

    It is below those that the kernel gives to clients: a client that keeps trying the port of a
    killed server would in the end be given it, connect to itself, and hold it.
    """
    while True:
        port = random.randrange(*_FREE_RANGE)
        if not _taken(port):
            return port


def _taken(port: int) -> bool:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((HOST, port))
        except OSError:
            return True
    return False


def refuse_taken(server: Server, ports: Ports) -> None:
    """Raise `ServerError` if somebody else listens on a port that the server needs.

    A killed process gives its ports back last, after it can no longer be seen: so they are waited
    for, a little.
    """
    deadline = time.monotonic() + PATIENCE
    for name, port in ports.items():
        while (taken := _taken(port)) and time.monotonic() < deadline:
            time.sleep(0.05)
        if taken:
            word = server.name if name == next(iter(ports)) else f"{server.name}.{name}"
            msg = (
                f"port {port} must be free for {server.name} ({name}); another process has it; "
                f'stop that, or choose another port: PORTS="{word}={free()}" (PORTS={FREE} '
                f"takes any for every server)"
            )
            raise ServerError(msg)
