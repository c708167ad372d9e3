"""Which ports the servers use: their usual ones, or those that `PORTS` says."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from infra.local.servers.server import HOST, Ports, Server, ServerError

FREE = "free"
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
    """Return a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


def refuse_taken(server: Server, ports: Ports) -> None:
    """Raise `ServerError` if somebody else listens on a port that the server needs."""
    for name, port in ports.items():
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((HOST, port))
            except OSError:
                word = server.name if name == next(iter(ports)) else f"{server.name}.{name}"
                msg = (
                    f"port {port} must be free for {server.name} ({name}); another process has it; "
                    f'stop that, or choose another port: PORTS="{word}={free()}" (PORTS={FREE} '
                    f"takes any for every server)"
                )
                raise ServerError(msg) from None
