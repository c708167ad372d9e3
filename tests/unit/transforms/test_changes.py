"""Changes are seen in records and messages of any form, met, counted, and told without values."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.contract import Column, Contract, OnChange
from schemas.names import POSITION
from schemas.plan import FileSource
from tests import contracts
from tests.unit.transforms.raws import raw
from transforms.changes.meet import Meet, SchemaChangeError
from transforms.changes.seen import MOST, Change, Kind, joined, many, merged
from transforms.decode.decoded import Decoded
from transforms.decode.decoder import FileDecoder, make_decoder
from transforms.decode.json_lines import JsonDecoder
from transforms.decode.messages import MessageDecoder
from transforms.inference.properties import Property
from transforms.sources.blocks import Block

ID = contracts.column("id", "integer", pa.int64(), required=True)
N = contracts.column("n", "integer", pa.int64())
INNER = contracts.column("k", "integer", pa.int64())
INNER = replace(INNER, path="box.k")
BOX = contracts.column("box", "object", pa.struct([("k", pa.int64())]), children=(INNER,))
MANY = contracts.column("many", "array", pa.list_(pa.int64()))
OPEN = contracts.column(
    "bag", "object", pa.string(), open=True, children=(replace(INNER, path="bag.k"),)
)
JSON = FileSource(path="x", format="json")


def contract(mode: OnChange | None, *columns: Column) -> Contract:
    return replace(contracts.contract(*(columns or (ID, N))), on_change=mode)


def block(*rows: Any, start: int = 0) -> Block:
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    return Block("file:///x.jsonl", start, np.frombuffer(text.encode(), np.uint8), 0)


def decoder(rules: Contract, source: FileSource = JSON) -> FileDecoder:
    return pickle.loads(pickle.dumps(make_decoder(rules, source, Meet(rules, source))))


def told(decoded: Decoded) -> dict[str, Any]:
    return {c.name: (str(c.kind), c.rows, c.position) for c in decoded.changes}


def test_keys_are_found_whatever_the_records_look_like_and_however_many_there_are() -> None:
    plain: list[Any] = [{"id": i, "n": 1} for i in range(3000)]
    strange = {7: {"id": 7, "new": 1}, 8: {"new": [1, {"n": 2}], "id": 8}, 2999: {"id": 1, "b": {}}}
    rows = [strange.get(i, row) for i, row in enumerate(plain)]
    starts = np.cumsum([0, *(len(json.dumps(r)) + 1 for r in rows)])
    one = decoder(contract(None))
    for _ in range(3):  # the second time shapes are known
        found = one.decode(block(*rows))
        assert told(found) == {
            "new": ("undeclared", 2, starts[7]),
            "b": ("undeclared", 1, starts[2999]),
        }
        assert found.rows.num_rows == len(rows)


ROWS = st.lists(
    st.dictionaries(
        st.sampled_from(["id", "n", "new", "other", "ü"]),
        st.sampled_from([1, "a", None, {"new": 1}, [{"x": 1}]]),
    ).map(lambda row: {"id": 1, **row, "n": 2}),
    min_size=1,
    max_size=60,
)


@given(ROWS, st.integers(1, 40))
def test_each_undeclared_key_is_counted_as_often_as_it_is_there(rows: Any, times: int) -> None:
    rows = [r | {"id": 1} for r in rows] * times
    want = {key: sum(key in r for r in rows) for key in ("new", "other", "ü")}
    one = decoder(contract(None))
    for _ in range(2):
        got = {c.name: c.rows for c in one.decode(block(*rows)).changes}
        assert got == {key: count for key, count in want.items() if count}


def test_nobody_looks_for_keys_where_nothing_meets_them() -> None:
    found = JsonDecoder(contract(None)).decode(block({"id": 1, "new": 1}))
    assert found.undeclared == ()


def test_keys_that_do_not_look_like_names_are_not_told() -> None:
    rows = [{"id": 1, f"p{i}@example.org": 1, f"{i:012}": 1} for i in range(300)]
    found = decoder(contract(OnChange.QUARANTINE)).decode(block(*rows))
    assert {name: rows for name, (_, rows, _) in told(found).items()} == {"": 300}
    assert found.refused is not None
    assert set(found.refused["reason"].to_pylist()) == {
        "columns of a record must be declared; got others"
    }


@pytest.mark.parametrize(
    "key",
    [
        "ann@example.org",
        "123-45-6789",
        "4111 1111 1111 1111",
        "DE89 3704 0044 0532 0130 00",
        "AB 12 34 56 C",
        "555-0147",
        "17",
        "10.0.0.1",
        "Anna Müller",
        "Ann Lee",
        "Li, Anna",
        "RSSMRA85T10A562S",
        "ann%40example.org",
        "李娜",
        "Peter Park",
        "Ann Price",
    ],
)
def test_a_key_that_may_be_personal_is_told_nowhere(key: str) -> None:
    found = decoder(contract(OnChange.QUARANTINE)).decode(block({"id": 1, key: 1}))
    assert list(told(found)) == [""]
    assert found.refused is not None
    assert key not in str(found.refused["reason"])


@pytest.mark.parametrize(
    "key",
    [
        "Cost Total $",
        "Jan Sales",
        "Order Total",
        "Mark Price",
        "Max Temp",
        "Customer Name",
        "address.line 2",
        "2024",
        "ü",
    ],
)
def test_a_key_that_is_a_name_is_told(key: str) -> None:
    found = decoder(contract(OnChange.QUARANTINE)).decode(block({"id": 1, key: 1}))
    assert list(told(found)) == [key]


def test_the_first_line_of_a_file_without_a_header_is_told_nowhere() -> None:
    source = FileSource(path="x", format="csv")
    rules = contract(OnChange.QUARANTINE, replace(ID, required=False), N)
    rows = b"Otto,Reykjavik\n"
    block = Block("file:///x.csv", 24, np.frombuffer(rows, np.uint8), 0, b"Kanarina,Oslo Town")
    found = decoder(rules, source).decode(block)
    assert {name for name, (kind, *_) in told(found).items() if kind == "undeclared"} == {""}
    known = decoder(rules, source).decode(replace(block, header=b"id,Oslo Town"))
    assert "Oslo Town" in told(known)


def test_a_reason_names_the_columns_and_no_value() -> None:
    rows = [{"id": 1, "b": "secret", "a": 1}, {"id": 2, "a": 1, "b": 1, "c": 1, "d": 1}]
    found = decoder(contract(OnChange.QUARANTINE)).decode(block(*rows))
    assert found.refused is not None
    assert found.refused["reason"].to_pylist() == [
        "columns of a record must be declared; got `a`, `b`",
        "columns of a record must be declared; got `a`, `b`, `c` and more",
    ]


@pytest.mark.parametrize(
    ("row", "want"),
    [
        ({"id": 1, "n": "x", "box": {"k": 1}, "many": [1]}, {"n": None}),
        ({"id": 1, "n": 1, "box": {"k": 1.5}, "many": [1]}, {"box": {"k": None}}),
        ({"id": 1, "n": 1, "box": 7, "many": [1]}, {"box": None}),
        ({"id": 1, "n": 1, "box": {"k": 1}, "many": [1, "x", 3]}, {"many": [1, None, 3]}),
        ({"id": 1, "n": 1, "box": {"k": 1}, "many": "x"}, {"many": None}),
    ],
)
def test_a_value_that_is_discarded_is_null_where_it_stood(row: Any, want: Any) -> None:
    rules = contract(OnChange.DISCARD_VALUE, ID, N, BOX, MANY)
    good = {"id": 1, "n": 1, "box": {"k": 1}, "many": [1]}
    found = decoder(rules).decode(block(good, row))
    assert found.refused is None
    assert found.rows.select(["id", "n", "box", "many"]).to_pylist() == [good, good | want]
    ((name, (kind, rows, position)),) = told(found).items()
    assert (name, kind, rows) == (*want, "type", 1)
    assert position == len(json.dumps(good)) + 1


def test_a_value_that_must_be_there_or_stays_in_a_text_is_refused_all_the_same() -> None:
    rules = contract(OnChange.DISCARD_VALUE, ID, OPEN)
    rows = [{"id": "x", "bag": {"k": 1}}, {"id": 1, "bag": {"k": "secret"}}, {"id": 1, "bag": 5}]
    found = decoder(rules).decode(block(*rows))
    assert found.refused is not None
    assert found.refused["rule"].to_pylist() == ["type", "type"]
    assert found.rows["bag"].to_pylist() == [None]


def test_values_of_csv_are_discarded_nested_ones_too() -> None:
    rules = contract(OnChange.DISCARD_VALUE, ID, N, BOX)
    source = FileSource(path="x", format="csv", delimiter=";")
    data = b'1;2;"{""k"": 1}"\n2;x;"{""k"": ""x""}"\n3;;{\n'
    found = decoder(rules, source).decode(
        Block("file:///x.csv", 9, np.frombuffer(data, np.uint8), 0, b"id;n;box")
    )
    assert found.refused is None
    assert found.rows["n"].to_pylist() == [2, None, None]
    assert found.rows["box"].to_pylist() == [{"k": 1}, {"k": None}, None]
    assert {n: rows for n, (_, rows, _) in told(found).items()} == {"n": 1, "box": 2}


@pytest.mark.parametrize("mode", [None, OnChange.QUARANTINE])
def test_a_column_over_blank_lines_only_is_no_change(mode: OnChange | None) -> None:
    data = np.frombuffer(b"\n\r\n", np.uint8)
    source = FileSource(path="x", format="csv")
    found = decoder(contract(mode), source).decode(Block("file:///x.csv", 9, data, 0, b"id,n,new"))
    assert (found.rows.num_rows, found.refused, found.changes) == (0, None, ())


def test_texts_that_mean_null_are_those_of_the_source() -> None:
    data = np.frombuffer(b"1,NA\n2,7\n", np.uint8)
    for nulls, want in ((("",), "string"), (("", "NA"), "integer")):
        source = FileSource(path="x", format="csv", nulls=nulls)
        found = decoder(contract(None), source).decode(Block("x", 7, data, 0, b"id,new"))
        (change,) = found.changes
        assert change.proposal is not None
        assert (change.rows, change.proposal.logical) == (2, want)


def test_messages_are_met_as_records_are_and_their_keys_and_headers_are_declared() -> None:
    who = contracts.column("who", "integer", pa.int64())
    rules = contract(OnChange.QUARANTINE, ID, N, who)
    one = MessageDecoder(rules, headers={"who": "who"}, meet=Meet(rules))
    payloads = (b'{"id":1,"who":9}', b'{"id":2,"new":1}', b'{"id":3,"n":"x"}', None)
    messages = raw(*(("t/0", 5 + i, payload) for i, payload in enumerate(payloads)))
    headers = pa.array(
        [[]] * 4, pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))
    )
    found = one.decode(messages.append_column("_headers", headers))
    assert found.rows[POSITION].to_pylist() == [5]
    assert found.refused is not None
    assert dict(
        zip(found.refused[POSITION].to_pylist(), found.refused["rule"].to_pylist(), strict=True)
    ) == {
        6: "undeclared",
        7: "type",
        8: "tombstone",
    }
    assert told(found) == {"new": ("undeclared", 1, 6), "n": ("type", 1, 7)}


def test_a_run_ends_at_the_first_change_and_a_replay_does_not() -> None:
    rules = contract(OnChange.FREEZE)
    rows = [{"id": 1}, {"id": 2, "new": "secret"}, {"id": 3, "new": 1}]
    with pytest.raises(SchemaChangeError, match=r"got 'new' in file:///x.jsonl at 10; ") as caught:
        decoder(rules).decode(block(*rows))
    assert "secret" not in str(caught.value)
    assert [c.name for c in caught.value.changes] == ["new"]
    again = make_decoder(rules, JSON, Meet(rules, ends=False)).decode(block(*rows))
    assert again.rows.num_rows == 1
    assert again.refused is not None
    assert again.refused["rule"].to_pylist() == ["undeclared", "undeclared"]


@pytest.mark.parametrize("mode", [OnChange.QUARANTINE, OnChange.DISCARD_VALUE])
def test_a_float_that_is_no_number_is_told_as_that_and_as_no_text(mode: OnChange) -> None:
    rules = contract(mode, ID, contracts.column("v", "number", pa.float64()))
    for values in ([float("nan"), 1.5], [float("-inf"), float("nan")], [float("inf")]):
        data = pa.record_batch({"id": range(len(values)), "v": values})
        one = decoder(rules, FileSource(path="x", format="parquet"))
        (change,) = one.decode(Block("file:///x.parquet", 0, data, 0)).changes
        assert (change.proposal, change.shape) == (None, "")
        assert change.note == "numbers must be finite; got NaN or infinite ones"


def test_wrong_values_count_over_all_blocks_and_are_a_change_where_one_has_many() -> None:
    one = decoder(contract(None))
    some, most, fine = (
        [{"id": 1, "n": "x" if i < bad else 1} for i in range(10)] for bad in (4, 7, 0)
    )

    def changes(*blocks: list[dict[str, Any]]) -> tuple[Change, ...]:
        found = (one.decode(block(*b, start=i * 1000)) for i, b in enumerate(blocks))
        return many(merged(Change.of_json(c.json()) for f in found for c in f.changes))

    assert changes(some, fine, some) == ()
    (change,) = changes(some, most, fine, some)
    assert (change.name, change.rows, change.position) == ("n", 4 + 7 + 4, 0)
    assert change.proposal is not None


def test_values_of_keys_without_end_are_looked_at_for_a_while_only() -> None:
    looked = []
    decode = decoder(contract(None))
    for number in range(9 * MOST):
        (found,) = decode.decode(block({"n": 1, f"k{number}": 1})).changes
        looked.append(found.proposal is not None)
    assert all(looked[:MOST])
    assert not any(looked[-MOST:])


def change(name: str, rows: int = 1, **options: Any) -> Change:
    return Change(
        **{"kind": Kind.UNDECLARED, "name": name, "rows": rows, "source": "s", "position": 0}
        | options
    )


def prop(logical: str, **options: Any) -> Property:
    return Property(name="a", key="a", logical=logical, **options)


def test_names_without_end_become_one() -> None:
    found = merged([change(f"k{i}", rows=1 + (i < 5)) for i in range(3 * MOST)])
    assert len(found) == MOST + 1
    assert found[0].name == ""
    assert found[0].rows == sum(1 + (i < 5) for i in range(3 * MOST)) - MOST - 5
    assert {c.name for c in found} >= {f"k{i}" for i in range(5)}


@pytest.mark.parametrize(
    ("one", "other", "form", "want"),
    [
        (prop("integer"), prop("number"), "json", "number"),
        (prop("integer"), prop("string"), "json", None),
        (prop("integer"), prop("string"), "csv", "string"),
        (prop("date"), prop("timestamp"), "json", "string"),
        (prop("boolean"), prop("integer"), "json", None),
        (prop("object", children=(prop("string"),)), prop("object"), "json", "object"),
        (prop("array", items=prop("string")), prop("array", items=prop("integer")), "json", None),
        (prop("string", options={"format": "uuid"}), prop("string"), "json", "string"),
        (
            prop("number", physical="DECIMAL(6,2)"),
            prop("number", physical="DECIMAL(5,4)"),
            "json",
            "DECIMAL(8,4)",
        ),
        (prop("number", physical="DECIMAL(6,2)"), prop("number"), "json", "number"),
    ],
)
def test_a_proposal_takes_the_values_of_all_blocks_or_there_is_none(
    one: Property, other: Property, form: str, want: str | None
) -> None:
    for first, second in ((one, other), (other, one)):
        got = joined(
            change("a", proposal=first, format=form), change("a", proposal=second, format=form)
        )
        assert got.rows == 2
        assert bool(got.note) == (want is None)
        made = got.proposal
        assert (made and (made.physical or made.logical)) == want
        assert Change.of_json(json.loads(json.dumps(got.json()))) == got


def test_what_looks_personal_in_one_block_is_personal_in_all() -> None:
    mail = prop(
        "string", classification="restricted", protect="pseudonymize", reason="Names a person."
    )
    for pair in ((mail, prop("string")), (prop("string"), mail)):
        got = joined(*(change("a", proposal=one) for one in pair)).proposal
        assert got is not None
        assert (got.classification, got.protect) == ("restricted", "pseudonymize")
    number = joined(
        change("a", proposal=mail, format="csv"),
        change("a", proposal=prop("integer"), format="csv"),
    ).proposal
    assert number is not None
    assert number.classification == "restricted"
