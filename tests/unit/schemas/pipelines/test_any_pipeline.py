"""Whatever a pipeline file holds, it is a plan or a list of problems; never another error."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import UsageError
from schemas.planning import load_plan

Folder = Callable[..., Path]

_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 10**6),
    st.text(max_size=6),
    st.sampled_from(["1h", "amount", "count(*)", "sum(amount)", "extra", "derive", "fixed", "a/b"]),
    st.just([]),
    st.just({}),
    st.lists(st.text(max_size=3), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(0, 3), max_size=2),
)


def _nodes(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a tree."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    found: list[tuple[Any, Any]] = []
    for key in keys:
        found.append((value, key))
        if isinstance(value[key], dict | list):
            found += _nodes(value[key])
    return found


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_change_of_any_node_is_planned_or_refused(folder: Folder, data: st.DataObject) -> None:
    where = folder()
    tree = copy.deepcopy(yaml.safe_load((where / "pipeline.yaml").read_text()))
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(_nodes(tree)))
        how = data.draw(st.sampled_from(["replace", "remove", "rename"]))
        if how == "replace" or isinstance(holder, list):
            holder[key] = data.draw(_VALUES)
        elif how == "remove":
            del holder[key]
        else:
            holder[data.draw(st.text(max_size=8))] = holder.pop(key)
    (where / "pipeline.yaml").write_text(json.dumps(tree), encoding="utf-8")
    try:
        load_plan(where)
    except UsageError as error:
        message = str(error)
    else:
        message = "file:1: planned"
    assert message


@pytest.mark.parametrize("text", ["", "[]", "steps: x", "name: 1\nsource: []\nsteps: {a: b}\n"])
def test_a_file_of_another_shape_is_refused(folder: Folder, text: str) -> None:
    with pytest.raises(UsageError):
        load_plan(folder(pipeline=text))
