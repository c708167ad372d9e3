"""Protection where decode saw the values: what it gives when it looks for them itself."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from schemas.contract import Protection
from schemas.names import TIMESTAMP
from schemas.plan import FileSource
from tests.contracts import column, contract
from transforms.decode.decoder import make_decoder
from transforms.decode.json_shape import rows_of
from transforms.keys import Key, Keyring
from transforms.open_objects import put_at
from transforms.protect import protect
from transforms.sources.blocks import Block
from transforms.validate import validate

TEXT = pa.string()


def leaf(name: str, logical: str, kind: pa.DataType, **options: object):
    return column(name, logical, kind, path=f"p.{name}", **options)


HIDDEN = {"protect": Protection.PSEUDONYMIZE}
CONTRACT = replace(
    contract(
        column("id", "string", TEXT, required=True),
        column("n", "integer", pa.int64()),
        column(
            "p",
            "object",
            TEXT,
            open=True,
            children=(
                leaf("t", "timestamp", TIMESTAMP),
                leaf("email", "string", TEXT, required=True, **HIDDEN),
                leaf("age", "integer", pa.int64(), **HIDDEN),
                leaf("name", "string", TEXT, protect=Protection.MASK),
            ),
        ),
    ),
    event_time="p.t",
)
RING = Keyring((Key("0123456789abcdef0123"),))


def line(i: int, rng: random.Random) -> bytes:
    p = {
        "t": rng.choice(["2026-01-01T00:00:00Z"] * 9 + [None]),
        "email": rng.choice([f"e{i}"] * 9 + [None, "", 'q"uote', "zoë"]),
        "age": rng.choice([1, 2, None, 77]),
        "name": f"N{i}",
        "x": rng.choice([1, f"e{i}"]),
    }
    if rng.random() < 0.2:
        del p["age"]
    whole = {"id": f"i{i}", "n": rng.choice([1, 2, "broken"]), "p": p}
    if rng.random() < 0.05:
        whole["p"] = None
    text = json.dumps(whole, ensure_ascii=rng.random() < 0.5).encode()
    return text if rng.random() < 0.97 else text[:-1]


@pytest.mark.parametrize("rows", [3, 60, 2000])
def test_values_are_protected_alike_with_and_without_the_places_that_decode_saw(rows: int) -> None:
    rng = random.Random(rows)
    decoder = make_decoder(CONTRACT, FileSource(path="x", format="json"))
    for _ in range(2):  # it learns from the first block
        data = b"\n".join(line(i, rng) for i in range(rows))
        decoded = decoder.decode(Block("s", 0, np.frombuffer(data, np.uint8), 5))
    checked = validate(decoded.rows, CONTRACT)
    kept = np.delete(np.arange(decoded.rows.num_rows), checked.numbers)
    places = {path: rows_of(place, kept) for path, place in decoded.places.items()}
    assert places
    protected = protect(checked.rows, CONTRACT, RING, places)
    protected.validate(full=True)
    assert protected.equals(protect(checked.rows, CONTRACT, RING))
    texts = (protected[n].to_pylist() for n in ("p", "p.email"))
    for clear, made, email in zip(checked.rows["p"].to_pylist(), *texts, strict=True):
        if clear is not None:
            before, after = json.loads(clear), json.loads(made)
            assert (before.keys(), before["x"]) == (after.keys(), after["x"])
            assert after["email"] == email


def test_places_of_other_rows_are_refused_and_leave_nothing_in_clear() -> None:
    lines = b'{"id":"a","p":{"t":"2026-01-01T00:00:00Z","email":"abc"}}\n' * 3
    decoder = make_decoder(CONTRACT, FileSource(path="x", format="json"))
    decoded = decoder.decode(Block("s", 0, np.frombuffer(lines, np.uint8), 5))
    place = decoded.places["p.email"]
    for wrong in (rows_of(place, np.array([0])), replaced(place, 1)):
        with pytest.raises(ValueError, match="places must be those of the values"):
            put_at(decoded.rows["p"], [(wrong, pa.array(["x", "y", "z"]))])


def replaced(place, by: int):
    return place._replace(start=place.start + by, end=place.end + by)
