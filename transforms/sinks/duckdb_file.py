"""The DuckDB file: opened for one transaction, and errors that never show a value."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import duckdb

from schemas.disk import look
from schemas.errors import PenstockError

PATIENCE_S = 10.0
"""How long a load waits for another process that has the file open."""

_LOCKED: Final = re.compile("could not set lock|used by another process", re.IGNORECASE)
_REBUILD: Final = "run `penstock load --rebuild`; the lake is complete"
_ROOM: Final = "make room on its disk, and run `penstock load`: the lake is complete"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OF_FILES: Final = {
    "IOException",
    "TransactionException",
    "OutOfMemoryException",
    "FatalException",
}
_ADVICE: Final = {
    "OutOfMemoryException": "give the machine more memory or disk, and run `penstock load`",
    "IOException": "see that the disk has room and the lake's files are there, and run "
    "`penstock load`",
    "DependencyException": "drop what depends on the table, or run `penstock load --rebuild`",
    "CatalogException": "a table, view or type of that name must not be in the way: drop it, and "
    "run `penstock load`",
}


class WarehouseError(PenstockError):
    """The warehouse could not be loaded; the lake is complete.

    Attributes:
        kind: Class of DuckDB's error.
    """

    kind = ""


class WarehouseBusyError(WarehouseError):
    """Another process holds the warehouse; the lake is complete, and a later load catches up."""


@contextmanager
def transaction(path: Path, patience_s: float | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the file, begin, commit at the end of the block and close; all or nothing.

    Args:
        path: The DuckDB file; made if it is not there.
        patience_s: How long to wait for another process; PATIENCE_S by default.

    Raises:
        WarehouseBusyError: Another process had the file open for longer.
        WarehouseError: DuckDB refused something.
    """
    with _opened(path, PATIENCE_S if patience_s is None else patience_s) as c, told():
        c.execute("SET TimeZone = 'UTC'; BEGIN")
        yield c
        c.execute("COMMIT")


@contextmanager
def told(table: str = "", columns: Collection[str] = ()) -> Iterator[None]:
    """Raise a WarehouseError for what DuckDB refuses: its messages can quote a row's values.

    Args:
        table: What is worked on.
        columns: Its columns; one is named if DuckDB names it.
    """
    try:
        yield
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except duckdb.Error as error:
        kind = type(error).__name__
        named = [c for c in columns if f"{table.rpartition('.')[2]}.{c}" in str(error)]
        where = ".".join([table, *sorted(named, key=len)[-1:]]) if table else "the warehouse"
        disk = _of_the_disk(error)
        advice = _ROOM if disk else _ADVICE.get(kind, _REBUILD)
        msg = f"DuckDB must take what the lake holds; got {disk or kind} for {where}; {advice}"
        made = WarehouseError(msg)
        made.kind = kind
        raise made from None


def _of_the_disk(error: duckdb.Error) -> str:
    """Return what the file system said, of which DuckDB makes errors of several classes."""
    if type(error).__name__ not in _OF_FILES:  # others may quote a value that reads like it
        return ""
    return next((said for said in map(os.strerror, _FULL) if said in str(error)), "")


@contextmanager
def _opened(path: Path, patience_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
    deadline = time.monotonic() + patience_s
    path.parent.mkdir(parents=True, exist_ok=True)
    look(path)  # DuckDB opens a file that it can write no log beside
    while True:
        try:
            _made_whole(path)
            connection = duckdb.connect(str(path))
            break
        except duckdb.Error as error:
            if not _LOCKED.search(str(error)):
                disk = _of_the_disk(error)
                away = "delete it or move it away, and run `penstock load`: the lake is complete"
                msg = (
                    f"the warehouse must be a DuckDB file that can be opened; got "
                    f"{disk or type(error).__name__} for {path}; {_ROOM if disk else away}"
                )
                raise WarehouseError(msg) from None
            if time.monotonic() > deadline:
                msg = (
                    f"the warehouse must be free to write; {path} is open in another process; "
                    "close it and run `penstock load`: the lake is complete"
                )
                raise WarehouseBusyError(msg) from None
            time.sleep(0.2)
    try:
        yield connection
    finally:
        connection.close()


def _made_whole(path: Path) -> None:
    """Make the file if it is not there, or nothing: on a full disk DuckDB leaves one it refuses."""
    if path.exists():
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        duckdb.connect(str(part)).close()
        with suppress(FileExistsError):  # another process has made it just now
            os.link(part, path)
    finally:
        part.unlink(missing_ok=True)
