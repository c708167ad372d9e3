"""protect leaves nothing of a protected value, at any depth, and everything else as it was."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import ipaddress
import json
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.contract import Column, Protection, Rule
from schemas.errors import UsageError
from schemas.names import TIMESTAMP
from schemas.protection import Generalize, Mask, check, landed_schema, problem, protected_schema
from tests.contracts import contract
from transforms.batches import BatchCoder
from transforms.generalizing import generalized, masked
from transforms.json_fragments import json_fragments
from transforms.keys import Key, Keyring
from transforms.protect import Protector, protect
from transforms.sealing import open_sealed

KEY = Key("secret-of-the-tests")
RING = Keyring((Key("an older one of the tests"), KEY))
P = Protection


def column(name: str, kind: pa.DataType, protect: Protection = P.KEEP, **more: Any) -> Column:
    path = more.pop("path", name)
    options = tuple(sorted(more.pop("options", {}).items()))
    logical = more.pop("logical", "string")
    return Column(
        name=name,
        path=path,
        type=kind,
        logical=logical,
        protect=protect,
        protect_options=options,
        **more,
    )


def pseudonym(value: str) -> str:
    return f"{KEY.id}:{hmac.new(KEY.secret.encode(), value.encode(), hashlib.sha256).hexdigest()}"


IPV4 = (Rule(kind="format", value="ipv4"),)
NINE = (Rule(kind="max_length", value=9),)
LONG = (Rule(kind="max_length", value=200),)
CENTS = pa.decimal128(9, 2)
TEXTS = pa.list_(pa.string())
PERSON = pa.struct({"name": pa.string(), "phones": TEXTS, "age": pa.int64()})
VISIT = pa.struct({"ip": pa.string(), "page": pa.string()})
DEEP = contract(
    column("id", pa.string(), required=True),
    column("mail", pa.string(), P.PSEUDONYMIZE),
    column("note", pa.string(), P.DROP),
    column(
        "person",
        PERSON,
        children=(
            column("name", pa.string(), P.MASK, path="person.name", options={"keep_first": 1}),
            column("phones", TEXTS, P.PSEUDONYMIZE, path="person.phones"),
            column("age", pa.int64(), P.DROP, path="person.age"),
        ),
    ),
    column(
        "visits",
        pa.list_(VISIT),
        items=column(
            "items",
            VISIT,
            path="visits[]",
            children=(
                column(
                    "ip",
                    pa.string(),
                    P.GENERALIZE,
                    path="visits[].ip",
                    options={"prefix": 16},
                    rules=IPV4,
                ),
                column("page", pa.string(), path="visits[].page"),
            ),
        ),
    ),
    column(
        "p",
        pa.string(),
        open=True,
        children=(
            column("email", pa.string(), P.PSEUDONYMIZE, path="p.email"),
            column("amount", pa.float64(), path="p.amount"),
            column("tags", TEXTS, P.PSEUDONYMIZE, path="p.tags"),
            column("born", pa.date32(), P.GENERALIZE, path="p.born", options={"to": "year"}),
            column(
                "home",
                pa.string(),
                path="p.home",
                open=True,
                children=(
                    column("street", pa.string(), P.DROP, path="p.home.street"),
                    column("city", pa.string(), path="p.home.city"),
                ),
            ),
            column(
                "card",
                pa.string(),
                P.DROP,
                path="p.card",
                open=True,
                children=(column("number", pa.string(), path="p.card.number"),),
            ),
        ),
    ),
)


def deep_rows() -> pa.RecordBatch:
    texts = [
        """{"email":"canary@x","amount":1.5,"tags":["canary",null],"born":"2001-02-03",
        "home":{"street":"canary","city":"Seoul","x":1},"card":{"number":"canary"},
        "other":[12345678901234567890123,{"email":"free"}]}""",
        '{"email":null,"home":{}}',
        "{}",
        None,
    ]
    visit = {"ip": "10.20.30.40", "page": "/"}
    columns = {
        "id": pa.array(["1", "2", "3", "4"]),
        "mail": pa.array(["canary@x", None, "", "y"]),
        "note": pa.array(["canary"] * 4),
        "person": pa.array(
            [{"name": "canary", "phones": ["canary", None], "age": 40}, None, {"name": "A"}, {}],
            PERSON,
        ),
        "visits": pa.array([[visit, None], None, [], [visit]], pa.list_(VISIT)),
        "p": pa.array(texts),
        "p.email": pa.array(["canary@x", None, None, None]),
        "p.amount": pa.array([1.5, None, None, None]),
        "p.tags": pa.array([["canary", None], None, None, None], TEXTS),
        "p.born": pa.array([dt.date(2001, 2, 3), None, None, None]),
        "p.home.street": pa.array(["canary", None, None, None]),
        "p.home.city": pa.array(["Seoul", None, None, None]),
        "p.card.number": pa.array(["canary", None, None, None]),
        "_position": pa.array(range(4), pa.int64()),
    }  # fmt: skip
    return pa.record_batch(columns)


def test_every_depth_is_protected_and_the_rest_stays() -> None:
    rows = protect(deep_rows(), DEEP, RING)
    first, second, third, fourth = rows.drop_columns(["p"]).to_pylist()
    mail, canary = pseudonym("canary@x"), pseudonym("canary")
    assert first == {
        "id": "1",
        "mail": mail,
        "person": {"name": "c*****", "phones": [canary, None]},
        "visits": [{"ip": "10.20.0.0/16", "page": "/"}, None],
        "p.email": mail,
        "p.amount": 1.5,
        "p.tags": [canary, None],
        "p.born": dt.date(2001, 1, 1),
        "p.home.city": "Seoul",
        "_position": 0,
    }
    assert second["person"] is None
    assert second["visits"] is None
    assert third["person"] == {"name": "*", "phones": None}
    assert third["mail"] == pseudonym("")
    assert fourth["visits"] == [{"ip": "10.20.0.0/16", "page": "/"}]


def test_an_open_object_is_rewritten_in_place_and_keeps_what_is_not_declared() -> None:
    texts = protect(deep_rows(), DEEP, RING).column("p").to_pylist()
    assert json.loads(texts[0]) == {
        "email": pseudonym("canary@x"),
        "amount": 1.5,
        "tags": [pseudonym("canary"), None],
        "born": "2001-01-01",
        "home": {"city": "Seoul", "x": 1},
        "other": [12345678901234567890123, {"email": "free"}],
    }
    assert "12345678901234567890123" in texts[0]
    assert json.loads(texts[1]) == {"email": None, "home": {}}
    assert texts[2:] == ["{}", None]


def test_the_schema_is_the_one_that_was_promised() -> None:
    rows = protect(deep_rows(), DEEP, RING)
    promised = protected_schema(DEEP)
    assert rows.schema == pa.schema([*promised, pa.field("_position", pa.int64())])
    assert landed_schema(DEEP).names == ["id", "mail", "person", "visits", "p"]
    assert promised.field("person").type == pa.struct({"name": pa.string(), "phones": TEXTS})
    rows.validate(full=True)


def test_a_slice_is_protected_as_the_whole_is() -> None:
    whole = protect(deep_rows(), DEEP, RING)
    for start in range(4):
        assert (
            protect(deep_rows().slice(start, 1), DEEP, RING).to_pylist()
            == whole.slice(start, 1).to_pylist()
        )


def holds_canary(rows: pa.RecordBatch) -> bool:
    return b"canary" in BatchCoder().encode(rows)


def bare(made: Column) -> Column:
    children = tuple(map(bare, made.children))
    items = bare(made.items) if made.items else None
    return Column(
        name=made.name, path=made.path, type=made.type, logical=made.logical,
        open=made.open, children=children, items=items,
    )  # fmt: skip


def test_no_byte_of_a_canary_is_left_and_without_protection_it_is_found() -> None:
    assert holds_canary(protect(deep_rows(), contract(*map(bare, DEEP.columns)), RING))
    assert not holds_canary(protect(deep_rows(), DEEP, RING))


def test_a_contract_without_protection_changes_nothing() -> None:
    plain = contract(column("a", pa.string()), column("b", pa.int64()))
    rows = pa.record_batch({"a": ["x"], "b": [1]})
    assert protect(rows, plain, None).equals(rows)


def test_a_pseudonym_needs_a_key() -> None:
    rows = pa.record_batch({"mail": ["canary"]})
    with pytest.raises(UsageError, match="mail: a pseudonym must have a key") as error:
        protect(rows, contract(column("mail", pa.string(), P.PSEUDONYMIZE)), None)
    assert "canary" not in str(error.value)


def test_a_nested_event_time_is_made_coarser_with_its_copy() -> None:
    kind = pa.struct({"at": TIMESTAMP})
    at = column("at", TIMESTAMP, P.GENERALIZE, path="s.at", options={"to": "hour"})
    made = contract(column("s", kind, children=(at,)), event_time="s.at")
    when = dt.datetime(2026, 1, 1, 12, 34, tzinfo=dt.UTC)
    rows = pa.record_batch(
        {"s": pa.array([{"at": when}], kind), "_event_time": pa.array([when], TIMESTAMP)}
    )
    hour = when.replace(minute=0)
    assert protect(rows, made, None).to_pylist() == [{"s": {"at": hour}, "_event_time": hour}]


@settings(max_examples=60)
@given(st.lists(st.one_of(st.none(), st.text(max_size=8))), st.integers(0, 4), st.integers(0, 4))
def test_a_mask_shows_the_ends_of_long_texts_only(
    texts: list[str | None], first: int, last: int
) -> None:
    def plain(text: str) -> str:
        if len(text) <= first + last:
            return "\\" * len(text)
        hidden = len(text) - first - last
        return text[:first] + "\\" * hidden + text[len(text) - last :]

    made = masked(pa.array(texts, pa.string()), Mask(keep_first=first, keep_last=last, fill="\\"))
    assert made.to_pylist() == [None if text is None else plain(text) for text in texts]


def test_what_a_text_holds_is_masked_at_any_depth() -> None:
    within = {"options": {"within": ("email", "ip")}}
    kind = pa.struct({"said": TEXTS})
    found = contract(
        column("id", pa.string(), required=True),
        column("note", pa.string(), P.MASK, **within),
        column("more", kind, children=(column("said", TEXTS, P.MASK, path="more.said", **within),)),
    )
    rows = pa.record_batch(
        {
            "id": ["a@b.de"],
            "note": ["a@b.de from 10.1.2.3"],
            "more": pa.array([{"said": ["by c@d.org", None, "plain"]}], kind),
        }
    )
    assert protect(rows, found, RING).to_pylist() == [
        {
            "id": "a@b.de",  # as the contract has it
            "note": "[email] from [ip]",
            "more": {"said": ["by [email]", None, "plain"]},
        }
    ]


@settings(max_examples=50)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62))), st.integers(1, 1000))
def test_numbers_go_down_to_a_step(values: list[int | None], step: int) -> None:
    made = generalized(pa.array(values, pa.int64()), Generalize(step=step))
    assert made.to_pylist() == [None if v is None else v // step * step for v in values]


def test_other_numbers_and_times_go_down_too() -> None:
    decimals = generalized(pa.array([Decimal("-1.10"), Decimal("2.60")]), Generalize(step=0.5))
    assert decimals.to_pylist() == [Decimal("-1.50"), Decimal("2.50")]
    floats = generalized(pa.array([-0.1, 7.9]), Generalize(step=2))
    assert floats.to_pylist() == [-2.0, 6.0]
    dates = generalized(pa.array([dt.date(2026, 5, 6)]), Generalize(to="month"))
    assert dates.to_pylist() == [dt.date(2026, 5, 1)]
    late = pa.array([dt.datetime(2026, 1, 1, 3, tzinfo=dt.UTC)]).cast(
        pa.timestamp("us", "America/New_York")
    )
    day = generalized(late, Generalize(to="day"))
    assert day.type == late.type
    assert day.cast(TIMESTAMP).to_pylist() == [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)]
    assert generalized(pa.array(["héllo", "h"]), Generalize(prefix=2)).to_pylist() == ["hé", "h"]


@settings(max_examples=50)
@given(st.lists(st.one_of(st.none(), st.ip_addresses(v=4).map(str))), st.integers(0, 32))
def test_ipv4_networks_agree_with_ipaddress(texts: list[str | None], bits: int) -> None:
    made = generalized(pa.array(texts, pa.string()), Generalize(prefix=bits), address="ipv4")
    nets = [t and str(ipaddress.ip_network(f"{t}/{bits}", strict=False)) for t in texts]
    assert made.to_pylist() == nets


@settings(max_examples=50)
@given(st.lists(st.one_of(st.none(), st.ip_addresses(v=6).map(str))), st.integers(0, 128))
def test_ipv6_networks_agree_with_ipaddress(texts: list[str | None], bits: int) -> None:
    made = generalized(pa.array(texts, pa.string()), Generalize(prefix=bits), address="ipv6")
    nets = [t and str(ipaddress.ip_network(f"{t}/{bits}", strict=False)) for t in texts]
    assert made.to_pylist() == nets


@pytest.mark.parametrize(("address", "everything"), [("ipv4", "0.0.0.0/0"), ("ipv6", "::/0")])
def test_what_is_no_address_becomes_the_network_of_all(address: str, everything: str) -> None:
    made = generalized(
        pa.array(["canary", "1.2.3", "::1.2.3"]), Generalize(prefix=8), address=address
    )
    assert made.to_pylist() == [everything] * 3


@pytest.mark.parametrize(
    ("made", "must"),
    [
        (column("c", pa.string(), P.MASK, options={"fill": "**"}), "fill must be one character"),
        (column("c", pa.string(), P.MASK, options={"keep_first": -1}), "must be a whole number"),
        (column("c", pa.string(), P.MASK, options={"keep": 1}), "must be among"),
        (column("c", pa.string(), P.PSEUDONYMIZE, options={"prefix": 1}), "must be among"),
        (column("c", pa.string(), P.GENERALIZE), "must say prefix"),
        (column("c", pa.string(), P.GENERALIZE, options={"prefix": 32}, rules=IPV4), "0 to 31"),
        (column("c", pa.string(), P.GENERALIZE, options={"prefix": 9}, rules=NINE), "0 to 8"),
        (column("c", pa.string(), P.GENERALIZE, options={"prefix": 9}), "0 to 8"),
        (column("c", pa.string(), P.GENERALIZE, options={"prefix": 9}, rules=LONG), "0 to 8"),
        (column("c", pa.date32(), P.GENERALIZE, options={"to": "day"}), "year, month;"),
        (column("c", CENTS, P.GENERALIZE, options={"step": 0.01}), "step: a number above 0.01"),
        (column("c", CENTS, P.GENERALIZE, options={"step": 0.001}), "step: a number above 0.01"),
        (column("c", pa.int64(), P.GENERALIZE, options={"step": 1}), "whole number from 2"),
        (column("c", pa.int64(), P.GENERALIZE, options={"step": 0}), "must say step"),
        (column("c", pa.int64(), P.GENERALIZE, options={"step": 1, "prefix": 1}), "must say step"),
        (column("c", pa.date32(), P.GENERALIZE, options={"to": "hour"}), "must say to"),
        (column("c", pa.bool_(), P.GENERALIZE, options={"step": 1}), "must have a meaning"),
        (column("c", pa.string(), P.MASK, open=True), "object must be keep or drop"),
        (column("c", PERSON, P.PSEUDONYMIZE), "object must be keep or drop"),
        (column("c", pa.list_(PERSON), P.PSEUDONYMIZE), "object must be keep or drop"),
    ],
)  # fmt: skip
def test_protection_without_meaning_is_a_problem_of_the_contract(made: Column, must: str) -> None:
    assert must in (problem(made) or "")
    with pytest.raises(UsageError, match=r"^c: "):
        check(contract(made))


@pytest.mark.parametrize("step", [0.02, 0.1, 1, 100])
def test_a_step_wider_than_the_last_digit_is_none(step: float) -> None:
    made = column("c", CENTS, P.GENERALIZE, options={"step": step})
    assert problem(made) is None


def test_the_protections_of_the_tests_have_a_meaning() -> None:
    check(DEEP)
    with pytest.raises(UsageError, match="event time must be keep or generalize"):
        check(contract(column("t", TIMESTAMP, P.DROP), event_time="t"))


def test_refused_records_of_a_personal_contract_are_sealed(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(KEY.secret)
    (tmp_path / "keys").chmod(0o600)
    refused = pa.record_batch({"reason": ["r"], "record": pa.array([b"canary"])})
    work = Protector(DEEP, "file:keys", tmp_path)
    sealed = work.seal(refused)
    assert not holds_canary(sealed)
    assert open_sealed(sealed.column("record"), Keyring((KEY,))).to_pylist() == [b"canary"]
    plain = Protector(contract(column("a", pa.string())), "file:nowhere", tmp_path)
    assert holds_canary(plain.seal(refused))


def test_a_protector_pickles_without_its_keys(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(KEY.secret)
    (tmp_path / "keys").chmod(0o600)
    work = Protector(DEEP, "file:keys", tmp_path)
    assert work.keyring is not None
    pickled = pickle.dumps(work)
    assert KEY.secret.encode() not in pickled
    assert pickle.loads(pickled).protect(deep_rows()).equals(work.protect(deep_rows()))


def test_a_value_that_stands_in_the_text_alone_does_not_stay() -> None:
    # decode never makes such a row; if anything else does, the text must not be what leaks.
    rows = deep_rows().slice(0, 1)
    index = rows.schema.get_field_index("p.email")
    rows = rows.set_column(index, "p.email", pa.nulls(1, pa.string()))
    (text,) = protect(rows, DEEP, RING).column("p").to_pylist()
    assert json.loads(text)["email"] is None
    assert "canary" not in text


@settings(max_examples=60)
@given(st.lists(st.one_of(st.none(), st.lists(st.one_of(st.none(), st.text(max_size=4))))))
def test_json_made_of_arrow_values_reads_back(values: list[list[str | None] | None]) -> None:
    lists = json_fragments(pa.array(values, TEXTS))
    assert [None if t is None else json.loads(t) for t in lists.to_pylist()] == values
    kind = pa.struct({"a": TEXTS, 'k"\n': pa.float64()})
    structs = [None if v is None else {"a": v, 'k"\n': 0.1} for v in values]
    made = json_fragments(pa.array(structs, kind))
    assert [None if t is None else json.loads(t) for t in made.to_pylist()] == structs


def test_json_of_other_values() -> None:
    assert json_fragments(pa.array([1.5, float("nan"), None])).to_pylist() == ["1.5", None, None]
    assert json_fragments(pa.array([[True, None]])).to_pylist() == ["[true,null]"]
    assert json_fragments(pa.array([0], TIMESTAMP)).to_pylist() == ['"1970-01-01T00:00:00.000000Z"']
