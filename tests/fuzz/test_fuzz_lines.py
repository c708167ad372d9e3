"""Arbitrary bytes through decode, validate and protect: no line is lost, doubled or a crash."""

from __future__ import annotations

import json
import random
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.lines import OTHER_FORMATS, check

GOOD = [
    b'{"id":"a","n":1,"a":[1,2.5],"p":{"mail":"x@y","k":[{}]}}',
    '{"id":"é\\u00e9","p":{"m\\u0061il":"\\ud83d\\ude00"}}'.encode(),
    b'{"id":"b","extra":null}',
]
PIECES = [
    b"\n", b"\r\n", b"\r", b"\0", b" ", b"\t", b"\xef\xbb\xbf", b"\xff", b"\xed\xa0\x80",
    b"\\ud800",
    b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b"NaN", b"1e400", b"9" * 400, b"-0", b"null",
    b'"id"', b'"n":-1', b'"n":1.5', b'"p":{"mail":1}', b'"id":1,"id":2', b"[" * 300, b'{"a":' * 250,
]  # fmt: skip
line = st.one_of(
    st.sampled_from(GOOD),
    st.binary(max_size=30),
    st.lists(st.sampled_from([*PIECES, *GOOD]), max_size=8).map(b"".join),
)
files = st.one_of(st.binary(max_size=200), st.lists(line, max_size=20).map(b"\n".join))
SETTINGS = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80
)


@SETTINGS
@given(data=files, block=st.sampled_from([1, 7, 64, 1 << 20]))
def test_every_line_of_any_bytes_is_kept_or_refused_once(
    tmp_path: Path, data: bytes, block: int
) -> None:
    check(data, tmp_path, block)


def test_the_good_lines_are_kept(tmp_path: Path) -> None:
    assert check(b"\n".join(GOOD), tmp_path, 1 << 20) == (len(GOOD), 0)
    assert check(b"\xef\xbb\xbf" + b"\r\n".join(GOOD), tmp_path, 1) == (len(GOOD), 0)


def test_a_file_that_begins_as_another_format_does_is_refused_as_a_whole(tmp_path: Path) -> None:
    for begin in OTHER_FORMATS:
        assert check(begin, tmp_path, 1) == check(begin + b"\n{}", tmp_path, 1) == (0, 0)
    assert check(b"PAR", tmp_path, 1) == (0, 1)


def _mutated(rng: random.Random) -> bytes:
    """Good lines with bytes flipped, cut out, doubled and pieces put in."""
    data = bytearray(b"\n".join(rng.choices(GOOD, k=rng.randint(1, 12))))
    for _ in range(rng.randint(0, 12)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0:
                data[at:at] = rng.choice(PIECES)
            case 1:
                del data[at : at + rng.randint(1, 6)]
            case 2:
                data[at:at] = data[at : at + rng.randint(1, 30)]
            case _:
                data[at : at + 1] = bytes([rng.randrange(256)])
    return bytes(data)


@pytest.mark.stack
@pytest.mark.parametrize("seed", range(4))
def test_for_long_every_line_of_mutated_files_is_kept_or_refused_once(seed: int) -> None:
    rng = random.Random(seed)
    kept = dead = 0
    until = time.process_time() + 60
    with tempfile.TemporaryDirectory() as folder:
        while time.process_time() < until:
            data = _mutated(rng)
            block = rng.choice([1, 7, 64, 1 << 20])
            try:
                some = check(data, Path(folder), block)
            except Exception as error:
                error.add_note(json.dumps({"block": block, "data": data.hex()}))
                raise
            kept, dead = kept + some[0], dead + some[1]
    assert min(kept, dead) > 1000
