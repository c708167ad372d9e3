"""Ways in which personal data could leave a pipeline: what each changes, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

CANARY = "qwanda-zyxerton"
"""In every personal text of every row."""
SALARY = 918273645
ROWS = 6

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: people
version: 1.0.0
status: active
schema:
  - name: people
    logicalType: object
    customProperties:
      - {property: "penstock:eventTime", value: at}
    properties:
      - {name: id, logicalType: string, required: true, primaryKey: true}
      - {name: at, logicalType: timestamp, required: true}
      - {name: country, logicalType: string}
      - name: user
        logicalType: string
        required: true
        classification: restricted
        customProperties: [KEEP, REASON]
      - name: salary
        logicalType: integer
        classification: restricted
        customProperties: [KEEP, REASON]
      - {name: name, logicalType: string, classification: restricted}
      - name: contact
        logicalType: object
        properties:
          - {name: email, logicalType: string, classification: restricted}
      - {name: phones, logicalType: array, items: {logicalType: string, classification: restricted}}
      - name: extra
        logicalType: object
        customProperties: [{property: "penstock:open", value: true}]
        properties:
          - {name: kind, logicalType: string}
          - {name: mail, logicalType: string, classification: restricted}
      - name: private
        logicalType: object
        classification: restricted
        customProperties: [{property: "penstock:open", value: true}]
        properties:
          - {name: note, logicalType: string}
"""
PIPELINE = """\
name: people
contract: contract.odcs.yaml
source:
  batch: {files: {path: data.jsonl}}
steps:
  - derive: {here: "country = 'de'", called: "CASE WHEN name IS NULL THEN 'no' ELSE 'yes' END"}
  - filter: {keep: salary > 0}
  - enrich: {table: countries, from: {files: {path: countries.csv}}, on: {country: code}, add: [land]}
  - python: {call: "mine:size", reads: [country], columns: {size: integer}}
aggregates:
  - name: daily
    windowing: {type: fixed, size: 1d}
    group_by: [country, here, called]
    measures: {rows: count(*), users: approx_count_distinct(user), paid: count(salary)}
sinks:
  lake: {partition_by: ["day(at)", "bucket(4, user)"], sort_by: [user]}
  warehouse: {}
"""
MINE = """\
import pyarrow as pa
import pyarrow.compute as pc


def size(batch):
    return batch.append_column("size", pc.utf8_length(batch["country"]).cast(pa.int64()))


def score(batch):
    return batch.append_column("score", _marked("score-", batch["user"]))


def turn(batch):
    return batch.set_column(batch.schema.get_field_index("country"), "country", _marked("turn-", batch["user"]))


def _marked(mark, values):
    return pc.binary_join_element_wise(mark, values, "")
"""
KEEP = '{property: "penstock:protect", value: keep}'
REASON = '{property: "penstock:reason", value: "the invoice names it"}'


@dataclass(frozen=True, kw_only=True)
class Route:
    """One way out.

    Attributes:
        claim: What is tried.
        contract: Old and new texts of the contract, pairs.
        pipeline: The same of the pipeline file.
        said: File, line and message of everything that is wrong with it.
        left: Part of the path of a file and the text that a run leaves in it once nothing is
            checked; None where a search cannot see it.
    """

    claim: str
    contract: tuple[str, ...] = ()
    pipeline: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    left: tuple[str, str] | None = None


def routes() -> Iterator[Route]:
    """Yield the routes of `leaks.txt`."""
    text = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")
    for section in text.split("\n## ")[1:]:
        claim, *lines = (line.replace("\\n", "\n") for line in section.strip().split("\n"))
        edits: dict[str, list[str]] = {"c": [], "p": []}
        for line, after in pairwise(lines):
            if line[:2] in ("c ", "p "):
                edits[line[0]] += [line[2:], after[2:]]
        where, _, needle = lines[-1].removeprefix("?").strip().partition(" ")
        yield Route(
            claim=claim,
            contract=tuple(edits["c"]),
            pipeline=tuple(edits["p"]),
            said=tuple(line[2:] for line in lines if line.startswith("! ")),
            left=(where, needle) if needle else None,
        )


def _edited(text: str, edits: tuple[str, ...]) -> str:
    for old, new in zip(edits[::2], edits[1::2], strict=True):
        assert old in text, old
        text = text.replace(old, new, 1)
    return text.replace("KEEP", KEEP).replace("REASON", REASON)


def make(folder: Path, *, contract: tuple[str, ...] = (), pipeline: tuple[str, ...] = ()) -> Path:
    """Write a pipeline folder with changes: pairs of old and new text."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "contract.odcs.yaml").write_text(_edited(CONTRACT, contract))
    (folder / "pipeline.yaml").write_text(_edited(PIPELINE, pipeline))
    (folder / "data.jsonl").write_text("".join(f"{json.dumps(_row(i))}\n" for i in range(ROWS)))
    (folder / "countries.csv").write_text("code,land\nde,Germany\nfr,France\n")
    people = "".join(f"p{i},u{i}-{CANARY},address-{CANARY}\n" for i in range(ROWS))
    (folder / "people.csv").write_text(f"id,user,mail\n{people}")
    (folder / "mine.py").write_text(MINE)
    return folder


def _row(i: int) -> dict[str, object]:
    return {
        "id": f"p{i}",
        "at": f"2026-03-0{1 + i % 2}T00:00:00Z",
        "country": ("de", "fr")[i % 2],
        "user": f"u{i}-{CANARY}",
        "salary": SALARY,
        "name": f"{CANARY} {i}",
        "contact": {"email": f"e{i}.{CANARY}@mail.example"},
        "phones": [f"+49 {i} {CANARY}"],
        "extra": {"kind": "app", "mail": f"x{i}.{CANARY}@mail.example"},
        "private": {"note": f"note-{CANARY}", "other": f"other-{CANARY}"},
    }
