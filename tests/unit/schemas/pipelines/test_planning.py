"""The plan: types that flow, tables, hashes, overrides, its published form."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from jsonschema import Draft201909Validator

from schemas.names import POSITION_NAMES, TIMESTAMP
from schemas.plan import FileSource
from schemas.plan_json import to_json
from schemas.planning import load_plan
from schemas.structure import published

Folder = Callable[..., Path]


def test_types_flow_from_step_to_step(folder: Folder) -> None:
    plan = load_plan(folder())
    derive, enrich, score = plan.steps[1], plan.steps[3], plan.steps[4]
    assert derive.output.field("class").type == pa.string()
    assert enrich.input == plan.steps[2].output
    assert enrich.output.field("population").type == pa.int64()
    assert score.output.field("score").type == pa.float64()
    assert [step.id for step in plan.steps] == [
        "deduplicate-1",
        "derive-1",
        "filter-1",
        "enrich-1",
        "python-1",
    ]


def test_protection_decides_which_columns_the_first_step_has(folder: Folder) -> None:
    first = load_plan(folder()).steps[0].input
    assert "card" not in first.names
    assert first.field("email").type == pa.string()
    assert first.field("extra").type == pa.string()
    assert first.field("extra.weight").type == pa.float64()


def test_what_is_made_of_clear_personal_data_is_tainted(folder: Folder) -> None:
    kept = '{property: "penstock:protect", value: keep}, {property: "penstock:reason", value: x}'
    where = folder("class: CASE WHEN", "length: length(phone)\n      class: CASE WHEN")
    contract = where / "contract.odcs.yaml"
    places = ("processed.length", "python-1.*", "processed.score")
    entries = ", ".join(f'{{place: "{place}", reason: x}}' for place in places)
    time = '      - {property: "penstock:eventTime", value: ordered_at}\n'
    text = contract.read_text().replace('{property: "penstock:protect", value: mask}', kept)
    released = f'{time}      - {{property: "penstock:release", value: [{entries}]}}\n'
    contract.write_text(text.replace(time, released))
    plan = load_plan(where)
    assert [set(step.taint) for step in plan.steps] == [
        {"phone"},
        *[{"phone", "length"}] * 3,
        {"phone", "length", "score"},
    ]
    assert not load_plan(folder()).steps[-1].taint


def test_the_lake_gets_columns_but_no_paths(folder: Folder) -> None:
    plan = load_plan(folder())
    processed = plan.tables["processed_data.orders"]
    assert not [name for name in processed.schema.names if "." in name]
    assert tuple(processed.schema.names[-len(POSITION_NAMES) :]) == POSITION_NAMES
    assert processed.schema.field("_source").type == pa.string()
    assert processed.partition_by == ("day(ordered_at)",)
    assert processed.sort_by == ("country",)


def test_an_aggregate_knows_its_types_and_what_it_reads(folder: Folder) -> None:
    plan = load_plan(folder())
    (hourly,) = plan.aggregates
    assert hourly.event_time == "ordered_at"
    assert hourly.window.size_us == 3_600_000_000
    assert {(m.name, m.function, m.argument, m.type) for m in hourly.measures} == {
        ("orders", "count", None, pa.int64()),
        ("revenue", "sum", '"amount"', pa.float64()),
        ("people", "approx_count_distinct", '"email"', pa.int64()),
    }
    assert set(hourly.input.names) == {"class", "extra.channel", "amount", "email"}
    table = plan.tables["analytics.hourly"]
    assert table.schema.names == [
        *("window_start", "window_end", "class", "extra_channel", "orders", "revenue", "people"),
        *("_epoch", "_rows", "_final"),
    ]
    assert table.key == ("window_start", "class", "extra_channel")
    assert table.schema.field("window_start").type == TIMESTAMP


@pytest.mark.parametrize(
    ("measure", "kind"),
    [
        ("sum(items)", pa.int64()),
        ("sum(CAST(amount AS DECIMAL(9,2)))", pa.decimal128(38, 2)),
        ("avg(items)", pa.float64()),
        ("max(ordered_at)", TIMESTAMP),
        ("min(country)", pa.string()),
        ("last(CASE WHEN amount > 0 THEN country END)", pa.string()),
        ("count(country)", pa.int64()),
        ("stddev(amount)", pa.float64()),
    ],
)
def test_a_measure_has_the_type_of_its_function(
    folder: Folder, measure: str, kind: pa.DataType
) -> None:
    plan = load_plan(folder("sum(amount)", json.dumps(measure)))
    (found,) = [m for m in plan.aggregates[0].measures if m.name == "revenue"]
    assert found.type == kind
    assert plan.tables["analytics.hourly"].schema.field("revenue").type == kind


def test_event_time_inside_an_open_object_lands_as_a_column_of_its_own(folder: Folder) -> None:
    where = folder(
        pipeline="name: o\ncontract: contract.odcs.yaml\nsource: {batch: {files: {path: x}}}\n"
    )
    contract = where / "contract.odcs.yaml"
    text = contract.read_text().replace("value: ordered_at", "value: extra.at")
    contract.write_text(
        text.replace("{name: channel, logicalType: string}", "{name: at, logicalType: timestamp}")
    )
    plan = load_plan(where)
    assert plan.tables["processed_data.o"].schema.field("_event_time").type == TIMESTAMP


def test_names_comments_and_triggers_decide_no_row(folder: Folder) -> None:
    plan = load_plan(folder())
    same = [
        ("  - filter: {keep: amount > 0}", "  - {name: paid, filter: {keep: (amount>0)}} # x"),
        ("size: 1h,", "size: 60m, trigger: {type: after_watermark},"),
        ('path: "data/*.jsonl.gz"', "path: elsewhere.json"),
        ("  warehouse: {}\n", ""),
    ]
    for old, new in same:
        other = load_plan(folder(old, new))
        assert (other.hash, other.parts) == (plan.hash, plan.parts), new


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("amount > 0", "amount > 1", {"steps"}),
        ("horizon: 1d", "horizon: 2d", {"steps"}),
        ("path: countries.csv", "path: other.csv", {"steps"}),
        ("size: 1h", "size: 2h", {"aggregate:hourly"}),
        ("sum(amount)", "avg(amount)", {"aggregate:hourly"}),
    ],
)
def test_the_parts_say_what_changed(folder: Folder, old: str, new: str, parts: set[str]) -> None:
    before, after = load_plan(folder()), load_plan(folder(old, new))
    assert before.hash != after.hash
    changed = {name for name, digest in after.parts.items() if before.parts.get(name) != digest}
    assert changed == parts


def test_the_code_of_a_python_step_is_part_of_the_step(folder: Folder) -> None:
    where = folder()
    (where / "mine").mkdir()
    code = where / "mine" / "steps.py"
    digests = set()
    for text in ("def score(batch): ...\n", "def score(batch): return batch\n"):
        code.write_text(text)
        digests.add(load_plan(where).parts["steps"])
    assert len(digests) == 2


def test_a_reference_is_kept_as_it_is_written(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTRIES", "very-secret-value")
    plan = load_plan(folder("path: countries.csv", 'path: "${COUNTRIES}/c.csv"'))
    assert plan.steps[3].parameters["from"].path == "${COUNTRIES}/c.csv"
    assert "very-secret-value" not in json.dumps(to_json(plan))
    monkeypatch.setenv("COUNTRIES", "another")
    assert load_plan(folder("path: countries.csv", 'path: "${COUNTRIES}/c.csv"')).hash == plan.hash


def test_flags_replace_what_the_file_says(folder: Folder, tmp_path: Path) -> None:
    where = folder()
    plan = load_plan(
        where,
        input="more.csv",
        out=Path("elsewhere"),
        sinks=["lake"],
        sets=["aggregates.hourly.windowing.size=5m", "steps.0.deduplicate.horizon=2d"],
    )
    assert plan.source == FileSource(path=str(Path("more.csv").absolute()), format="csv")
    assert plan.out == Path("elsewhere").absolute()
    assert list(plan.sinks) == ["lake"]
    assert plan.aggregates[0].window.size_us == 300_000_000
    assert plan.steps[0].parameters["horizon_us"] == 2 * 86_400_000_000
    assert load_plan(where, input="s3://bucket/x.parquet").source.path == "s3://bucket/x.parquet"
    assert load_plan(where).out == tmp_path / "out"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("x.csv.gz", "csv"),
        ("x.PARQUET", "parquet"),
        ("x.jsonl.zst", "json"),
        ("s3://b/x.avro", "avro"),
        ("x", "json"),
    ],
)
def test_a_format_is_known_by_the_ending(folder: Folder, path: str, kind: str) -> None:
    assert load_plan(folder("data/*.jsonl.gz", path)).source.format == kind


def test_the_published_form_fits_its_schema_and_names_no_environment(folder: Folder) -> None:
    schema = published("plan")
    Draft201909Validator.check_schema(schema)
    plan = load_plan(folder())
    found = json.loads(json.dumps(to_json(plan)))
    assert not list(Draft201909Validator(schema).iter_errors(found))
    assert os.environ["PATH"] not in json.dumps(found)


def test_a_plan_pickles(folder: Folder) -> None:
    plan = load_plan(folder())
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_a_small_pipeline_needs_three_keys(folder: Folder) -> None:
    plan = load_plan(
        folder(
            pipeline="name: o\ncontract: contract.odcs.yaml\nsource: {batch: {files: {path: x}}}\n"
        )
    )
    assert plan.steps == plan.aggregates == ()
    assert plan.sinks == {"lake": {}, "warehouse": {}}
