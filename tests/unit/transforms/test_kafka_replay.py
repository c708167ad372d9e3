"""What is sent to a topic of the records of files, and in which order."""

from __future__ import annotations

import io
from dataclasses import replace

import fastavro
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from schemas.errors import UsageError
from schemas.plan import FileSource
from tests.unit.transforms.raws import CONTRACT, beat, raw
from transforms.decode.decoder import make_decoder
from transforms.decode.messages import MessageDecoder
from transforms.sinks.avro_texts import avro_schema
from transforms.sinks.kafka_replay import AvroValues, messages_of, sending_order
from transforms.sources.blocks import Block


@given(st.lists(st.integers(0, 1000), max_size=60), st.integers(0, 200), st.integers(0, 9))
def test_no_message_is_sent_after_one_younger_by_more_than_the_disorder(
    times: list[int], disorder: int, seed: int
) -> None:
    order = sending_order(np.array(times, np.int64), disorder, seed)
    sent = [times[i] for i in order]
    assert sorted(order.tolist()) == list(range(len(times)))
    assert all(max(sent[: i + 1]) - at <= disorder for i, at in enumerate(sent))


def test_without_disorder_event_time_orders_and_with_it_the_seed_decides() -> None:
    times = np.arange(100)[::-1]
    assert sending_order(times, 0, 1).tolist() == list(range(100))[::-1]
    one, other = (sending_order(times, 50, seed).tolist() for seed in (1, 2))
    assert one != other
    assert one == sending_order(times, 50, 1).tolist()


def test_json_records_go_as_they_are_and_broken_ones_beside_their_neighbours() -> None:
    lines = [beat(1, 1), b"{broken", beat(2, 2) + b" "]
    data = np.frombuffer(b"\n".join(lines), np.uint8)
    decoder = make_decoder(CONTRACT, FileSource(path="x", format="json"))
    found = messages_of([decoder.decode(Block("x", 0, data, 0))], CONTRACT, "n")
    assert found.payloads.to_pylist() == lines
    assert found.keys.to_pylist() == [b"1", None, b"2"]
    assert found.times.tolist() == [1_000_000, 1_000_000, 2_000_000]


def test_rows_of_csv_come_back_the_same_from_their_messages() -> None:
    decoder = make_decoder(CONTRACT, FileSource(path="x", format="csv"))
    data = np.frombuffer(b"1970-01-01T00:00:01.5Z,7\n1970-01-02,\n", np.uint8)
    decoded = decoder.decode(Block("x", 0, data, 0, header=b"at,n"))
    payloads = messages_of([decoded], CONTRACT).payloads.to_pylist()
    again = MessageDecoder(CONTRACT).decode(raw(*(("t", i, p) for i, p in enumerate(payloads))))
    assert again.rows.select(["at", "n"]).equals(decoded.rows.select(["at", "n"]))
    assert again.rows.num_rows > 0


def test_as_avro_only_rows_that_the_contract_takes_are_sent() -> None:
    data = np.frombuffer(b"\n".join([beat(1, 1), b"{broken", beat(2, 2)]), np.uint8)
    decoder = make_decoder(CONTRACT, FileSource(path="x", format="json"))
    avro = AvroValues(CONTRACT, "beats")
    found = messages_of([decoder.decode(Block("x", 0, data, 0))], CONTRACT, "n", avro)
    assert found.keys.to_pylist() == [b"1", b"2"]
    assert found.times.tolist() == [1_000_000, 2_000_000]
    fields = [f for f in decoder.schema if f.name in ("at", "n")]
    schema = avro_schema("beats", "penstock", fields)
    read = [fastavro.schemaless_reader(io.BytesIO(x), schema) for x in found.payloads.to_pylist()]
    assert [row["n"] for row in read] == [1, 2]


def test_a_key_that_is_no_name_in_avro_is_refused() -> None:
    first, *rest = CONTRACT.columns
    strange = replace(CONTRACT, columns=(replace(first, physical="sold at"), *rest))
    with pytest.raises(UsageError, match="must have a name of letters"):
        AvroValues(strange, "beats")


def test_no_file_gives_no_message() -> None:
    found = messages_of([], CONTRACT)
    assert (len(found.payloads), len(found.times)) == (0, 0)
