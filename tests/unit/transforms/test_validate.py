"""validate sets aside exactly the rows that break the contract, each once, without their values."""

from __future__ import annotations

import datetime as dt
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.contract import Column, Rule
from schemas.errors import UsageError
from schemas.names import POSITION_FIELDS, TIMESTAMP
from tests.contracts import contract
from transforms.row_records import row_records
from transforms.validate import Checked, describe, validate


def column(name: str, kind: pa.DataType, *rules: Rule, path: str = "", **more: Any) -> Column:
    return Column(name=name, path=path or name, type=kind, logical="string", rules=rules, **more)


def rule(kind: str, value: object, *, refuse: bool = True) -> Rule:
    return Rule(kind=kind, value=value, refuse=refuse)


def batch(**columns: pa.Array) -> pa.RecordBatch:
    size = len(next(iter(columns.values())))
    when = pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * size, TIMESTAMP)
    positions = [
        pa.array(["file:///f"] * size).dictionary_encode(),
        pa.array(range(0, size * 10, 10), pa.int64()),
        pa.array([0] * size, pa.int32()),
        when,
        pa.nulls(size, TIMESTAMP),
    ]
    names = [field.name for field in POSITION_FIELDS]
    return pa.record_batch([*columns.values(), *positions], [*columns, *names])


def refusals(checked: Checked) -> dict[int, tuple[str, str]]:
    said = zip(checked.rules, checked.reasons, strict=True)
    return dict(zip(checked.numbers.tolist(), said, strict=True))


def _counts(checked: Checked) -> dict[tuple[str, str], int]:
    return {key: len(rows) for key, rows in checked.warnings.items()}


AMOUNT = column("amount", pa.float64(), rule("minimum", 0), rule("maximum", 100), required=True)
KIND = column("kind", pa.string(), rule("enum", ("a", "b")), rule("max_length", 1))


def test_a_batch_without_broken_rows_is_returned_itself() -> None:
    rows = batch(amount=pa.array([0.0, 100.0]), kind=pa.array(["a", None]))
    checked = validate(rows, contract(AMOUNT, KIND))
    assert checked.rows is rows
    assert refusals(checked) == {}
    assert checked.warnings == {}


def test_a_row_that_breaks_several_rules_is_refused_once_for_the_first_with_all_reasons() -> None:
    rows = batch(
        amount=pa.array([1.0, -1.0, None, 200.0, 5.0]), kind=pa.array(["a", "zz", "b", "a", "c"])
    )
    checked = validate(rows, contract(AMOUNT, KIND))
    assert checked.rows.column("_position").to_pylist() == [0]
    assert refusals(checked) == {
        1: (
            "minimum",
            "; ".join(
                (
                    "amount must be at least 0 (minimum)",
                    "kind must be one of a, b (enum)",
                    "kind must be at most 1 characters (max_length)",
                )
            ),
        ),
        2: ("required", "amount must be there and not null (required)"),
        3: ("maximum", "amount must be at most 100 (maximum)"),
        4: ("enum", "kind must be one of a, b (enum)"),
    }


def test_a_rule_that_warns_refuses_nothing_and_is_counted_by_row() -> None:
    tags = column(
        "tags",
        pa.list_(pa.string()),
        items=column("items", pa.string(), rule("enum", ("x",), refuse=False), path="tags[]"),
    )
    rows = batch(tags=pa.array([["y", "z"], ["x"], None, ["y"]]))
    checked = validate(rows, contract(tags))
    assert checked.rows is rows
    assert _counts(checked) == {("tags[]", "enum"): 2}


def test_warnings_and_refusals_of_one_row_do_not_mix() -> None:
    size = column("n", pa.int64(), rule("minimum", 0, refuse=False), rule("maximum", 5))
    checked = validate(batch(n=pa.array([-1, 6, 3])), contract(size))
    assert _counts(checked) == {("n", "minimum"): 1}
    assert refusals(checked) == {1: ("maximum", "n must be at most 5 (maximum)")}


def test_keys_of_a_struct_are_required_only_where_it_is() -> None:
    home = column(
        "home",
        pa.struct({"zip": pa.string(), "floor": pa.int64()}),
        children=(
            column("zip", pa.string(), path="home.zip", required=True),
            column("floor", pa.int64(), rule("minimum", 0), path="home.floor"),
        ),
    )
    values = [{"zip": "1", "floor": -1}, None, {"zip": None, "floor": 1}, {"zip": "2"}]
    checked = validate(batch(home=pa.array(values, home.type)), contract(home))
    assert refusals(checked) == {
        0: ("minimum", "home.floor must be at least 0 (minimum)"),
        2: ("required", "home.zip must be there and not null (required)"),
    }


def test_items_of_arrays_of_structs_lead_back_to_their_row() -> None:
    line = pa.struct({"sku": pa.string(), "prices": pa.list_(pa.int64())})
    prices = column(
        "prices",
        pa.list_(pa.int64()),
        path="lines[].prices",
        items=column("items", pa.int64(), rule("minimum", 1), path="lines[].prices[]"),
    )
    lines = column(
        "lines",
        pa.list_(line),
        rule("max_items", 2),
        items=column(
            "items",
            line,
            path="lines[]",
            children=(column("sku", pa.string(), path="lines[].sku", required=True), prices),
        ),
    )
    good = {"sku": "a", "prices": [1]}
    values = [
        [good],
        None,
        [],
        [good, {"sku": None, "prices": None}],
        [good, {"sku": "b", "prices": [2, 0]}],
        [good, good, good],
    ]
    rows = batch(lines=pa.array(values, lines.type))
    for checked in (validate(rows, contract(lines)), validate(rows.slice(1), contract(lines))):
        assert [reason for _, reason in refusals(checked).values()] == [
            "lines[].sku must be there and not null (required)",
            "lines[].prices[] must be at least 1 (minimum)",
            "lines must be at most 2 items (max_items)",
        ]


def test_declared_keys_of_an_open_object_are_checked_through_their_path_columns() -> None:
    inner = column(
        "geo",
        pa.string(),
        path="p.geo",
        open=True,
        children=(column("lat", pa.float64(), path="p.geo.lat", required=True),),
    )
    amount = column("amount", pa.float64(), rule("minimum", 0), path="p.amount", required=True)
    p = column("p", pa.string(), open=True, children=(amount, inner))
    rows = batch(
        p=pa.array(['{"amount":1}', '{"amount":-1}', "{}", None]),
        **{"p.amount": pa.array([1.0, -1, None, None]), "p.geo.lat": pa.nulls(4, pa.float64())},
    )
    assert refusals(validate(rows, contract(p))) == {
        1: ("minimum", "p.amount must be at least 0 (minimum)"),
        2: ("required", "p.amount must be there and not null (required)"),
    }


def test_primary_key_and_event_time_are_required_without_saying_so() -> None:
    made = contract(
        column("k", pa.string(), primary_key=1),
        column("s", pa.struct({"at": TIMESTAMP}), children=(column("at", TIMESTAMP, path="s.at"),)),
        event_time="s.at",
    )
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    rows = batch(
        k=pa.array(["1", None, "3"]),
        s=pa.array([{"at": at}, None, {"at": at}], pa.struct({"at": TIMESTAMP})),
        _event_time=pa.array([at, None, at], TIMESTAMP),
    )
    assert {row: rule for row, (rule, _) in refusals(validate(rows, made)).items()} == {
        1: "required",
    }
    only_time = validate(rows, contract(*made.columns[1:], event_time="s.at"))
    assert refusals(only_time) == {1: ("required", "s.at must be there and not null (required)")}


def test_a_batch_that_lacks_a_checked_column_is_no_batch_of_this_contract() -> None:
    with pytest.raises(UsageError, match="got none named 'amount'"):
        validate(batch(kind=pa.array(["a"])), contract(AMOUNT, KIND))


def test_reasons_never_hold_a_value() -> None:
    canary = "canary-7b1d"
    name = column(
        "name",
        pa.string(),
        rule("enum", ("x",)),
        rule("pattern", "^x"),
        rule("format", "uuid"),
        rule("format", "email"),
        rule("max_length", 1),
    )
    checked = validate(batch(name=pa.array([canary, None])), contract(name))
    assert len(checked.reasons) == 1
    assert canary not in checked.reasons[0]
    assert checked.reasons[0].count(";") == 4


def test_describe_lists_every_check_in_the_order_of_the_contract() -> None:
    assert describe(contract(AMOUNT, KIND)) == [
        "amount must be there and not null (required)",
        "amount must be at least 0 (minimum)",
        "amount must be at most 100 (maximum)",
        "kind must be one of a, b (enum)",
        "kind must be at most 1 characters (max_length)",
    ]


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "amount": st.one_of(st.none(), st.floats(-10, 200)),
            "kind": st.one_of(st.none(), st.sampled_from(["a", "b", "c", "ab"])),
        }
    ),
    min_size=1,
)


@settings(max_examples=50)
@given(ROWS)
def test_rows_are_kept_iff_plain_python_would_keep_them(rows: list[dict[str, Any]]) -> None:
    def keeps(row: dict[str, Any]) -> bool:
        amount = row["amount"] is not None and 0 <= row["amount"] <= 100
        return amount and row["kind"] in (None, "a", "b")

    amounts = pa.array([row["amount"] for row in rows], pa.float64())
    kinds = pa.array([row["kind"] for row in rows], pa.string())
    checked = validate(batch(amount=amounts, kind=kinds), contract(AMOUNT, KIND))
    expected = [i for i, row in enumerate(rows) if not keeps(row)]
    assert checked.numbers.tolist() == expected
    assert checked.rows.num_rows == len(rows) - len(expected)


def test_a_row_written_as_a_record_reads_as_its_values() -> None:
    inner = pa.struct({"a": pa.int64(), "b": pa.date32()})
    made = contract(
        column("n", pa.decimal128(30, 2)),
        column("at", TIMESTAMP),
        column("p", pa.string(), open=True),
        column("s", pa.list_(inner), items=column("items", inner, path="s[]")),
        column("twice", pa.int64(), transform="n * 2"),
    )
    rows = batch(
        n=pa.array([None, "12345678901234567890.10"]).cast(pa.decimal128(30, 2)),
        at=pa.array([0, 1], TIMESTAMP),
        p=pa.array([None, '{"x": 1e400, "y":"\\u00e9"}']),
        s=pa.array([None, [{"a": 1, "b": dt.date(2026, 1, 2)}, None]], pa.list_(inner)),
        twice=pa.array([1, 2]),
    )
    first, second = row_records(rows, pa.array([0, 1]).to_numpy(), made).to_pylist()
    assert orjson.loads(first) == {"at": "1970-01-01T00:00:00Z"}
    assert second == (
        b'{"n":12345678901234567890.10,"at":"1970-01-01T00:00:00.000001Z",'
        b'"p":{"x": 1e400, "y":"\\u00e9"},"s":[{"a":1,"b":"2026-01-02"},null]}'
    )
