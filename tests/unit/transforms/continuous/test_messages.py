"""Raw messages to rows and refusals, at their own positions and with their own bytes."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas.contract_file import load_contract
from tests.pipelines.shop import CONTRACT
from tests.streams import ARRIVED, raw
from transforms.continuous.messages import RAW, JsonMessages

GOOD = b'{"sale_id": "s1", "sold_at": "2026-03-01T00:00:00Z", "country": "de"}'


@pytest.fixture
def messages(tmp_path: Path) -> JsonMessages:
    (tmp_path / "contract.odcs.yaml").write_text(CONTRACT)
    return JsonMessages(load_contract(tmp_path / "contract.odcs.yaml"))


def _refused(messages: JsonMessages, batch: pa.RecordBatch) -> list[dict[str, Any]]:
    dead = messages.decode(batch).refused
    return [] if dead is None else sorted(dead.to_pylist(), key=lambda r: r["_position"])


def test_a_newline_within_a_message_is_white_space(messages: JsonMessages) -> None:
    pretty = GOOD.replace(b", ", b",\n  ")
    rows = messages.decode(raw([GOOD, pretty, GOOD], first=7)).rows
    assert rows["_position"].to_pylist() == [7, 8, 9]
    assert rows["country"].to_pylist() == ["de"] * 3


def test_two_documents_in_one_message_are_refused_with_its_bytes(messages: JsonMessages) -> None:
    both = GOOD + b"\n" + GOOD
    dead = _refused(messages, raw([GOOD, both]))
    assert [(r["_position"], r["rule"], r["record"]) for r in dead] == [(1, "json", both)]


def test_a_message_of_nothing_is_refused(messages: JsonMessages) -> None:
    dead = _refused(messages, raw([b"", GOOD, b" \n ", None, b"\xef\xbb\xbf" + GOOD]))
    assert [(r["_position"], r["rule"]) for r in dead] == [(p, "json") for p in (0, 2, 3, 4)]
    assert [r["record"] for r in dead[:3]] == [b"", b" \n ", None]
    assert {r["_arrived"] for r in dead} == {ARRIVED}


def test_messages_of_several_partitions_keep_their_places(messages: JsonMessages) -> None:
    parts = [raw([GOOD, b"x"], "c/t/1", 5), raw([b"y", GOOD], "c/t/0", 5)]
    table = pa.Table.from_batches(parts).unify_dictionaries().combine_chunks()
    batch = pa.RecordBatch.from_arrays(table.to_batches()[0].columns, schema=RAW)
    decoded = messages.decode(batch)
    places = zip(
        decoded.rows["_source"].to_pylist(), decoded.rows["_position"].to_pylist(), strict=True
    )
    assert list(places) == [("c/t/1", 5), ("c/t/0", 6)]
    found = [(r["_source"], r["_position"], r["record"]) for r in decoded.refused.to_pylist()]
    assert found == [("c/t/1", 6, b"x"), ("c/t/0", 5, b"y")]
    originals = decoded.records(decoded.rows.select(["_source", "_position", "_sequence"]))
    assert originals.to_pylist() == [GOOD, GOOD]
