"""Keep Beam silent while a run is followed: what ends a run is raised."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from apache_beam.runners.worker import sdk_worker

# Beam talks of images and flags that our runs have no use for; a traceback may hold values.
_CHATTY: Final = ("apache_beam", "")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Beam silent while the block runs, unless PENSTOCK_DEBUG=1."""
    if os.environ.get("PENSTOCK_DEBUG") == "1":
        yield
        return
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    vars(sdk_worker)["print"] = _say_nothing  # it prints what it also logs
    try:
        yield
    finally:
        del vars(sdk_worker)["print"]
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _say_nothing(*_: object, **__: object) -> None:
    """Take the place of `print`."""
