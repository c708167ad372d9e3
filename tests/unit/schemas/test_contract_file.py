"""Good contracts become frozen columns."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pyarrow as pa
import pytest
from open_data_contract_standard.model import OpenDataContractStandard

from schemas import protection
from schemas.contract import Column, Contract, Protection, Rule
from schemas.contract_file import load_contract, read_contract
from schemas.errors import SpecError
from schemas.located import load, parse
from schemas.structure import published

FOLDER = Path(__file__).parent / "contracts"
HEAD = "apiVersion: {}\nkind: DataContract\nid: t\nversion: 1.0.0\nschema:\n  - name: t\n"
UTC = pa.timestamp("us", "UTC")


def contract(*properties: str, schema: str = "", version: str = "v3.1.0") -> Contract:
    """Read a contract of these properties, one flow mapping each."""
    body = "".join(f"      - {{{text}}}\n" for text in properties)
    text = f"{HEAD.format(version)}{schema}    properties:\n{body}"
    return read_contract(parse(text.encode(), Path("c.yaml")))


def column(text: str) -> Column:
    """Read a contract of one property."""
    return contract(text).columns[0]


def custom(**values: object) -> str:
    """Write custom properties of ours."""
    ours = [{"property": f"penstock:{key}", "value": value} for key, value in values.items()]
    return f"customProperties: {json.dumps(ours)}"


def rules(text: str) -> list[tuple[str, object, bool]]:
    return [(rule.kind, rule.value, rule.refuse) for rule in column(text).rules]


@pytest.mark.parametrize("name", ["events", "flights"])
def test_a_good_contract_also_satisfies_the_standards_own_schema(name: str) -> None:
    value = load(FOLDER / f"{name}.odcs.yaml").value
    standard = json.loads(OpenDataContractStandard.json_schema())
    assert not list(jsonschema.Draft201909Validator(standard).iter_errors(value))


def test_the_published_schema_is_a_schema() -> None:
    jsonschema.Draft201909Validator.check_schema(published("contract"))


def test_events_keep_their_properties_as_text_with_typed_paths_beside() -> None:
    events = load_contract(FOLDER / "events.odcs.yaml")
    assert events.arrow_schema() == pa.schema(
        [
            pa.field("event_id", pa.string(), nullable=False),
            pa.field("event_time", UTC, nullable=False),
            pa.field("user_id", pa.string()),
            pa.field("event_type", pa.string(), nullable=False),
            pa.field("properties", pa.string()),
        ]
    )
    assert (events.id, events.name, events.version) == ("6b7b0f5e-events", "events", "1.0.0")
    assert events.description == "What users did."
    assert (events.event_time, events.primary_key) == ("event_time", ("event_id",))
    assert events.columns[0].unique
    assert events.columns[0].rules == (Rule(kind="format", value="uuid"),)
    assert [(c.path, c.type, c.protect) for c in events.path_columns()] == [
        ("properties.email", pa.string(), Protection.PSEUDONYMIZE),
        ("properties.amount", pa.float64(), Protection.KEEP),
    ]
    assert events.classified


def test_flights_compute_their_event_time_and_order_their_key() -> None:
    flights = load_contract(FOLDER / "flights.odcs.yaml")
    by_name = {c.name: c for c in flights.columns}
    assert flights.primary_key == ("flight", "carrier")
    assert not by_name["event_time"].read
    assert by_name["event_time"].required  # a row without event time has no place in time
    assert by_name["year"].type == pa.int32()
    assert by_name["distance"].type == pa.decimal128(8, 2)
    assert by_name["distance"].required  # by its quality check nullValues
    assert by_name["tail_number"].protect is Protection.PSEUDONYMIZE
    assert Rule(kind="maximum", value=12) in by_name["month"].rules


TYPES = [
    ("logicalType: string", pa.string()),
    ("logicalType: boolean", pa.bool_()),
    ("logicalType: date", pa.date32()),
    ("logicalType: timestamp", UTC),
    ("logicalType: time", pa.time64("us")),
    ("logicalType: integer", pa.int64()),
    ("logicalType: integer, physicalType: BIGINT", pa.int64()),
    ("logicalType: integer, physicalType: Integer", pa.int32()),
    ("logicalType: integer, logicalTypeOptions: {format: i32}", pa.int32()),
    ("logicalType: integer, logicalTypeOptions: {format: u32}", pa.int64()),
    ("logicalType: number", pa.float64()),
    ("logicalType: number, physicalType: REAL", pa.float32()),
    ("logicalType: number, logicalTypeOptions: {format: f32}", pa.float32()),
    ('logicalType: number, physicalType: "NUMERIC( 10 , 2 )"', pa.decimal128(10, 2)),
    ('logicalType: number, physicalType: "decimal(5)"', pa.decimal128(5, 0)),
    ("logicalType: object", pa.string()),
    ("logicalType: array, items: {logicalType: integer}", pa.list_(pa.int64())),
    (
        "logicalType: object, properties: [{name: b, logicalType: integer, required: true}]",
        pa.struct([pa.field("b", pa.int64())]),  # null where the object is
    ),
    (
        (
            "logicalType: array, items: {logicalType: object, properties: "
            "[{name: b, logicalType: array, items: {logicalType: date, required: true}}]}"
        ),
        pa.list_(pa.struct([("b", pa.list_(pa.field("element", pa.date32(), nullable=False)))])),
    ),
]


@pytest.mark.parametrize(("text", "kind"), TYPES, ids=[text for text, _ in TYPES])
def test_a_property_has_the_lakes_type(text: str, kind: pa.DataType) -> None:
    assert column(f"name: a, {text}").type == kind


def test_a_narrow_integer_is_a_range() -> None:
    assert rules("name: a, logicalType: integer, physicalType: SMALLINT") == [
        ("minimum", -32768, True),
        ("maximum", 32767, True),
    ]


def test_options_become_rules() -> None:
    assert rules(
        "name: a, logicalType: string, "
        "logicalTypeOptions: {minLength: 1, maxLength: 9, pattern: '^[a-z]+$', format: hostname}"
    ) == [
        ("min_length", 1, True),
        ("max_length", 9, True),
        ("pattern", "^[a-z]+$", True),
        ("format", "hostname", True),
    ]
    assert rules(
        "name: a, logicalType: array, items: {logicalType: string}, "
        "logicalTypeOptions: {minItems: 1, maxItems: 2, uniqueItems: true}"
    ) == [("min_items", 1, True), ("max_items", 2, True), ("unique_items", True, True)]
    assert rules("name: a, logicalType: array, items: {logicalType: string}, "
                 "logicalTypeOptions: {uniqueItems: false}") == []  # fmt: skip
    assert rules(
        "name: a, logicalType: number, logicalTypeOptions: "
        "{exclusiveMinimum: 0, maximum: 1.5, multipleOf: 0.5}"
    ) == [
        ("exclusive_minimum", 0, True),
        ("maximum", 1.5, True),
        ("multiple_of", 0.5, True),
    ]


def test_limits_of_times_are_in_utc() -> None:
    assert rules(
        "name: a, logicalType: timestamp, logicalTypeOptions: "
        "{minimum: 2026-01-01, maximum: '2026-02-01T00:00:00+09:00', "
        "defaultTimezone: America/New_York}"
    ) == [
        ("minimum", "2026-01-01T05:00:00+00:00", True),
        ("maximum", "2026-01-31T15:00:00+00:00", True),
    ]


def test_an_enumeration_keeps_its_values_in_order() -> None:
    assert rules("name: a, logicalType: integer, enum: [{value: 3, label: three}, {value: 1}]") == [
        ("enum", (3, 1), True)
    ]


def test_a_format_is_read_as_strptime_forms_with_optional_parts() -> None:
    found = column(
        "name: a, logicalType: timestamp, logicalTypeOptions: "
        "{format: \"dd/MM/yyyy'T'HH:mm[:ss]\", defaultTimezone: Asia/Seoul}"
    )
    assert found.formats == ("%d/%m/%YT%H:%M:%S", "%d/%m/%YT%H:%M")
    assert found.timezone == "Asia/Seoul"


WARNINGS = [
    (f"logicalTypeOptions: {{minLength: 1}}, {custom(onFailure='warn')}", False),
    (f"logicalTypeOptions: {{minLength: 1}}, {custom(onFailure='refuse')}", True),
    ("quality: [{metric: invalidValues, arguments: {pattern: a}, mustBe: 0}]", True),
    (
        (
            "quality: [{metric: invalidValues, arguments: {pattern: a}, mustBe: 0, "
            "severity: warning}]"
        ),
        False,
    ),
    (
        (
            "quality: [{metric: invalidValues, arguments: {validValues: [a, b]}, mustBe: 0, "
            f"{custom(onFailure='warn')}}}]"
        ),
        False,
    ),
    (
        (
            "quality: [{metric: invalidValues, arguments: {validValues: [a]}, mustBe: 0, "
            f"severity: info, {custom(onFailure='refuse')}}}]"
        ),
        True,
    ),
]


@pytest.mark.parametrize(("text", "refuse"), WARNINGS)
def test_a_rule_refuses_unless_it_says_warn(text: str, refuse: bool) -> None:
    (rule,) = rules(f"name: a, logicalType: string, {text}")
    assert rule[2] is refuse


def test_quality_checks_of_the_row_add_required_and_unique() -> None:
    found = column(
        "name: a, logicalType: string, quality: [{metric: missingValues, mustBe: 0}, "
        "{metric: duplicateValues, mustBe: 0, unit: rows}, {type: text, description: good}, "
        "{type: custom, engine: soda, implementation: x}]"
    )
    assert (found.required, found.unique, found.rules) == (True, True, ())


PII = "classification: pii"
KEPT = custom(protect="keep", reason="needed")
PROTECTIONS = [
    (f"logicalType: string, {PII}", "pseudonymize"),
    ("logicalType: string, classification: Public", "keep"),
    (f"logicalType: integer, {PII}", "drop"),
    (f"logicalType: string, {PII}, {KEPT}", "keep"),
    (f"logicalType: object, {PII}", "drop"),
    (f"logicalType: array, items: {{logicalType: integer}}, {PII}", "drop"),
    (f"logicalType: array, items: {{logicalType: integer, {PII}}}", "drop"),
    (f"logicalType: integer, {PII}, {custom(protect='pseudonymize')}", "pseudonymize"),
    (f"logicalType: string, {custom(protect='mask', protectOptions={'keep_last': 4})}", "mask"),
    (f"logicalType: date, {custom(protect='generalize', protectOptions={'to': 'year'})}",
     "generalize"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), PROTECTIONS)
def test_what_is_classified_is_protected(text: str, expected: str) -> None:
    found = contract(f"name: a, {text}")
    assert found.columns[0].protect == expected
    protection.check(found)


def test_classification_reaches_what_is_inside() -> None:
    address = contract(
        f"name: a, logicalType: object, {PII}, properties: [{{name: street, logicalType: string}}, "
        "{name: floor, logicalType: integer}, "
        "{name: country, logicalType: string, classification: public}, "
        "{name: tags, logicalType: array, items: {logicalType: string}}]"
    )
    found = {c.path: c.protect.value for c in address.leaves()}
    assert found == {
        "a": "keep",
        "a.street": "pseudonymize",
        "a.floor": "drop",
        "a.country": "keep",
        "a.tags": "keep",
        "a.tags[]": "pseudonymize",
    }
    protection.check(address)


def test_the_protection_of_an_array_is_that_of_its_items() -> None:
    found = contract(
        "name: a, logicalType: array, items: {logicalType: string, classification: pii}, "
        + custom(protect="mask", protectOptions={"keep_first": 1})
    )
    array = found.columns[0]
    assert array.protect is Protection.MASK
    assert protection.items(array).protect is Protection.MASK
    protection.check(found)


def test_everything_inside_an_open_object_is_open() -> None:
    found = contract(
        "name: p, logicalType: object, properties: [{name: a, logicalType: object, "
        "properties: [{name: b, logicalType: integer}]}, {name: c, logicalType: object}], "
        + custom(open=True)
    )
    assert [(c.path, c.open) for c in found.leaves()] == [
        ("p", True), ("p.a", True), ("p.a.b", False), ("p.c", True),
    ]  # fmt: skip
    assert [(c.path, c.type) for c in found.path_columns()] == [
        ("p.a.b", pa.int64()),
        ("p.c", pa.string()),
    ]


@pytest.mark.parametrize("is_open", [True, False])
def test_an_event_time_may_be_nested(is_open: bool) -> None:
    found = contract(
        "name: p, logicalType: object, properties: [{name: at, logicalType: timestamp}], "
        + custom(open=is_open),
        schema=f"    {custom(eventTime='p.at')}\n",
    )
    assert (found.event_time, found.event_time_column) == ("p.at", "_event_time")
    assert found.columns[0].children[0].required


def test_without_an_event_time_rows_are_ordered_by_arrival() -> None:
    found = contract("name: a, logicalType: string")
    assert (found.event_time, found.event_time_column, found.primary_key) == (None, "_arrived", ())
    assert not found.classified


def test_a_computed_property_may_read_declared_keys_of_open_objects() -> None:
    found = contract(
        "name: p, logicalType: object, properties: [{name: n, logicalType: integer}], "
        + custom(open=True),
        "name: a, logicalType: integer, transformLogic: p.n * 2",
    )
    assert found.columns[1].transform == "p.n * 2"


@pytest.mark.parametrize("say", [f"{PII}", custom(protect="keep", reason="only a length")])
def test_a_property_computed_from_personal_ones_says_what_it_is(say: str) -> None:
    found = contract(
        f"name: mail, logicalType: string, {PII}",
        f"name: size, logicalType: integer, transformLogic: length(mail), {say}",
    )
    assert not found.columns[1].read


@pytest.mark.parametrize("version", ["v3.0.0", "v3.0.2", "v3.1.0", "v3.2.0"])
def test_minor_versions_of_the_standard_are_read(version: str) -> None:
    assert contract("name: a, logicalType: string", version=version).columns


def test_of_several_schema_objects_one_is_chosen_by_name() -> None:
    text = HEAD.format("v3.1.0") + "    properties: [{name: a, logicalType: string}]\n"
    text += "  - name: u\n    properties: [{name: b, logicalType: string}]\n"
    located = parse(text.encode(), Path("c.yaml"))
    assert [c.name for c in read_contract(located, name="u").columns] == ["b"]
    with pytest.raises(SpecError, match=r"must have one schema 'uu'; did you mean 'u'\?"):
        read_contract(located, name="uu")


def test_the_hash_is_of_the_meaning() -> None:
    base = "name: a, logicalType: string, logicalTypeOptions: {minLength: 1, maxLength: 2}"
    same = [
        "logicalType: string, logicalTypeOptions: {maxLength: 2, minLength: 1}, name: a",
        f"{base}, description: text, tags: [x], examples: [y], businessName: z",
        f"{base}, required: false, {custom(onFailure='refuse')}",
    ]
    other = [
        f"{base}, required: true",
        f"{base}, {PII}",
        f"{base}, {custom(protect='drop')}",
        f"{base}, {custom(onFailure='warn')}",
        base.replace("maxLength: 2", "maxLength: 3"),
        base.replace("name: a", "name: b"),
    ]
    digest = contract(base).hash
    assert len(digest) == 64
    assert [contract(text).hash for text in same] == [digest] * len(same)
    assert len({digest, *(contract(text).hash for text in other)}) == len(other) + 1


def test_a_contract_is_a_value() -> None:
    found = contract("name: a, logicalType: string, enum: [{value: x}]")
    assert hash(found) == hash(replace(found))
