"""Records keep their bytes and positions however a file is cut; a file is read as one version."""

import hashlib
import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import SourceError
from schemas.plan import FileSource
from transforms.sources import slices
from transforms.sources.blocks import Block, LongRecord
from transforms.sources.csv_records import CsvGrammar
from transforms.sources.files import Slice, discover, read_blocks, scan
from transforms.sources.identity import CHUNK, ChunkHasher, hash_of, remember
from transforms.sources.lines import Framer, Lines, Run, TooLong


class Trickle:
    """A stream that gives a few bytes at a time."""

    def __init__(self, data: bytes, most: int) -> None:
        self.data, self.most = data, most

    def readinto(self, view: memoryview) -> int:
        part = self.data[: min(len(view), self.most)]
        self.data = self.data[len(part) :]
        view[: len(part)] = part
        return len(part)


def framer(data: bytes, *, grammar: object = None, **options: int | None) -> Framer:
    settings = {"position": 0, "stop": None, "block_bytes": 64, "max_record": 1 << 20, **options}
    most = settings.pop("most", 7)
    return Framer(stream=Trickle(data, most), grammar=grammar or Lines(), **settings)


def records(runs: Iterator[Run | TooLong], ends: object = None) -> list[tuple[int, object]]:
    """Every record of some runs as (position, bytes) or (position, length) if it was too long."""
    found: list[tuple[int, object]] = []
    for run in runs:
        if isinstance(run, TooLong):
            found.append((run.start, run.length))
            continue
        stops = (ends or Lines()).ends(run.data).tolist()
        stops += [len(run.data)] if not stops or stops[-1] < len(run.data) else []
        for a, b in zip([0, *stops], stops, strict=False):
            found.append((run.start + a, run.data[a:b].tobytes()))
    return found


def lines_of(data: bytes) -> list[tuple[int, bytes]]:
    """The oracle: Python's own lines."""
    found, at = [], 0
    for line in data.split(b"\n"):
        found.append((at, line + b"\n"))
        at += len(line) + 1
    last = found.pop()
    return [*found, (last[0], last[1][:-1])] if last[1] != b"\n" else found


LINES = st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"")), max_size=30).map(
    b"\n".join
)


@settings(max_examples=150, deadline=None)
@given(data=LINES, block=st.integers(1, 80), most=st.integers(1, 50))
def test_any_block_size_gives_the_same_records_at_the_same_positions(
    data: bytes, block: int, most: int
) -> None:
    cut = framer(data, block_bytes=block, most=most)
    assert records(cut.runs()) == lines_of(data)
    assert cut.position == len(data)
    assert cut.terminated is (not data or data.endswith(b"\n"))


@settings(max_examples=150, deadline=None)
@given(data=LINES, at=st.lists(st.integers(0, 200), max_size=4), block=st.integers(1, 40))
def test_slices_cut_anywhere_give_each_record_once(data: bytes, at: list[int], block: int) -> None:
    cuts = [0, *sorted({a for a in at if 0 < a < len(data)}), None]
    found = []
    for start, stop in pairwise(cuts):
        ahead = 1 if start else 0
        cut = framer(data[start - ahead :], position=start - ahead, stop=stop, block_bytes=block)
        if ahead:
            cut.skip_line(len(data) if stop is None else stop)
        found += records(cut.runs())
    assert found == lines_of(data)


@settings(max_examples=150, deadline=None)
@given(data=LINES, limit=st.integers(1, 14), block=st.integers(1, 40), stop=st.integers(0, 99))
def test_records_over_the_limit_are_pointed_at_at_any_block_size(
    data: bytes, limit: int, block: int, stop: int
) -> None:
    found = records(framer(data, max_record=limit, block_bytes=block, stop=stop).runs())
    expected = [
        (at, len(line) if len(line.removesuffix(b"\n")) > limit else line)
        for at, line in lines_of(data)
        if at < stop
    ]
    assert found == expected


def test_a_record_that_never_ends_is_hashed_without_being_held() -> None:
    data = b"a\n" + b"x" * 5_000_000 + b"\nb\n"
    runs = list(framer(data, max_record=1000, most=1 << 20, block_bytes=9000).runs())
    long = next(run for run in runs if isinstance(run, TooLong))
    assert long.sha256 == hashlib.sha256(data[2:-2]).hexdigest()
    assert (long.start, long.length) == (2, 5_000_001)
    assert max(len(run.data) for run in runs if isinstance(run, Run)) < 10


def read_all(source: FileSource, folder: Path, **options: object) -> list[tuple[int, bytes]]:
    found = []
    for piece in discover(source, folder, {}).slices:
        for block in read_blocks(replace(piece, **options)):
            assert isinstance(block, Block)
            found += [(block.start + at, line) for at, line in lines_of(block.data.tobytes())]
    return found


def test_a_large_file_is_read_in_slices_as_if_in_one_go(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    data = b"".join(b"%d" % n + b"x" * (n % 700) + b"\n" for n in rng.integers(0, 10**6, 60_000))
    (tmp_path / "a.jsonl").write_bytes(data)
    pieces = discover(FileSource(path="a.jsonl"), tmp_path, {}).slices
    assert len(pieces) == -(-len(data) // CHUNK) > 2
    assert read_all(FileSource(path="a.jsonl"), tmp_path) == lines_of(data)


def test_a_slice_reads_the_same_twice_and_travels_small(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n' * 1000)
    (piece,) = discover(FileSource(path="a.jsonl"), tmp_path, {}).slices
    sent = pickle.loads(pickle.dumps(piece))
    assert sent == piece
    assert len(pickle.dumps(piece)) < 1000
    first, second = ([b.data.tobytes() for b in read_blocks(p)] for p in (piece, sent))
    assert first == second == [b'{"a": 1}\n' * 1000]


def test_a_byte_order_mark_is_not_part_of_the_first_record(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf{}\n{}\n")
    assert read_all(FileSource(path="a.jsonl"), tmp_path) == [(3, b"{}\n"), (6, b"{}\n")]


def test_utf_16_is_told_by_its_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes('{"a": 1}\n'.encode("utf-16"))
    with pytest.raises(SourceError, match=r"must be UTF-8; got UTF-16.*a\.jsonl.*convert it"):
        read_all(FileSource(path="a.jsonl"), tmp_path)


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    (tmp_path / "b.csv").touch()
    assert read_all(FileSource(path="a.jsonl"), tmp_path) == []
    assert read_all(FileSource(path="b.csv", format="csv"), tmp_path) == []


def test_a_long_record_comes_as_a_pointer_between_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n" + b"x" * 50_000_000 + b"\n[]")
    source = FileSource(path="a.jsonl", max_record_bytes=1 << 20)
    blocks = [b for p in discover(source, tmp_path, {}).slices for b in read_blocks(p)]
    first, long, last = blocks
    assert (first.start, first.end, first.data.tobytes()) == (0, 3, b"{}\n")
    assert isinstance(long, LongRecord)
    assert (long.start, long.end, long.limit) == (3, 50_000_004, 1 << 20)
    assert (last.start, last.data.tobytes()) == (50_000_004, b"[]")


@pytest.mark.parametrize(
    "change",
    [
        lambda p: os.truncate(p, 10),
        lambda p: p.write_bytes(b'{"b": 2}\n' * 1000),
        lambda p: p.open("ab").write(b"{}\n"),
        lambda p: p.unlink(),
        lambda p: os.utime(p, ns=(p.stat().st_atime_ns, p.stat().st_mtime_ns)),
    ],
    ids=["shrinks", "is rewritten", "grows", "goes", "is touched with its old time"],
)
@pytest.mark.parametrize("when", ["before", "while"])
def test_a_file_that_changes_fails_the_reading(tmp_path: Path, change: object, when: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n' * 1000)
    (piece,) = discover(FileSource(path="a.jsonl", block_bytes=100), tmp_path, {}).slices
    blocks = read_blocks(piece)
    if when == "while":
        next(blocks)
    change(path)
    with pytest.raises(SourceError, match=r"must not change while it is read; got .*a\.jsonl"):
        list(blocks)


def test_a_change_after_the_last_slice_is_found_by_verify(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\n")
    found = discover(FileSource(path="a.jsonl"), tmp_path, {})
    list(read_blocks(found.slices[0]))
    found.verify()
    path.write_bytes(b"{}\n{}\n")
    with pytest.raises(SourceError, match="must not change while it is read"):
        found.verify()


def test_a_reading_that_is_left_early_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n" * 1000)
    (piece,) = discover(FileSource(path="a.jsonl", block_bytes=100), tmp_path, {}).slices
    blocks = read_blocks(piece)
    next(blocks)
    (tmp_path / "a.jsonl").unlink()
    blocks.close()


def footprints(pieces: tuple[Slice, ...]) -> list:
    found = []
    for piece in pieces:
        reading = scan(piece)
        while True:
            try:
                next(reading)
            except StopIteration as end:
                found.append(end.value.to_batch())
                break
    return found


def test_slices_together_hash_the_file_as_one_pass_does(tmp_path: Path) -> None:
    data = (b"x" * 999 + b"\n") * 20_000 + b"tail"
    (tmp_path / "a.jsonl").write_bytes(data)
    pieces = discover(FileSource(path="a.jsonl"), tmp_path, {}).slices
    prints = footprints(pieces)
    (row,) = remember([*prints[::-1], prints[0]]).to_pylist()
    whole = slices.hash_stored(pieces[0].path, pieces[0].identity, len(data))
    assert len(pieces) == 3
    assert row["hash"] == hash_of(whole)
    assert (row["size"], row["end"], row["terminated"]) == (len(data), len(data), False)


def test_a_source_read_in_part_is_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n" * 6_000_000)
    prints = footprints(discover(FileSource(path="a.jsonl"), tmp_path, {}).slices)
    with pytest.raises(ValueError, match="must be read whole to be remembered"):
        remember(prints[:1] + prints[2:])


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_a_hash_does_not_depend_on_the_pieces_it_is_taken_of(data: st.DataObject) -> None:
    size = data.draw(st.integers(0, 3 * CHUNK))
    text = np.arange(size, dtype=np.uint32).astype(np.uint8).tobytes()
    whole, pieces = ChunkHasher(0, size), ChunkHasher(0, size)
    whole.update(0, memoryview(text))
    at = 0
    while at < size:
        n = data.draw(st.integers(1 << 18, CHUNK + 9))
        pieces.update(at, memoryview(text)[at : at + n])
        at += n
    assert pieces.digests() == whole.digests()
    assert len(whole.digests()) == 16 * -(-size // CHUNK)


def test_csv_with_quotes_is_read_in_one_slice_and_without_in_several(tmp_path: Path) -> None:
    row = b"a,b\n" + b"12345678,87654321\n" * 1_000_000
    (tmp_path / "plain.csv").write_bytes(row)
    (tmp_path / "quoted.csv").write_bytes(row + b'"x\ny",1\n')
    source = FileSource(path="*.csv", format="csv")
    pieces = discover(source, tmp_path, {}).slices
    assert [Path(p.path).stem for p in pieces] == ["plain"] * 3 + ["quoted"]
    blocks = [b for p in pieces for b in read_blocks(p)]
    assert {b.header for b in blocks} == {b"a,b"}
    assert sum(len(CsvGrammar().ends(b.data)) for b in blocks) == 2_000_001


def test_a_long_csv_record_is_passed_over_unless_its_quote_never_closes(tmp_path: Path) -> None:
    source = FileSource(path="a.csv", format="csv", max_record_bytes=1000, block_bytes=500)
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2\n3," + b"x" * 9000)
    (piece,) = discover(source, tmp_path, {}).slices
    first, long = read_blocks(piece)
    assert (first.start, long.start, long.end) == (4, 8, 9010)
    (tmp_path / "a.csv").write_bytes(b'a,b\n1,2\n3,"' + b"x\n" * 9000)
    (piece,) = discover(source, tmp_path, {}).slices
    with pytest.raises(SourceError, match=r"must close; got one after position 8 of .*a\.csv"):
        list(read_blocks(piece))


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("names", [(), ("a", "b")])
def test_lines_before_the_header_are_passed_over_in_each_slice(
    tmp_path: Path, mark: bytes, names: tuple[str, ...]
) -> None:
    lead, rows = mark + b'Sales of "May\r\n\n', b"1,2\n3,4\n"
    head = lead if names else lead + b"x,y\n"
    (tmp_path / "s.csv").write_bytes(head + rows)
    source = FileSource(path="s.csv", format="csv", names=names, skip=2)
    (piece,) = discover(source, tmp_path, {}).slices
    middle = replace(piece, start=len(head) + 4, stored_start=len(head) + 4)
    for part, start, data in ((piece, len(head), rows), (middle, len(head) + 4, rows[4:])):
        (block,) = read_blocks(part)
        assert isinstance(block, Block)
        assert (block.start, bytes(block.data)) == (start, data)
        assert block.header == (b"a,b" if names else b"x,y")
