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
_WHICH: Final = ("topic", "topics", "pattern")


def read_stream(problems: Noted) -> StreamFace | None:
    """Return the streaming face; what is wrong with it is noted, and then None returned."""
    body = problems.node(_AT)
    kafka = _kafka(problems, body["kafka"])
    lengths = {
        f"{key}_us": problems.duration((*_AT, key))
        for key in ("disorder", "idle", "max_future")
        if key in body
    }
    given = {key: length for key, length in lengths.items() if length is not None}
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
    given |= connection(problems, _KAFKA)
    return KafkaSource(
        brokers=body["brokers"],
        topics=(body["topic"],) if "topic" in body else topics,
        committed=body.get("isolation") != "read_uncommitted",
        **given,
    )


def connection(problems: Noted, at: NodePath) -> dict[str, Any]:
    """Return how brokers and registry are reached, of a node that says its format, too.

    Args:
        problems: Takes what is wrong.
        at: The node.

    Returns:
        Of `tls`, `sasl` and `registry` those that are given.
    """
    body = problems.node(at)
    given: dict[str, Any] = {}
    if "tls" in body:
        given["tls"] = Tls(**body["tls"])
    if "sasl" in body:
        given["sasl"] = Sasl(**body["sasl"])
    form = body.get("format", "json")
    if (form != "json") != ("registry" in body):
        where = (*at, "registry" if form == "json" else "format")
        must = f"`{dotted(at)}` must have a registry with a format whose schemas are in one, only"
        mend = "remove it, or write format: avro" if form == "json" else "add registry: {url: ...}"
        problems.add(where, f"{must}; got {form} with{'out' * (form != 'json')} one; {mend}")
    elif "registry" in body:
        registry = body["registry"]
        if ("username" in registry) != ("password" in registry):
            where = (*at, "registry")
            must = f"`{dotted(where)}` must have username and password, or neither"
            problems.add(where, f"{must}; got one of them; add the other")
        tls = {"tls": Tls(**registry["tls"])} if "tls" in registry else {}
        given["registry"] = Registry(**{**registry, **tls})
    return given


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
