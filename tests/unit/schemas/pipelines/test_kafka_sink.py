"""The Kafka sink in a pipeline file: what is read of it, and what is said of a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import SpecError
from schemas.kafka_sink import KafkaSink, kafka_sink
from schemas.planning import load_plan
from schemas.stream_source import Registry

Folder = Callable[..., Path]
LAKE = "  warehouse: {}"


def with_sink(folder: Folder, text: str) -> Path:
    return folder(LAKE, f"{LAKE}\n  kafka: {{brokers: b, {text}}}")


def test_a_sink_has_defaults(folder: Folder) -> None:
    assert kafka_sink(load_plan(folder())) is None
    assert kafka_sink(load_plan(with_sink(folder, "topic: t"))) == KafkaSink(
        brokers="b",
        topic="t",
        progress="penstock-orders-progress",
        tables=("processed_data.orders",),
    )


def test_everything_that_is_written_is_read(folder: Folder) -> None:
    text = (
        'topic: "rows-{table}", tables: [processed, hourly], format: avro, progress: p, '
        "registry: {url: u}, key: [class], headers: {kind: class}"
    )
    found = kafka_sink(load_plan(with_sink(folder, text)))
    assert found == KafkaSink(
        brokers="b",
        topic="rows-{table}",
        progress="p",
        tables=("processed_data.orders", "analytics.hourly"),
        format="avro",
        registry=Registry(url="u"),
        key=("class",),
        headers={"kind": "class"},
    )
    assert found.topic_of("analytics.hourly") == "rows-hourly"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("topic: t, tables: [hurly]", "must be processed or name an aggregate; got 'hurly'; "),
        ("topic: t, tables: []", "must name what is sent; got none"),
        ("topic: t, tables: [processed, hourly]", "must have {table} in it when there are several"),
        ("topic: t, key: [contry]", "must be a column of every table that is sent; got 'contry'"),
        ("topic: t, headers: {x: _position}", "got '_position', which processed has not"),
        ('topic: "{table}", tables: [processed, hourly], key: [country]', "which hourly has not"),
        ("topic: t, format: avro", "must say where the schemas of its messages are"),
        ("topic: t, transactional: true", "transactional"),
    ],
)
def test_what_is_wrong_is_told(folder: Folder, text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_plan(with_sink(folder, text))
    (problem,) = caught.value.problems
    assert said in problem.message
