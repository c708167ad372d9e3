"""Messages of a stream are decoded as lines of a file are, each a text of its own."""

from __future__ import annotations

import pickle

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from schemas.names import POSITION, SOURCE
from tests.unit.transforms.raws import CONTRACT, beat, raw
from transforms.decode.json_lines import JsonDecoder
from transforms.decode.messages import MessageDecoder
from transforms.sources.blocks import Block
from transforms.sources.streams.raw import find_rows, spans_of, with_watermark

DECODER = MessageDecoder(CONTRACT)


def refused(*payloads: bytes | None) -> list[tuple[int, str]]:
    found = DECODER.decode(raw(*(("t/0", 10 + i, p) for i, p in enumerate(payloads)))).refused
    return (
        []
        if found is None
        else list(zip(found[POSITION].to_pylist(), found["rule"].to_pylist(), strict=True))
    )


def test_a_message_may_hold_line_ends_and_moves_no_other() -> None:
    found = DECODER.decode(
        raw(("t/0", 5, beat(1, 1)), ("t/0", 6, b'{\n"at":\r\n"1970-01-01T00:00:02Z"}\n'))
    )
    assert found.refused is None
    assert found.rows[POSITION].to_pylist() == [5, 6]
    assert found.rows["n"].to_pylist() == [1, None]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'{"at":"1970-01-01T00:00:00Z"}{"at":1}',
        b'{"at":',
        b"\xff",
        b"{}{",
    ],
    ids=repr,
)
def test_what_is_not_one_json_object_is_refused_alone(payload: bytes) -> None:
    assert refused(beat(1), payload, beat(2)) == [(11, "json")]


def test_a_tombstone_is_refused_without_a_record() -> None:
    found = DECODER.decode(raw(("t/0", 7, None), ("t/0", 8, beat(1)), ("t/0", 9, b"x")))
    assert found.rows[POSITION].to_pylist() == [8]
    assert found.refused.to_pydict()[POSITION] == [7, 9]
    assert found.refused.to_pydict()["rule"] == ["tombstone", "json"]
    assert found.refused.to_pydict()["record"] == [None, b"x"]
    alone = DECODER.decode(raw(("t/0", 7, None)))
    assert (alone.rows.num_rows, alone.refused.num_rows) == (0, 1)


def test_a_character_cut_in_half_between_two_messages_is_whole_in_neither() -> None:
    first, second = b'{"n":1}\xc3', b'\xa9{"n":2}'
    assert (first + second).decode()
    assert refused(first, second, beat(1)) == [(10, "json"), (11, "json")]


@given(
    st.lists(st.binary(max_size=4) | st.sampled_from([beat(1), b'{"n":1}', b'"\\', b"\\", b'"']))
)
@settings(max_examples=150)
def test_messages_have_the_fate_of_the_same_lines(payloads: list[bytes]) -> None:
    whole = [p for p in payloads if b"\n" not in p and b"\r" not in p and p.strip(b" \t")]
    whole = [p for p in whole if not p.startswith(b"\xef\xbb\xbf")]
    data = b"".join(p + b"\n" for p in whole)
    lines = JsonDecoder(CONTRACT).decode(Block("t/0", 1, np.frombuffer(data, np.uint8), 0))
    start = np.cumsum([1] + [len(p) + 1 for p in whole]).tolist()
    got = DECODER.decode(raw(*(("t/0", at, p) for at, p in zip(start, whole, strict=False))))
    assert got.rows["n"].to_pylist() == lines.rows["n"].to_pylist()
    bad = [] if got.refused is None else got.refused.select([POSITION, "record"]).to_pylist()
    want = [] if lines.refused is None else lines.refused.select([POSITION, "record"]).to_pylist()
    assert bad == want


def test_records_are_found_by_source_and_position() -> None:
    batch = raw(("t/0", 1, beat(1, 1)), ("t/1", 1, beat(1, 2)), ("t/0", 2, beat(1, 3)))
    found = DECODER.decode(batch)
    assert found.records(found.rows.take(pa.array([1, 2, 0]))).to_pylist() == [
        beat(1, 2),
        beat(1, 3),
        beat(1, 1),
    ]
    with pytest.raises(ValueError, match="places must be of this batch"):
        found.records(raw(("t/1", 2, b"")).select([SOURCE, POSITION]))
    with pytest.raises(ValueError, match="places must be of this batch"):
        find_rows(batch, raw(("other", 1, b"")))


def test_an_event_time_too_far_ahead_of_its_arrival_is_refused() -> None:
    decoder = MessageDecoder(CONTRACT, max_future_us=5_000_000)
    found = decoder.decode(raw(("t/0", 1, beat(15)), ("t/0", 2, beat(15.001)), arrived=10_000_000))
    assert found.rows[POSITION].to_pylist() == [1]
    (dead,) = found.refused.to_pylist()
    assert (dead["_position"], dead["rule"], dead["record"]) == (2, "event_time", beat(15.001))
    assert dead["reason"] == "`at` must be at most 5s after the message's arrival"


def test_rows_keep_their_watermark_and_arrival() -> None:
    batch = with_watermark(raw(("t/0", 1, beat(1)), arrived=7), 42)
    assert spans_of(batch)[0].rows == 1
    row = pickle.loads(pickle.dumps(DECODER)).decode(batch).rows.slice(0, 1)
    assert row["_watermark"].cast(pa.int64()).to_pylist() == [42]
    assert row["_arrived"].cast(pa.int64()).to_pylist() == [7]
    assert row["_source"].to_pylist() == ["t/0"]


def test_an_empty_batch_has_no_rows() -> None:
    found = DECODER.decode(raw(("t/0", 1, beat(1))).slice(0, 0))
    assert (found.rows.num_rows, found.refused) == (0, None)


def test_a_slice_of_a_batch_is_decoded_as_what_it_holds() -> None:
    batch = raw(*(("t/0", i, beat(i, i)) for i in range(5))).slice(2, 2)
    assert DECODER.decode(batch).rows["n"].to_pylist() == [2, 3]
