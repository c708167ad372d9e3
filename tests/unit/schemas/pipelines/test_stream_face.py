"""The streaming face of a source: what is read of it, and what is said of a wrong one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft201909Validator

from beam_pipelines.cli.plan import describe
from schemas.errors import SpecError
from schemas.plan_json import to_json
from schemas.planning import load_plan
from schemas.stream_source import KafkaSource, Registry, Sasl, StreamFace, Tls
from schemas.structure import published

Folder = Callable[..., Path]
BATCH = '  batch: {files: {path: "data/*.jsonl.gz"}}'


def with_stream(folder: Folder, text: str) -> Path:
    return folder(BATCH, f"{BATCH}\n  stream:\n    {text}")


def test_everything_that_is_left_out_has_a_default(folder: Folder) -> None:
    plan = load_plan(with_stream(folder, 'kafka: {topic: t, brokers: "${BROKERS}"}'))
    assert plan.stream == StreamFace(kafka=KafkaSource(brokers="${BROKERS}", topics=("t",)))
    assert load_plan(folder()).stream is None


def test_a_partition_that_is_never_idle_is_written_as_never(folder: Folder) -> None:
    text = "kafka: {brokers: b:9092, topic: t}\n    idle: never"
    plan = load_plan(with_stream(folder, text))
    assert plan.stream is not None
    assert plan.stream.idle_us is None
    assert json.loads(json.dumps(to_json(plan)))["stream"]["idle_us"] is None
    with pytest.raises(SpecError, match=r"source\.stream\.disorder"):
        load_plan(with_stream(folder, text.replace("idle", "disorder")))


def test_everything_that_is_written_is_read(folder: Folder) -> None:
    text = """kafka:
      brokers: b:9092
      pattern: t-.*
      start: 2026-01-31T09:30:00.5Z
      end: latest
      isolation: read_uncommitted
      on_gap: skip
      group: shown
      refresh: 1m
      tls: {ca: ca.pem, key_password: "file:pw"}
      sasl: {mechanism: PLAIN, username: me, password: "env:PW"}
    disorder: 1m
    idle: 5s
    max_future: 1h"""
    plan = load_plan(with_stream(folder, text))
    assert plan.stream == StreamFace(
        kafka=KafkaSource(
            brokers="b:9092",
            pattern="t-.*",
            start=1_769_851_800_500_000,
            end="latest",
            committed=False,
            on_gap="skip",
            group="shown",
            refresh_us=60_000_000,
            tls=Tls(ca="ca.pem", key_password="file:pw"),
            sasl=Sasl(mechanism="PLAIN", username="me", password="env:PW"),
        ),
        disorder_us=60_000_000,
        idle_us=5_000_000,
        max_future_us=3_600_000_000,
    )
    written = json.loads(json.dumps(to_json(plan)))
    Draft201909Validator(published("plan")).validate(written)
    assert written["stream"]["kafka"]["pattern"] == "t-.*"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kafka: {brokers: b}", "must have one of topic, topics and pattern; got none; add topic"),
        ("kafka: {brokers: b, topic: a, pattern: b}", "got topic and pattern; leave one"),
        ('kafka: {brokers: b, pattern: "("}', "must be a regular expression; got '('"),
        ("kafka: {brokers: b, topic: a, start: soon}", "must be earliest or latest or a time with"),
        ("kafka: {brokers: b, topic: a, end: earliest}", "must be latest or a time with its zone"),
        (
            'kafka: {brokers: b, topic: a, start: "2026-01-31T09:30:00"}',
            "write for example 2026-01-31T09:30:00Z",
        ),
        (
            "kafka: {brokers: b, topic: a, sasl: {mechanism: PLAIN, username: u, password: hunter2}}",
            "must be the reference of a secret, env:NAME or file:path",
        ),
        ("kafka: {brokers: b, topic: a}\n    idle: soon", "`source.stream.idle` must be a whole"),
        ("kafka: {brokers: b, topic: a, on_gap: warn}", "must be one of fail, skip"),
    ],
)
def test_what_is_wrong_is_told(folder: Folder, text: str, said: str) -> None:
    with pytest.raises(SpecError, match=None) as caught:
        load_plan(with_stream(folder, text))
    (problem,) = caught.value.problems
    assert said in problem.message


def test_a_stream_runs_with_no_other_face_and_a_batch_face_alone_does_not_stream(
    folder: Folder,
) -> None:
    where = folder(BATCH, "  stream: {kafka: {topic: t, brokers: b, end: latest}}")
    plan = load_plan(where, mode="stream", runner="prism")
    assert (plan.mode, plan.runner) == ("stream", "prism")
    assert "  t on b (json) from earliest, to its end as it is when reading begins" in describe(
        plan
    )
    with pytest.raises(SpecError) as caught:
        load_plan(folder(), mode="stream", runner="prism")
    assert "got `batch` only; add `stream`, or leave out --stream" in str(caught.value)


def test_formats_keys_and_headers_are_read(folder: Folder) -> None:
    text = """kafka:
      brokers: b:9092
      topic: t
      format: avro
      registry: {url: "${REGISTRY}", username: me, password: "env:PW", tls: {ca: ca.pem}}
      key: NAME
      headers: {TIME: x-time}"""
    names = [c.name for c in load_plan(folder()).contract.columns if c.logical == "string"]
    text = text.replace("NAME", names[0]).replace("TIME", names[1])
    plan = load_plan(with_stream(folder, text))
    assert plan.stream is not None
    assert plan.stream.kafka == KafkaSource(
        brokers="b:9092",
        topics=("t",),
        format="avro",
        registry=Registry(
            url="${REGISTRY}", username="me", password="env:PW", tls=Tls(ca="ca.pem")
        ),
        key=names[0],
        headers={names[1]: "x-time"},
    )
    Draft201909Validator(published("plan")).validate(json.loads(json.dumps(to_json(plan))))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("format: avro", "must say where the schemas of its messages are; got avro alone"),
        ("registry: {url: u}", "must stand with a format whose schemas are in one; got json"),
        ("format: avro, registry: {url: u, username: x}", "must have username and password, or"),
        ("format: avro, registry: {url: u, token: abc}", "must be the reference of a secret"),
        ("key: nothing", "must name a column of the contract that holds one value; got 'nothing'"),
        ("headers: {nothing: h}", "must name a column of the contract that holds one value"),
    ],
)
def test_what_is_wrong_with_formats_is_told(folder: Folder, more: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_plan(with_stream(folder, f"kafka: {{brokers: b, topic: t, {more}}}"))
    (problem,) = caught.value.problems
    assert said in problem.message
