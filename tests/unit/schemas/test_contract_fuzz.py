"""Whatever the file holds, the answer is a contract or its problems."""

import copy
import re
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import protection
from schemas.contract import Contract
from schemas.contract_file import read_contract
from schemas.errors import SpecError
from schemas.located import load, parse

FILE = Path("c.yaml")
GOOD = [
    load(Path(__file__).parent / "contracts" / f"{name}.odcs.yaml").value
    for name in ("events", "flights")
]
WORDS = re.findall(
    r"\S+",
    """
    name logicalType logicalTypeOptions physicalType properties items required enum value primaryKey
    primaryKeyPosition quality metric mustBe arguments customProperties property minimum maximum
    pattern format classification transformLogic string integer number date timestamp object array
    time boolean map invalidValues validValues nullValues penstock:open penstock:protect
    penstock:protectOptions penstock:eventTime penstock:reason penstock:onFailure mask generalize
    pseudonymize drop keep warn to step prefix event_time properties.email amount DECIMAL(5,2)
    yyyy-MM-dd ( year+1 v3.1.0
    """,
)
SCALARS = st.one_of(
    st.sampled_from(WORDS),
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    ),
    max_leaves=8,
)


def judge(data: bytes) -> None:
    try:
        found = read_contract(parse(data, FILE))
    except SpecError as error:
        messages = [problem.message for problem in error.problems]
    else:
        assert isinstance(found, Contract)
        protection.check(found)
        assert protection.protected_schema(found) is not None
        hash(found)
        return
    assert messages
    assert all(message.count("; ") >= 2 for message in messages)


def nodes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(found for key, child in inner for found in nodes(child, (*path, key)))]


@given(st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_good_contract_with_a_few_nodes_changed_is_read_or_refused(data: st.DataObject) -> None:
    value = copy.deepcopy(data.draw(st.sampled_from(GOOD)))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(nodes(value)[1:] or [()]))
        if not path:
            break
        holder = value
        for part in path[:-1]:
            holder = holder[part]
        action = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "remove":
            del holder[path[-1]]
        elif action == "replace" or isinstance(holder, list):
            holder[path[-1]] = data.draw(VALUES)
        else:
            holder[data.draw(st.sampled_from(WORDS))] = data.draw(VALUES)
    dumper = yaml.SafeDumper
    dumper.ignore_aliases = lambda *_: True  # type: ignore[method-assign]
    judge(yaml.dump(value, Dumper=dumper, allow_unicode=True).encode())


@given(VALUES)
@settings(max_examples=80, deadline=None)
def test_any_values_are_read_or_refused(value: Any) -> None:
    whole = (
        {**GOOD[0], "schema": [{"name": "t", "properties": [{"name": "a", **value}]}]}
        if isinstance(value, dict)
        else value
    )
    judge(yaml.safe_dump(whole, allow_unicode=True).encode())


@given(st.binary(max_size=200))
@settings(max_examples=80, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    judge(data)
