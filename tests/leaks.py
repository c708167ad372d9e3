"""Ways in which personal data could leave a pipeline: what each changes, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

CANARY = "qwanda-zyxerton"
"""In every value of `user`, and of what a row's other personal texts hold."""
SALARY = 918273645

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
    return batch.append_column("score", batch["user"])


def turn(batch):
    return batch.set_column(batch.schema.get_field_index("country"), "country", batch["user"])
"""
KEEP = '{property: "penstock:protect", value: keep}'
REASON = '{property: "penstock:reason", value: "the invoice names it"}'


@dataclass(frozen=True, kw_only=True)
class Route:
    """One change of the two files.

    Attributes:
        claim: What is tried.
        contract: Old and new text in the contract, pairs.
        pipeline: The same of the pipeline file.
        said: File, line and message of everything that is wrong with it.
        shows: Whether the canary is found in what a run leaves once nothing is checked.
    """

    claim: str
    said: tuple[str, ...]
    contract: tuple[str, ...] = ()
    pipeline: tuple[str, ...] = ()
    shows: str = CANARY


def _release(*places: str) -> tuple[str, str]:
    head = '      - {property: "penstock:eventTime", value: at}\n'
    entries = "".join(f"          - {{place: {place}, reason: because}}\n" for place in places)
    return head, f'{head}      - property: "penstock:release"\n        value:\n{entries}'


STEP = "steps:\n"
KAFKA = "  warehouse: {}\n", '  warehouse: {}\n  kafka: {topic: t, brokers: "b:1", %s}\n'


def _step(text: str) -> tuple[str, str]:
    return STEP, f"{STEP}  - {text}\n"


def _measure(text: str) -> tuple[str, str]:
    return "{rows: count(*), ", f"{{rows: count(*), x: {text}, "


def written(text: str) -> str:
    """Put in the two custom properties that a kept column has."""
    return text.replace("KEEP", KEEP).replace("REASON", REASON)


def make(
    folder: Path,
    *,
    contract: tuple[str, ...] = (),
    pipeline: tuple[str, ...] = (),
    rows: int = 6,
) -> Path:
    """Write a pipeline folder with changes: pairs of old and new text."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text, edits in (
        ("contract.odcs.yaml", CONTRACT, contract),
        ("pipeline.yaml", PIPELINE, pipeline),
    ):
        for old, new in zip(edits[::2], edits[1::2], strict=True):
            assert old in text, old
            text = text.replace(old, new, 1)
        (folder / name).write_text(written(text))
    (folder / "data.jsonl").write_text("".join(f"{json.dumps(_row(i))}\n" for i in range(rows)))
    (folder / "countries.csv").write_text("code,land\nde,Germany\nfr,France\n")
    people = "".join(f"p{i},u{i}-{CANARY},{CANARY}@mail.example\n" for i in range(rows))
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
        "extra": {"kind": f"k {CANARY}", "mail": f"x{i}.{CANARY}@mail.example"},
    }


ROUTES = [
    Route(claim="a derived column", pipeline=_step('derive: {loud: "upper(user)"}'), said=()),
    Route(
        claim="a column derived of a derived one",
        pipeline=_step('derive: {a: "user || country"}\n  - derive: {b: "lower(a)"}'),
        said=(),
    ),
    Route(
        claim="a column that is replaced",
        pipeline=_step("derive: {country: user}"),
        said=(),
    ),
    Route(
        claim="a class of it",
        pipeline=_step('derive: {rich: "CASE WHEN salary > 1000000 THEN \'top\' ELSE \'low\' END"}'),
        said=(),
        shows="top",
    ),
    Route(claim="a group", pipeline=("[country, here", "[country, user, here"), said=()),
    Route(
        claim="a group of one person, by pseudonym",
        pipeline=("[country, here", "[name, here"),
        said=(),
        shows="",
    ),
    Route(
        claim="a group by a part of a pseudonym",
        pipeline=(
            *_step("derive: {short: \"left(coalesce(name, 'nobody'), 80)\"}"),
            "[country, here", "[country, short, here",
        ),
        said=(),
        shows="",
    ),
    Route(claim="the first of a window", pipeline=_measure("first(user)"), said=()),
    Route(claim="the least of a window", pipeline=_measure("min(upper(user))"), said=()),
    Route(
        claim="the greatest of a window",
        pipeline=_measure("max(salary)"),
        said=(),
        shows=str(SALARY),
    ),
    Route(
        claim="a mean, which of a group of one is the value",
        pipeline=_measure("avg(salary)"),
        said=(),
        shows=str(SALARY),
    ),
    Route(claim="a quantile", pipeline=_measure('"approx_quantile(salary, 0.5)"'), said=(), shows=""),
    Route(
        claim="a lookup that adds it back",
        pipeline=_step(
            "enrich: {table: people, from: {files: {path: people.csv}}, on: {id: id}, "
            "add: {address: mail}}"
        ),
        said=(),
    ),
    Route(
        claim="a lookup by the clear value",
        pipeline=_step(
            "enrich: {table: people, from: {files: {path: people.csv}}, on: {user: user}, "
            "add: {known: id}}"
        ),
        said=(),
        shows="",
    ),
    Route(
        claim="a lookup by the protected value",
        pipeline=_step(
            "enrich: {table: people, from: {files: {path: people.csv}}, on: {name: user}, "
            "add: {known: id}}"
        ),
        said=(),
        shows="",
    ),
    Route(
        claim="a column that a function declares",
        pipeline=_step('python: {call: "mine:score", reads: [user], columns: {score: string}}'),
        said=(),
    ),
    Route(
        claim="a column that a function changes and does not declare",
        pipeline=_step('python: {call: "mine:turn"}'),
        said=(),
    ),
    Route(
        claim="a step that asks for the clear value",
        pipeline=_step('clear: [name]\n    derive: {loud: "upper(name)"}'),
        said=(),
        shows="",
    ),
    Route(
        claim="a partition, which names files",
        pipeline=('"bucket(4, user)"', "user"),
        said=(),
    ),
    Route(
        claim="a part of it in the names of files",
        pipeline=('bucket(4, user)', "truncate(18, user)"),
        said=(),
    ),
    Route(
        claim="keys of messages",
        pipeline=(KAFKA[0], KAFKA[1] % "key: [user]"),
        said=(),
        shows="",
    ),
    Route(
        claim="headers of messages",
        pipeline=(KAFKA[0], KAFKA[1] % "headers: {who: user}"),
        said=(),
        shows="",
    ),
    Route(
        claim="the keys that an aggregate's messages have if none are named",
        contract=_release("daily.user"),
        pipeline=(
            "[country, here", "[user, here", KAFKA[0], KAFKA[1] % "tables: [daily]",
        ),
        said=(),
        shows="",
    ),
    Route(
        claim="windows of a time that is personal",
        contract=(
            "{name: at, logicalType: timestamp, required: true}",
            "{name: at, logicalType: timestamp, required: true, classification: restricted, "
            "customProperties: [KEEP, REASON]}",
        ),
        said=(),
        shows="",
    ),
    Route(
        claim="transformLogic that reads it",
        contract=(
            "      - name: user\n",
            "      - {name: loud, logicalType: string, transformLogic: upper(name)}\n"
            "      - name: user\n",
        ),
        said=(),
    ),
    Route(
        claim="a property that is kept without a reason",
        contract=("[KEEP, REASON]", "[KEEP]"),
        said=(),
    ),
    Route(
        claim="an open object whose undeclared keys may hold it",
        contract=(
            '        customProperties: [{property: "penstock:open", value: true}]',
            "        classification: restricted\n"
            '        customProperties: [{property: "penstock:open", value: true}, KEEP]',
        ),
        said=(),
    ),
    Route(
        claim="a key of an open object that is kept",
        contract=(
            '        customProperties: [{property: "penstock:open", value: true}]',
            "        classification: restricted\n"
            '        customProperties: [{property: "penstock:open", value: true}, KEEP, REASON]',
        ),
        pipeline=_step("derive: {sort: extra.kind}"),
        said=(),
    ),
    Route(
        claim="a key taken out of the text of an open object",
        contract=(
            "{name: mail, logicalType: string, classification: restricted}",
            "{name: mail, logicalType: string, classification: restricted, "
            "customProperties: [KEEP, REASON]}",
        ),
        pipeline=_step("derive: {post: \"json_extract_string(extra, '$.mail')\"}"),
        said=(),
    ),
    Route(
        claim="a field of a struct that is kept whole",
        contract=(
            "      - name: contact\n        logicalType: object\n",
            "      - name: contact\n        logicalType: object\n        classification: restricted\n"
            "        customProperties: [KEEP, REASON]\n",
            "{name: email, logicalType: string, classification: restricted}",
            "{name: email, logicalType: string}",
        ),
        pipeline=_step("derive: {post: contact.email}"),
        said=(),
    ),
    Route(
        claim="an item of a list that is kept",
        contract=(
            "items: {logicalType: string, classification: restricted}",
            "items: {logicalType: string, classification: restricted, "
            "customProperties: [KEEP, REASON]}",
        ),
        pipeline=_step('derive: {call: "phones[1]"}'),
        said=(),
    ),
    Route(
        claim="a primary key that is personal",
        contract=(
            "required: true, primaryKey: true}",
            "required: true, primaryKey: true, classification: restricted, "
            "customProperties: [KEEP]}",
        ),
        said=(),
        shows="",
    ),
    Route(
        claim="a number that is generalized to itself",
        contract=(
            "        logicalType: integer\n        classification: restricted\n"
            "        customProperties: [KEEP, REASON]",
            "        logicalType: integer\n        classification: restricted\n"
            '        customProperties: [{property: "penstock:protect", value: generalize}, '
            '{property: "penstock:protectOptions", value: {step: 1}}]',
        ),
        said=(),
        shows="",
    ),
    Route(
        claim="a release of a place that is not reached any more",
        contract=_release("processed.loud"),
        said=(),
        shows="",
    ),
]
