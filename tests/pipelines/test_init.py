"""`penstock init` on samples, then `validate`, `plan` and `run` with no edit."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pipelines.cli import main
from beam_pipelines.cli.init import ask
from beam_pipelines.init import begin
from beam_pipelines.init_check import check_text
from schemas.errors import PenstockError, SourceError, UsageError
from tests.inits import differences, pipeline_of
from transforms.inference.infer import infer
from transforms.inference.reading import read_sample

ROOT = Path(__file__).resolve().parents[2]
Init = Callable[..., dict[str, Any]]


@pytest.fixture
def through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Init:
    """Begin a pipeline in `new`, check, plan and run it; return what the run says as JSON."""

    def all_verbs(*samples: str) -> dict[str, Any]:
        new = str(tmp_path / "new")
        for arguments in (
            ["init", *(str(tmp_path / s) for s in samples), "--into", new, "--yes"],
            ["validate", new],
            ["plan", new],
            ["run", new, "--json"],
        ):
            code = main(arguments)
            said = capsys.readouterr()
            assert code == 0, said.err
        return json.loads(said.out.splitlines()[-1])

    return all_verbs


def orders(tmp_path: Path) -> None:
    head = 'Order #;Cost Total $;Placed On;Cust. E-Mail;"Ship, To";group;_x;2019\n'
    rows = "".join(
        f"{i:05};{i}.{i % 100:02};{i % 28 + 1:02}.03.2024 {i % 24:02}:15;c{i % 9}@example.org;"
        f'"Main; St {i}";{"AB"[i % 2]};{"NA" if i % 10 == 0 else i};{i}\n'
        for i in range(1200)
    )
    (tmp_path / "orders.csv").write_text(head + rows, encoding="utf-8")


def test_a_csv_of_awkward_names_lands_as_duckdb_reads_it(tmp_path: Path, through: Init) -> None:
    orders(tmp_path)
    said = through("orders.csv")
    assert said["rows"]["kept"] == said["rows"]["read"] == 1200
    assert differences(tmp_path / "new", rows=1200) == []
    pipeline, properties = pipeline_of(tmp_path / "new")
    assert pipeline["source"]["batch"]["files"]["csv"] == {"delimiter": ";", "nulls": ["", "NA"]}
    assert {p["name"]: p.get("physicalName") for p in properties} == {
        "order_number": "Order #",
        "cost_total": "Cost Total $",
        "placed_on": "Placed On",
        "cust_e_mail": "Cust. E-Mail",
        "ship_to": "Ship, To",
        "group": None,
        "x": "_x",
        "c_2019": "2019",
    }
    with duckdb.connect(str(tmp_path / "new/out/warehouse.duckdb"), read_only=True) as warehouse:
        mail = "SELECT count(*) FROM processed_data.new WHERE cust_e_mail LIKE '%@%'"
        assert warehouse.execute(mail).fetchall() == [(0,)]
        daily = 'SELECT sum(records), count(DISTINCT "group") FROM analytics.new_daily'
        assert warehouse.execute(daily).fetchall() == [(1200, 2)]


def test_a_csv_that_writes_things_its_own_way_lands_as_duckdb_reads_it(
    tmp_path: Path, through: Init, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(
        f"{i};{'Ja' if i % 2 else 'nein'};{i * 37 % 5_000:_},{i % 100:02} €;{i % 100} %;"
        f"{i % 28 + 1}.{i % 12 + 1}.2024;{i % 7},5\n".replace("_", ".")
        for i in range(1, 400)
    )
    (tmp_path / "waren.csv").write_text(f"Nr;Lager;Preis;Rabatt;Seit;Maß\n{rows}", encoding="utf-8")
    assert through("waren.csv")["rows"]["kept"] == 399
    assert differences(tmp_path / "new", rows=399) == []
    pipeline, properties = pipeline_of(tmp_path / "new")
    assert pipeline["source"]["batch"]["files"]["csv"] == {
        "delimiter": ";", "trues": ["Ja"], "falses": ["nein"], "signs": ["€", "%"],
        "decimal": ",", "thousands": ".",
    }  # fmt: skip
    assert {p["name"]: p["logicalType"] for p in properties if "transformLogic" not in p} == {
        "Nr": "integer", "Lager": "boolean", "Preis": "number", "Rabatt": "integer",
        "Seit": "date", "mass": "number",
    }  # fmt: skip
    with (tmp_path / "waren.csv").open("a", encoding="utf-8") as file:
        file.write("400;vielleicht;1,00 €;5 %;1.1.2024;1,5\n401;Ja;$1,00;5 %;1.1.2024;1,5\n")
    assert main(["run", str(tmp_path / "new"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]["refused"] == 2
    assert main(["dlq", "list", str(tmp_path / "new")]) == 0
    said = capsys.readouterr().out
    assert "`Lager` must be true or false (or Ja, nein)" in said
    assert "`Preis` must be a finite number written as 1.234,5, perhaps with € or %" in said


def test_a_csv_without_header_lands_as_duckdb_reads_it(tmp_path: Path, through: Init) -> None:
    rows = "".join(f"{i / 10},{i % 9}.5,{'setosa' if i % 2 else 'virginica'}\n" for i in range(150))
    (tmp_path / "iris.data.csv").write_text(rows)
    assert through("iris.data.csv")["rows"]["kept"] == 150
    assert differences(tmp_path / "new", rows=150) == []
    pipeline, properties = pipeline_of(tmp_path / "new")
    assert pipeline["source"]["batch"]["files"]["csv"] == {"names": ["c1", "c2", "c3"]}
    assert [p["logicalType"] for p in properties] == ["number", "number", "string"]


def test_columns_of_one_name_are_told_apart_by_a_number_and_each_lands(
    tmp_path: Path, through: Init, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(i, f"{i % 7}.5", f"w{i % 5}", -i, 3 * i) for i in range(300)]
    text = "".join(f"{','.join(map(str, row))}\n" for row in rows)
    (tmp_path / "pairs.csv").write_text(f"id,Score $,Score $,score_2,Score $\n{text}")
    assert through("pairs.csv")["rows"]["kept"] == len(rows)
    _, properties = pipeline_of(tmp_path / "new")
    assert {p["name"]: (p.get("physicalName"), p["logicalType"]) for p in properties} == {
        "id": (None, "integer"),
        "score": ("Score $", "number"),
        "score_2": ("Score $_2", "string"),
        "score_2_2": ("score_2", "integer"),
        "score_3": ("Score $_3", "integer"),
    }
    contract = (tmp_path / "new/contract.odcs.yaml").read_text(encoding="utf-8")
    assert contract.count("# its name in the header is 'Score $', as that of a column before") == 2
    with duckdb.connect(str(tmp_path / "new/out/warehouse.duckdb"), read_only=True) as warehouse:
        landed = warehouse.execute(
            "SELECT id, score::VARCHAR, score_2, score_2_2, score_3 FROM processed_data.new"
        ).fetchall()
    assert sorted(landed) == rows
    (tmp_path / "pairs.csv").write_text(f"id,Score $,Score $,Score $,Score $\n{text}")
    assert main(["run", str(tmp_path / "new"), "--out", str(tmp_path / "other")]) == 1
    said = capsys.readouterr().err
    assert "must have different names; got the same for columns 2 and 5" in said
    assert "let the contract read the latter by its name and '_4' behind it" in said


def test_a_csv_with_titles_above_its_header_lands_as_duckdb_reads_it(
    tmp_path: Path, through: Init
) -> None:
    rows = "".join(f"{i};{'AB'[i % 2]};{i},5\n" for i in range(150))
    (tmp_path / "sales.csv").write_text(f'\ufeffSales\nof "May\n\nnr;shop;sum\n{rows}')
    assert through("sales.csv")["rows"]["kept"] == 150
    assert differences(tmp_path / "new", rows=150) == []
    pipeline, properties = pipeline_of(tmp_path / "new")
    assert pipeline["source"]["batch"]["files"]["csv"]["skip"] == 3
    assert [p["name"] for p in properties] == ["nr", "shop", "sum"]
    made = tmp_path / "made.csv"
    assert main(["generate", str(tmp_path / "new"), "--rows", "9", "--into", str(made)]) == 0
    assert main(["run", str(tmp_path / "new"), "--input", str(made), "--sinks", "lake"]) == 0


def test_nested_json_lands_as_duckdb_reads_it(tmp_path: Path, through: Init) -> None:
    with (tmp_path / "events.jsonl").open("w", encoding="utf-8") as file:
        for i in [*range(500), 7]:
            record: dict[str, Any] = {
                "event_id": f"{i:08x}-0000-4000-8000-{i:012x}",
                "user": {"id": i % 50, "email": f"u{i % 50}@example.org", "address": {"ip": "x"}},
                "at": {"ms": 1_700_000_000_000 + i * 1000},
                "amount": i / 4,
                "tags": ["a"] * (i % 3),
                "lines": [{"sku": "x", "n": i}],
                "more": {f"k{i % 40}": i, "shop name": "x"},
                "kind": "view" if i % 3 else "buy",
            }
            if i % 5 == 0:
                record["note"] = None
            file.write(json.dumps(record) + "\n")
    said = through("events.jsonl")
    assert said["rows"] | {"read": 501, "kept": 500, "duplicate": 1, "refused": 0} == said["rows"]
    _, properties = pipeline_of(tmp_path / "new")
    kinds = {p["name"]: p["logicalType"] for p in properties}
    assert kinds["event_time"] == "timestamp"
    with duckdb.connect(str(tmp_path / "new/out/warehouse.duckdb"), read_only=True) as warehouse:
        query = (
            'SELECT sum(amount), sum("user".id), sum(lines[1].n), sum(len(tags)), '
            "min(epoch_ms(event_time)), count(*) FILTER (json_extract_string(more, '$.\"shop name\"')"
            " = 'x') FROM processed_data.new"
        )
        n = range(500)
        assert warehouse.execute(query).fetchall() == [
            (
                sum(n) / 4,
                sum(i % 50 for i in n),
                sum(n),
                sum(i % 3 for i in n),
                1_700_000_000_000,
                500,
            )
        ]


def test_parquet_and_a_lookup_table_beside_it(tmp_path: Path, through: Init) -> None:
    codes = ["AA", "BB", "CC"]
    trips = {
        "trip_id": pa.array([f"{i:06}" for i in range(300)]),
        "carrier": pa.array([codes[i % 3] for i in range(300)]),
        "taken": pa.array([1_700_000_000_000 + i for i in range(300)], pa.timestamp("ms", "UTC")),
        "miles": pa.array([i * 1.5 for i in range(300)]),
        "Seats.Sold": pa.array(range(300), pa.int16()),
    }
    pq.write_table(pa.table(trips), tmp_path / "trips.parquet")
    (tmp_path / "carriers.csv").write_text("code,name\nAA,Alpha\nBB,Beta\nCC,Gamma\n")
    said = through("trips.parquet", "carriers.csv")
    assert said["rows"]["kept"] == 300
    assert differences(tmp_path / "new", rows=300) == []
    with duckdb.connect(str(tmp_path / "new/out/warehouse.duckdb"), read_only=True) as warehouse:
        query = "SELECT DISTINCT carrier, carriers_name FROM processed_data.new ORDER BY 1"
        assert warehouse.execute(query).fetchall() == [
            ("AA", "Alpha"),
            ("BB", "Beta"),
            ("CC", "Gamma"),
        ]


def test_money_is_added_up_within_a_currency(tmp_path: Path) -> None:
    rows = "".join(
        f"2024-01-{i % 28 + 1:02},{'EU'[i % 2]}R,{'abcd'[i % 4]},{i}.50\n" for i in range(400)
    )
    for name, group in (("currency", "currency"), ("region", "kind")):
        (tmp_path / "s.csv").write_text(f"day,{name},kind,amount\n{rows}")
        begin([str(tmp_path / "s.csv")], tmp_path / name, None)
        (rollup,) = pipeline_of(tmp_path / name)[0]["aggregates"]
        assert rollup["group_by"] == [group]
        assert rollup["measures"]["total_amount"] == "sum(amount)"


def test_files_of_one_shape_are_one_source(tmp_path: Path, through: Init) -> None:
    for day in ("2024-01-01", "2024-01-02"):
        rows = "".join(f'{{"day": "{day}", "i": {i}}}\n' for i in range(10))
        (tmp_path / f"log-{day}.jsonl").write_text(rows)
    said = through("log-2024-01-01.jsonl", "log-2024-01-02.jsonl")
    assert said["rows"]["read"] == 20
    pipeline, _ = pipeline_of(tmp_path / "new")
    assert pipeline["source"]["batch"]["files"]["path"] == "../log-2024-01-0*.jsonl"


def test_the_first_test_passes_and_fails_when_rows_are_refused(
    tmp_path: Path, through: Init
) -> None:
    orders(tmp_path)
    through("orders.csv")

    def test() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=tmp_path / "new", env=env, capture_output=True, text=True, check=False
        )

    done = test()
    assert done.returncode == 0, done.stdout
    contract = tmp_path / "new" / "contract.odcs.yaml"
    text = contract.read_text(encoding="utf-8")
    before, after = text.split("name: ship_to", 1)
    after = after.replace("logicalType: string", "logicalType: integer", 1)
    contract.write_text(f"{before}name: ship_to{after}", encoding="utf-8")
    done = test()
    assert done.returncode == 1
    assert "refused" in done.stdout


def test_the_first_test_allows_for_what_was_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text('{"a": 1}\n{"a": 2}\n{"a": \n')
    proposal = infer("s", read_sample(str(tmp_path / "s.jsonl"), tmp_path))
    assert 'rows["refused"] == 1\n' in check_text(proposal)
    part = replace(proposal.sample, whole=False)
    assert 'rows["refused"] >= 1  #' in check_text(replace(proposal, sample=part))
    part = replace(part, reasons={})
    assert 'rows["refused"] == 0  #' in check_text(replace(proposal, sample=part))


def test_documents_say_what_the_files_say_and_then_what_a_run_landed(
    tmp_path: Path, through: Init, capsys: pytest.CaptureFixture[str]
) -> None:
    orders(tmp_path)
    through("orders.csv")
    docs = tmp_path / "new" / "docs" / "data-pipeline"
    requirements = (docs / "data-requirements.md").read_text(encoding="utf-8")
    assert "| `cost_total` | `Cost Total $` |" in requirements
    assert "| `cust_e_mail` | restricted | replaced by a keyed pseudonym |" in requirements
    assert "- looked at: all 1,200 records of 1 file;" in requirements
    architecture = (docs / "pipeline-architecture.md").read_text(encoding="utf-8")
    assert "Deduplicate by `order_number`, within 1d of event time." in architecture
    flow = (docs / "data-flow-diagram.md").read_text(encoding="utf-8")
    assert flow.count("```") == 2
    assert 'protect --> step1["deduplicate-1<br>order_number"]' in flow
    assert main(["docs", str(tmp_path / "new"), "--check"]) == 0
    with (tmp_path / "orders.csv").open("a") as file:
        file.write('broken;1\n01201;1.5;29.03.2024 10:00;x@example.org;"Main; St";A;1;1\n')
    through_run = main(["run", str(tmp_path / "new")])
    assert through_run == main(["docs", str(tmp_path / "new")]) == 0
    assert "data-requirements.md: changed" in capsys.readouterr().out
    requirements = (docs / "data-requirements.md").read_text(encoding="utf-8")
    size = (tmp_path / "orders.csv").stat().st_size
    assert "- Records read: 1,202 (1,201 kept, 1 refused)." in requirements
    assert f"- Files read: 1, {size:,} bytes as stored." in requirements
    assert "- Event time from 2024-03-01 " in requirements
    assert " to 2024-03-29 10:00:00 UTC: " in requirements
    assert "| `processed_data.new` | 1,201 | " in requirements
    assert "looked at" not in requirements
    assert main(["docs", str(tmp_path / "new"), "--check", "--out", str(tmp_path / "no")]) == 0


def test_no_value_of_a_person_is_in_what_is_written_or_landed(
    tmp_path: Path, through: Init
) -> None:
    names = [f"Anna Canary{i % 4}" for i in range(400)]
    cards = ["4111111111111111", "5500005555555559", "340000000000009", "6011000000000004"]
    rows = "".join(
        f'{i},{n},{n.split()[1]}@example.org,{cards[i % 4]},192.168.77.{i % 250},"{n} paid"\n'
        for i, n in enumerate(names)
    )
    (tmp_path / "people.csv").write_text(f"id,full_name,mail,paid_by,source,kind\n{rows}")
    assert through("people.csv")["rows"]["kept"] == 400
    written = {p: p.read_bytes() for p in (tmp_path / "new").rglob("*") if p.is_file()}
    texts = [text for path, text in written.items() if "out" not in path.parts]
    assert not any(b"Anna Canary" in text for text in texts)
    assert not any(word in text for text in written.values() for word in map(str.encode, cards))
    assert not any(b"192.168.77.1" in text for text in written.values())
    assert any(b"192.168.77.0/24" in text for text in written.values())  # the search finds what is


def test_no_personal_data_inside_texts_arrays_and_open_objects_lands(
    tmp_path: Path, through: Init
) -> None:
    names = ["Anna Canary", "Peter Canary", "Maria Canary"]
    with (tmp_path / "events.jsonl").open("w", encoding="utf-8") as file:
        for i in range(300):
            mail = f"canary{i}@example.org"
            record = {
                "id": i,
                "note": f"wrote to {mail}" if i % 2 else "card 4111 1111 1111 1111 refused",
                "copies": [mail, f"b{mail}"],
                "points": dict.fromkeys(names, i),
                "more": {f"k{i}": {"from": mail}, "plain": f"by {mail}"},
                "seen": {f"k{i}": i, "by": mail},
                "clear": f"order{i}@nowhere",
            }
            file.write(json.dumps(record) + "\n")
    assert through("events.jsonl")["rows"]["kept"] == 300
    found = {p["name"]: p.get("classification") for p in pipeline_of(tmp_path / "new")[1]}
    assert found == dict.fromkeys(
        ("note", "copies", "points", "more"), "restricted"
    ) | dict.fromkeys(("id", "seen", "clear"))
    written = [p.read_bytes() for p in (tmp_path / "new").rglob("*") if p.is_file()]
    database = str(tmp_path / "new/out/warehouse.duckdb")
    with duckdb.connect(database, read_only=True) as warehouse:
        landed = warehouse.sql("FROM processed_data.new").to_arrow_table().to_pylist()
    texts = [*written, *(json.dumps(row, default=str).encode() for row in landed)]
    for canary in (b"canary1", b"Canary", b"4111 1111", b"@example.org"):
        assert not any(canary in text for text in texts)
    for there in (
        b"wrote to [email]",
        b"card [card] refused",
        b"order7@nowhere",
        b'{\\"k9\\": 9, ',
    ):
        assert any(there in text for text in texts)  # the search finds what is


def test_a_person_at_a_terminal_is_asked_until_the_answer_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("3\nmaybe\n2\n"))
    assert ask("Protect?", ("protect", "keep")) == "keep"
    assert capsys.readouterr().err.count("Protect?") == 3


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    orders(tmp_path)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "pipeline.yaml").write_text("mine")
    with pytest.raises(UsageError, match="nothing may be overwritten"):
        begin([str(tmp_path / "orders.csv")], tmp_path / "new", None)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["pipeline.yaml"]


def test_a_second_file_that_is_no_lookup_is_refused(tmp_path: Path) -> None:
    orders(tmp_path)
    (tmp_path / "other.csv").write_text("a,b\nx,1\ny,2\n")
    samples = [str(tmp_path / name) for name in ("orders.csv", "other.csv")]
    with pytest.raises(UsageError, match="samples must be of one shape, or small tables"):
        begin(samples, tmp_path / "new", None)
    assert not (tmp_path / "new").exists()
    (tmp_path / "other.csv").write_text("group,a,a\nA,1,2\nB,2,3\n")
    with pytest.raises(SourceError, match="columns of a lookup table must have different names"):
        begin(samples, tmp_path / "new", None)


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("c,n\nAA,1\nAA,1\n", "no column of it is never null and different in each record"),
        ("carrier,n\nAA,x\nZZ,y\nYY,z\n", "`carrier` has 1 of the 5 values of `carrier`, less than 50%"),
        ("i,n\nAA,x\nBB,y\nCC,z\nDD,v\n", "its `i` has 4 of the 5 values of `carrier`, less than 90% of a column that is called otherwise"),
        ("n,m\n1,x\n2,y\n3,z\n", "`n` has 3 of the 3 values of `stops`, but numbers of columns that are called otherwise are alike by chance"),
        ("carrier\nAA\nBB\nCC\nDD\n", "beside its key `carrier` it has no column to add"),
        ("x,y\nq,8\nw,9\n", "its keys have no value of such a column"),
    ],
)  # fmt: skip
def test_a_table_that_is_no_lookup_is_said_why(tmp_path: Path, table: str, why: str) -> None:
    rows = "".join(f"{c * 2},{i % 3 + 1},{i}.5\n" for i, c in enumerate("ABCDE" * 8))
    (tmp_path / "trips.csv").write_text(f"carrier,stops,miles\n{rows}")
    (tmp_path / "airlines.csv").write_text(table)
    samples = [str(tmp_path / name) for name in ("trips.csv", "airlines.csv")]
    with pytest.raises(UsageError) as said:
        begin(samples, tmp_path / "new", None)
    assert f"{samples[1]} beside {samples[0]}: " in str(said.value)
    assert f"{why}; begin a pipeline for each" in str(said.value)


def test_a_lookup_table_that_lacks_some_values_is_joined_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"{c * 2},{i}.5\n" for i, c in enumerate("ABCDE" * 8))
    (tmp_path / "trips.csv").write_text(f"carrier,miles\n{rows}")
    (tmp_path / "carriers.csv").write_text("carrier,name\nAA,Alpha\nBB,Beta\nCC,Gamma\nDD,Dee\n")
    samples = [str(tmp_path / name) for name in ("trips.csv", "carriers.csv")]
    new = str(tmp_path / "new")
    assert main(["init", *samples, "--into", new, "--yes"]) == 0
    told = "4 of 5 values of carrier are in it; rows with others get nulls"
    assert f"lookup      carriers, by carrier: {told}" in capsys.readouterr().out
    assert told in (tmp_path / "new/pipeline.yaml").read_text().replace("\n  # ", " ")
    assert main(["run", new, "--json"]) == 0
    with duckdb.connect(f"{new}/out/warehouse.duckdb", read_only=True) as warehouse:
        query = "SELECT count(*), count(carriers_name) FROM processed_data.new"
        assert warehouse.execute(query).fetchall() == [(40, 32)]


def test_a_person_is_asked_only_what_the_sample_does_not_say(tmp_path: Path) -> None:
    rows = "".join(f"2024-01-{d:02}T00:00Z,2024-02-{d:02}T00:00Z,a@b.de\n" for d in range(1, 25))
    (tmp_path / "s.csv").write_text(f"created_at,paid_at,email\n{rows}")
    asked = []

    def answer(question: str, answers: Any) -> str:
        asked.append(question)
        return str(answers[-1])

    begun = begin([str(tmp_path / "s.csv")], tmp_path / "a", answer)
    assert len(asked) == 2
    assert begun.proposal.event_time.name == "paid_at"
    assert [prop.protect for _, prop in begun.proposal.personal] == ["keep"]
    assert main(["validate", str(tmp_path / "a")]) == 0
    begun = begin([str(tmp_path / "s.csv")], tmp_path / "b", None)
    assert begun.proposal.event_time.name == "created_at"
    assert [prop.protect for _, prop in begun.proposal.personal] == ["pseudonymize"]


def test_files_without_header_are_of_one_shape_if_their_types_are(tmp_path: Path) -> None:
    for name, row in (
        ("a1", "{i}.5,x{i}\n"),
        ("a2", "{i}.5,y{i}\n"),
        ("b", "{i}.5,2024-01-0{i}\n"),
    ):
        text = "".join(row.format(i=i) for i in (3, 1, 2))
        (tmp_path / f"{name}.csv").write_text(text)
    paths = [str(tmp_path / f"{name}.csv") for name in ("a1", "a2", "b")]
    begun = begin(paths[:2], tmp_path / "new", None)
    assert begun.proposal.sample.path == str(tmp_path / "a*.csv")
    with pytest.raises(UsageError, match="samples must be of one shape"):
        begin(paths[1:], tmp_path / "other", None)


def test_a_place_that_cannot_be_written_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("a,b\n1,x\n2,y\n")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(PenstockError, match="must be a place that can be read and written; got: "):
        begin([str(tmp_path / "s.csv")], tmp_path / "file" / "new", None)


@pytest.mark.parametrize("there", [True, False])
def test_one_that_is_interrupted_leaves_nothing_and_can_be_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    (tmp_path / "s.csv").write_text("a,b\n1,x\n2,y\n")
    new = tmp_path / "new"
    if there:
        new.mkdir()
        (new / "mine.txt").write_text("stays")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("beam_pipelines.init.documents", interrupt)
        with pytest.raises(KeyboardInterrupt):
            begin([str(tmp_path / "s.csv")], new, None)
    assert list(new.rglob("*")) == ([new / "mine.txt"] if there else [])
    assert new.exists() == there
    assert "contract.odcs.yaml" in begin([str(tmp_path / "s.csv")], new, None).files
