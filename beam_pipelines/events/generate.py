"""Make events: `python -m beam_pipelines.events.generate 2000000 events.jsonl [SEED]`.

One JSON object a line: 2 % repeat the event before them byte for byte, 0.5 % are broken (cut off
before their closing brace). Event times rise by 36 ms a row, each up to 30 s off. The same number
and seed give the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from schemas.disk import writing
from schemas.errors import PenstockError

DUPLICATES = 0.02
BROKEN = 0.005
CHUNK = 100_000
START = np.datetime64("2026-01-01T00:00:00", "us")
TYPES = ("page_view", "click", "purchase", "signup", "search")
COUNTRIES = ("KR", "US", "DE", "JP", "BR", "FR")
BROKEN_LINE = '{"event_id": "broken", "event_time": "not a time"'


def lines(first: int, count: int, seed: int) -> list[str]:
    """Return `count` records from row `first` on, without line ends."""
    rng = np.random.Generator(np.random.PCG64([seed, first]))
    row = np.arange(count)
    off = rng.integers(-30_000, 30_001, count)
    time = START + ((first + row) * 36 + off) * np.timedelta64(1000, "us")
    ids = rng.bytes(16 * count).hex()
    values = zip(
        range(0, 32 * count, 32),
        np.datetime_as_string(time).tolist(),
        rng.integers(0, 50_001, count).tolist(),
        rng.integers(0, len(TYPES), count).tolist(),
        rng.integers(0, len(COUNTRIES), count).tolist(),
        rng.integers(0, 50_001, count).tolist(),
        rng.integers(0, 256, (count, 3)).tolist(),
        np.round(rng.random(count) * 100, 2).tolist(),
        rng.integers(0, 1_000, count).tolist(),
        strict=True,
    )
    fresh = [
        f'{{"event_id":"{ids[i : i + 8]}-{ids[i + 8 : i + 12]}-{ids[i + 12 : i + 16]}-'
        f'{ids[i + 16 : i + 20]}-{ids[i + 20 : i + 32]}","event_time":"{t}Z",'
        f'"user_id":"u{u:06d}","event_type":"{TYPES[k]}","properties":{{'
        f'"country":"{COUNTRIES[c]}","email":"user{m}@example.com",'
        f'"ip":"10.{ip[0]}.{ip[1]}.{ip[2]}","amount":{a},"page":"/p/{g}"}}}}'
        for i, t, u, k, c, m, ip, a, g in values
    ]
    dice = rng.random((2, count))
    again = (dice[0] < DUPLICATES) & (row > 0)
    broken = ~again & (dice[1] < BROKEN) & (row > 0)
    before = np.maximum.accumulate(np.where(again | broken, 0, row))
    for i in np.flatnonzero(again).tolist():
        fresh[i] = fresh[before[i]]
    for i in np.flatnonzero(broken).tolist():
        fresh[i] = BROKEN_LINE
    return fresh


def generate(count: int, path: Path, *, seed: int = 7) -> None:
    """Write `count` records to `path`, replacing it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii", newline="\n") as out:
        for first in range(0, count, CHUNK):
            out.write("\n".join(lines(first, min(CHUNK, count - first), seed)) + "\n")


def main(arguments: list[str]) -> int:
    """Run the command; its exit code."""
    try:
        count, path = int(arguments[0]), Path(arguments[1])
        seed = int(arguments[2]) if arguments[2:] else 7
    except (IndexError, ValueError):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        with writing(path):
            generate(count, path, seed=seed)
    except PenstockError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
