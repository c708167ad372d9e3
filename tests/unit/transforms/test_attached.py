"""Columns that stand in keys and headers of messages."""

from __future__ import annotations

import pickle
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.contract import OnChange
from schemas.names import POSITION, TIMESTAMP
from tests import contracts
from tests.unit.transforms.raws import raw
from transforms.changes.meet import Meet
from transforms.decode.attached_records import apart, together
from transforms.decode.messages import MessageDecoder
from transforms.sources.streams.raw import HEADERS, HEADERS_FIELD, KEY, KEY_FIELD

CONTRACT = contracts.contract(
    contracts.column("who", "string", pa.string()),
    contracts.column("n", "integer", pa.int64()),
    contracts.column("at", "timestamp", TIMESTAMP),
    event_time="at",
)
DECODER = MessageDecoder(CONTRACT, key="who", headers={"at": "time"})
AT = ("time", b"2026-03-01T00:00:00Z")


def batch(*messages: tuple[bytes | None, list[tuple[str, bytes | None]], bytes | None]) -> Any:
    plain = raw(*(("t", i, payload) for i, (_, _, payload) in enumerate(messages)))
    headers = [[{"name": n, "value": v} for n, v in found] for _, found, _ in messages]
    columns = [
        pa.array([k for k, _, _ in messages], pa.binary()),
        pa.array(headers, HEADERS_FIELD.type),
    ]
    out = plain.add_column(1, KEY_FIELD, columns[0]).add_column(2, HEADERS_FIELD, columns[1])
    assert {KEY, HEADERS} < set(out.schema.names)
    return out


def test_columns_come_from_keys_and_headers_in_the_contracts_order() -> None:
    found = pickle.loads(pickle.dumps(DECODER)).decode(
        batch((b"me", [("x", b"1"), AT], b'{"n":1,"who":"not me"}'), (None, [AT], b'{"n":2}'))
    )
    assert found.refused is None
    assert found.rows.schema.names[:3] == ["who", "n", "at"]
    assert found.rows.schema == MessageDecoder(CONTRACT).schema
    assert found.rows["who"].to_pylist() == ["me", None]
    assert found.rows["n"].to_pylist() == [1, 2]


def test_of_headers_of_one_name_the_last_counts() -> None:
    found = DECODER.decode(
        batch((b"", [("time", b"x"), AT], b"{}"), (b"", [AT, ("time", b"x")], b"{}"))
    )
    assert found.rows[POSITION].to_pylist() == [0]


def test_what_does_not_fit_is_refused_with_its_payload_key_and_headers() -> None:
    found = DECODER.decode(
        batch(
            (b"\xff", [AT], b'{"n":1}'),
            (b"b", [("time", b"soon")], b'{"n":2}'),
            (b"c", [AT], b"broken"),
            (b"d", [("time", None)], b'{"n":4}'),
            (b"e", [], b'{"n":5}'),
            (b"f", [AT], b'{"n":6}'),
            (b"g", [AT], None),
        )
    )
    assert found.rows["who"].to_pylist() == ["f"]
    dead = [(d[POSITION], d["rule"], d["record"]) for d in found.refused.to_pylist()]
    time = b"header time: 2026-03-01T00:00:00Z\n\n"
    assert dead == [
        (0, "type", b"key: %FF\n" + time + b'{"n":1}'),
        (1, "event_time", b'key: b\nheader time: soon\n\n{"n":2}'),
        (2, "json", b"key: c\n" + time + b"broken"),
        (3, "event_time", b'key: d\nheader time\n\n{"n":4}'),
        (4, "event_time", b'key: e\n\n{"n":5}'),
        (6, "tombstone", None),
    ]
    assert {d["format"] for d in found.refused.to_pylist()[:-1]} == {"json+attached"}


def test_a_contract_could_have_what_is_in_payloads_beside_keys_and_headers() -> None:
    met = MessageDecoder(CONTRACT, key="who", headers={"at": "time"}, meet=Meet(CONTRACT))
    new = [(b"a", [AT], b'{"n":1,"coupon":true}')] * 3
    changes = met.decode(batch(*new, *[(b"a", [AT], b'{"n":1.5}')] * 9)).changes
    made = {c.name: c.proposal.logical for c in changes if c.proposal is not None}
    assert made == {"coupon": "boolean", "n": "number"}
    assert {change.format for change in changes} == {"json"}


def test_a_contract_could_have_what_is_in_keys_and_headers_and_not_what_payloads_call_so() -> None:
    contract = contracts.contract(
        contracts.column("who", "integer", pa.int64()), contracts.column("at", "date", pa.date32())
    )
    met = MessageDecoder(contract, key="who", headers={"at": "time"}, meet=Meet(contract))
    other = b'{"who": true, "at": 1.5}'
    messages = [(b"1.5", [("time", b"x"), AT], other), (b"2.5", [AT], other)]
    changes = {c.name: c for c in met.decode(batch(*messages)).changes}
    assert {n: c.proposal and c.proposal.logical for n, c in changes.items()} == {"who": "number"}
    assert changes["who"].shape == "9.9"
    assert changes["who"].texts


def test_what_a_header_has_is_looked_at_where_it_is_passed_over() -> None:
    contract = contracts.contract(
        contracts.column("at", "date", pa.date32(), on_change=OnChange.DISCARD_VALUE)
    )
    met = MessageDecoder(contract, headers={"at": "time"}, meet=Meet(contract))
    (change,) = met.decode(batch(*[(None, [("time", b"x"), AT], b"{}")] * 3)).changes
    assert (change.rows, change.proposal and change.proposal.logical) == (3, "timestamp")


@given(
    st.lists(
        st.tuples(
            st.none() | st.binary(max_size=5),
            st.lists(st.tuples(st.text(max_size=4), st.none() | st.binary(max_size=5)), max_size=3),
            st.binary(max_size=9),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_record_taken_apart_is_the_message_that_it_was_made_of(
    messages: list[tuple[bytes | None, list[tuple[str, bytes | None]], bytes]],
) -> None:
    whole = batch(*messages)
    parts = apart(together(whole["record"], whole, whole))
    assert not parts.broken.any()
    assert parts.payloads.equals(whole["record"])
    assert parts.keys.equals(whole[KEY])
    assert parts.headers.equals(whole[HEADERS])


@pytest.mark.parametrize("record", [b'{"n":1}', b"", b"key: x", b"key: x\nn: 1\n\n{}"])
def test_other_records_are_broken(record: bytes) -> None:
    assert apart(pa.array([record])).broken.tolist() == [True]
