"""`penstock generate` makes what a run then finds: its manifest is the oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from beam_pipelines.batch import ingest
from beam_pipelines.generating import Manifest, Order, generate
from beam_pipelines.ingest import Engine
from runners.direct import Direct
from schemas.errors import PenstockError, UsageError
from schemas.planning import load_plan
from transforms.commit.lake import open_lake
from transforms.synthetic.stream import Shares
from transforms.synthetic.values import Span

DAY_US = 86_400_000_000
START_US = 20_454 * DAY_US
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: orders
name: orders
version: 1.0.0
status: active
schema:
  - name: orders
    logicalType: object
    customProperties:
      - {property: "penstock:eventTime", value: at}
    properties:
      - {name: id, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1, logicalTypeOptions: {pattern: "^[A-Z]{2}-[0-9]{6}$"}}
      - {name: at, logicalType: timestamp, required: true}
      - {name: state, logicalType: string, required: true, enum: [{value: open}, {value: paid}, {value: sent}]}
      - {name: shop, logicalType: string, required: true}
      - {name: pieces, logicalType: integer, required: true, logicalTypeOptions: {minimum: 1, maximum: 12}}
      - {name: price, logicalType: number, physicalType: "DECIMAL(9,2)", logicalTypeOptions: {exclusiveMinimum: 0}}
      - {name: weight, logicalType: number, logicalTypeOptions: {minimum: -1.5, maximum: 2.5, multipleOf: 0.25}}
      - {name: gift, logicalType: boolean}
      - {name: day, logicalType: date, logicalTypeOptions: {minimum: "2026-01-05", format: "d.M.yyyy"}}
      - {name: hour, logicalType: time}
      - {name: mail, logicalType: string, logicalTypeOptions: {format: email, maxLength: 40}, classification: restricted}
      - {name: code, logicalType: string, logicalTypeOptions: {minLength: 3, maxLength: 3}}
      - {name: note, logicalType: string, logicalTypeOptions: {maxLength: 200}}
      - name: lines
        logicalType: array
        logicalTypeOptions: {minItems: 1, maxItems: 4}
        items: {logicalType: integer, logicalTypeOptions: {minimum: 10}}
      - name: place
        logicalType: object
        properties:
          - {name: zip, logicalType: string, required: true, logicalTypeOptions: {pattern: "^[0-9]{5}$"}}
          - {name: lat, logicalType: number, logicalTypeOptions: {minimum: -90, maximum: 90}}
      - name: more
        logicalType: object
        customProperties:
          - {property: "penstock:open", value: true}
        properties:
          - {name: ip, logicalType: string, logicalTypeOptions: {format: ipv4}}
"""
PIPELINE = """\
name: orders
contract: contract.odcs.yaml
source:
  batch: {files: {path: "data/FILE", format: FORMAT}}
steps:
  - deduplicate: {by: [id], horizon: 2d}
  - enrich:
      table: shops
      from: {files: {path: shops.csv, format: csv}}
      on: {shop: name}
      add: {city: city}
aggregates:
  - name: hourly
    windowing: {type: fixed, size: 1h, allowed_lateness: 2h}
    group_by: [state]
    measures: {orders: "count(*)"}
sinks:
  lake: {}
"""


HEADLESS = (
    'csv, csv: {delimiter: ";", decimal: ",", names: [unread, more, place, lines, note, code, mail, '
    "hour, day, gift, weight, price, pieces, shop, state, at, id]}"
)


def folder_of(root: Path, file: str, form: str) -> Path:
    root.mkdir(exist_ok=True)
    (root / "contract.odcs.yaml").write_text(CONTRACT)
    text = PIPELINE.replace("FILE", file).replace("FORMAT", form)
    (root / "pipeline.yaml").write_text(text)
    (root / "shops.csv").write_text("name,city\nnorth,Oslo\nsouth,Rome\n")
    return root


def made(folder: Path, file: str, rows: int = 3000, seed: int = 1, **shares: Any) -> Manifest:
    order = Order(
        path=folder / "data" / file,
        rows=rows,
        seed=seed,
        span=Span(start_us=START_US, end_us=START_US + 2 * DAY_US),
        shares=Shares(**shares),
    )
    return generate(load_plan(folder), order)


@pytest.mark.parametrize(
    ("file", "form", "broken"),
    [
        ("a.jsonl", "json", 0.05),
        ("a.csv.gz", "csv", 0.05),
        ("a.csv", HEADLESS, 0.05),
        ("a.parquet", "parquet", 0.0),
    ],
)
def test_a_run_over_made_up_records_finds_what_the_manifest_says(
    tmp_path: Path, file: str, form: str, broken: float
) -> None:
    folder = folder_of(tmp_path, file, form)
    manifest = made(folder, file, broken=broken, duplicates=0.03, late=0.01, disorder_us=30_000_000)
    plan = load_plan(folder)
    found = ingest(plan, Engine(open_pipeline=Direct().pipeline))
    assert found.rows["read"] == manifest.records
    assert found.rows["kept"] == manifest.good + manifest.late
    assert found.rows["duplicate"] == manifest.duplicate > 50
    assert found.rows["refused"] == manifest.broken
    listed = pq.read_table(folder / "data" / f"{file}.manifest.parquet").to_pylist()
    dead = open_lake(plan).read(plan.operations("refused"), ["_position"])["_position"].to_pylist()
    assert sorted(dead) == [row["position"] for row in listed if row["what"] == "broken"]
    rows = open_lake(plan).read(plan.processed, ["shop", "city"]).to_pydict()
    assert set(rows["shop"]) == {"north", "south"}
    assert set(rows["city"]) == {"Oslo", "Rome"}


def test_faults_of_each_kind_are_refused_by_the_rule_that_they_break(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.jsonl", "json")
    manifest = made(folder, "a.jsonl", broken=1.0)
    plan = load_plan(folder)
    found = ingest(plan, Engine(open_pipeline=Direct().pipeline))
    assert found.rows["refused"] == manifest.records == 3000
    kinds = {fault.partition(": ")[2] or fault for fault in manifest.faults}
    assert kinds >= {"cut", "missing", "type", "enum", "minimum", "maximum", "pattern", "format"}
    rules = {row["rule"] for row in found.destinies}
    assert rules >= {"json", "required", "type", "enum", "minimum", "maximum", "pattern", "format"}


COMPUTED = """\
apiVersion: v3.1.0
kind: DataContract
id: orders
name: orders
version: 1.0.0
status: active
schema:
  - name: orders
    logicalType: object
    customProperties:
      - {property: "penstock:eventTime", value: at}
    properties:
      - {name: id, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1, transformLogic: "concat_ws('-', shop, month, day)"}
      - {name: at, logicalType: timestamp, required: true, transformLogic: "timezone('UTC', make_timestamp(2025, month, day, more.hour, 0, 0))"}
      - {name: shop, logicalType: integer, required: true, logicalTypeOptions: {minimum: 1, maximum: 60}}
      - {name: month, logicalType: integer, required: true, logicalTypeOptions: {minimum: 1, maximum: 12}}
      - {name: day, logicalType: integer, required: true, logicalTypeOptions: {minimum: 1, maximum: 31}}
      - {name: serial, logicalType: integer, unique: true}
      - name: more
        logicalType: object
        required: true
        customProperties:
          - {property: "penstock:open", value: true}
        properties:
          - {name: hour, logicalType: integer, logicalTypeOptions: {minimum: 0, maximum: 23}}
"""


def test_what_the_contract_computes_can_be_computed_of_rows_that_are_made_up(
    tmp_path: Path,
) -> None:
    folder = folder_of(tmp_path, "a.jsonl", "json")
    (folder / "contract.odcs.yaml").write_text(COMPUTED)
    pipeline = PIPELINE.replace("FILE", "a.jsonl").replace("FORMAT", "json")
    steps = "steps:\n  - deduplicate: {by: [id], horizon: 400d}\nsinks:\n  lake: {}\n"
    (folder / "pipeline.yaml").write_text(pipeline.split("steps:")[0] + steps)
    manifest = made(folder, "a.jsonl", rows=5000)
    found = ingest(load_plan(folder), Engine(open_pipeline=Direct().pipeline))
    # The 31st of some months, null hours, and one in five keys twice: none of them stays.
    assert found.rows["kept"] == found.rows["read"] == manifest.good == 5000
    lines = [json.loads(line) for line in (folder / "data/a.jsonl").read_text().splitlines()]
    assert len({line["serial"] for line in lines}) == 5000


def test_rows_that_cannot_be_computed_are_said_in_one_sentence(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.jsonl", "json")
    never = COMPUTED.replace("make_timestamp(2025, month", "make_timestamp(2025, month + 12")
    (folder / "contract.odcs.yaml").write_text(never)
    pipeline = PIPELINE.replace("FILE", "a.jsonl").replace("FORMAT", "json")
    (folder / "pipeline.yaml").write_text(pipeline.split("steps:")[0] + "sinks:\n  lake: {}\n")
    with pytest.raises(UsageError, match=r"computed columns \(id, at\) must be computable"):
        made(folder, "a.jsonl", rows=100)
    assert not list((folder / "data").glob("*"))


def test_the_same_seed_gives_the_same_bytes_and_another_one_gives_others(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.jsonl", "json")
    shares = {"broken": 0.1, "duplicates": 0.1, "late": 0.1, "disorder_us": 60_000_000}
    first, again, other = (
        made(folder, name, rows=500, seed=seed, **shares)
        for name, seed in (("a.jsonl", 1), ("b.jsonl", 1), ("c.jsonl", 2))
    )
    assert first.sha256 == again.sha256 != other.sha256


def test_event_times_rise_over_the_span_but_for_disorder_and_late_records(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.jsonl", "json")
    hour = 3_600_000_000
    made(folder, "a.jsonl", rows=5000, late=0.02, late_by_us=3 * hour, disorder_us=60_000_000)
    listed = pq.read_table(folder / "data/a.jsonl.manifest.parquet").to_pylist()
    late = {row["record"] for row in listed}
    lines = (folder / "data/a.jsonl").read_bytes().splitlines()
    times = [json.loads(line)["at"] for line in lines]
    seconds = duckdb.sql(
        "SELECT epoch(CAST(t AS TIMESTAMPTZ)) AS s FROM unnest($times) AS u(t)",
        params={"times": times},
    ).fetchnumpy()["s"]
    assert seconds.min() >= START_US / 1e6
    assert seconds.max() < START_US / 1e6 + 2 * 86_400
    greatest = 0.0
    for number, second in enumerate(seconds.tolist()):
        behind = greatest - second
        if number not in late:
            assert behind <= 61
        elif second < START_US / 1e6 + 44 * 3600:
            assert behind > 10_000
        greatest = max(greatest, second)
    assert len(late) > 50
    by_day = [seconds[(seconds // 3600) % 24 == h].size for h in (0, 12)]
    assert by_day[1] > 2 * by_day[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[0-9]{6}", "[0-9]"), "the key (id) must have a value for every row"),
        (("maximum: 12", "maximum: 12, multipleOf: 13"), "rules of `pieces` must leave a value"),
        (("{pattern: \"^[0-9]{5}$\"}", "{pattern: \"^[0-9]{5}$\", maxLength: 4}"),
         "values of `place.zip` must be such that can be made up"),
    ],
)  # fmt: skip
def test_a_contract_that_leaves_no_such_rows_is_said_in_one_sentence(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    folder = folder_of(tmp_path, "a.jsonl", "json")
    file = folder / "contract.odcs.yaml"
    file.write_text(file.read_text().replace(*change))
    with pytest.raises(UsageError) as caught:
        made(folder, "a.jsonl", rows=20_000)
    assert message in str(caught.value)
    assert not list((folder / "data").glob("a.jsonl*"))
    assert not list((folder / "data").glob(".a*"))


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.jsonl", "json")
    made(folder, "a.jsonl", rows=10)
    with pytest.raises(UsageError, match="must not be there yet"):
        made(folder, "a.jsonl", rows=10)


def test_a_place_that_cannot_be_written_is_said_in_one_sentence(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.jsonl", "json")
    (folder / "data").write_text("no folder")
    with pytest.raises(PenstockError, match="must be a place that can be read and written; got: "):
        made(folder, "a.jsonl", rows=10)
