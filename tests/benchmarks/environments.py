"""The environments of the contestants; peers live in their own, under `.tools/peers/`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = {
    "spark": ("pyspark==3.5.6",),
    "flink-sql": ("apache-flink==1.19.3", "setuptools<81"),  # its Beam asks for pkg_resources
    "dlt": ("dlt[duckdb]==1.31.0", "duckdb==2.0.1"),
}


def own(name: str) -> str:
    """A command of Penstock's environment."""
    return str(ROOT / ".venv" / "bin" / name)


def peer(name: str) -> str:
    """The interpreter of a peer's environment, which is made if it is not there.

    Raises:
        subprocess.CalledProcessError: Its packages cannot be installed.
    """
    folder = ROOT / ".tools" / "peers" / name
    stamp = folder / "packages"
    wanted = "\n".join(PEERS[name])
    if not stamp.exists() or stamp.read_text() != wanted:
        local = ROOT / ".tools" / "uv" / "bin" / "uv"
        uv = str(local) if local.exists() else shutil.which("uv") or str(local)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
        subprocess.run(
            [uv, "venv", "-q", "--clear", "-p", own("python"), folder], check=True, env=env
        )
        install = [uv, "pip", "install", "-q", "--compile-bytecode", "-p", folder, *PEERS[name]]
        subprocess.run(install, check=True, env=env)
        stamp.write_text(wanted)
    return str(folder / "bin" / "python")
