"""Prism as a child process: found, started on a free port of loopback, ended with its driver."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from schemas.errors import PenstockError, UsageError

BINARY: Final = "PENSTOCK_PRISM"
_BUILT: Final = Path(__file__).parents[2] / ".tools" / "servers"
_HOST: Final = "127.0.0.1"
_STARTS_S: Final = 20.0
_ENDS_S: Final = 5.0
_SET_PDEATHSIG: Final = 1


class PrismError(PenstockError):
    """Prism did not start, or died under its job."""


def find_binary() -> Path:
    """Return prism's binary: `$PENSTOCK_PRISM`, else what `make up` built, else one on PATH.

    Raises:
        UsageError: There is none.
    """
    named = os.environ.get(BINARY)
    if named:
        if not os.access(named, os.X_OK) or Path(named).is_dir():
            msg = f"${BINARY} must name prism's binary; got {named}; correct it, or unset it"
            raise UsageError(msg)
        return Path(named)
    built = sorted(_BUILT.glob("prism-*/prism"), key=lambda path: path.stat().st_mtime)
    if built:
        return built[-1]
    on_path = shutil.which("prism")
    if on_path is None:
        msg = (
            "a stream on prism must have prism's binary; got none in .tools/servers and none on "
            f"PATH; build it with make up SERVERS=prism (needs Go), or name one with ${BINARY}"
        )
        raise UsageError(msg)
    return Path(on_path)


@contextmanager
def started(binary: Path) -> Iterator[str]:
    """Run prism while the block runs; yields the address of its job service.

    It ends with the block, and by the kernel when this process dies, however that comes. It is in
    a session of its own: an interrupt of the terminal comes to the driver, which cancels the job.

    Raises:
        PrismError: It ended, or did not listen in time.
    """
    with socket.socket() as free:
        free.bind((_HOST, 0))
        port = free.getsockname()[1]
    ends_with_us = _ends_with(os.getpid())
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - the binary that the user named or built
            [str(binary), f"--job_port={port}", "--serve_http=false", "--log_level=warn"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Nothing else of the kernel ties a child to its parent; no thread has a lock yet.
            preexec_fn=ends_with_us,  # noqa: PLW1509
        )
        try:
            _wait_for(process, port, binary)
            yield f"{_HOST}:{port}"
        finally:
            _end(process)


def _ends_with(parent: int) -> Any:
    """Return what a child calls first, so that the kernel kills it when its parent dies."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def call() -> None:
        prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before
            os._exit(1)

    return call


def _wait_for(process: subprocess.Popen[bytes], port: int, binary: Path) -> None:
    until = time.monotonic() + _STARTS_S
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as one:
            if one.connect_ex((_HOST, port)) == 0:
                return
        time.sleep(0.02)
    ended = process.poll()
    got = "no answer" if ended is None else f"its end with code {ended}"
    msg = f"prism must listen within {_STARTS_S:.0f} s; got {got}; start {binary} to see why"
    raise PrismError(msg)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End its whole group: politely, then by force."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_ENDS_S)
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()
