"""`penstock generate --like`: rows spread as a sample's, and nothing of its rows in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import fastavro
import numpy as np
import pyarrow as pa
import pytest
from typing_extensions import override

from beam_pipelines.batch import ingest
from beam_pipelines.cli import main
from beam_pipelines.ingest import Engine
from runners.direct import Direct
from schemas.planning import load_plan
from tests.pipelines.byte_search import find
from tests.pipelines.likeness import (
    CANARIES,
    HOUR_US,
    START_US,
    folder_of,
    learnt,
    made,
    rows,
    with_canaries,
    write,
)
from transforms.synthetic.like.guard import Guard, Seen

FILES = ("made.jsonl", "made.csv", "made.parquet")


@pytest.fixture(scope="module")
def sample() -> list[dict[str, Any]]:
    return rows(1500)


def needles() -> dict[str, str]:
    """Return the canaries as they would stand in a file."""
    found: dict[str, str] = {}
    for name, value in CANARIES.items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": str(inner) for key, inner in value.items()}
        else:
            found[name] = value[0] if isinstance(value, list) else str(value)
    found["paid_at"] = "03:14:15.926535"
    return found


class Off(Guard):
    """Lets everything through."""

    @override
    def shared(
        self, values: pa.Array, rows: np.ndarray, *, personal: bool
    ) -> tuple[pa.Array, np.ndarray]:
        return super().shared(values, rows, personal=False)


@pytest.mark.parametrize("file", FILES)
def test_no_value_that_one_row_of_the_sample_has_comes_out(
    tmp_path: Path, sample: list[dict[str, Any]], file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path)
    own = write(tmp_path / "sample.jsonl", with_canaries(sample))
    made(folder, file, learnt(folder, own))
    assert find(needles().values(), folder / "data") == {}
    # The control: with the guard off the search finds them, but for what is never read (a key that
    # is not declared), and what is learnt as how long after its event.
    monkeypatch.setattr(Seen, "among", lambda _, values: np.zeros(len(values), bool))
    off = learnt(folder, own, Off(least=1), open_to_all=True)
    made(folder, f"off-{file}", off, open_to_all=True, count=30_000)
    found = find(needles().values(), folder / "data")
    missed = {name for name, needle in needles().items() if needle not in found}
    assert missed == {"more.undeclared", "paid_at"}


def test_values_of_persons_and_keys_are_none_of_the_sample(
    tmp_path: Path, sample: list[dict[str, Any]]
) -> None:
    folder = folder_of(tmp_path)
    own = write(tmp_path / "sample.jsonl", sample)
    made(folder, "made.jsonl", learnt(folder, own))
    con = duckdb.connect()
    for name in ("id", "serial", "who", "mail", "birthday", "pay", "account", "ticket", "note"):
        query = (
            f"SELECT count(*) FROM read_json('{folder}/data/made.jsonl') m "
            f"WHERE {name} IN (SELECT {name} FROM read_json('{own}') GROUP BY {name} "
            f"HAVING {name} IS NOT NULL AND (count(*) < 20 OR '{name}' NOT IN ('account')))"
        )
        assert con.execute(query).fetchall() == [(0,)], name


def test_the_check_against_the_sample_is_what_keeps_short_codes_out(
    tmp_path: Path, sample: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path)
    coded = [row | {"who": f"{'ABCDEFG'[i % 7]}{i % 10}"} for i, row in enumerate(sample)]
    own = write(tmp_path / "sample.jsonl", coded)
    names = ("who", "ticket")
    known = [{row[name] for row in coded} for name in names]
    found = {}
    for file in ("on.jsonl", "off.jsonl"):
        made(folder, file, learnt(folder, own))
        lines = [json.loads(line) for line in (folder / "data" / file).read_text().splitlines()]
        found[file] = [
            len(own & {line[name] for line in lines})
            for name, own in zip(names, known, strict=True)
        ]
        monkeypatch.setattr(Seen, "among", lambda _, values: np.zeros(len(values), bool))
    assert found["on.jsonl"] == [0, 0]
    assert min(found["off.jsonl"]) > 10


@pytest.mark.parametrize(
    ("file", "form", "broken"),
    [("a.jsonl", "json", 0.05), ("a.csv", "csv", 0.05), ("a.parquet", "parquet", 0.0)],
)
def test_a_run_refuses_none_of_the_good_rows_and_finds_what_the_manifest_says(
    tmp_path: Path, sample: list[dict[str, Any]], file: str, form: str, broken: float
) -> None:
    folder = folder_of(tmp_path, file, form)
    own = write(tmp_path / "sample.jsonl", sample)
    manifest = made(folder, file, learnt(folder, own), broken=broken, duplicates=0.03, late=0.01)
    found = ingest(load_plan(folder), Engine(open_pipeline=Direct().pipeline))
    assert found.rows["read"] == manifest.records
    assert found.rows["kept"] == manifest.good + manifest.late
    assert found.rows["refused"] == manifest.broken
    assert found.rows["duplicate"] == manifest.duplicate > 50


def test_numbers_nulls_values_and_times_are_spread_as_in_the_sample(
    tmp_path: Path, sample: list[dict[str, Any]]
) -> None:
    folder = folder_of(tmp_path)
    own = write(tmp_path / "sample.jsonl", sample)
    made(folder, "made.jsonl", learnt(folder, own), count=6000)
    con = duckdb.connect()
    for name, path in (("a", own), ("b", folder / "data/made.jsonl")):
        con.execute(f"CREATE TABLE {name} AS SELECT * FROM read_json('{path}')")

    def both(expression: str, where: str = "true") -> list[np.ndarray]:
        query = "SELECT {} AS v FROM {} WHERE ({}) AND ({}) IS NOT NULL"
        return [
            con.sql(query.format(expression, table, where, expression)).fetchnumpy()["v"]
            for table in ("a", "b")
        ]

    for numeric in (
        "weight", "price", "pay", "place.height", "more.score", "epoch(\"at\")", "hour(\"at\")",
        "epoch(paid_at) - epoch(\"at\")", "epoch(birthday)", "len(tags)", "hour(opens)",
        "strlen(note)",
    ):  # fmt: skip
        assert distance(*both(numeric)) < 0.05, numeric
    for share in (
        "city = 'Oslo'", "city = 'Bergen'", "state = 'shut'", "gift", "weight IS NULL",
        "weight IS NULL AND price IS NULL", "weight IS NULL OR price IS NULL",
        "list_contains(tags, 't3')",
    ):  # fmt: skip
        first, second = (float(np.mean(part)) for part in both(f"({share})::INT"))
        assert abs(first - second) < 0.03, share
    # Customers come again as often; tall ones stay heavy; ids keep their shape.
    first, second = (
        con.sql(f"SELECT count(*) AS n FROM {t} GROUP BY who ORDER BY n DESC").fetchnumpy()["n"]
        for t in ("a", "b")
    )
    for most in (1, 5, 20, 60):
        assert abs(first[:most].sum() / 1500 - second[:most].sum() / 6000) < 0.03, most
    first, second = (
        con.sql(f"SELECT corr(ln(weight), place.height) AS c FROM {t}").fetchall()[0][0]
        for t in ("a", "b")
    )
    assert first > 0.8
    assert abs(first - second) < 0.05
    assert con.sql(
        "SELECT bool_and(regexp_full_match(id, 'V-[0-9]{9}-[0-9]{1,4}')) FROM b"
    ).fetchall() == [(True,)]
    assert con.sql("SELECT count(DISTINCT price * 20 - round(price * 20)) FROM b").fetchall() == [
        (1,)
    ]


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the greatest distance of two cumulative distributions (Kolmogorov, Smirnov)."""
    first, second = np.sort(first), np.sort(second)
    at = np.concatenate([first, second])
    shares = [np.searchsorted(part, at, "right") / len(part) for part in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())


def test_the_same_seed_and_sample_give_the_same_bytes(
    tmp_path: Path, sample: list[dict[str, Any]]
) -> None:
    folder = folder_of(tmp_path)
    own = write(tmp_path / "sample.jsonl", sample)
    digests = [
        made(folder, f"{n}.jsonl", learnt(folder, own), seed=seed, count=500).sha256
        for n, seed in enumerate((1, 1, 2))
    ]
    other = write(tmp_path / "other.jsonl", rows(1500, seed=2))
    digests.append(made(folder, "3.jsonl", learnt(folder, other), count=500).sha256)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize("name", ["sample.csv", "sample.parquet"])
def test_a_sample_may_be_of_another_format(
    tmp_path: Path, sample: list[dict[str, Any]], name: str
) -> None:
    folder = folder_of(tmp_path)
    texts = learnt(folder, write(tmp_path / "sample.jsonl", sample))
    other = learnt(folder, write(tmp_path / name, sample))
    assert other.rows == texts.rows == 1500
    assert other.hows == texts.hows
    digests = {
        made(folder, f"{n}.jsonl", like, count=300).sha256 for n, like in enumerate((texts, other))
    }
    assert len(digests) == 1


def test_columns_that_the_sample_lacks_are_named_and_made_by_the_contract(
    tmp_path: Path, sample: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path)
    fewer = [{k: v for k, v in row.items() if k not in ("price", "city")} for row in sample]
    own = write(tmp_path / "sample.jsonl", fewer)
    assert main(["generate", str(folder), "--like", str(own), "--rows", "200", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "has no values of city, price: these are made up by the contract alone" in err
    said = json.loads(out)["like"]
    assert said["by_contract_alone"] == ["city", "price"]
    assert said["file"] == "sample.jsonl"
    assert said["rows"] == 1500
    assert said["columns"]["who"] == "shapes that repeat"
    assert len(said["sha256"]) == 64


@pytest.mark.parametrize(("count", "shaped"), [(200, 190), (1000, 240), (3000, 240)])
def test_keys_go_on_where_the_sample_has_most_of_their_shape(
    tmp_path: Path, count: int, shaped: int
) -> None:
    (tmp_path / "s.jsonl").write_text(
        "".join(f'{{"code": "K{i * 7 % 1000:03}", "n": {i % 9}}}\n' for i in range(750))
    )
    into = tmp_path / "new"
    assert main(["init", str(tmp_path / "s.jsonl"), "--into", str(into), "--yes"]) == 0
    plan = load_plan(into)
    assert plan.contract.primary_key == ("code",)
    file = tmp_path / "made.jsonl"
    asked = ["generate", str(into), "--like", str(tmp_path / "s.jsonl"), "--rows", str(count)]
    assert main([*asked, "--into", str(file)]) == 0
    codes = [json.loads(line)["code"] for line in file.read_text().splitlines()]
    assert len(set(codes)) == count
    assert sum(code.startswith("K") for code in codes) >= shaped
    assert not {f"K{i * 7 % 1000:03}" for i in range(750)} & set(codes)


@pytest.mark.parametrize("closed", [False, True])
def test_keys_of_several_columns_go_on_beyond_those_of_the_sample(
    tmp_path: Path, *, closed: bool
) -> None:
    (tmp_path / "s.jsonl").write_text(
        "".join(
            f'{{"shop": "S{i % 5}", "at": "2026-{1 + i // 5 % 12:02}-{1 + i // 60:02}T00:00:00Z"}}\n'
            for i in range(1200)
        )
    )
    into = tmp_path / "new"
    assert main(["init", str(tmp_path / "s.jsonl"), "--into", str(into), "--yes"]) == 0
    contract = into / "contract.odcs.yaml"
    assert load_plan(into).contract.primary_key == ("shop", "at")
    if closed:
        shops = ", ".join(f"{{value: S{i}}}" for i in range(5))
        text = f"logicalType: string\n        enum: [{shops}]"
        contract.write_text(contract.read_text().replace("logicalType: string", text, 1))
    file = tmp_path / "made.jsonl"
    asked = ["generate", str(into), "--like", str(tmp_path / "s.jsonl"), "--rows", "5000"]
    assert main([*asked, "--into", str(file)]) == 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len({(row["shop"], row["at"]) for row in rows}) == 5000
    times = [row["at"] for row in rows]
    assert times == sorted(times)
    assert sum(row["at"].endswith("T00:00:00.000000Z") for row in rows) > 800


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "nothing.jsonl, which is not there; correct --like"),
        ("", "a sample must have records; got none in "),
        ('{"id": "a"}\n', "a sample must have at least 40 records, so that none shows among them"),
        ('{"other": 1}\n' * 50, "a sample must have columns of the contract; got none of them"),
        ('{"serial": "x"}\n' * 50, "most records of a sample must fit the contract; got 50 of 50"),
        ("[\n1\n]\n", "JSON must be one object a line; got one array"),
    ],
)
def test_a_sample_that_is_none_is_said_in_one_sentence(
    tmp_path: Path, text: str | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path)
    own = tmp_path / "nothing.jsonl"
    if text is not None:
        own.write_text(text)
    assert main(["generate", str(folder), "--like", str(own)]) in (1, 2)
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (folder / "data").exists()


def test_the_contract_wins_over_the_sample(tmp_path: Path, sample: list[dict[str, Any]]) -> None:
    folder = folder_of(tmp_path, "a.jsonl")
    file = folder / "contract.odcs.yaml"
    file.write_text(
        file.read_text()
        .replace("{name: city, logicalType: string}",
                 "{name: city, logicalType: string, required: true, logicalTypeOptions: {maxLength: 4}}")
        .replace("{name: weight, logicalType: number}",
                 "{name: weight, logicalType: number, required: true, logicalTypeOptions: {maximum: 5}}")
        .replace("{name: note, logicalType: string}",
                 '{name: note, logicalType: string, logicalTypeOptions: {pattern: "^[0-9]{3}$"}}')
    )  # fmt: skip
    own = write(tmp_path / "sample.jsonl", sample)
    manifest = made(folder, "a.jsonl", learnt(folder, own))
    found = ingest(load_plan(folder), Engine(open_pipeline=Direct().pipeline))
    assert found.rows["kept"] == manifest.good == 3000
    lines = [json.loads(line) for line in (folder / "data/a.jsonl").read_text().splitlines()]
    assert {line["city"] for line in lines} == {"Oslo", "Rome"}


def test_where_the_contract_leaves_no_other_values_it_alone_makes_them(
    tmp_path: Path, sample: list[dict[str, Any]]
) -> None:
    folder = folder_of(tmp_path, "a.jsonl")
    file = folder / "contract.odcs.yaml"
    rated = "{name: ticket, logicalType: integer, classification: restricted, RULES}"
    bounds = "logicalTypeOptions: {minimum: 1, maximum: 3}"
    file.write_text(
        file.read_text()
        .replace("{name: ticket, logicalType: integer}", rated.replace("RULES", bounds))
        .replace("{name: account, logicalType: integer}",
                 rated.replace("ticket", "account").replace(", RULES", ""))
    )  # fmt: skip
    few = [row | {"ticket": 1 + (i % 9) // 8, "account": i % 3} for i, row in enumerate(sample)]
    own = write(tmp_path / "sample.jsonl", [*few[:-1], few[-1] | {"ticket": 3}])
    made(folder, "a.jsonl", learnt(folder, own))
    lines = [json.loads(line) for line in (folder / "data/a.jsonl").read_text().splitlines()]
    tickets = [line["ticket"] for line in lines]
    for rating in (1, 2, 3):  # as often as each other: nothing of the sample is in them
        assert abs(tickets.count(rating) / 3000 - 1 / 3) < 0.05
    assert not {line["account"] for line in lines} & {0, 1, 2}


def test_a_chosen_span_keeps_the_hours_of_the_sample(
    tmp_path: Path, sample: list[dict[str, Any]]
) -> None:
    folder = folder_of(tmp_path)
    busy = [row | {"at": row["at"][:11] + f"{9 + i % 3:02d}" + row["at"][13:]}
            for i, row in enumerate(sample)]  # fmt: skip
    own = write(tmp_path / "sample.jsonl", busy)
    flags = ["--from", "2030-01-01", "--span", "10d", "--rows", "2000", "--into"]
    into = tmp_path / "made.jsonl"
    assert main(["generate", str(folder), "--like", str(own), *flags, str(into)]) == 0
    times = [json.loads(line)["at"] for line in into.read_text().splitlines()]
    assert {time[11:13] for time in times} == {"09", "10", "11"}
    assert min(times) >= "2030-01-01"
    assert {time[:10] for time in times} == {f"2030-01-{day:02d}" for day in range(1, 11)}
    assert times == sorted(times)


NESTED = """\
apiVersion: v3.1.0
kind: DataContract
id: carts
name: carts
version: 1.0.0
status: active
schema:
  - name: carts
    logicalType: object
    customProperties:
      - {property: "penstock:eventTime", value: meta.at}
    properties:
      - {name: id, physicalName: "Cart No", logicalType: integer, required: true, primaryKey: true, primaryKeyPosition: 1}
      - name: meta
        logicalType: object
        properties:
          - {name: at, logicalType: timestamp}
          - {name: sent_at, logicalType: timestamp}
      - name: lines
        logicalType: array
        logicalTypeOptions: {minItems: 1}
        items:
          logicalType: object
          properties:
            - {name: sku, logicalType: string, required: true}
            - {name: pieces, logicalType: integer}
            - {name: codes, logicalType: array, items: {logicalType: string}}
      - name: ctx
        logicalType: object
        customProperties:
          - {property: "penstock:open", value: true}
        properties:
          - name: geo
            logicalType: object
            properties:
              - {name: city, logicalType: string}
              - {name: accuracy, logicalType: number}
"""


def carts(count: int) -> list[dict[str, Any]]:
    made = []
    for i in range(count):
        city = ("Oslo", "Rome", None)[i % 3]
        made.append({
            "Cart No": 7_000 + i,
            "meta": {"at": f"2026-01-{1 + i // 30:02d}T{i % 24:02d}:05:00Z",
                     "sent_at": f"2026-01-{1 + i // 30:02d}T{i % 24:02d}:0{6 + i % 3}:00Z"},
            "lines": [{"sku": f"S{k}", "pieces": 10 * (k + 1), "codes": [f"c{i}"]}
                      for k in range(1 + i % 3)],
            "ctx": {"geo": {"city": city, "accuracy": 5.5 * (i % 40)} if city else None},
        })  # fmt: skip
    return made


def test_objects_in_arrays_and_open_objects_are_learnt_and_a_nested_event_time_rises(
    tmp_path: Path,
) -> None:
    folder = folder_of(tmp_path, "a.jsonl")
    (folder / "contract.odcs.yaml").write_text(NESTED)
    own = write(tmp_path / "sample.jsonl", carts(600))
    like = learnt(folder, own)
    assert like.absent == ()
    manifest = made(folder, "a.jsonl", like, count=2000)
    found = ingest(load_plan(folder), Engine(open_pipeline=Direct().pipeline))
    assert found.rows["kept"] == manifest.good == 2000
    lines = [json.loads(line) for line in (folder / "data/a.jsonl").read_text().splitlines()]
    times = [line["meta"]["at"] for line in lines]
    assert times == sorted(times)
    lags = [
        np.datetime64(line["meta"]["sent_at"][:-1]) - np.datetime64(line["meta"]["at"][:-1])
        for line in lines
    ]
    assert {int(lag / np.timedelta64(1, "s")) for lag in lags} == {60, 120, 180}
    assert min(line["Cart No"] for line in lines) == 8000
    assert {len(line["lines"]) for line in lines} == {1, 2, 3}
    parts = [part for line in lines for part in line["lines"]]
    assert {part["sku"] for part in parts} == {"S0", "S1", "S2"}
    assert {part["pieces"] for part in parts} == {10, 20, 30}
    assert not {code for part in parts for code in part["codes"]} & {f"c{i}" for i in range(600)}
    cities = [line["ctx"]["geo"] and line["ctx"]["geo"]["city"] for line in lines]
    assert {*cities} == {"Oslo", "Rome", None}
    assert abs(cities.count(None) / 2000 - 1 / 3) < 0.04


def test_a_sample_of_avro_is_read_as_well(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.jsonl")
    schema = {
        "type": "record",
        "name": "visit",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "weight", "type": ["null", "double"]},
        ],
    }
    records = [
        {"id": f"V{i:04d}", "at": START_US + i * HOUR_US, "weight": i / 8} for i in range(200)
    ]
    with (tmp_path / "sample.avro").open("wb") as file:
        fastavro.writer(file, schema, records)
    like = learnt(folder, tmp_path / "sample.avro")
    assert like.hows == {"id": "shapes", "at": "times", "weight": "quantiles"}
    assert like.rhythm is not None
    assert like.rhythm.step_us == HOUR_US
