"""Reads the streaming face of a source from a pipeline file whose shape was checked."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from schemas.located import NodePath, dotted, quoted
from schemas.noted import Noted
from schemas.stream_source import EARLIEST, LATEST, KafkaSource, Registry, Sasl, StreamFace, Tls

_AT: Final[NodePath] = ("source", "stream")
_KAFKA: Final[NodePath] = (*_AT, "kafka")
NEVER: Final = "never"
_WHICH: Final = ("topic", "topics", "pattern")


def read_stream(problems: Noted) -> StreamFace | None:
    """Return the streaming face; what is wrong with it is noted, and then None returned."""
    body = problems.node(_AT)
    kafka = _kafka(problems, body["kafka"])
    lengths = {
        f"{key}_us": problems.duration((*_AT, key))
        for key in ("disorder", "idle", "max_future")
        if key in body and not (key == "idle" and body[key] == NEVER)
    }
    given: dict[str, Any] = {k: length for k, length in lengths.items() if length is not None}
    if body.get("idle") == NEVER:
        given["idle_us"] = None
    if problems.broken(*_AT):
        return None
    return StreamFace(kafka=kafka, **given)


def _kafka(problems: Noted, body: dict[str, Any]) -> KafkaSource:
    which = [key for key in _WHICH if key in body]
    if len(which) != 1:
        got = " and ".join(which) or "none"
        must = f"`{dotted(_KAFKA)}` must have one of topic, topics and pattern; got {got}"
        problems.add(_KAFKA, f"{must}; {'leave one' if which else 'add topic'}")
    topics = tuple(body.get("topics", ()))
    if "pattern" in body:
        _check_pattern(problems, body["pattern"])
    given: dict[str, Any] = {
        key: body[key]
        for key in ("pattern", "format", "on_gap", "group", "key", "headers")
        if key in body
    }
    if "start" in body:
        given["start"] = _moment(problems, "start", body["start"], (EARLIEST, LATEST))
    if "end" in body:
        given["end"] = _moment(problems, "end", body["end"], (LATEST,))
    if "refresh" in body:
        given["refresh_us"] = problems.duration((*_KAFKA, "refresh")) or 0
    check_registry(problems, _KAFKA)
    given |= connection(body)
    return KafkaSource(
        brokers=body["brokers"],
        topics=(body["topic"],) if "topic" in body else topics,
        committed=body.get("isolation") != "read_uncommitted",
        **given,
    )


def connection(body: dict[str, Any]) -> dict[str, Any]:
    """Return of `tls`, `sasl` and `registry` those that a node of brokers gives."""
    given: dict[str, Any] = {}
    if "tls" in body:
        given["tls"] = Tls(**body["tls"])
    if "sasl" in body:
        given["sasl"] = Sasl(**body["sasl"])
    if "registry" in body:
        registry = body["registry"]
        tls = {"tls": Tls(**registry["tls"])} if "tls" in registry else {}
        given["registry"] = Registry(**{**registry, **tls})
    return given


def check_registry(problems: Noted, at: NodePath) -> None:
    """Note what is wrong with format and registry of a node."""
    body = problems.node(at)
    form, registry = body.get("format", "json"), body.get("registry")
    if form == "json" and registry is not None:
        where = (*at, "registry")
        must = f"`{dotted(where)}` must stand with a format whose schemas are in one; got json"
        problems.add(where, f"{must}; remove it, or write format: avro")
    elif form != "json" and registry is None:
        must = f"`{dotted(at)}` must say where the schemas of its messages are; got {form} alone"
        problems.add(at, f"{must}; add registry: {{url: ...}}")
    elif registry is not None and ("username" in registry) != ("password" in registry):
        where = (*at, "registry")
        must = f"`{dotted(where)}` must have username and password, or neither; got one of them"
        problems.add(where, f"{must}; add the other")


def _check_pattern(problems: Noted, pattern: str) -> None:
    at = (*_KAFKA, "pattern")
    try:
        re.compile(pattern)
    except re.error as error:
        must = f"`{dotted(at)}` must be a regular expression; got {quoted(pattern)}"
        problems.add(at, f"{must} ({error}); correct it")


def _moment(problems: Noted, key: str, text: str, words: tuple[str, ...]) -> str | int:
    """Read a word or a time; the time in microseconds UTC."""
    if text in words:
        return text
    at = (*_KAFKA, key)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        known = " or ".join(words)
        must = f"`{dotted(at)}` must be {known} or a time with its zone; got {quoted(text)}"
        problems.add(at, f"{must}; write for example 2026-01-31T09:30:00Z")
        return text
    since = found - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
