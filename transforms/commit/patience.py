"""How long a committer tries again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator


def patience(tries: int = 200) -> Iterator[int]:
    """Count tries, with a random pause after each that grows to half a second."""
    for number in range(tries):
        yield number
        time.sleep(random.random() * min(0.02 * 2 ** min(number, 5), 0.5))  # noqa: S311
