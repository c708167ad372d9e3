"""How a command ends that nobody meant to: an unexpected error, a stdout that takes no more."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, Final

DEBUG: Final = "PENSTOCK_DEBUG"
_ROOMS: Final = ("beam_pipelines", "transforms", "schemas", "runners")


class StdoutError(Exception):
    """Stdout did not take what was printed; an error of nothing else."""

    def __init__(self, error: OSError) -> None:
        """Keep the cause."""
        super().__init__(error.strerror or type(error).__name__)
        self.gone = error.errno == errno.EPIPE


class _Stdout:
    """A text stream whose own errors cannot be taken for those of a lake or a source."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return int(self._stream.write(text))
        except OSError as error:
            raise StdoutError(error) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise StdoutError(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def own_stdout() -> Iterator[None]:
    """Raise `StdoutError` where stdout fails, at the end of the block at the latest."""
    if sys.stdout is None:  # closed before we began (`>&-`): nobody wants to read
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  for good
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a locale that lacks a letter
    stream: Any = _Stdout(sys.stdout)
    with redirect_stdout(stream):
        try:
            yield
        finally:
            stream.flush()


def stdout_failed(error: StdoutError) -> int:
    """Say so if it matters; return the exit code."""
    # What is still buffered must not fail once more when the interpreter ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if error.gone:  # `penstock plan x | head`: the reader has what it wanted
        return 0
    say(
        f"stdout must take what is printed; got {error}; what the command did is done: "
        "run it again to see it"
    )
    return 1


def say(text: str) -> None:
    """Print a line on stderr; if nobody can read it, the exit code has to do."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def unexpected(error: BaseException) -> str:
    """Describe an error that no code of ours foresaw: class and place, never what it says.

    The text of such an error may hold a value of the data.
    """
    kind, place = _place(error)
    return (
        f"penstock ended with an error that it should not have: {kind} at {place}; "
        f"nothing was left half done. Please report this line. {DEBUG}=1 shows the traceback, "
        "which may show data: read it before you pass it on"
    )


def debug() -> bool:
    """Whether tracebacks are wanted."""
    return os.environ.get(DEBUG, "") not in ("", "0")


def _place(error: BaseException) -> tuple[str, str]:
    frames = [(f.filename, f.lineno or 0) for f in traceback.extract_tb(error.__traceback__)]
    kind = type(error).__name__
    ours = [frame for frame in frames if _module(frame[0]) is not None]
    file, line = (ours or frames or [("unknown", 0)])[-1]
    return kind, f"{_module(file) or os.path.basename(file)}:{line}"  # noqa: PTH119


def _module(file: str) -> str | None:
    parts = file.removesuffix(".py").replace(os.sep, "/").split("/")
    at = [i for i, part in enumerate(parts) if part in _ROOMS]
    # Not what is installed: `runners` is a folder of Beam, too.
    return None if not at or "apache_beam" in parts else ".".join(parts[at[0] :])
