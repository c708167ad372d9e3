"""A message may be several rows, each with a destiny of its own; none goes missing unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.names import POSITION, SEQUENCE
from tests.pipelines.shop import make_folder, sales
from tests.streams import Middle, raw, stream_plan
from transforms.continuous.committer import Memory
from transforms.decode.decoded import Decoded
from transforms.decode.messages import MessageDecoder
from transforms.land import UnbalancedError


class Twice:
    """Makes two rows of each message, of which a test may take some away."""

    def __init__(self, plain: MessageDecoder, lost: list[int]) -> None:
        self.plain, self.lost = plain, lost

    def decode(self, batch: pa.RecordBatch) -> Decoded:
        decoded = self.plain.decode(batch)
        count = decoded.rows.num_rows
        rows = decoded.rows.take(pa.array(np.repeat(np.arange(count), 2)))
        at = rows.schema.get_field_index(SEQUENCE)
        numbers = pa.array(np.tile([0, 1], count).astype(np.int32))
        rows = rows.set_column(at, rows.schema.field(at), numbers)
        left = pa.array(np.delete(np.arange(2 * count), self.lost))
        return decoded._replace(rows=rows.take(left), places={})


def middle(folder: Path, lost: list[int]) -> Middle:
    one = Middle(stream_plan(make_folder(folder)))
    one.asking = None  # both rows have one id
    decoder: Any = Twice(MessageDecoder(one.plan.contract), lost)
    one.admission.messages = decoder
    return one


def big(line: bytes) -> bool:
    return json.loads(line)["properties"]["amount"] > 5


def test_rows_of_one_message_land_together_and_are_counted(tmp_path: Path) -> None:
    one = middle(tmp_path, [])
    lines = sales(0, 30).splitlines()
    one.committer().commit([one.ship(raw([*lines, b"broken"]))], Memory())
    kept = [i for i, line in enumerate(lines) if big(line)]
    rows = one.lake.read(one.plan.processed)
    assert sorted(rows[POSITION].to_pylist()) == sorted(kept * 2)
    ledger = one.lake.read(one.plan.operations("ledger")).to_pylist()
    assert sum(row["rows"] for row in ledger) == 2 * len(lines) + 1


@pytest.mark.parametrize("lost", [[0], [4, 5]], ids=["a first row", "a whole message"])
def test_rows_that_decode_loses_stop_the_stream(tmp_path: Path, lost: list[int]) -> None:
    with pytest.raises(UnbalancedError, match="every message read must have one destiny"):
        middle(tmp_path, lost).ship(raw(sales(0, 30).splitlines()))
