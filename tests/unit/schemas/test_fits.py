"""The quick yes is never given to what jsonschema refuses."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft201909Validator

from schemas.fits import fits
from schemas.located import load
from schemas.structure import published

ROOT = Path(__file__).parents[3] / "beam_pipelines"
FILES = [
    (name, load(ROOT / folder / file).value)
    for folder in ("events", "flights")
    for name, file in (("contract", "contract.odcs.yaml"), ("pipeline", "pipeline.yaml"))
]
WORDS = ["", "x", "a.b", "type", "name", "by", "string", "integer", "fixed", "1h", "v3.1.0", "é"]
SCALARS = st.one_of(
    st.sampled_from(WORDS),
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.0, 1.0, 1.5, -0.5]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)
    ),
    max_leaves=5,
)
SCHEMAS: list[dict[str, Any]] = [
    {"type": "integer"},
    {"type": "number", "exclusiveMinimum": 0},
    {"type": ["string", "null"], "minLength": 1},
    {"type": "boolean"},
    {"minimum": 1, "maximum": 2},
    {"exclusiveMaximum": 1},
    {"const": 1},
    {"const": True},
    {"enum": [0, "x", None]},
    {"not": {"const": 1}},
    {"not": {"type": "integer"}},
    {"oneOf": [{"type": "integer"}, {"type": "number"}]},
    {"anyOf": [{"type": "string"}, {"minItems": 1}]},
    {"allOf": [{"maxItems": 2}, {"maxLength": 3}]},
    {"uniqueItems": True, "items": {"type": ["number", "boolean", "array"]}},
    {"if": {"type": "integer"}, "then": {"minimum": 1}, "else": {"type": "string"}},
    {"properties": {"x": {"type": "string"}}, "additionalProperties": False},
    {"required": ["x"], "minProperties": 2, "additionalProperties": {"type": "integer"}},
    {"propertyNames": {"pattern": "^[a-z]*$"}},
    {"$defs": {"d": {"type": "string"}}, "items": {"$ref": "#/$defs/d"}},
    {"items": [{"type": "string"}]},
    {"contains": {"type": "string"}},
    {"then": {"type": "string"}},
]


@given(value=VALUES, schema=st.sampled_from(SCHEMAS))
@settings(max_examples=300, deadline=None)
def test_what_fits_any_keyword_is_valid(value: Any, schema: dict[str, Any]) -> None:
    assert not fits(value, schema) or Draft201909Validator(schema).is_valid(value)


@pytest.mark.parametrize(("name", "value"), FILES)
def test_our_own_files_fit_without_jsonschema(name: str, value: Any) -> None:
    assert fits(value, published(name))


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_file_changed_anywhere_fits_only_if_it_is_valid(data: st.DataObject) -> None:
    name, good = data.draw(st.sampled_from(FILES))
    value = copy.deepcopy(good)
    place, key = data.draw(st.sampled_from(list(places(value))))
    if data.draw(st.booleans()):
        place[key] = data.draw(VALUES)
    elif isinstance(place, dict) and data.draw(st.booleans()):
        place[data.draw(st.sampled_from(WORDS))] = place.pop(key)
    else:
        del place[key]
    assert not fits(value, published(name)) or valid(name, value)


def places(value: Any) -> Any:
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])


def valid(name: str, value: Any) -> bool:
    return Draft201909Validator(published(name)).is_valid(value)
