"""What a file system refuses, in the words of a person."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from schemas.disk import DiskError, disk_error, look, movable, writing

AFTER = "must be a place that can be read and written; got: "


@pytest.fixture
def places(tmp_path: Path) -> dict[Path, str]:
    (tmp_path / "p" / "out" / "lake").mkdir(parents=True)
    return movable(tmp_path / "p" / "out", tmp_path / "p")


def _raised(code: int, path: object = None) -> str:
    return str(OSError(code, os.strerror(code), None if path is None else str(path)))


@pytest.mark.parametrize(
    ("code", "to_do"),
    [
        (errno.EACCES, "let this user read and write there"),
        (errno.EROFS, "mount it for writing"),
        (errno.ENOSPC, "free space there"),
        (errno.ENOTDIR, "move away what stands there"),
        (errno.ELOOP, "mend the symbolic link"),
        (errno.EMFILE, "raise the limit of open files (ulimit -n)"),
        (errno.EIO, "look after the disk"),
    ],
)
def test_what_stands_in_the_way_is_named_with_what_to_do(
    places: dict[Path, str], code: int, to_do: str
) -> None:
    out = next(iter(places))
    said = disk_error(_raised(code, out / "lake" / "not-there" / "x.parquet"), places, out)
    assert str(said) == f"{out}/lake {AFTER}{os.strerror(code)}; {to_do}, or choose another --out"


@pytest.mark.parametrize(
    ("below", "named", "instead"),
    [
        (".penstock-key.0a1b", "p", "copy the pipeline folder to a place of your own"),
        ("out/lake/x", "p/out/lake", "choose another --out"),
        ("out/lake/name=ada@example.org/x", "p/out/lake", "choose another --out"),
    ],
)
def test_the_folder_that_a_file_lies_in_says_what_to_do_instead(
    tmp_path: Path, places: dict[Path, str], below: str, named: str, instead: str
) -> None:
    said = disk_error(_raised(errno.EACCES, tmp_path / "p" / below), places, "")
    assert str(said).startswith(f"{tmp_path / named} {AFTER}")
    assert str(said).endswith(f", or {instead}")


def test_a_path_outside_of_all_places_is_not_named(places: dict[Path, str]) -> None:
    out = next(iter(places))
    for path in ("/data/ada@example.org", "ada@example.org", None):
        said = disk_error(_raised(errno.ENOSPC, path), places, out, lambda: "it landed")
        assert str(said) == (
            f"{out} {AFTER}No space left on device; it landed; "
            "free space there, or choose another --out"
        )


def test_a_file_that_is_none_of_ours_is_not_told_as_if_it_were(places: dict[Path, str]) -> None:
    out = next(iter(places))
    for code in (errno.ENOENT, errno.EACCES, errno.ENOTDIR):
        assert disk_error(_raised(code, "/data/ada@example.org"), places, out) is None
        assert disk_error(_raised(code), places, out) is None


@pytest.mark.parametrize(
    ("code", "ends"), [(errno.ENOTDIR, 2), (errno.ELOOP, 2), (errno.EACCES, 1), (errno.ENOSPC, 1)]
)
def test_a_wrong_name_is_wrong_usage_and_a_full_disk_is_not(
    places: dict[Path, str], code: int, ends: int
) -> None:
    out = next(iter(places))
    said = disk_error(_raised(code, out / "x"), places, out)
    assert said is not None
    assert said.exit_code == ends


def test_errors_of_workers_and_libraries_are_read_from_their_text(places: dict[Path, str]) -> None:
    out = next(iter(places))
    text = f"[Errno 13] Failed to open local file '{out}/x'. Detail: [errno 13] Permission denied"
    assert "Permission denied; let this user" in str(disk_error(text, places, ""))


def test_errors_of_connections_are_no_errors_of_a_disk(places: dict[Path, str]) -> None:
    for error in (ConnectionRefusedError(111, "Connection refused"), TimeoutError("x"), OSError()):
        assert disk_error(str(error), places, "x") is None


def test_no_folder_for_temporary_files_is_said_with_its_variable() -> None:
    text = str(FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"))
    assert str(disk_error(text, {}, "x")).endswith("or name another by TMPDIR")


def test_a_disk_of_temporary_files_that_is_full_is_not_taken_for_that_of_the_lake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TMPDIR", "/scratch")
    out, folder = Path("/p/out"), Path("/p")
    said = disk_error(_raised(errno.ENOSPC, "/scratch/ada@x/1"), movable(out, folder), out)
    assert str(said) == (
        f"the folder of temporary files {AFTER}No space left on device; free space there, or name "
        "another by TMPDIR"
    )
    inside = disk_error(_raised(errno.ENOSPC, "/scratch/p/out/x"), {Path("/scratch/p"): "y"}, out)
    assert str(inside).endswith("; free space there, or y"), "an --out may lie there, too"


def test_writing_keeps_errors_that_a_disk_has_no_part_in(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "new"
    with pytest.raises(DiskError) as caught, writing(path):
        path.mkdir()
    assert str(caught.value).startswith(f"{tmp_path}/file {AFTER}Not a directory; move away")
    with pytest.raises(ConnectionError), writing(path):
        raise ConnectionResetError(errno.ECONNRESET, "reset")


def test_a_file_that_no_library_can_write_is_looked_at(tmp_path: Path) -> None:
    look(tmp_path / "new")
    with pytest.raises(IsADirectoryError):
        look(tmp_path)
