"""A pipeline through which personal data would come out is refused, with the way that it would go."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import SpecError
from schemas.plan import Plan
from schemas.planning import check_pipeline, load_plan
from tests import leaks
from tests.pipelines import shop

ROUTES = list(leaks.routes())
ROOT = Path(__file__).parents[3]
STEPS = "steps:\n"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.claim)
def test_a_way_out_is_refused_with_its_course(tmp_path: Path, route: leaks.Route) -> None:
    folder = leaks.make(tmp_path, contract=route.contract, pipeline=route.pipeline)
    with pytest.raises(SpecError) as caught:
        load_plan(folder)
    said = [f"{p.file.name}:{p.line}: {p.message}" for p in caught.value.problems]
    assert tuple(said) == route.said


def test_the_table_is_read_whole() -> None:
    text = Path(leaks.__file__).with_suffix(".txt").read_text()
    assert len(ROUTES) == text.count("\n## ") > 30
    assert all(route.said and (route.contract or route.pipeline) for route in ROUTES)
    assert sum(route.left is not None for route in ROUTES) > 15


def test_validate_refuses_what_a_run_refuses(tmp_path: Path) -> None:
    route = ROUTES[0]
    with pytest.raises(SpecError, match="must not show personal data"):
        check_pipeline(leaks.make(tmp_path, contract=route.contract, pipeline=route.pipeline))


def test_what_is_protected_or_kept_with_a_reason_is_no_alarm(tmp_path: Path) -> None:
    plan = load_plan(leaks.make(tmp_path))
    assert [(r.place, r.reason) for r in plan.released] == [
        ("processed.user", "the invoice names it"),
        ("processed.salary", "the invoice names it"),
    ]


@pytest.mark.parametrize("name", ["events", "flights"])
def test_the_worked_examples_are_no_alarm(name: str) -> None:
    plan = load_plan(ROOT / "beam_pipelines" / name)
    places = [released.place for released in plan.released]
    assert places == (["processed.user_id"] if name == "events" else [])


def test_the_shop_is_no_alarm(tmp_path: Path) -> None:
    assert load_plan(shop.make_folder(tmp_path)).released == ()


def released(folder: Path, *places: str, pipeline: tuple[str, ...]) -> Plan:
    head = '      - {property: "penstock:eventTime", value: at}\n'
    entries = "".join(f'          - {{place: "{p}", reason: r {p}}}\n' for p in places)
    text = f'{head}      - property: "penstock:release"\n        value:\n{entries}'
    return load_plan(leaks.make(folder, contract=(head, text), pipeline=pipeline))


def test_a_release_lets_one_place_through_and_is_listed_with_its_way(tmp_path: Path) -> None:
    steps = f"{STEPS}  - derive: {{a: upper(user)}}\n  - derive: {{b: lower(a)}}\n"
    plan = released(tmp_path / "both", "processed.a", "processed.b", pipeline=(STEPS, steps))
    assert len(plan.released) == 4
    assert plan.released[-1].reason == "r processed.b"
    assert plan.released[-1].way == (
        "user (keep) -> derive-1 -> a -> derive-2 -> b -> processed_data.people"
    )
    assert {"a", "b"} <= plan.steps[-1].taint
    with pytest.raises(SpecError, match=r"steps\[1\]\.derive\.b") as caught:
        released(tmp_path / "one", "processed.a", pipeline=(STEPS, steps))
    assert len(caught.value.problems) == 1


def test_a_function_that_may_put_it_anywhere_can_be_released(tmp_path: Path) -> None:
    pipeline = (STEPS, f'{STEPS}  - python: {{call: "mine:turn"}}\n')
    plan = released(tmp_path, "python-1.*", pipeline=pipeline)
    assert plan.released[-1].way == "user (keep) -> python-1 -> every column it returns"


def test_a_function_that_does_not_see_it_is_free(tmp_path: Path) -> None:
    step = 'python: {call: "mine:turn", reads: [country], columns: {country: string}}'
    plan = load_plan(leaks.make(tmp_path, pipeline=(STEPS, f"{STEPS}  - {step}\n")))
    assert plan.steps[0].taint == {"user", "salary"}


def test_a_column_that_is_replaced_by_something_else_is_clean(tmp_path: Path) -> None:
    step = "derive: {salary: CAST(1 AS BIGINT)}"
    plan = load_plan(leaks.make(tmp_path, pipeline=(STEPS, f"{STEPS}  - {step}\n")))
    assert plan.steps[0].taint == {"user"}


@pytest.mark.parametrize(
    "expression",
    [
        "name IS NULL",
        "name = contact.email",
        "CASE WHEN name IN ('a', 'b') THEN country ELSE 'x' END",
        "CASE WHEN name LIKE '%a%' AND name BETWEEN 'a' AND 'b' THEN 'p' END",
    ],
)
def test_a_class_of_pseudonyms_may_form_groups(tmp_path: Path, expression: str) -> None:
    edits = (STEPS, f'{STEPS}  - derive: {{c: "{expression}"}}\n', "[country, here", "[c, here")
    assert load_plan(leaks.make(tmp_path, pipeline=edits)).aggregates[0].group_by[0] == "c"


@pytest.mark.parametrize(
    "expression",
    [
        "CASE WHEN country IS NULL THEN name ELSE 'x' END",
        "coalesce(name, 'x')",
        "upper(name)",
        "contact.email",
        "json_extract_string(extra, '$.mail')",
    ],
)
def test_what_shows_pseudonyms_may_not(tmp_path: Path, expression: str) -> None:
    edits = (STEPS, f'{STEPS}  - derive: {{c: "{expression}"}}\n', "[country, here", "[c, here")
    with pytest.raises(SpecError, match="a group must be of many persons"):
        load_plan(leaks.make(tmp_path, pipeline=edits))


def test_generalized_columns_may_form_groups(tmp_path: Path) -> None:
    options = '{property: "penstock:protectOptions", value: {prefix: 2}}'
    protect = '{property: "penstock:protect", value: generalize}'
    name = "{name: name, logicalType: string, classification: restricted"
    contract = (f"{name}}}", f"{name}, customProperties: [{protect}, {options}]}}")
    plan = load_plan(
        leaks.make(tmp_path, contract=contract, pipeline=("[country, here", "[name, here"))
    )
    assert plan.aggregates[0].group_by[0] == "name"


NAME = "{name: name, logicalType: string, classification: restricted"


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        (("[country, here", "[country, name"), "a group must not show personal data"),
        ((STEPS, f"{STEPS}  - derive: {{c: upper(name)}}\n"), "a column must not show"),
        (('"bucket(4, user)"', '"truncate(8, name)"'), "a partition, which names files"),
        (("rows: count(*)", "most: max(name)"), "a measure must not show"),
    ],
)
def test_a_text_that_a_mask_leaves_around_what_it_finds_is_in_clear(
    tmp_path: Path, pipeline: tuple[str, str], said: str
) -> None:
    options = '{property: "penstock:protectOptions", value: {within: [ip]}}'
    protect = '{property: "penstock:protect", value: mask}'
    contract = (f"{NAME}}}", f"{NAME}, customProperties: [{protect}, {options}]}}")
    called = "CASE WHEN name IS NULL THEN 'no' ELSE 'yes' END"  # which may not be said of it
    left = (called, "country")
    load_plan(leaks.make(tmp_path / "none", contract=contract, pipeline=left))
    with pytest.raises(SpecError, match=said) as caught:
        load_plan(leaks.make(tmp_path / "one", contract=contract, pipeline=(*left, *pipeline)))
    assert "protect all of name in the contract" in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ("[{place: a.b}]", "must have `reason`; got none"),
        ("[]", "must be a list of {place: ..., reason: ...}"),
        ("[{place: processed.a, reason: x}, {place: processed.a, reason: y}]", "released once"),
    ],
)
def test_a_release_that_is_not_one_is_refused(tmp_path: Path, entries: str, said: str) -> None:
    head = '      - {property: "penstock:eventTime", value: at}\n'
    text = f'{head}      - {{property: "penstock:release", value: {entries}}}\n'
    with pytest.raises(SpecError, match=said):
        load_plan(leaks.make(tmp_path, contract=(head, text)))


def test_a_release_stands_on_the_schema_object(tmp_path: Path) -> None:
    entry = '{property: "penstock:release", value: [{place: a, reason: b}]}'
    contract = ("[KEEP, REASON]", f"[KEEP, REASON, {entry}]")
    with pytest.raises(SpecError, match="must stand on the schema object"):
        load_plan(leaks.make(tmp_path, contract=contract))


NESTED = """\
      - name: seen
        logicalType: object
        customProperties: [{property: "penstock:open", value: true}]
        properties:
          - {name: when, logicalType: timestamp}
          - {name: by, logicalType: string, classification: restricted, customProperties: [KEEP, REASON]}
      - name: extra
"""


def test_a_time_beside_a_personal_key_is_no_alarm(tmp_path: Path) -> None:
    contract = ("value: at}", "value: seen.when}", "      - name: extra\n", NESTED)
    plan = load_plan(leaks.make(tmp_path, contract=contract))
    assert [r.place for r in plan.released][2:] == ["processed.seen.by"]


def test_a_reason_on_an_object_that_is_protected_inside_makes_nothing_clear(tmp_path: Path) -> None:
    old = "      - name: contact\n        logicalType: object\n"
    new = f"{old}        classification: restricted\n        customProperties: [REASON]\n"
    step = f"{STEPS}  - derive: {{post: contact.email}}\n"
    plan = load_plan(leaks.make(tmp_path, contract=(old, new), pipeline=(STEPS, step)))
    assert "post" not in plan.steps[-1].taint
