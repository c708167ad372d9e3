"""Dead letters replayed: what the contract of now keeps lands once, as if it had always been so."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pipelines import replay as replays
from beam_pipelines.balance import balance
from beam_pipelines.cli import main
from beam_pipelines.dead_letters import Choice
from beam_pipelines.mending import put_back
from runners.audit import FILE, broken
from schemas.errors import UsageError
from schemas.planning import load_plan
from tests.pipelines.shop import (
    BROKEN,
    CONTRACT,
    FACT,
    HOURLY,
    LEDGER,
    PIPELINE,
    PROCESSED,
    REFUSED,
    Out,
    assert_tables,
    expected,
    make_folder,
    sales,
)
from tests.streams import Middle, commit, spread, stream_plan
from transforms.commit.lake import open_lake
from transforms.continuous.committer import Memory

PIECES = "- {name: pieces, logicalType: integer}"
STRICT = CONTRACT.replace(
    PIECES, "- {name: pieces, logicalType: integer, logicalTypeOptions: {maximum: 1}}"
)
assert STRICT != CONTRACT
CONTENT = {
    "a.jsonl": sales(0, 60, seed=1, broken=4, copies=8),
    "b.jsonl": sales(90, 40, seed=1, broken=4, copies=8),
}

Dlq = Callable[..., list[dict[str, Any]]]


def filled(root: Path, contract: str) -> Path:
    folder = make_folder(root, contract=contract)
    for name, content in CONTENT.items():
        (folder / "data" / name).write_bytes(content)
    return folder


def with_contract(folder: Path, contract: str) -> Path:
    (folder / "contract.odcs.yaml").write_text(contract)
    return folder


@pytest.fixture
def strict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder whose rows landed under a contract that was too strict, and has been put right."""
    folder = filled(tmp_path, STRICT)
    assert main(["run", str(folder), "--json"]) == 0
    capsys.readouterr()
    return with_contract(folder, CONTRACT)


@pytest.fixture
def dlq(capsys: pytest.CaptureFixture[str]) -> Dlq:
    def said(action: str, folder: Path, *flags: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        code = main(["dlq", action, str(folder), "--json", *flags])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return [json.loads(line) for line in captured.out.splitlines()]

    return said


def tables(out: Out) -> dict[str, Any]:
    """What lake and warehouse hold, in an order of its own, without what numbers the commits."""

    def plain(rows: list[dict[str, Any]], *without: str) -> list[str]:
        return sorted(repr({k: v for k, v in r.items() if k not in without}) for r in rows)

    dead = ("run_id", "record", "tried_at", "tried_step", "tried_rule", "tried_reason")
    return {
        f"{where.__name__} {name}": plain(where(name), *without)
        for where in (out.rows, out.warehouse)
        for name, without in (
            (PROCESSED, ("_arrived", "properties")),
            (HOURLY, ("_epoch",)),
            (REFUSED, (*dead, "_arrived")),
        )
    } | {
        "fact": plain(out.warehouse(FACT), "properties"),
        "destinies": sorted(map(repr, destinies(out).items())),
    }


def destinies(out: Out) -> dict[Any, int]:
    counts: Counter[Any] = Counter()
    for row in out.rows(LEDGER):
        counts[row["_source"], row["destiny"], row["step"], row["rule"]] += row["rows"]
    return {key: n for key, n in counts.items() if n}


def moved(folder: Path, there: Path) -> Any:
    """The tables of one folder as if it lay where another does."""
    return json.loads(
        json.dumps(repr(tables(Out(folder / "out")))).replace(str(folder), str(there))
    )


def test_replayed_rows_give_the_tables_of_a_run_that_had_the_contract_from_the_beginning(
    strict: Path, tmp_path: Path, dlq: Dlq
) -> None:
    always = filled(tmp_path / "always", CONTRACT)
    assert main(["run", str(always), "--json"]) == 0
    assert moved(strict, always) != moved(always, always)
    (said,) = dlq("replay", strict)
    assert said["rows"]["kept"] > 15
    assert said["rows"]["duplicate"] > 0
    assert said["rows"]["filtered"] > 0
    assert moved(strict, always) == moved(always, always)
    plan = load_plan(strict)
    assert balance(open_lake(plan), plan, "").faults == ()


def test_a_simulated_replay_says_what_a_replay_does_and_writes_nothing(
    strict: Path, dlq: Dlq
) -> None:
    out = Out(strict / "out")
    before = tables(out), len(out.done())
    (would,) = dlq("replay", strict, "--simulate")
    assert (tables(out), len(out.done())) == before
    (did,) = dlq("replay", strict)
    assert would["became"] == did["became"]
    assert {b["destiny"] for b in did["became"]} == {"kept", "duplicate", "filtered", "refused"}


def test_what_is_refused_again_stays_and_says_by_what(strict: Path, dlq: Dlq) -> None:
    dlq("replay", strict)
    rows = Out(strict / "out").rows(REFUSED)
    assert len(rows) == 8
    for row in rows:
        assert (row["step"], row["rule"]) == (row["tried_step"], row["tried_rule"])
        assert row["reason"] == row["tried_reason"]
    for row in dlq("show", strict):
        assert row["tried_at"]
        assert row["tried_reason"] == row["reason"]
    (again,) = dlq("replay", strict)
    assert again["rows"]["refused"] == again["rows"]["replayed"] == 8
    assert again["tables"][PROCESSED]["added"] == 0


def test_only_what_is_chosen_is_replayed(strict: Path, dlq: Dlq) -> None:
    groups = {row["rule"]: row["rows"] for row in dlq("list", strict)}
    (said,) = dlq("replay", strict, "--rule", "json")
    assert said["rows"]["replayed"] == groups["json"]
    (said,) = dlq("replay", strict, "--source", (strict / "data" / "a.jsonl").as_uri())
    assert 3 < said["rows"]["replayed"] < sum(groups.values())


def test_the_files_are_no_more_needed(strict: Path, dlq: Dlq) -> None:
    for name in CONTENT:
        (strict / "data" / name).unlink()
    (said,) = dlq("replay", strict)
    assert said["rows"]["kept"] > 15


def test_a_replay_goes_on_where_another_has_closed_rows_meanwhile(
    strict: Path, tmp_path: Path
) -> None:
    plan, slept = load_plan(strict), []

    def others(point: str) -> None:
        if point == "asked" and not slept:
            slept.append(point)
            replays.replay(plan, Choice(source=(strict / "data" / "a.jsonl").as_uri()))

    def landed() -> Counter[Any]:
        return Counter((r["_source"], r["_position"]) for r in Out(strict / "out").rows(PROCESSED))

    done = replays.replay(plan, Choice(), point=others)
    assert slept
    assert done.counts()["kept"] > 5
    assert set(landed().values()) == {1}
    assert balance(open_lake(plan), plan, "").faults == ()


def test_rounds_give_what_one_commit_gives(strict: Path, tmp_path: Path, dlq: Dlq) -> None:
    other = with_contract(filled(tmp_path / "other", STRICT), STRICT)
    assert main(["run", str(other), "--json"]) == 0
    with_contract(other, CONTRACT)
    replays.replay(load_plan(other), Choice(), size=9)
    dlq("replay", strict)
    assert len(Out(other / "out").done()) > len(Out(strict / "out").done()) + 3
    assert moved(strict, other) == moved(other, other)


def test_dead_letters_are_shown_by_their_shape_unless_somebody_asks(strict: Path, dlq: Dlq) -> None:
    groups = dlq("list", strict)
    assert sum(row["rows"] for row in groups) > 15
    shown = json.dumps([groups, dlq("show", strict, "--rows", "999")])
    for secret in ("SECRET", "yesterday", "@example.org", "x3"):
        assert secret not in shown
    assert '\\"pieces\\": \\"AAAAAA\\"' in shown
    clear = dlq("show", strict, "--rows", "999", "--records")
    assert {row["record"].encode() for row in clear} >= set(BROKEN)


def test_a_record_that_was_mended_lands_at_its_own_position_and_the_edit_is_recorded(
    strict: Path, tmp_path: Path, dlq: Dlq
) -> None:
    file = tmp_path / "mine.jsonl"
    assert dlq("export", strict, str(file), "--rule", "type") == [{"rows": 2, "file": str(file)}]
    assert file.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    mended = json.loads(BROKEN[3]) | {"pieces": 7, "properties": {"amount": 60}, "sale_id": "new"}
    lines[0]["record"] = json.dumps(mended)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (said,) = dlq("import", strict, str(file))
    assert (said["changed"], said["same"], said["gone"]) == (1, 1, 0)
    assert said["rows"]["kept"] == said["rows"]["refused"] == 1
    out = Out(strict / "out")
    (row,) = [r for r in out.rows(PROCESSED) if r["sale_id"] == "new"]
    place = (row["_source"], row["_position"], row["_sequence"])
    assert place == tuple(lines[0][n] for n in ("source", "position", "sequence"))
    assert row["pieces"] == 7
    (edit,) = out.rows("operations.shop_mended")
    assert (edit["_source"], edit["_position"], edit["_sequence"]) == place
    assert edit["by"]
    assert edit["before"] != edit["after"]
    # Once more: what is closed is not touched, what was left as it was is refused again.
    (again,) = dlq("import", strict, str(file))
    assert (again["changed"], again["same"], again["gone"]) == (0, 1, 1)
    assert again["rows"]["replayed"] == 1
    plan = load_plan(strict)
    assert balance(open_lake(plan), plan, "").faults == ()
    audited = map(json.loads, (strict / "out" / FILE).read_text().splitlines())
    assert [(a["action"], a["rows"], a["file"], a.get("rule")) for a in audited] == [
        ("dlq.export", 2, str(file), "type"),
        ("dlq.import", 2, str(file), None),
        ("dlq.import", 2, str(file), None),
    ]
    assert broken(strict / "out" / FILE) is None


def test_the_audit_log_has_the_number_of_records_that_were_shown(strict: Path, dlq: Dlq) -> None:
    for rule, limit in (("type", "99"), ("type", "1"), ("nothing", "20")):
        shown = dlq("show", strict, "--records", "--rows", limit, "--rule", rule)
        last = (strict / "out" / FILE).read_text().splitlines()[-1]
        assert json.loads(last)["rows"] == len(shown) == {"99": 2, "1": 1, "20": 0}[limit]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "one JSON object"),
        ('{"source": "a", "position": "1"}', "`position` must be there"),
        ('{"source": "a", "position": 1, "sequence": 0, "format": "json", "record": {}}', "text"),
        ('{"source": "a", "position": 1, "sequence": 0, "format": "", "record": "{}"}', "such as"),
        ('{"source": "a", "position": 1, "sequence": 0, "format": "json"}', ":1: `record` must be"),
    ],
)
def test_a_file_that_is_not_as_it_was_exported_changes_nothing(
    line: str, says: str, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path)
    (folder / "out" / "lake").mkdir(parents=True)
    file = tmp_path / "mine.jsonl"
    file.write_text(line)
    with pytest.raises(UsageError, match=says):
        put_back(load_plan(folder), file, by="me", audit=print)
    assert not list((folder / "out" / "lake").iterdir())


CSV_HEAD = "sale_id,sold_at,country,pieces\n"
CSV_ROW = "s%d,2026-03-01T00:00:00Z,de,%s\n"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"record": CSV_ROW % (1, 7)}, ":2: `record` must begin with the header line"),
        ({"record": "id,sold_at,country,pieces\ns1,x,de,7"}, ":2: `record` must begin with the"),
        ({"record": "{}", "format": "json"}, ":2: `format` must stay 'csv'; got 'json'"),
        ({"record": None}, ":2: `record` must stay there"),
    ],
    ids=["no header", "another header", "another format", "none"],
)
def test_a_record_that_is_put_back_in_another_form_changes_nothing(
    changed: dict[str, Any], says: str, tmp_path: Path, dlq: Dlq
) -> None:
    pipeline = PIPELINE.replace('*.jsonl*", format: json', '*.csv", format: csv')
    assert pipeline != PIPELINE
    folder = make_folder(tmp_path, pipeline=pipeline)
    rows = [CSV_ROW % (n, "many" if n < 3 else n) for n in range(9)]
    (folder / "data" / "a.csv").write_text(CSV_HEAD + "".join(rows))
    assert main(["run", str(folder), "--json"]) == 0
    file = tmp_path / "mine.jsonl"
    dlq("export", folder, str(file), "--rule", "type")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 3
    mended = [line | {"record": line["record"].replace("many", "7")} for line in lines]
    mended[0]["record"] = mended[0]["record"].replace("pieces\n", "pieces,note\n") + ",added"

    def put(mine: list[dict[str, Any]]) -> None:
        file.write_text("".join(json.dumps(line) + "\n" for line in mine))

    put([mended[0], mended[1] | changed, mended[2]])
    with pytest.raises(UsageError, match=re.escape(f"{file}{says}")):
        put_back(load_plan(folder), file, by="me", audit=print)
    assert Out(folder / "out").rows("operations.shop_mended") == []
    put(mended)
    (said,) = dlq("import", folder, str(file))
    assert said["changed"] == said["rows"]["replayed"] == 3
    assert said["rows"]["refused"] == 0


def test_a_record_that_was_too_long_is_read_again_from_its_file(tmp_path: Path, dlq: Dlq) -> None:
    folder = make_folder(tmp_path)
    row = json.loads(sales(0, 1)) | {"pieces": 3, "properties": {"amount": 60, "note": "n" * 900}}
    lines = [sales(1, 20), json.dumps(row).encode() + b"\n", sales(21, 20)]
    (folder / "data" / "a.jsonl").write_bytes(b"".join(lines))
    shorter = "source.batch.files.max_record_bytes=600"
    assert main(["run", str(folder), "--json", "--set", shorter]) == 0
    (again,) = dlq("replay", folder, "--set", shorter)
    assert again["rows"]["refused"] == again["rows"]["replayed"] == 1
    (would,) = dlq("replay", folder, "--simulate")
    (said,) = dlq("replay", folder)
    assert would["became"] == said["became"]
    assert said["rows"]["kept"] == 1
    (landed,) = [r for r in Out(folder / "out").rows(PROCESSED) if r["sale_id"] == row["sale_id"]]
    assert landed["_position"] == len(lines[0])


@pytest.mark.parametrize("left", [b"", sales(20, 20)], ids=["gone", "rewritten"])
def test_a_record_that_is_nowhere_stays_and_says_so(left: bytes, tmp_path: Path, dlq: Dlq) -> None:
    folder = make_folder(tmp_path)
    file = folder / "data" / "a.jsonl"
    file.write_bytes(sales(0, 20) + b'{"a": "' + b"n" * 900 + b'"}\n')
    shorter = "source.batch.files.max_record_bytes=600"
    assert main(["run", str(folder), "--json", "--set", shorter]) == 0
    file.write_bytes(left)
    if not left:
        file.unlink()
    (said,) = dlq("replay", folder)
    (became,) = said["became"]
    assert (became["destiny"], became["by_step"], became["by_rule"]) == (
        "refused",
        "replay",
        "record",
    )


def _parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


def _avro(path: Path, rows: list[dict[str, Any]], *, without: Collection[str] = ("till",)) -> None:
    schema: dict[str, Any] = {
        "type": "record",
        "name": "sale",
        "fields": [
            {"name": "sale_id", "type": "string"},
            {"name": "sold_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "country", "type": "string"},
            {"name": "pieces", "type": "long"},
            {"name": "properties", "type": "string"},
            {"name": "till", "type": "string"},
        ],
    }
    schema["fields"] = [field for field in schema["fields"] if field["name"] not in without]
    with path.open("wb") as file:
        fastavro.writer(file, schema, rows)


@pytest.mark.parametrize("form", ["parquet", "avro"])
def test_rows_of_packed_files_are_replayed(form: str, tmp_path: Path, dlq: Dlq) -> None:
    pipeline = PIPELINE.replace(
        'path: "data/*.jsonl*", format: json', f'path: "data/*", format: {form}'
    )
    folder = make_folder(tmp_path, contract=STRICT, pipeline=pipeline)
    rows = [
        {
            "sale_id": f"s{n}",
            "sold_at": datetime(2026, 3, 1, n, 30, 0, 123456, UTC),
            "country": "de",
            "pieces": n % 3,
            "properties": json.dumps({"amount": 60 + n}),
        }
        for n in range(9)
    ]
    {"parquet": _parquet, "avro": _avro}[form](folder / "data" / f"a.{form}", rows)
    assert main(["run", str(folder), "--json"]) == 0
    with_contract(folder, CONTRACT)
    (said,) = dlq("replay", folder)
    assert said["rows"]["kept"] == said["rows"]["replayed"] == 3
    landed = Out(folder / "out").rows(PROCESSED)
    names = ("sale_id", "sold_at", "pieces")
    found = sorted(tuple(r[n] for n in names) for r in landed)
    assert found == [tuple(r[n] for n in names) for r in rows]


def test_a_file_that_lacks_a_column_of_now_keeps_no_other_from_being_read_again(
    tmp_path: Path, dlq: Dlq
) -> None:
    pipeline = PIPELINE.replace('*.jsonl*", format: json', '*.avro", format: avro')
    folder = make_folder(tmp_path, contract=STRICT, pipeline=pipeline)
    row = {"sold_at": datetime(2026, 3, 1, tzinfo=UTC), "country": "de", "pieces": 2, "till": "1"}
    row["properties"] = json.dumps({"amount": 60})
    for name, lacks in (("a", True), ("b", False)):
        rows = [row | {"sale_id": f"{name}{n}"} for n in range(3)]
        _avro(folder / "data" / f"{name}.avro", rows, without=("till",) if lacks else ())
    assert main(["run", str(folder), "--json"]) == 0
    till = "      - {name: till, logicalType: string, required: true}\n"
    at = CONTRACT.index("      - {name: sold_at")
    with_contract(folder, CONTRACT[:at] + till + CONTRACT[at:])
    (said,) = dlq("replay", folder)
    assert (said["rows"]["replayed"], said["rows"]["kept"]) == (6, 3)


def test_a_contract_that_names_no_personal_data_any_more_does_not_unmask_old_records(
    strict: Path, dlq: Dlq
) -> None:
    plain = CONTRACT.replace("            classification: restricted\n", "")
    with_contract(strict, plain.replace("value: pseudonymize", "value: keep"))
    assert not load_plan(strict).contract.classified
    shown = json.dumps([dlq("list", strict), dlq("show", strict, "--rows", "999")])
    assert "@example.org" not in shown
    assert "SECRET" not in shown


def test_without_the_key_dead_letters_are_listed_still(strict: Path, dlq: Dlq) -> None:
    (strict / ".penstock-key").unlink()
    groups = dlq("list", strict)
    assert sum(row["rows"] for row in groups) > 20
    assert {row["example"]["record"] for row in groups} == {None}


def test_a_stream_goes_on_beside_replays(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, contract=STRICT)
    middle = Middle(stream_plan(folder))
    batches = spread(sales(0, 240, broken=4).splitlines(), partitions=2, size=30)
    with_contract(folder, CONTRACT)
    plan = replace(load_plan(folder), sinks={"lake": {}})
    one, memory = middle.committer(), Memory()
    for batch in batches:
        memory = commit(one, memory, middle.ship(batch))
        replays.replay(plan, Choice())
    content = b"\n".join(line for raw in batches for line in raw["record"].to_pylist())
    assert_tables(Out(folder / "out"), expected({"a": content}), warehouse=False)
    assert balance(middle.lake, plan, "").faults == ()
