"""What a file system refuses, as a person should hear it: one way for every command."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from schemas.errors import PenstockError, UsageError

_ADVICE: Final = {
    errno.EACCES: "let this user read and write there",
    errno.EPERM: "let this user read and write there",
    errno.EROFS: "mount it for writing",
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there",
    errno.ENOENT: "make or restore it",
    errno.ENOTDIR: "move away what stands there",
    errno.EISDIR: "move away what stands there",
    errno.EEXIST: "move away what stands there",
    errno.ENOTEMPTY: "move away what stands there",
    errno.ELOOP: "mend the symbolic link",
    errno.ENAMETOOLONG: "shorten the name",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f)",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the limit of open files of this machine",
    errno.EIO: "look after the disk",
    errno.ESTALE: "mount it again",
    errno.EBUSY: "see who uses it",
    errno.ETXTBSY: "see who uses it",
    errno.ENODEV: "look after the disk",
    errno.ENXIO: "look after the disk",
}
"""What to do, by what a file system answers; errors of connections are not among these."""

_WHOLE: Final = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.EMFILE, errno.ENFILE)
)
"""Answers of a disk or a process as a whole, whichever file it was."""

_WRONG: Final = frozenset(
    (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG)
)
"""Answers to a name that no time mends."""

ANOTHER: Final = "name another place"
_ERRNO: Final = re.compile(r"\[[Ee]rrno (\d+)\]")
_QUOTED: Final = re.compile(r"'([^']+)'|\"([^\"]+)\"")
_TEMPORARY: Final = "No usable temporary directory"
_TEMPORARY_FILES: Final = ("the folder of temporary files", "name another by TMPDIR")


def movable(out: Path, folder: Path) -> dict[Path, str]:
    """Return how a person moves what a run writes, by absolute path."""
    return {
        out.absolute(): "choose another --out",
        folder.absolute(): "copy the pipeline folder to a place of your own",
    }


class DiskError(PenstockError):
    """A file or folder cannot be read or written; exit code 2 if its name can never be."""


def disk_error(
    text: str, places: Mapping[Path, str], named: Path | str, fate: Callable[[], str] | None = None
) -> DiskError | None:
    """Return what a person should be told of what a file system refused.

    Args:
        text: What the error says, of a library or of a worker too: `[Errno 28] ... 'path'`.
        places: What to do instead of using a folder, by absolute path. Only what lies below one of
            them is named: other paths may hold values of the data.
        named: Said instead of a path that is not.
        fate: Says what has become of the work.

    Returns:
        None: this is no error of a file system.
    """
    codes = [int(code) for code in _ERRNO.findall(text)]
    if not codes or codes[-1] not in _ADVICE:
        return None
    code, instead = codes[-1], places.get(Path(named), ANOTHER)
    if _TEMPORARY in text:
        named, instead = _TEMPORARY_FILES
    elif quoted := _QUOTED.search(text):
        said = Path(quoted[1] or quoted[2])
        path = said.absolute()
        roots = [root for root in places if path.is_relative_to(root)]
        if roots:
            root = max(roots, key=lambda root: len(root.parts))
            named, instead = _blamed(path, root, code), places[root]
        elif code not in _WHOLE:  # of a file that is none of ours
            return None
        elif said.is_relative_to(os.environ.get("TMPDIR") or "/tmp"):  # noqa: S108 - as tempfile
            named, instead = _TEMPORARY_FILES
    elif code not in _WHOLE:
        return None
    got = os.strerror(code) + (f"; {fate()}" if fate else "")
    made = DiskError(
        f"{named} must be a place that can be read and written; got: {got}; "
        f"{_ADVICE[code]}, or {instead}"
    )
    if code in _WRONG:
        made.exit_code = UsageError.exit_code
    return made


def _blamed(path: Path, root: Path, code: int) -> Path:
    """Return what stands in the way: a file to be made is not there yet.

    Names of folders that partitions have hold values.
    """
    inner = path.relative_to(root).parts
    plain = root.joinpath(*inner[: next((i for i, p in enumerate(inner) if "=" in p), len(inner))])
    if code == errno.ENOENT:
        return plain
    return next((one for one in (plain, *plain.parents) if os.path.lexists(one)), plain)


@contextmanager
def writing(path: Path, instead: str = ANOTHER) -> Iterator[None]:
    """Say in one sentence that a file, or a folder of files, cannot be written.

    Raises:
        DiskError: That.
    """
    try:
        yield
    except OSError as error:
        made = disk_error(str(error), {Path("/"): instead}, path)
        if made is None:
            raise
        raise made from error


def look(path: Path) -> None:
    """Raise why a library cannot write a file that it keeps others beside: its own error says less.

    The file is not opened: to close it would end the locks that this process has on it.

    Raises:
        OSError: What stands in the way; nothing is raised if nothing is seen to.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    for one, needed in ((path, os.R_OK | os.W_OK), (path.parent, os.W_OK | os.X_OK)):
        if one.exists() and not os.access(one, needed):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(one))
