"""The manager of local servers, tried on a small server in the place of a large one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from infra.local.servers import catalogue, installing, manager, ports, processes
from infra.local.servers.__main__ import main, table
from infra.local.servers.server import HOST, Launch, Place, Server, ServerError

# Listens, and has a child that ignores a polite end, as a worker of a killed parent may.
PROGRAM = """
import signal, socket, subprocess, sys
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child])
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    s.accept()[0].close()
"""


def launch(place: Place) -> Launch:
    return Launch((sys.executable, "-c", PROGRAM, str(place.ports["main"])))


def answers(place: Place) -> bool:
    with socket.create_connection((HOST, place.ports["main"]), timeout=1):
        return True


TOY = Server(
    name="toy",
    version="1",
    ports={"main": 9092, "other": 9093},
    install=Path,
    launch=launch,
    answers=answers,
    seconds=20,
    patience=0.3,
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PENSTOCK_SERVERS", str(tmp_path / "servers"))
    monkeypatch.setenv("PENSTOCK_PORTS", "free")
    monkeypatch.setattr(
        catalogue, "SERVERS", {"toy": TOY, "on-toy": replace(TOY, name="on-toy", needs=("toy",))}
    )
    monkeypatch.setattr(catalogue, "GROUPS", {"toys": ("on-toy", "toy")})
    yield tmp_path / "servers"
    for name in catalogue.SERVERS:
        processes.end(str(tmp_path / "servers" / name), patience=0)


def test_two_who_want_a_server_at_once_get_one() -> None:
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda _: manager.up(["toy"])[0].pid, range(2)))
    assert found[0] == found[1]


def test_a_server_that_is_up_is_left_alone_and_needs_come_first() -> None:
    first = manager.up(["toys"])
    assert [r.name for r in first] == ["toy", "on-toy"]
    assert manager.up(["on-toy"]) == first


def test_a_killed_server_comes_back_at_its_address_without_the_children_it_left(
    folder: Path,
) -> None:
    (first,) = manager.up(["toy"])
    orphans = processes.members(str(folder / "toy")) - {first.pid}
    assert orphans
    assert manager.kill("toy") == first
    assert manager.status()[0].state == "dead"
    (second,) = manager.up(["toy"])
    assert second.address == first.address
    assert not orphans & processes.members(str(folder / "toy"))


def test_down_leaves_no_process_be_it_stopped_stubborn_or_an_orphan(folder: Path) -> None:
    (running,) = manager.up(["toy"])
    os.kill(running.pid, signal.SIGSTOP)
    assert processes.end(str(folder / "toy"), patience=0.3) == 2
    assert manager.down() == []
    assert manager.status()[0].state == "-"


def test_down_of_one_server_leaves_those_that_it_needs() -> None:
    manager.up(["on-toy"])
    assert manager.down(["on-toy"]) == ["on-toy"]
    assert [r.state for r in manager.status()] == ["up", "-"]


def test_a_pid_that_another_program_has_now_is_not_taken_for_the_server(folder: Path) -> None:
    (running,) = manager.up(["toy"])
    processes.end(str(folder / "toy"), patience=0)
    assert not manager.is_alive(replace(running, pid=os.getpid()))


def test_a_server_that_ends_at_once_says_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Launch((sys.executable, "-c", "raise SystemExit('so it goes')"))
    monkeypatch.setitem(catalogue.SERVERS, "toy", replace(TOY, launch=lambda _: broken))
    with pytest.raises(ServerError, match="so it goes"):
        manager.up(["toy"])


def test_a_port_that_somebody_has_is_named_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ports, "PATIENCE", 0.1)
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("PENSTOCK_PORTS", f"toy={port}")
        with pytest.raises(ServerError, match=rf"port {port} must be free for toy .* PORTS=\"toy="):
            manager.up(["toy"])


def test_ports_are_those_said_then_those_it_had_then_the_usual_ones() -> None:
    assert ports.chosen(TOY, {}, {}) == {"main": 9092, "other": 9093}
    assert ports.chosen(TOY, {}, {"main": 5, "other": 6}) == {"main": 5, "other": 6}
    said = ports.wanted("toy=1 toy.other=2")
    assert ports.chosen(TOY, said, {"main": 5, "other": 6}) == {"main": 1, "other": 2}
    taken = ports.chosen(TOY, ports.wanted("free toy=1"), {})
    assert taken["main"] == 1
    assert 20_000 <= taken["other"] < 32_000, "not where the kernel looks for a client's port"


@pytest.mark.parametrize("word", ["toy", "toy=0", "toy=x", "toy=70000"])
def test_a_word_that_is_no_port_is_refused(word: str) -> None:
    with pytest.raises(ServerError, match="PORTS must hold"):
        ports.wanted(word)


def test_a_jar_that_is_not_the_one_checked_in_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jar").write_bytes(b"a")
    known = installing.CHECKSUMS / "toy.txt"
    good = f"{'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'}  a.jar\n"
    installing.check(tmp_path, known, good)
    for lock in ("", good.replace("ca97", "0000"), good + good.replace("a.jar", "b.jar")):
        with pytest.raises(ServerError, match="must be as infra/local/servers/checksums"):
            installing.check(tmp_path, known, lock)


def test_a_missing_tool_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServerError, match="apt-get install maven"):
        installing.tool("mvn")


def test_what_could_not_be_made_whole_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installing, "TOOLS", tmp_path)

    def half(part: Path) -> None:
        (part / "half").write_text("")
        installing.run([sys.executable, "-c", "raise SystemExit('no network')"], part)

    with pytest.raises(ServerError, match="no network"):
        installing.cached("x-1", "recipe", half)
    made = installing.cached("x-1", "recipe", lambda part: (part / "whole").touch())
    assert [p.name for p in made.iterdir()] == ["whole"]


def test_the_command_says_what_it_knows_and_ends_with_2_otherwise(
    capsys: pytest.CaptureFixture,
) -> None:
    assert main(["up", "tay"]) == 2
    assert "choose from: toys toy on-toy" in capsys.readouterr().err
    assert main(["down"]) == 0
    assert table(manager.status()).splitlines()[0].split() == [
        "server",
        "state",
        "port",
        "pid",
        "version",
        "log",
    ]


def test_the_manager_needs_nothing_but_python() -> None:
    code = "import sys; import infra.local.servers.__main__; print(*{n.partition('.')[0] for n in sys.modules} - sys.stdlib_module_names)"
    said = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert set(said.stdout.split()) <= {"__main__", "infra", "schemas"}
