"""Edits and reads of open objects, against plain Python on each text."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.transforms import json_oracle as oracle
from transforms.decode.json_text import JsonText, JsonTextError, extract, remove, replace

column = oracle.column
S = pa.string()

KEYS = st.sampled_from(["email", "a", "é", 'q"', "", "b\\"])
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.text(max_size=5),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(
    LEAVES,
    lambda c: st.one_of(st.lists(c, max_size=3), st.dictionaries(KEYS, c, max_size=3)),
    max_leaves=5,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)
STYLES = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")])


@st.composite
def texts(draw: st.DrawFn) -> list[str | None]:
    """JSON objects as different writers would have them, and nulls."""
    out: list[str | None] = []
    for value in draw(st.lists(st.one_of(st.none(), OBJECTS), max_size=6)):
        style, ascii_ = draw(STYLES), draw(st.booleans())
        text = json.dumps(value, separators=style, ensure_ascii=ascii_)
        out.append(None if value is None else text)
    return out


PATHS = st.sampled_from([("email",), ("a",), ("a", "email"), ("é",), ('q"',), ("a", "a", "b\\")])


def holder(value: Any, path: tuple[str, ...]) -> dict[str, Any] | None:
    for key in path[:-1]:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) and path[-1] in value else None


def values(found: pa.Array) -> list[Any]:
    return [None if t is None else oracle.as_json(t) for t in found.to_pylist()]


@settings(max_examples=100, deadline=None)
@given(texts(), PATHS, st.data())
def test_a_replaced_value_is_the_new_one_and_nothing_else_changes(
    rows: list[str | None], path: tuple[str, ...], data: st.DataObject
) -> None:
    some = st.lists(
        st.one_of(st.none(), st.text(max_size=6)), min_size=len(rows), max_size=len(rows)
    )
    new = data.draw(some)
    want = []
    for row, value in zip(rows, new, strict=True):
        parsed = None if row is None else oracle.as_json(row)
        at = holder(parsed, path)
        if at is not None and value is not None:
            at[path[-1]] = value
        want.append(parsed)
    got = replace(pa.array(rows, S), path, pa.array(new, S))
    got.validate(full=True)
    assert values(got) == want


@settings(max_examples=60, deadline=None)
@given(texts(), st.permutations([("email",), ("a", "email"), ("é",), ('q"',)]), st.data())
def test_values_at_several_paths_are_replaced_at_once(
    rows: list[str | None], paths: list[tuple[str, ...]], data: st.DataObject
) -> None:
    some = st.lists(st.sampled_from([None, "x", 'y"']), min_size=len(rows), max_size=len(rows))
    new = {path: data.draw(some) for path in paths[: data.draw(st.integers(1, 4))]}
    want = [None if row is None else oracle.as_json(row) for row in rows]
    for path, column_ in new.items():
        for row, value in zip(want, column_, strict=True):
            at = holder(row, path)
            if at is not None and value is not None:
                at[path[-1]] = value
    arrays = {path: pa.array(column_, S) for path, column_ in new.items()}
    assert values(JsonText().replace_all(pa.array(rows, S), arrays)) == want


@settings(max_examples=100, deadline=None)
@given(texts(), PATHS)
def test_a_removed_key_is_gone_and_nothing_else_changes(
    rows: list[str | None], path: tuple[str, ...]
) -> None:
    want = []
    for row in rows:
        parsed = None if row is None else oracle.as_json(row)
        at = holder(parsed, path)
        if at is not None:
            del at[path[-1]]
        want.append(parsed)
    got = remove(pa.array(rows, S), path)
    got.validate(full=True)
    assert values(got) == want


@settings(max_examples=60, deadline=None)
@given(texts())
def test_extracted_values_are_those_of_their_type(rows: list[str | None]) -> None:
    columns = [
        column("email", S, "string", "p.email"),
        column("b", pa.bool_(), "boolean", "p.a"),
        column("n", pa.float64(), "number", "p.a.email"),
    ]
    got = extract(pa.array(rows, S), columns)
    for c, kind in zip(columns, (str, bool, oracle.Num), strict=True):
        path = tuple(c.path.split(".")[1:])
        want = []
        for row in rows:
            at = holder(oracle.as_json(row or "{}"), path)
            value = None if at is None else at[path[-1]]
            want.append(value if type(value) is kind else None)
        want = [float(v) if isinstance(v, oracle.Num) else v for v in want]
        assert got[c.path].to_pylist() == want


def test_many_texts_that_look_alike_are_edited_like_any_other() -> None:
    rows = [f'{{"k":{n},"email":"u{n}@x","t":"{"e" * (n % 7)}"}}' for n in range(5000)]
    rows[77], rows[78] = '{"email":null}', '{"other":{"email":1}}'
    new = [f'"{n}"' if n % 5 else None for n in range(5000)]
    texts_ = JsonText()
    for _ in range(2):  # the second time by what was learned
        got = values(texts_.replace(pa.array(rows), ("email",), pa.array(new)))
        for n in (0, 1, 76, 79, 4999):
            assert got[n]["email"] == (new[n] or f"u{n}@x")
        assert got[77] == {"email": new[77]}
        assert got[78] == {"other": {"email": "1"}}
        gone = values(texts_.remove(pa.array(rows), ("email",)))
        assert all(set(row) <= {"k", "t", "other"} for row in gone)


def test_all_bytes_outside_of_the_value_stay_as_they_were() -> None:
    got = replace(
        pa.array([r'{ "z" : 1.50,"email":  "a" , "u":"\u00e9" }']), ("email",), pa.array(["b"])
    )
    assert got.to_pylist() == [r'{ "z" : 1.50,"email":  "b" , "u":"\u00e9" }']


@pytest.mark.parametrize(
    ("new", "want"),
    [
        (pa.array([1.5]), "1.5"),
        (pa.array([7]), "7"),
        (pa.array([True]), "true"),
        (pa.array(['"']), '"'),
    ],
)
def test_new_values_of_any_scalar_type_become_json(new: pa.Array, want: str) -> None:
    got = replace(pa.array(['{"a":{"b":[1,"]"]}}']), ("a", "b"), new)
    assert values(got) == [{"a": {"b": oracle.as_json(want) if want != '"' else '"'}}]


def test_new_values_may_be_json_already() -> None:
    rows, new = pa.array(['{"a":"x"}', '{"a":1}', '{"a":2}']), pa.array(['{"b":[]}', "null", None])
    got = JsonText().replace(rows, ("a",), new, json=True)
    assert got.to_pylist() == ['{"a":{"b":[]}}', '{"a":null}', '{"a":2}']


def test_a_slice_of_a_column_is_edited_as_itself() -> None:
    rows = pa.array(['{"a":"x"}', None, '{"a":"y"}', '{"a":"z"}']).slice(1, 2)
    assert replace(rows, ("a",), pa.array(["1", "2"])).to_pylist() == [None, '{"a":"2"}']


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a":1,"a":2}', "null"])
def test_what_is_no_json_object_is_an_error_and_its_text_stays_out_of_it(text: str) -> None:
    with pytest.raises(JsonTextError, match="1 of 2 rows that do not"):
        replace(pa.array(['{"a":1}', text]), ("a",), pa.array(["x", "y"]))


def test_numbers_that_json_lacks_are_an_error() -> None:
    with pytest.raises(JsonTextError, match="finite"):
        replace(pa.array(['{"a":1}']), ("a",), pa.array([float("nan")]))


def test_an_editor_pickles() -> None:
    editor = JsonText()
    editor.replace(pa.array(['{"a":1}']), ("a",), pa.array(["x"]))
    copy = pickle.loads(pickle.dumps(editor))
    assert copy.remove(pa.array(['{"a":1}']), ("a",)).to_pylist() == ["{}"]
