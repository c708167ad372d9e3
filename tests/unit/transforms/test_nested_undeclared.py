"""Keys inside of objects that nobody has declared are found as plain Python finds them."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.contract import Column, OnChange
from tests import contracts
from transforms.changes.meet import Meet
from transforms.changes.reasons import reasons_by_row
from transforms.changes.seen import Key
from transforms.decode.columnar import ColumnarDecoder
from transforms.decode.json_lines import JsonDecoder
from transforms.sources.blocks import Block

INT = pa.int64()


def scalar(path: str) -> Column:
    return Column(name=path.rsplit(".", maxsplit=1)[-1], path=path, logical="integer", type=INT)


def struct(path: str, *children: Column) -> Column:
    kind = pa.struct([(c.name, c.type) for c in children])
    name = path.rsplit(".", maxsplit=1)[-1].removesuffix("[]") or "element"
    return Column(name=name, path=path, logical="object", type=kind, children=children)


def array(path: str, items: Column) -> Column:
    kind = pa.list_(items.type)
    return Column(
        name=path.rsplit(".", maxsplit=1)[-1], path=path, logical="array", type=kind, items=items
    )


IN = struct("a.in", scalar("a.in.k"))
A = replace(struct("a", scalar("a.k"), IN), physical="The A")
THINGS = array("things", struct("things[]", scalar("things[].k"), array("things[].deep", struct("things[].deep[]", scalar("things[].deep[].k")))))  # fmt: skip
LISTS = array("lists", array("lists[]", struct("lists[][]", scalar("lists[][].k"))))
OPEN = Column(
    name="open", path="open", logical="object", type=pa.string(), open=True,
    children=(struct("open.in", scalar("open.in.k")),),
)  # fmt: skip
RULES = contracts.contract(scalar("id"), A, THINGS, LISTS, OPEN)

KEYS = ("k", "x", "y.z", "ü")


def objects(**more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects of some keys, of which `k` alone is declared, and whatever is below."""
    values = st.sampled_from([1, None])
    plain = st.dictionaries(st.sampled_from(KEYS[1:]), st.sampled_from([1, "a", {"x": 1}, [{}]]))
    below = st.fixed_dictionaries({}, optional={"k": values, **more})
    return st.builds(lambda a, b: {**a, **b}, plain, below)


MAYBE = st.none() | objects()
RECORDS = st.fixed_dictionaries(
    {"id": st.just(1)},
    optional={
        "The A": st.none() | objects(**{"in": MAYBE}),
        "things": st.none() | st.lists(objects(deep=st.lists(MAYBE, max_size=2)), max_size=3),
        "lists": st.lists(st.none() | st.lists(MAYBE, max_size=2), max_size=2),
        "open": objects(**{"in": objects()}),
    },
)


def strange(value: Any, column: Column) -> Iterator[str]:
    """What a value has that its column does not declare, as paths."""
    if isinstance(value, list) and column.items is not None:
        for item in value:
            yield from strange(item, column.items)
    if not isinstance(value, dict) or column.open:
        return
    declared = {c.name: c for c in column.children}
    for key, inner in value.items():
        if key in declared:
            yield from strange(inner, declared[key])
        else:
            yield f"{column.path}.{key}"


def expected(records: list[Any]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for record in records:
        found.update({path for c in RULES.columns for path in strange(record.get(c.key), c)})
    return dict(found)


def block(records: list[Any]) -> Block:
    text = "".join(json.dumps(record) + "\n" for record in records)
    return Block("file:///x.jsonl", 0, np.frombuffer(text.encode(), np.uint8), 0)


@given(st.lists(RECORDS, min_size=1, max_size=12), st.integers(1, 120))
def test_each_key_inside_is_counted_in_as_many_records_as_have_it(
    records: list[Any], times: int
) -> None:
    records = records * times
    decoder = pickle.loads(pickle.dumps(JsonDecoder(RULES, undeclared=True)))
    for _ in range(2):  # the second time shapes may be known
        found = Meet(RULES).columns(decoder.decode(block(records)))
        assert found.refused is None
        assert {c.called: c.rows for c in found.changes} == expected(records)


def test_keys_inside_are_found_where_thousands_of_records_look_alike() -> None:
    alike = {"id": 1, "The A": {"x": 1, "k": 2, "in": {"k": 1, "y": "b"}}, "things": [{"x": 1}]}
    records = [alike, {"id": 2, "The A": {"k": 2}}] * 1500
    decoder = JsonDecoder(RULES, undeclared=True)
    for _ in range(3):  # the first block teaches what they look like
        found = Meet(RULES).columns(decoder.decode(block(records)))
        assert {c.called: c.rows for c in found.changes} == dict.fromkeys(
            ("a.x", "a.in.y", "things[].x"), 1500
        )


def test_refused_records_count_and_keep_what_they_have() -> None:
    records = [{"id": "bad", "The A": {"x": 1}}, {"id": 2, "The A": {"x": 1}}, {"id": 3}]
    rules = replace(RULES, on_change=OnChange.QUARANTINE)
    found = Meet(rules).columns(JsonDecoder(rules, undeclared=True).decode(block(records)))
    assert [(c.called, c.rows) for c in found.changes] == [("a.x", 2)]
    assert found.refused is not None
    assert found.refused["rule"].to_pylist() == ["type", "undeclared"]
    assert found.rows["id"].to_pylist() == [3]


@pytest.mark.parametrize("undeclared", [False, True])
def test_nobody_looks_inside_where_nothing_meets_it(undeclared: bool) -> None:
    records = [{"id": 1, "The A": {"x": 1}, "things": [{"x": 1}]}]
    found = JsonDecoder(RULES, undeclared=undeclared).decode(block(records))
    assert {k.called for one in found.undeclared for k in one.keys} == (
        {"a.x", "things[].x"} if undeclared else set()
    )


def test_keys_that_are_called_as_persons_are_told_by_no_name() -> None:
    persons = ("Ann Canary", "Peter Canary", "Maria Canary")
    records = [{"id": i, "The A": {name: 1}, name: 1} for i, name in enumerate(persons)]
    rules = replace(RULES, on_change=OnChange.QUARANTINE)
    found = Meet(rules).columns(JsonDecoder(rules, undeclared=True).decode(block(records)))
    assert {(c.called, c.rows) for c in found.changes} == {("a.*", 3), ("", 3)}
    assert found.refused is not None
    assert not any("Canary" in reason for reason in found.refused["reason"].to_pylist())


def test_keys_that_are_data_are_not_told_inside_either() -> None:
    records = [{"id": i, "The A": {f"p{i}@example.org": 1, f"{i:09}": 2}} for i in range(300)]
    found = Meet(RULES).columns(JsonDecoder(RULES, undeclared=True).decode(block(records)))
    assert [(c.name, c.inside, c.called, c.rows) for c in found.changes] == [("", "a", "a.*", 300)]


def test_keys_of_a_files_structs_are_found_where_there_is_a_struct() -> None:
    kind = pa.struct([("k", INT), ("x", pa.timestamp("ns"))])
    data = pa.record_batch(
        {
            "id": pa.array([1, 2, 3, 4]),
            "The A": pa.array([(1, 5), None, (None, None), (2**62, 1)], kind),
            "things": pa.array([[(1, 5)], [], None, [None]], pa.list_(kind)),
        }
    )
    found = Meet(RULES).columns(
        ColumnarDecoder(RULES).decode(Block("file:///x.parquet", 0, data, 0))
    )
    assert {c.called: c.rows for c in found.changes} == {"a.x": 3, "things[].x": 1}
    told = {c.called: c.proposal and c.proposal.logical for c in found.changes}
    assert told == {"a.x": "timestamp", "things[].x": "timestamp"}


@given(
    st.dictionaries(
        st.builds(Key, st.sampled_from(["", "a", "b", "c", "d"]), st.sampled_from(["", "in"])),
        st.lists(st.integers(0, 9), min_size=1, max_size=6).map(lambda r: np.array(sorted(set(r)))),
        max_size=6,
    ),
    st.sets(st.integers(0, 9)),
)
def test_a_reason_names_the_first_three_and_says_if_there_are_more(
    found: dict[Key, Any], left: set[int]
) -> None:
    there = np.array(sorted(left), np.int64)
    rows, reasons = reasons_by_row({key: [some] for key, some in found.items()}, there)
    want = {}
    for row in sorted(left):
        keys = sorted(
            (k for k, some in found.items() if row in some),
            key=lambda k: (not k.called, not k.name, k.called),
        )
        if keys:
            named = [f"`{k.called}`" for k in keys if k.called]
            more = " and more" if len(keys) > min(len(named), 3) else ""
            want[row] = ", ".join(named[:3]) + more if named else "others"
    told = [f"columns of a record must be declared; got {text}" for text in want.values()]
    assert there[rows].tolist() == list(want)
    assert reasons == told
