"""Compressed files are read whole or not at all."""

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import SourceError
from schemas.plan import FileSource
from transforms.sources import compression
from transforms.sources.compression import compression_of
from transforms.sources.files import discover, read_blocks

LINES = b"".join(b'{"n": %d}\n' % n for n in range(5000))


def read(folder: Path, path: str, **options: object) -> dict[str, bytes]:
    """All bytes of each source, checked to lie side by side from 0 on."""
    found: dict[str, bytes] = {}
    for piece in discover(FileSource(path=path, **options), folder, {}).slices:
        found[piece.source] = b""
        for block in read_blocks(piece):
            assert block.start == len(found[piece.source])
            found[piece.source] += block.data.tobytes()
    return found


def only(folder: Path, path: str, **options: object) -> bytes:
    (data,) = read(folder, path, **options).values()
    return data


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def zipped(members: dict[str, bytes], **options: object) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


PACK = {"gz": gzip.compress, "zst": zstd}


@pytest.mark.parametrize("suffix", PACK)
def test_a_compressed_file_gives_its_lines_in_several_blocks(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a.jsonl.{suffix}").write_bytes(PACK[suffix](LINES))
    assert only(tmp_path, "a.jsonl.*", block_bytes=1000) == LINES


@pytest.mark.parametrize("suffix", PACK)
def test_members_written_one_after_the_other_are_one_source(tmp_path: Path, suffix: str) -> None:
    pack = PACK[suffix]
    (tmp_path / f"a.{suffix}").write_bytes(pack(b"{}\n[") + pack(b"") + pack(b"]\n") + pack(b"1"))
    assert only(tmp_path, "a.*") == b"{}\n[]\n1"


def test_zero_padding_after_a_gzip_member_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(
        gzip.compress(b"{}\n") + bytes(700) + gzip.compress(b"[]\n") + bytes(300_000)
    )
    assert only(tmp_path, "a.gz") == b"{}\n[]\n"


BROKEN = {
    "cut in the checksum": lambda z: z[:-3],
    "cut in the middle": lambda z: z[: len(z) // 2],
    "cut in the header": lambda z: z[:6],
    "with another byte": lambda z: z[:200] + bytes([z[200] ^ 1]) + z[201:],
    "with text behind it": lambda z: z + b"garbage",
    "with half a member behind it": lambda z: z + z[:9],
}


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN)
def test_damage_fails_the_reading_and_says_where(
    tmp_path: Path, suffix: str, damage: object
) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(damage(PACK[suffix](LINES)))
    said = rf"must be whole; got damage in .*a\.{suffix} after \d+ decompressed bytes"
    with pytest.raises(SourceError, match=said):
        read(tmp_path, "a.*")


def test_a_wrong_checksum_is_damage(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(LINES))
    packed[-6] ^= 1
    (tmp_path / "a.gz").write_bytes(packed)
    with pytest.raises(SourceError, match="must be whole; got damage"):
        read(tmp_path, "a.gz")


@settings(max_examples=60, deadline=None)
@given(tail=st.binary(min_size=1, max_size=30))
def test_no_bytes_behind_a_gzip_member_are_lost_in_silence(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes
) -> None:
    folder = tmp_path_factory.mktemp("tail")
    (folder / "a.gz").write_bytes(gzip.compress(b"{}\n") + tail)
    if not tail.strip(b"\0"):
        assert only(folder, "a.gz") == b"{}\n"
        return
    with pytest.raises(SourceError, match="must be whole; got damage"):
        read(folder, "a.gz")


@pytest.mark.parametrize("pack", [gzip.compress, zstd, lambda b: zipped({"a": b})])
def test_a_bomb_is_stopped_and_the_option_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: object
) -> None:
    monkeypatch.setattr(compression, "_FREE_BYTES", 1 << 20)
    (tmp_path / "a").write_bytes(pack(b"\n" * (8 << 20)))
    with pytest.raises(SourceError, match=r"no bomb, raise source\.batch\.files\.max_expansion"):
        read(tmp_path, "a", max_expansion=20)
    assert len(only(tmp_path, "a", max_expansion=1_000_000)) == 8 << 20


def test_members_of_an_archive_are_sources_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(
        zipped({"b/x.jsonl": b"1\n", "a.jsonl": LINES, "b/": b"", "__MACOSX/._a.jsonl": b"\0"})
    )
    base = (tmp_path / "a.zip").as_uri()
    found = read(tmp_path, "a.zip", block_bytes=1000)
    assert found == {f"{base}!a.jsonl": LINES, f"{base}!b/x.jsonl": b"1\n"}


def test_hostile_member_names_are_only_names(tmp_path: Path) -> None:
    inner = tmp_path / "in"
    inner.mkdir()
    names = ["../../x", "/etc/x", "a!b@2", "c:\\x", "é\n"]
    (inner / "a.zip").write_bytes(zipped(dict.fromkeys(names, b"1\n")))
    found = read(inner, "a.zip")
    base = (inner / "a.zip").as_uri()
    assert {name.removeprefix(base + "!") for name in found} == {
        "../../x",
        "/etc/x",
        "a%21b%402",
        "c%3A%5Cx",
        "%C3%A9%0A",
    }
    assert set(found.values()) == {b"1\n"}
    assert [p.name for p in tmp_path.rglob("*")] == ["in", "a.zip"]


def test_a_damaged_member_fails_the_reading(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).bytes(9000)
    packed = bytearray(zipped({"a": noise}))
    packed[4000] ^= 255
    (tmp_path / "a.zip").write_bytes(packed)
    with pytest.raises(SourceError, match=r"must be whole; got damage in .*a\.zip after \d+"):
        read(tmp_path, "a.zip")
    (tmp_path / "a.zip").write_bytes(packed[:5000])
    with pytest.raises(SourceError, match=r"must be whole; got damage in .*a\.zip"):
        read(tmp_path, "a.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_cannot_be_told_apart_or_read_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    (tmp_path / "a.zip").write_bytes(out.getvalue())
    with pytest.raises(SourceError, match="names in a zip archive must be unique"):
        read(tmp_path, "a.zip")
    packed = bytearray(zipped({"a": b"1"}))
    packed[packed.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(packed)
    with pytest.raises(SourceError, match="must not be encrypted"):
        read(tmp_path, "a.zip")


def test_a_name_that_says_another_compression_than_the_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(b'{"a": 1}\n')
    with pytest.raises(SourceError, match=r"says \(gzip\); got plain bytes in .*a\.gz"):
        read(tmp_path, "a.gz")
    assert only(tmp_path, "a.gz", compression="none") == b'{"a": 1}\n'
    (tmp_path / "b.jsonl").write_bytes(gzip.compress(b"{}\n"))
    assert only(tmp_path, "b.jsonl") == b"{}\n"
    with pytest.raises(SourceError, match=r"\(zstd\); got gzip"):
        read(tmp_path, "b.jsonl", compression="zstd")


@pytest.mark.parametrize("name", ["a.gz", "a.zst", "a.zip", "a"])
def test_a_file_without_bytes_is_empty_whatever_its_name(name: str) -> None:
    assert compression_of(name, b"") == "none"
