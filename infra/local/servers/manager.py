"""Servers up, servers down, and what is there now.

The state is one folder, `build/servers` unless `PENSTOCK_SERVERS` names another: for each server
`<name>.json` (what was started), `<name>.log`, `<name>.log.1` (the run before), `<name>.lock` and
`<name>/` (its configuration and data).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.local.servers import catalogue, installing, ports, processes
from infra.local.servers.server import HOST, ROOT, Place, Ports, Server, ServerError


@dataclass(frozen=True)
class Running:
    """What was started.

    Attributes:
        name: The server's.
        version: The server's.
        pid: Of its first process, the leader of its session.
        ports: By name, on 127.0.0.1.
        log: Its output.
        peers: The ports of the servers that it needs, as it was told them.
    """

    name: str
    version: str
    pid: int
    ports: Ports
    log: str
    peers: Mapping[str, Ports]

    @property
    def address(self) -> str:
        """Host and first port."""
        return f"{HOST}:{next(iter(self.ports.values()))}"


@dataclass(frozen=True)
class Row:
    """A line of `make status`; `state` is up, silent (alive, no answer), dead, orphans or -."""

    name: str
    state: str
    port: str
    pid: str
    version: str
    log: str


def folder() -> Path:
    """Return the state folder."""
    return Path(os.environ.get("PENSTOCK_SERVERS") or ROOT / "build" / "servers").absolute()


def up(names: Iterable[str]) -> list[Running]:
    """Bring servers up, and those that they need; one that answers already is left alone.

    Returns:
        All of them, in the order in which they were brought up.

    Raises:
        ServerError: An unknown name, a missing tool, a port that is taken, a server that ended or
            did not answer in time.
    """
    overrides = ports.wanted(os.environ.get("PENSTOCK_PORTS", ""))
    found: dict[str, Running] = {}
    for server in catalogue.named(names):
        peers = {name: running.ports for name, running in found.items() if name in server.needs}
        with installing.locked(_file(server.name, "lock")):
            running = last(server.name)
            if running is None or running.peers != peers or not _is_up(server, running):
                running = _start(server, running.ports if running else {}, overrides, peers)
        found[server.name] = running
    return list(found.values())


def down(names: Iterable[str] = (), *, wipe: bool = False) -> list[str]:
    """End servers with everything that they started; all of them if none is named.

    Args:
        names: Servers and groups; those that they need stay.
        wipe: Drop their data, too.

    Returns:
        Names of those that had a process.
    """
    wanted = list(names)
    chosen = catalogue.named(wanted or catalogue.SERVERS)
    if wanted:
        exact = {m for n in wanted for m in catalogue.GROUPS.get(n, (n,))}
        chosen = [s for s in chosen if s.name in exact]
    ended = []
    for server in reversed(chosen):
        with installing.locked(_file(server.name, "lock")):
            if processes.end(_mark(server.name), patience=server.patience):
                ended.append(server.name)
            _file(server.name, "json").unlink(missing_ok=True)
            if wipe:
                shutil.rmtree(folder() / server.name, ignore_errors=True)
    return ended


def kill(name: str) -> Running:
    """Kill a server's first process as `kill -9` does; what it started may live on.

    Returns:
        What was running.

    Raises:
        ServerError: It was never started.
    """
    running = last(name)
    if running is None:
        msg = f"{name} must be up to be killed; it is not; run make up SERVERS={name}"
        raise ServerError(msg)
    processes.kill(running.pid, _mark(name))
    return running


def status() -> list[Row]:
    """Say of each server whether it runs and answers."""
    return [_row(server) for server in catalogue.SERVERS.values()]


def last(name: str) -> Running | None:
    """Return what was last started under that name and not taken down; it may be dead by now."""
    try:
        return Running(**json.loads(_file(name, "json").read_text()))
    except FileNotFoundError:
        return None


def is_alive(running: Running) -> bool:
    """Say whether its first process lives."""
    return processes.alive(running.pid, _mark(running.name))


def _is_up(server: Server, running: Running) -> bool:
    if not is_alive(running) or running.version != server.version:
        return False
    deadline = time.monotonic() + 10  # a busy machine makes a good server slow to answer
    while time.monotonic() < deadline:
        if _answers(server, running):
            return True
        time.sleep(0.2)
    installing.say(f"{server.name} runs (pid {running.pid}) but does not answer: starting it anew")
    return False


def _start(
    server: Server,
    before: Ports,
    overrides: ports.Overrides,
    peers: Mapping[str, Ports],
) -> Running:
    mark, own = _mark(server.name), folder() / server.name
    processes.end(mark, patience=min(2, server.patience))  # children that outlived a killed parent
    tools = server.install()
    chosen = ports.chosen(server, overrides, before)
    ports.refuse_taken(server, chosen)
    own.mkdir(parents=True, exist_ok=True)
    log = _file(server.name, "log")
    if log.exists():
        log.rename(log.with_suffix(".log.1"))
    began = time.monotonic()
    launch = server.launch(Place(tools, own, chosen, peers, folder()))
    pid = processes.start(launch.argv, mark=mark, env=launch.env, folder=own, log=log)
    running = Running(server.name, server.version, pid, chosen, str(log), peers)
    # Written before it answers: whoever is interrupted here can still take it down.
    _keep(running)
    _wait(server, running)
    installing.say(f"{server.name} up on {running.address} in {time.monotonic() - began:.1f} s")
    return running


def _wait(server: Server, running: Running) -> None:
    deadline = time.monotonic() + server.seconds
    while not _answers(server, running):
        alive = is_alive(running)
        if alive and time.monotonic() < deadline:
            time.sleep(0.1)
            continue
        tail = "\n  ".join(Path(running.log).read_text(errors="replace").splitlines()[-12:])
        what = f"did not answer within {server.seconds:.0f} s" if alive else "ended"
        processes.end(_mark(server.name), patience=server.patience)
        msg = f"{server.name} must answer on {running.address}; it {what}; {running.log}:\n  {tail}"
        raise ServerError(msg)


def _answers(server: Server, running: Running) -> bool:
    place = Place(Path(), folder() / server.name, running.ports, running.peers, folder())
    with contextlib.suppress(OSError):
        return server.answers(place)
    return False


def _row(server: Server) -> Row:
    running = last(server.name)
    if running is None:
        orphans = processes.members(_mark(server.name))
        state, pid = ("orphans", " ".join(map(str, sorted(orphans)))) if orphans else ("-", "-")
        return Row(server.name, state, str(next(iter(server.ports.values()))), pid, "-", "-")
    state = "dead"
    if is_alive(running):
        state = "up" if _answers(server, running) else "silent"
    log = Path(running.log)
    shown = log.relative_to(Path.cwd()) if log.is_relative_to(Path.cwd()) else log
    port = str(next(iter(running.ports.values())))
    return Row(server.name, state, port, str(running.pid), running.version, str(shown))


def _keep(running: Running) -> None:
    path = _file(running.name, "json")
    part = path.with_suffix(".part")
    part.write_text(json.dumps(dataclasses.asdict(running), indent=1) + "\n")
    part.replace(path)


def _mark(name: str) -> str:
    return str(folder() / name)


def _file(name: str, kind: str) -> Path:
    return folder() / f"{name}.{kind}"
