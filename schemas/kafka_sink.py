"""The Kafka sink: which rows go to which topic, as what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.located import NodePath, did_you_mean, dotted
from schemas.names import POSITION_NAMES
from schemas.noted import Noted
from schemas.plan import Plan, Table
from schemas.stream_file import check_registry, connection
from schemas.stream_source import Registry, Sasl, Tls

PROCESSED: Final = "processed"
TABLE: Final = "{table}"
_AT: Final[NodePath] = ("sinks", "kafka")


@dataclass(frozen=True, kw_only=True)
class KafkaSink:
    """Topics that rows of commits go to.

    Attributes:
        brokers: `host:port,...`; may hold references `${NAME}`.
        topic: Where to; `{table}` in it stands for the name of a table without its schema.
        progress: Topic of the marks that say how far the sink has come.
        tables: Full names of lake tables.
        format: json or avro.
        registry: Where Avro schemas are registered; None for json.
        key: Columns that make the key; none: a row's position, or an aggregate's window and groups.
        headers: Name of a header -> column.
        tls: None: plain text, unless `sasl` is there with a broker that asks for it.
        sasl: None: nobody logs in.
    """

    brokers: str
    topic: str
    progress: str
    tables: tuple[str, ...]
    format: str = "json"
    registry: Registry | None = None
    key: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    tls: Tls | None = None
    sasl: Sasl | None = None

    def topic_of(self, table: str) -> str:
        """Return the topic of a table; references are still in it."""
        return self.topic.replace(TABLE, table.partition(".")[2])


def kafka_sink(plan: Plan) -> KafkaSink | None:
    """Return the sink of a plan that was checked; None if it has none."""
    body = plan.sinks.get("kafka")
    if body is None:
        return None
    tables = body.get("tables", (PROCESSED,))
    return KafkaSink(
        brokers=body["brokers"],
        topic=body["topic"],
        progress=body.get("progress", f"penstock-{plan.name}-progress"),
        tables=tuple(plan.processed if t == PROCESSED else f"analytics.{t}" for t in tables),
        format=body.get("format", "json"),
        key=tuple(body.get("key", ())),
        headers=dict(body.get("headers", {})),
        **connection(body),
    )


def sent_columns(table: Table) -> list[str]:
    """Return the columns of a table that its messages hold."""
    return [name for name in table.schema.names if name not in POSITION_NAMES]


def check_kafka_sink(
    body: Mapping[str, Any], pipeline: str, tables: Mapping[str, Table], problems: Noted
) -> None:
    """Note what is wrong with a sink whose shape was checked.

    Args:
        body: The sink as written.
        pipeline: Name of the pipeline.
        tables: Lake tables by full name.
        problems: Takes what is wrong.
    """
    check_registry(problems, _AT)
    own = {PROCESSED: f"processed_data.{pipeline}"}
    own |= {full.partition(".")[2]: full for full in tables if full.startswith("analytics.")}
    names = body.get("tables", [PROCESSED])
    for i, name in enumerate(names):
        if name not in own:
            at = (*_AT, "tables", i)
            must = f"`{dotted(at)}` must be {PROCESSED} or name an aggregate; got {name!r}"
            problems.add(at, f"{must}; {did_you_mean(name, own) or 'add one'}")
    if not names:
        must = f"`{dotted((*_AT, 'tables'))}` must name what is sent; got none"
        problems.add((*_AT, "tables"), f"{must}; leave it out to send {PROCESSED}")
    if len(names) > 1 and TABLE not in body["topic"]:
        must = f"`{dotted((*_AT, 'topic'))}` must have {TABLE} in it when there are several tables"
        problems.add((*_AT, "topic"), f"{must}; got {body['topic']!r}; write rows-{TABLE}")
    for name in names:
        if name in own:
            _check_columns(body, name, sent_columns(tables[own[name]]), problems)


def _check_columns(
    body: Mapping[str, Any], table: str, columns: list[str], problems: Noted
) -> None:
    named: list[tuple[NodePath, str]] = [
        ((*_AT, "key", i), name) for i, name in enumerate(body.get("key", ()))
    ]
    named += [((*_AT, "headers", header), name) for header, name in body.get("headers", {}).items()]
    for at, name in named:
        if name not in columns:
            must = f"`{dotted(at)}` must be a column of every table that is sent"
            hint = did_you_mean(name, columns)
            problems.add(at, f"{must}; got {name!r}, which {table} has not; {hint}")
