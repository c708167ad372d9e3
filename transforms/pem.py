"""The files of a TLS connection, looked at before a library says less of them."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import UsageError
from schemas.references import resolve
from schemas.stream_source import Tls


def pem_files(tls: Tls, folder: Path, field: str) -> dict[str, str]:
    """Return the paths of the files that are given: `ca`, `certificate`, `key`.

    Args:
        tls: Names them.
        folder: The pipeline folder; relative paths are from it.
        field: Where `tls` stands in a pipeline file.

    Raises:
        UsageError: One cannot be read, or is no PEM.
    """
    given = {"ca": tls.ca, "certificate": tls.certificate, "key": tls.key}
    paths = {key: folder / resolve(name) for key, name in given.items() if name is not None}
    for key, path in paths.items():
        try:
            got = "" if b"-----BEGIN " in path.read_bytes() else "no PEM in it"
        except OSError as error:
            got = error.strerror or type(error).__name__
        if got:
            msg = (
                f"{field}.{key} must be a readable PEM file; got {path}: {got}; correct the path, "
                "or put the file there"
            )
            raise UsageError(msg)
    return {key: str(path) for key, path in paths.items()}
