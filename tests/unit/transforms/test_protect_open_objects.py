"""Whatever an object holds beside it, the value at the key is replaced and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.decode.json_text import JsonText
from transforms.open_objects import put

# Texts that look like JSON, so that a value may be found where it is not.
TEXTS = st.sampled_from(
    ["a", "", ",", ":", "email", '"', "\\", 'x","email":"a', "é", "\u2028", "\n", '{"email":"a"}']
)
KEYS = st.sampled_from(["email", "x", "é", 'e"', "email "])
VALUES = st.recursive(
    st.one_of(TEXTS, st.none(), st.integers(-5, 5), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)
OBJECTS = st.one_of(
    st.none(),
    st.fixed_dictionaries({}, optional={"email": TEXTS | st.none(), "x": VALUES, "é": VALUES}),
)  # fmt: skip
FORMS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :\n")])


def parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(OBJECTS, FORMS, st.booleans()), max_size=6), st.sampled_from(["p", "p\n"])
)
def test_only_the_value_at_the_key_changes(rows: list[tuple[Any, Any, bool]], prefix: str) -> None:
    texts = [
        None if row is None else json.dumps(row, separators=form, ensure_ascii=ascii_only)
        for row, form, ascii_only in rows
    ]
    old = [row.get("email") if row else None for row, _, _ in rows]
    new = [None if value is None else prefix + value for value in old]
    made = put(pa.array(texts, pa.string()), ("email",), pa.array(old, pa.string()),
               pa.array(new, pa.string()), JsonText())  # fmt: skip
    for (row, _, _), value, text in zip(rows, new, made.to_pylist(), strict=True):
        assert parsed(text) == (None if row is None else row | ({"email": value} if value else {}))


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ('{"email":"\\u0061","x":"a"}', '{"email":"NEW","x":"a"}'),
        ('{"x":{"email":"a"},"email":"\\u0061"}', '{"x":{"email":"a"},"email":"NEW"}'),
        ('{"x":{"email":"a"},"email":"a"}', '{"x":{"email":"a"},"email":"NEW"}'),
        ('{"email":"a","x":["a"]}', '{"email":"NEW","x":["a"]}'),
        ('{ "email" :\t"a" }', '{ "email" :\t"NEW" }'),
        ('{"not email":"a","email":"a"}', '{"not email":"a","email":"NEW"}'),
    ],
)
def test_a_value_that_could_be_mistaken_is_parsed_for(text: str, changed: str) -> None:
    texts, old, new = (pa.array([value]) for value in (text, "a", "NEW"))
    assert put(texts, ("email",), old, new, JsonText()).to_pylist() == [changed]


def test_plain_rows_are_not_parsed_and_the_others_are() -> None:
    class Counting(JsonText):
        rows = 0

        def replace(self, texts: pa.Array, *args: Any, **more: Any) -> pa.Array:
            self.rows += len(texts)
            return super().replace(texts, *args, **more)

    edit = Counting()
    texts = pa.array(['{"email":"a"}'] * 5 + ['{"email":"\\u0061"}', "{}", None, '{"x":1}'])
    old = pa.array(["a"] * 6 + [None] * 3)
    new = pa.array(["N"] * 6 + [None] * 3)
    assert put(texts, ("email",), old, new, edit).to_pylist() == [
        *['{"email":"N"}'] * 6,
        "{}",
        None,
        '{"x":1}',
    ]
    assert edit.rows == 1


def test_slices_are_changed_as_their_whole_is() -> None:
    texts = pa.array(['{"email":"a\\n"}', '{"email":"b"}', "{}"])
    old, new = pa.array(["a\n", "b", None]), pa.array(["1", "2", None])
    made = put(texts.slice(1), ("email",), old.slice(1), new.slice(1), JsonText())
    assert made.to_pylist() == ['{"email":"2"}', "{}"]
