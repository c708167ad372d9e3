"""JSON Schema errors in our words."""

from pathlib import Path
from typing import Any

import pytest

from schemas.located import Problems, parse
from schemas.structure import check_structure


def object_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


FILTER = {**object_of(filter=object_of(keep={"type": "string"})), "required": ["filter"]}
DERIVE = {**object_of(derive=object_of(by={"type": "array"})), "required": ["derive"]}
SCHEMA = {
    **object_of(
        name={"type": "string", "pattern": "^[a-z]+$", "x-message": "must be a lower case name"},
        size={"type": ["integer", "string"]},
        kind={"enum": ["fixed", "sliding"]},
        level={"type": "integer", "minimum": 1, "maximum": 9},
        steps={"type": "array", "minItems": 1, "items": {"oneOf": [FILTER, DERIVE]}},
        to={"anyOf": [{"type": "string"}, object_of(step={"type": "number"})]},
    ),
    "required": ["name"],
}


def problems(text: str) -> list[str]:
    found = Problems(parse(text.encode(), Path("f")))
    check_structure(found, SCHEMA)
    return [str(problem) for problem in sorted(found.found)]


CASES = [
    (
        "nam: x",
        [
            "f:1: a key must be one that is known here; got 'nam'; did you mean 'name'?",
            "f:1: the file must have `name`; got none; rename 'nam'",
        ],
    ),
    ("name: 5", ["f:1: `name` must be text; got 5; put it in quotes"]),
    ("name: X", ["f:1: `name` must be a lower case name; got 'X'; correct it"]),
    ("name: x\nsize: [1]", ["f:2: `size` must be an integer or text; got a list; correct it"]),
    (
        "name: x\nkind: slidng",
        ["f:2: `kind` must be one of fixed, sliding; got 'slidng'; did you mean 'sliding'?"],
    ),
    ("name: x\nlevel: 0", ["f:2: `level` must be at least 1; got 0; correct it"]),
    ("name: x\nlevel: 10", ["f:2: `level` must be at most 9; got 10; correct it"]),
    ("name: x\nsteps: []", ["f:2: `steps` must not be empty; got a list; add at least 1"]),
    ("name: x\nsteps: [3]", ["f:2: `steps[0]` must be a mapping; got 3; correct it"]),
    ("name: x\nto: [3]", ["f:2: `to` must be text or a mapping; got a list; correct it"]),
    ("name: x\nto: {step: a}", ["f:2: `to.step` must be a number; got 'a'; correct it"]),
    (
        "name: x\nsteps:\n- filter: {keep: a}\n- flter: {keep: a}",
        [
            (
                "f:4: `steps[1]` must have one of the keys filter, derive; got 'flter'; "
                "did you mean 'filter'?"
            )
        ],
    ),
    (
        "name: x\nsteps:\n- filter: {kep: a}\n- derive: {by: 1}",
        [
            (
                "f:3: a key of `steps[0].filter` must be one that is known here; got 'kep'; "
                "did you mean 'keep'?"
            ),
            "f:4: `steps[1].derive.by` must be a list; got 1; correct it",
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[case[0] for case in CASES])
def test_a_wrong_shape_is_said_in_our_words(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


def test_a_right_shape_says_nothing() -> None:
    assert problems("name: x\nsize: 3\nsteps: [{filter: {keep: a}}]\nto: {step: 1.5}") == []
