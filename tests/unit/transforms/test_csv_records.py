"""CSV records are found alike by numpy, by a walk from byte to byte, and at any block size."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transforms.sources.csv_records import CsvGrammar, records
from transforms.sources.lines import Framer, Run, TooLong

PIECES = [b",", b"\n", b"\r\n", b'"', b'""', b"a", b"\r", b";", b"1", b'",', b'\n"', b'"\n']
TEXT = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)


def walk(data: bytes, delimiter: int = 44) -> tuple[list[int], bool]:
    """The oracle: the ends of all records that have their newline, and if the rest is open."""
    ends, state = [], "start"
    for i, byte in enumerate(data):
        if state == "start":
            state = "quoted" if byte == 34 else "text"
        elif state == "quoted":
            state = "quote" if byte == 34 else "quoted"
            continue
        elif state == "quote":
            state = "quoted" if byte == 34 else "text"
        if state == "text" and byte == delimiter:
            state = "start"
        elif state == "text" and byte == 10:
            ends.append(i + 1)
            state = "start"
    return ends, state == "quoted"


@settings(max_examples=300, deadline=None)
@given(TEXT, st.sampled_from([44, 59]))
@example(b'a"b\n' * 50 + b'"x\ny"\n', 44)
@example(b'"a"b\n' * 40 + b'"', 44)
@example(b'"a"\r', 44)
def test_ends_are_those_of_a_walk_from_byte_to_byte(data: bytes, delimiter: int) -> None:
    found = records(np.frombuffer(data, np.uint8), delimiter)
    ends, is_open = walk(data, delimiter)
    assert found.ends.tolist() == ends
    assert found.open == is_open


@dataclass
class Trickle:
    data: bytes
    most: int

    def readinto(self, view: memoryview) -> int:
        part = self.data[: min(len(view), self.most)]
        self.data = self.data[len(part) :]
        view[: len(part)] = part
        return len(part)


def cut(data: bytes, block: int, most: int = 9, limit: int = 1 << 20) -> list[tuple[int, object]]:
    """Every record as (position, bytes), or (position, length) if it was too long."""
    found: list[tuple[int, object]] = []
    framer = Framer(
        stream=Trickle(data, most),
        grammar=CsvGrammar(),
        position=0,
        stop=None,
        block_bytes=block,
        max_record=limit,
    )
    for run in framer.runs():
        if isinstance(run, TooLong):
            found.append((run.start, run.length))
            continue
        found += split(run)
    return found


def split(run: Run) -> list[tuple[int, object]]:
    ends = records(run.data).ends.tolist()
    ends += [len(run.data)] if not ends or ends[-1] < len(run.data) else []
    return [
        (run.start + a, run.data[a:b].tobytes()) for a, b in zip([0, *ends], ends, strict=False)
    ]


def expected(data: bytes) -> list[tuple[int, object]]:
    """The oracle: records, and of one whose quote never closes its line."""
    found: list[tuple[int, object]] = []
    at = 0
    while at < len(data):
        ends, is_open = walk(data[at:])
        for a, b in zip([0, *ends], ends, strict=False):
            found.append((at + a, data[at + a : at + b]))
        at += ends[-1] if ends else 0
        if at < len(data):
            size = (data.find(b"\n", at) + 1 or len(data)) - at if is_open else len(data) - at
            found.append((at, data[at : at + size]))
            at += size
    return found


@settings(max_examples=150, deadline=None)
@given(TEXT, st.integers(1, 60), st.integers(1, 20))
@example(b'a,b\n"c,d\ne,f\ng', 5, 3)
def test_any_block_size_gives_the_same_records(data: bytes, block: int, most: int) -> None:
    assert cut(data, block, most) == expected(data)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([b'"a\nb"', b"aaaaaa,b", b"1", b'"",""', b'"x""\n\n"']), max_size=12),
    st.integers(1, 30),
    st.integers(1, 12),
)
def test_records_over_the_limit_are_passed_over_to_their_real_end(
    rows: list[bytes], block: int, limit: int
) -> None:
    data = b"".join(row + b"\n" for row in rows)
    at, wanted = 0, []
    for row in rows:
        wanted.append((at, len(row) + 1 if len(row) > limit else row + b"\n"))
        at += len(row) + 1
    assert cut(data, block, limit=limit) == wanted


@settings(max_examples=150, deadline=None)
@given(TEXT, st.integers(1, 60), st.integers(1, 30))
def test_the_limit_is_met_alike_at_any_block_size(data: bytes, block: int, limit: int) -> None:
    assert cut(data, block, limit=limit) == cut(data, 1 << 16, 1 << 16, limit)


@pytest.mark.parametrize("data", [b'a "b" c,1\n', b'"a"b,1\n', b'x"\n'])
def test_records_with_a_quote_out_of_place_are_told(data: bytes) -> None:
    found = records(np.frombuffer(b"1,2\n" + data + b"3,4\n", np.uint8))
    assert found.odd == (4,)
