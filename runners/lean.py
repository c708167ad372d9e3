"""Import Beam without the optional packages that a local run never uses.

Beam imports every client library that it finds (MongoDB, BigQuery, Pub/Sub ...), and does without
those it does not find. Half of its import time is spent so.
"""

from __future__ import annotations

import importlib
import logging
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any, Final

_OPTIONAL: Final = frozenset(
    {
        "apache_beam.io.gcp.bigquery",
        "apache_beam.io.gcp.pubsub",
        "apitools",
        "azure",
        "boto3",
        "google.cloud",
        "hdfs",
        "pandas",
        "pymongo",
        "tensorflow",
    }
)


class _Hidden(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002
        parts = fullname.split(".")
        if any(".".join(parts[:n]) in _OPTIONAL for n in range(1, len(parts) + 1)):
            msg = f"{fullname} is not used by a local run"
            raise ImportError(msg)
        return None


def import_beam() -> None:
    """Import Beam, hiding the optional packages from it (nothing else may be imported first)."""
    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    logging.disable(logging.WARNING)  # Beam warns of each package that it does not find
    try:
        importlib.import_module("apache_beam")
    finally:
        logging.disable(logging.NOTSET)
        sys.meta_path.remove(hidden)
