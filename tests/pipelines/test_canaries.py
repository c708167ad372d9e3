"""Personal data put in at the source is nowhere in what a run leaves behind or says."""

from __future__ import annotations

import json
import logging
import multiprocessing
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines import cli, progress_screen
from tests.faults import command
from tests.pipelines.byte_search import find
from transforms import protect
from transforms.pseudonyms import canonical_text
from transforms.spill import Spill

KINDS = {
    "name": "Qwanda Zyxerton{}",
    "email": "canary{}.zq@mail.example",
    "phone": "+82-10-7351-{:04d}",
    "ip": "",
    "card": "4929-7712-{:04d}-5518",
    "national": "QZ-880101-{:07d}",
    "text": "met her at the Vexillum {}th street",
}

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: people
name: people
version: 1.0.0
status: active
schema:
  - name: people
    logicalType: object
    customProperties:
      - {property: "penstock:eventTime", value: at}
      - {property: "penstock:release", value: [{place: daily.name, reason: "tests pseudonyms"}]}
    properties:
      - {name: id, logicalType: string, required: true, primaryKey: true}
      - {name: at, logicalType: timestamp, required: true}
      - {name: n, logicalType: integer, logicalTypeOptions: {minimum: 0}}
      - {name: born, logicalType: date, classification: restricted,
         transformLogic: "CAST(birth AS DATE)"}
      - {name: birth, logicalType: string, classification: restricted}
      - {name: name, logicalType: string, classification: restricted,
         logicalTypeOptions: {maxLength: 60}}
      - name: ip
        logicalType: string
        classification: restricted
        logicalTypeOptions: {format: ipv4}
        customProperties:
          - {property: "penstock:protect", value: generalize}
          - {property: "penstock:protectOptions", value: {prefix: 16}}
      - name: card
        logicalType: string
        classification: restricted
        customProperties:
          - {property: "penstock:protect", value: mask}
          - {property: "penstock:protectOptions", value: {keep_last: 4}}
      - name: text
        logicalType: string
        classification: restricted
        customProperties: [{property: "penstock:protect", value: drop}]
"""
NESTED = """\
      - name: contact
        logicalType: object
        properties:
          - {name: email, logicalType: string, classification: restricted}
          - {name: inner, logicalType: object, properties: [{name: phone, logicalType: string,
             classification: restricted}]}
      - {name: phones, logicalType: array, items: {logicalType: string, classification: restricted}}
      - name: extra
        logicalType: object
        customProperties: [{property: "penstock:open", value: true}]
        properties:
          - {name: email, logicalType: string, classification: restricted}
          - name: person
            logicalType: object
            properties:
              - {name: national, logicalType: string, classification: restricted}
              - {name: papers, logicalType: object, properties: [{name: card,
                 logicalType: string, classification: restricted}]}
"""
PIPELINE = """
name: people
contract: contract.odcs.yaml
source: {batch: {files: {path: "data/*.FORMAT", format: FORMAT}}}
steps:
  - deduplicate: {by: [id], horizon: 1d}
  - derive: {tiny: "CAST(n AS TINYINT)"}
aggregates:
  - {name: daily, windowing: {type: fixed, size: 1d}, group_by: [name],
     measures: {rows: count(*), first: first(card)}}
sinks: {lake: {SINK}, warehouse: {}}
"""


class Canaries:
    """Makes values that occur nowhere else, and remembers where each was put."""

    def __init__(self) -> None:
        self.where: dict[str, str] = {}
        self._n = 0

    def __call__(self, kind: str, where: str) -> str:
        self._n += 1
        value = KINDS[kind].format(self._n)
        if kind == "ip":
            value = f"203.{self._n // 200}.{self._n % 200}.177"
        # An address is looked for without what is written as escapes somewhere.
        self.where[value.partition("zq@")[0]] = f"{kind} in {where}"
        return value

    def put_into(self, text: str) -> None:
        """Forget those that another value took the place of."""
        self.where = {v: w for v, w in self.where.items() if v in text}

    def row(self, i: int, where: str, **more: Any) -> dict[str, Any]:
        """A good row with canaries at the top level."""
        flat = {k: self(k, where) for k in ("name", "ip", "card", "text")}
        start = {"id": f"{where}-{i}", "at": f"2026-01-0{1 + i % 3}T00:00:00Z", "n": i}
        return start | flat | {"birth": "1988-01-01"} | more


@dataclass
class Case:
    """A pipeline folder and what was put into it."""

    folder: Path
    canaries: Canaries
    good: int
    bad: int


def make(
    folder: Path, form: str, lines: list[str], canaries: Canaries, good: int, sink: str = ""
) -> Case:
    (folder / "data").mkdir(parents=True)
    contract = CONTRACT + (NESTED if form == "json" else "")
    (folder / "contract.odcs.yaml").write_text(contract)
    (folder / "pipeline.yaml").write_text(
        PIPELINE.replace("FORMAT", form).replace("{SINK}", f"{{{sink}}}")
    )
    text = "".join(line + "\n" for line in lines)
    (folder / "data" / f"people.{form}").write_text(text, encoding="utf-8")
    canaries.put_into(text)
    header = form == "csv"
    return Case(folder, canaries, good, len(lines) - good - header)


def json_case(folder: Path) -> Case:
    c = Canaries()
    good = [json.dumps(c.row(i, "a good row", **_nested(c))) for i in range(20)]
    for i in range(3):  # escapes in keys and values, and white space where no writer puts any
        row = c.row(i, "an escaped row", **_nested(c))
        text = json.dumps(row).replace('"extra": {"email"', '"extra" :\t{"\\u0065mail" ')
        text = text.replace('"national"', '"nati\\u006fnal"').replace("zq@", "z\\u0071\\u0040")
        good.append(text.replace('"papers": {"card"', '"p\\u0061pers" : { "c\\u0061rd"'))
    undeclared = c.row(0, "a row with undeclared keys", other=c("email", "an undeclared key"))
    good.append(json.dumps(undeclared))
    bad = [json.dumps(c.row(0, "bad JSON", **_nested(c)))[:-1]]
    bad += [f"{c('text', 'a line that is no JSON')} {c('email', 'a line that is no JSON')}"]
    wrong: list[dict[str, Any]] = [
        {"n": c("phone", "wrong type")},
        {"at": c("text", "wrong time")},
        {"name": {c("name", "a key of a wrong type"): 1}},
        {"phones": [c("phone", "a list with a wrong item"), 7]},
        {"contact": c("email", "a wrong struct")},
        {"extra": c("email", "a wrong object")},
        {"extra": {"person": {"national": [c("national", "a wrong nested type")]}}},
        {"n": -1},
        {"ip": c("phone", "no address")},
        {"name": c("name", "too long") * 9},
        {"birth": c("national", "a failing transformLogic")},
        {"at": None},
    ]
    bad += [json.dumps(c.row(i, "a broken row", **(_nested(c) | w))) for i, w in enumerate(wrong)]
    late = "a row on which an expression fails"
    bad.append(json.dumps(c.row(0, late, **_nested(c)) | {"n": 1000}))
    missing = c.row(0, "missing required")
    del missing["id"]
    bad.append(json.dumps(missing))
    twice = json.dumps(c.row(0, "a duplicate key"))
    bad.append(f'{twice[:-1]}, "name": "{c("name", "a duplicate key")}"}}')
    inner = c("email", "a key that is there twice")
    bad.append(f'{{"id":"d","at":"2026-01-01T00:00:00Z","extra":{{"{inner}":1,"{inner}":2}}}}')
    return make(folder, "json", [*good, *bad], c, len(good))


def _nested(c: Canaries) -> dict[str, Any]:
    return {
        "contact": {
            "email": c("email", "a struct"),
            "inner": {"phone": c("phone", "a nested struct")},
        },
        "phones": [c("phone", "a list"), c("phone", "a list")],
        "extra": {
            "email": c("email", "an open object"),
            "person": {
                "national": c("national", "an object in an open object"),
                "papers": {"card": c("card", "an object in an object in an open object")},
                "undeclared": 1,
            },
        },
    }


def csv_case(folder: Path) -> Case:
    c = Canaries()
    rows = [c.row(i, "a good CSV row") for i in range(10)]
    good = [",".join(map(str, row.values())) for row in rows]
    bad = [
        ",".join(map(str, c.row(1, "a long CSV row").values()))
        + ","
        + c("email", "too many fields"),
        ",".join(list(map(str, c.row(2, "a short CSV row").values()))[:6]),
        ",".join(
            map(str, c.row(3, "a CSV row of wrong type", n=c("national", "a CSV number")).values())
        ),
        ",".join(map(str, c.row(4, "a broken CSV rule", n=-4).values())),
        ",".join(
            map(str, c.row(5, "a quote in a CSV field", birth=f'{c("name", "x")}"y').values())
        ),
    ]
    return make(folder, "csv", [",".join(rows[0]), *good, *bad], c, len(good))


CASES = {"json": json_case, "csv": csv_case}


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is shown as at a terminal."""
    monkeypatch.setattr(progress_screen, "at_terminal", lambda: True)


def run(case: Case, capfd: Any, caplog: Any, *arguments: str) -> tuple[int, str]:
    """Run the command; return its exit code and all that it said, logs included."""
    caplog.set_level(logging.DEBUG)
    code = cli.main(["run", str(case.folder), *arguments])
    out = capfd.readouterr()
    return code, f"{out.out}\n{out.err}\n{caplog.text}"


def said(canaries: Canaries, text: str) -> dict[str, str]:
    return {v: w for v, w in canaries.where.items() if v.lower() in text.lower()}


def left(case: Case) -> dict[str, set[str]]:
    """The canaries that are found under out/, by what they are and where they were put."""
    found = find(case.canaries.where, case.folder / "out")
    return {f"{case.canaries.where[v]}: {v}": files for v, files in found.items()}


@pytest.mark.parametrize("form", CASES)
def test_no_canary_is_left_or_said(tmp_path: Path, capfd: Any, caplog: Any, form: str) -> None:
    case = CASES[form](tmp_path / form)
    code, text = run(case, capfd, caplog)
    assert code == 0, text
    assert f"{case.good} kept" in text
    assert f"{case.bad} refused" in text
    assert "\x1b[K" in text  # the line that is drawn again and again
    assert left(case) == {}
    assert said(case.canaries, text) == {}


@pytest.mark.parametrize("form", CASES)
def test_with_protection_switched_off_the_same_search_finds_them(
    tmp_path: Path, capfd: Any, caplog: Any, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protect, "pseudonymize", lambda values, _: canonical_text(values))
    monkeypatch.setattr(protect, "masked", lambda texts, _: texts)
    monkeypatch.setattr(protect, "generalized", lambda values, *_, **__: values)
    monkeypatch.setattr(protect, "seal_records", lambda refused, _: refused)
    monkeypatch.setattr(Spill, "remove", lambda _: None)
    case = CASES[form](tmp_path / form)
    code, text = run(case, capfd, caplog)
    assert code == 0, text
    found = find(case.canaries.where, case.folder / "out")
    never = {w for v, w in case.canaries.where.items() if v not in found}
    assert never <= {
        "text in a good row", "text in an escaped row", "text in a row with undeclared keys",
        "email in an undeclared key", "text in a good CSV row",
        "text in a row on which an expression fails",
    }, never  # fmt: skip
    places = {p.split("/")[1] if p.startswith("lake/") else p for f in found.values() for p in f}
    assert {"processed_data", "operations", "analytics", ".spill", "warehouse.duckdb"} <= places


def test_a_killed_run_leaves_no_canary(tmp_path: Path) -> None:
    case = json_case(tmp_path / "json")
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["tests.faults.command"])
    process = forks.Process(
        target=command.run, args=(case.folder,), kwargs={"die": "before intent"}
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert list((case.folder / "out/lake/.spill").glob("*/*"))
    assert left(case) == {}


def test_an_error_of_a_file_as_a_whole_names_none_of_its_values(
    tmp_path: Path, capfd: Any, caplog: Any
) -> None:
    c = Canaries()
    headless = c.row(0, "the first row of a file without header")
    headless["text"] = headless["name"]
    case = make(tmp_path / "csv", "csv", [",".join(map(str, headless.values()))], c, 0)
    code, text = run(case, capfd, caplog)
    assert code == 1
    assert "columns of a file must have different names" in text
    assert said(c, text) == {}
    assert left(case) == {}


def test_a_partition_of_a_protected_column_is_named_by_what_is_left_of_it(
    tmp_path: Path, capfd: Any, caplog: Any
) -> None:
    c = Canaries()
    lines = [json.dumps(c.row(i, "a partitioned row")) for i in range(3)]
    case = make(tmp_path / "json", "json", lines, c, 3, "partition_by: [name, card]")
    code, text = run(case, capfd, caplog)
    assert code == 0, text
    assert left(case) == {}
    assert said(c, text) == {}
