"""Getting what a server needs, from package registries only, once for each version.

Every part lands in `.tools/servers/<name>-<version>-<recipe>`, whole or not at all. Which host a
registry has is the business of the tools that ask it: `mvn`, `go` and `uv` as they are configured.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.servers.server import ROOT, ServerError

TOOLS = ROOT / ".tools" / "servers"
CHECKSUMS = Path(__file__).parent / "checksums"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
JAVA = 17

TO_INSTALL = {
    "java": "a Java runtime, 17 or newer (Debian: apt-get install openjdk-17-jdk-headless)",
    "keytool": "a Java runtime, 17 or newer (Debian: apt-get install openjdk-17-jdk-headless)",
    "javac": "a JDK, 17 or newer (Debian: apt-get install openjdk-17-jdk-headless)",
    "mvn": "Maven (Debian: apt-get install maven)",
    "go": "Go, as new as the go line of Beam's go.mod asks (go.dev/dl)",
}


def say(text: str) -> None:
    """Tell the person who waits what is going on."""
    print(f"servers: {text}", file=sys.stderr, flush=True)


def tool(name: str) -> str:
    """Return the path of a program of this machine.

    Raises:
        ServerError: It is missing; the message says what to install.
    """
    found = shutil.which(name)
    if found is None:
        msg = f"{name} must be on PATH; found none; install {TO_INSTALL[name]}"
        raise ServerError(msg)
    return found


@functools.cache
def java() -> str:
    """Return the path of a Java that is new enough.

    Raises:
        ServerError: There is none, or it is older than 17.
    """
    path = tool("java")
    said = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < JAVA:
        got = version[1] if version else "no version"
        msg = f"java must be {JAVA} or newer; got {got}; install {TO_INSTALL['java']}"
        raise ServerError(msg)
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock: two tests that want a server at once start one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def cached(name: str, recipe: str, make: Callable[[Path], None]) -> Path:
    """Return the folder that `make` fills, making it if it is not there yet.

    Args:
        name: Name and version of what is in it.
        recipe: Everything that decides its content; another recipe is another folder.
        make: Fills the folder; if it raises, nothing stays.
    """
    folder = TOOLS / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
    if folder.is_dir():
        return folder
    with locked(TOOLS / f"{name}.lock"):
        if not folder.is_dir():
            say(f"getting {name}")
            began = time.monotonic()
            part = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            make(part)
            part.rename(folder)
            say(f"got {name} in {time.monotonic() - began:.0f} s")
    return folder


def jars(name: str, wanted: Iterable[str], managed: Iterable[str] = ()) -> Path:
    """Return a folder with Maven artifacts and all that they need at run time.

    Every jar is compared with `checksums/<name>.txt`, whatever the registry says of it.

    Args:
        name: Name and version of the whole.
        wanted: Coordinates `group:artifact:version`.
        managed: The same, for versions that are to win wherever they appear below.

    Raises:
        ServerError: Maven failed, or a jar is not the one that was checked in.
    """
    pom = _POM.format(
        name=name,
        managed="".join(map(_dependency, managed)),
        wanted="".join(map(_dependency, wanted)),
    )
    known = CHECKSUMS / f"{name}.txt"
    lock = known.read_text() if known.exists() else ""

    def make(folder: Path) -> None:
        (folder / "pom.xml").write_text(pom)
        command = [tool("mvn"), "--batch-mode", "--quiet", "--strict-checksums", COPY]
        run([*command, "-DoutputDirectory=lib", "-DincludeScope=runtime"], folder)
        check(folder / "lib", known, lock)

    return cached(name, pom + lock, make)


def maven_archive(name: str, coordinate: str, sha256: str) -> Path:
    """Return a folder with what is in a tar archive that is a Maven artifact.

    Args:
        name: Name and version of the whole.
        coordinate: `group:artifact:version:tar.gz:classifier`.
        sha256: Of the archive.
    """

    def make(folder: Path) -> None:
        goal = COPY.replace("copy-dependencies", "copy")
        command = [tool("mvn"), "--batch-mode", "--quiet", "--strict-checksums", goal]
        run([*command, f"-Dartifact={coordinate}", f"-DoutputDirectory={folder}"], folder)
        unpack(folder, sha256, "", ("",))

    return cached(name, coordinate + sha256, make)


def archive(name: str, version: str, sha256: str, wanted: tuple[str, ...]) -> Path:
    """Return a folder with some of the files in a source archive of PyPI.

    Args:
        name: The package.
        version: Its version.
        sha256: Of the archive.
        wanted: Beginnings of the paths to keep, inside the archive's one folder.
    """
    requirement = f"{name}=={version} --hash=sha256:{sha256}\n"

    def make(folder: Path) -> None:
        (folder / "requirements.txt").write_text(requirement)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary"]
        run([*command, ":all:", "--require-hashes", "-r", "requirements.txt"], folder)
        unpack(folder, sha256, f"{name}-{version}/", wanted)

    return cached(f"{name}-{version}", requirement + "".join(wanted), make)


def unpack(folder: Path, sha256: str, top: str, wanted: tuple[str, ...]) -> None:
    """Replace the one archive in a folder by those of its files that are wanted.

    Raises:
        ServerError: It is not the archive that was checked in.
    """
    (path,) = folder.glob("*.tar.gz")
    with path.open("rb") as f:
        got = hashlib.file_digest(f, "sha256").hexdigest()
    if got != sha256:
        msg = f"{path.name} must have the SHA-256 {sha256}; got {got}; see what the registry serves"
        raise ServerError(msg)
    with tarfile.open(path) as tar:
        for member in tar:
            inside = member.name.removeprefix("./").removeprefix(top)
            if inside.startswith(wanted):
                tar.extract(member.replace(name=inside), folder, filter="data")
    path.unlink()


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it."""
    shutil.rmtree(folder)


def check(folder: Path, known: Path, lock: str) -> None:
    """Compare the jars of a folder with a list of checksums; `RELOCK=1` writes the list instead.

    Raises:
        ServerError: A jar is missing, unknown or different.
    """
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.jar")}
    if os.environ.get("RELOCK"):
        known.parent.mkdir(exist_ok=True)
        known.write_text("".join(f"{v}  {k}\n" for k, v in sorted(found.items())))
        return
    expected = {jar: digest for digest, jar in (line.split() for line in lock.splitlines())}
    wrong = sorted(k for k in found.keys() | expected.keys() if found.get(k) != expected.get(k))
    if wrong:
        msg = (
            f"every jar must be as {known.relative_to(ROOT)} says; got {len(wrong)} others, first "
            f"{wrong[0]}; see what the registry serves, or accept it with RELOCK=1 make up ..."
        )
        raise ServerError(msg)


def run(command: list[str], folder: Path, **env: str) -> None:
    """Run a command quietly in a folder.

    Raises:
        ServerError: It failed; the message ends with the last lines that it said.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise failed(Path(command[0]).name, done.returncode, done.stdout)


def failed(name: str, code: int, output: str) -> ServerError:
    """Return the error for a program that failed, with its last words."""
    said = "\n  ".join(output.strip().splitlines()[-12:])
    return ServerError(f"{name} must succeed; it ended with {code}:\n  {said}")


_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>penstock</groupId><artifactId>{name}</artifactId><version>1</version>
<packaging>pom</packaging>
<dependencyManagement><dependencies>
{managed}</dependencies></dependencyManagement>
<dependencies>
{wanted}</dependencies></project>
"""


def _dependency(coordinate: str) -> str:
    group, artifact, version = coordinate.split(":")
    return (
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        f"<version>{version}</version></dependency>\n"
    )
