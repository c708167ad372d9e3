"""A secret that is written in clear is refused, and never shown again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import SpecError, UsageError
from schemas.planning import load_plan
from schemas.structure import published

Folder = Callable[..., Path]
BATCH = '  batch: {files: {path: "data/*.jsonl.gz"}}'
SECRET = "Tr0ub4dor&3"
SASL = "mechanism: PLAIN, username: u"
SOURCE = "source.stream.kafka"
SINK = "sinks.kafka"


def fields(schema: dict[str, Any], at: str) -> Iterator[str]:
    """Yield the places below a node of the published schema that hold a secret."""
    defs = published("pipeline")["$defs"]
    for key, node in schema.get("properties", {}).items():
        ref = node.get("$ref", "").rpartition("/")[2]
        if ref == "secret":
            yield f"{at}.{key}"
        else:
            yield from fields(defs[ref] if ref else node, f"{at}.{key}" if at else key)


SECRETS = list(fields(published("pipeline"), ""))


def refused(where: Path, *sets: str) -> str:
    with pytest.raises((SpecError, UsageError)) as caught:
        load_plan(where, sets=list(sets))
    return str(caught.value)


def with_kafka(folder: Folder) -> Path:
    return folder(BATCH, f"{BATCH}\n  stream: {{kafka: {{topic: t, brokers: b}}}}")


def test_every_secret_of_the_schema_is_looked_at() -> None:
    inner = ("tls.key_password", "sasl.password")
    registry = tuple(f"registry.{name}" for name in ("password", "token", "tls.key_password"))
    assert set(SECRETS) == {f"{at}.{one}" for at in (SOURCE, SINK) for one in inner + registry}


@pytest.mark.parametrize("field", SECRETS)
@pytest.mark.parametrize("value", [SECRET, "4711471147", f"[{SECRET}]", f"{{{SECRET}: x}}"])
def test_a_secret_in_clear_is_not_shown(folder: Folder, field: str, value: str) -> None:
    said = refused(with_kafka(folder), f"{field}={value}")
    assert f"`{field}` must be the reference of a secret, env:NAME or file:path" in said
    assert "got what is no reference" in said
    assert SECRET not in said
    assert "4711" not in said


def test_a_secret_in_clear_in_the_file_is_not_shown(folder: Folder) -> None:
    text = f"kafka: {{topic: t, brokers: b, sasl: {{{SASL}, password: {SECRET}}}}}"
    said = refused(folder(BATCH, f"{BATCH}\n  stream:\n    {text}"))
    assert "must be the reference of a secret" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "value",
    [f"!{SECRET}", f"[{SECRET}", f"'{SECRET}"],
    ids=["a tag", "an open list", "an open quote"],
)
def test_a_secret_that_is_no_yaml_is_not_shown(folder: Folder, value: str) -> None:
    assert SECRET not in refused(with_kafka(folder), f"{SOURCE}.sasl.password={value}")


@pytest.mark.parametrize("part", ["", ".tls", ".sasl", ".registry"])
def test_a_login_in_the_place_of_a_mapping_is_not_shown(folder: Folder, part: str) -> None:
    said = refused(with_kafka(folder), f"{SOURCE}{part}=me:{SECRET}")
    assert f"`{SOURCE}{part}` must be a mapping; got no mapping" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "field",
    [
        f"{SOURCE}.brokers",
        f"{SOURCE}.registry.url",
        f"{SINK}.brokers",
        f"{SINK}.registry.url",
        "sinks.timeseries.url",
    ],
)
def test_a_login_within_an_address_is_refused_and_not_shown(folder: Folder, field: str) -> None:
    said = refused(with_kafka(folder), f"{field}=http://me:{SECRET}@host:1")
    assert f"`{field}` must be" in said
    assert SECRET not in said


def test_a_reference_of_a_secret_is_taken(folder: Folder) -> None:
    sets = [f'{SOURCE}.sasl={{{SASL}, password: "env:PW"}}']
    plan = load_plan(with_kafka(folder), sets=sets)
    assert plan.stream is not None
    assert plan.stream.kafka.sasl is not None
    assert plan.stream.kafka.sasl.password == "env:PW"
