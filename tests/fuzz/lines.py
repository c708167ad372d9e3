"""Any bytes as a JSON lines file: what must hold of every line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.contract import Column, Contract, Protection, Rule
from schemas.errors import SourceError
from schemas.names import POSITION
from schemas.plan import FileSource
from transforms.decode.decoder import make_decoder
from transforms.keys import resolve
from transforms.outcome import refused
from transforms.protect import Protector
from transforms.sealing import open_sealed
from transforms.sources.files import discover, scan
from transforms.validate import validate

S = pa.string()
OTHER_FORMATS = (b"PAR1", b"Obj\x01")
MAIL = Column(
    name="mail", path="p.mail", type=S, logical="string", protect=Protection.PSEUDONYMIZE,
    classification="restricted",
)  # fmt: skip
CONTRACT = Contract(
    id="t", name="t", version="1", file=Path("c"), event_time=None, primary_key=(), hash="",
    columns=(
        Column(name="id", path="id", type=S, logical="string", required=True),
        Column(name="n", path="n", type=pa.int64(), logical="integer",
               rules=(Rule(kind="minimum", value=0),)),
        Column(name="a", path="a", type=pa.list_(pa.float64()), logical="array"),
        Column(name="p", path="p", type=S, logical="object", open=True, children=(MAIL,)),
    ),
)  # fmt: skip


def lines_of(data: bytes) -> dict[int, bytes]:
    """Every line that is not blank, by its offset, without its line end."""
    at, out = 0, {}
    for line in data.split(b"\n"):
        record, start = line.removesuffix(b"\r"), at
        if at == 0 and record.startswith(b"\xef\xbb\xbf"):
            record, start = record[3:], 3
        if record.strip(b" \t\r"):
            out[start] = record
        at += len(line) + 1
    return out


def check(data: bytes, folder: Path, block_bytes: int) -> tuple[int, int]:
    """Admit a file of these bytes; each line must be in rows or refused, once, with its record.

    A file that begins as another format does is refused as a whole.

    Returns:
        How many were kept and refused.
    """
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data/x.jsonl").write_bytes(data)
    if not (folder / "keys").exists():
        (folder / "keys").write_text("a-secret-of-the-fuzz-tests-0123456789")
        (folder / "keys").chmod(0o600)
    source = FileSource(path="data/x.jsonl", compression="none")
    if data.startswith(OTHER_FORMATS):
        with pytest.raises(SourceError, match="must be a json file"):
            discover(source, folder, {})
        return 0, 0
    decoder = make_decoder(CONTRACT, source)
    protector = Protector(CONTRACT, "file:keys", folder)
    kept: list[int] = []
    dead: list[dict] = []
    for piece in discover(source, folder, {}).slices:
        for block in scan(replace(piece, block_bytes=block_bytes)):
            decoded = decoder.decode(block)
            checked = validate(decoded.rows, CONTRACT)
            broken = None
            if len(checked.numbers):
                at = decoded.rows.take(pa.array(checked.numbers))
                broken = refused(
                    decoded.rows, checked.numbers, "validate", checked.rules, checked.reasons,
                    record=decoded.records(at), format=decoded.format,
                )  # fmt: skip
            rows = protector.protect(checked.rows)
            kept += rows[POSITION].to_pylist()
            for batch in (decoded.refused, broken):
                if batch is not None:
                    dead += protector.seal(batch).to_pylist()
    lines = lines_of(data)
    assert sorted([*kept, *(d["_position"] for d in dead)]) == sorted(lines)
    records = open_sealed(
        pa.array([d["record"] for d in dead], pa.binary()), resolve("file:keys", folder)
    )
    for d, record in zip(dead, records.to_pylist(), strict=True):
        assert record == lines[d["_position"]]
        assert d["rule"]
        assert d["reason"]
    return len(kept), len(dead)
