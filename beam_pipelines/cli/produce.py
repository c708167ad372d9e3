"""`penstock produce`: send the records of files to a Kafka topic, for demos and load tests."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from beam_pipelines.cli import flags
from runners.lean import import_libraries
from schemas.errors import UsageError

if TYPE_CHECKING:
    from schemas.plan import Plan

SUMMARY = "send the records of files to a Kafka topic at a given rate"
EXAMPLES = """\
examples:
  penstock produce events/ --topic events --rate 5000     5,000 records a second
  penstock produce events/ --rate 0                       at once, to the pipeline's own topic
  penstock produce events/ --disorder 30s --key user_id   out of order; one partition a user
  penstock produce events/ --input more.jsonl.gz          other files than the pipeline's
  penstock produce events/ --topic e --format avro --registry http://127.0.0.1:8081

Records of the pipeline's batch source go out in the order of their event time. As JSON, records of
JSON files are sent as they are, broken ones too; other formats become JSON. As Avro, rows that the
contract takes are sent with the schema's number before each, and its schema is registered. They are
held in memory meanwhile.
"""
_PARTITIONS: Final = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this verb."""
    flags.add_folder(parser)
    parser.add_argument(
        "--input", type=flags.word, metavar="PATH", help="these files instead of the source's"
    )
    parser.add_argument(
        "--topic", type=flags.word, metavar="NAME", help="default: source.stream.kafka.topic"
    )
    parser.add_argument(
        "--brokers",
        metavar="HOST:PORT",
        help="default: source.stream.kafka.brokers, else $KAFKA_BROKERS, else 127.0.0.1:9092",
    )
    parser.add_argument(
        "--rate",
        type=flags.number,
        default=1000.0,
        metavar="N",
        help="records a second; 0: no limit",
    )
    parser.add_argument(
        "--disorder", default="0s", metavar="30s", help="how far records may be out of order"
    )
    parser.add_argument(
        "--seed",
        type=flags.whole(0, 1, flags.SEEDS),
        metavar="N",
        help="of the disorder (0)",
    )
    parser.add_argument(
        "--format", choices=("json", "avro"), help="default: source.stream.kafka.format, else json"
    )
    parser.add_argument(
        "--registry", metavar="URL", help="of avro; default: source.stream.kafka.registry"
    )
    parser.add_argument("--key", metavar="COLUMN", help="column whose values are the keys")
    parser.add_argument(
        "--partitions",
        type=flags.whole(1, 4, 100_000),
        metavar="N",
        help="of a topic that is made (4)",
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    import_libraries()
    from schemas.planning import load_plan  # noqa: PLC0415  so is all below: slow to import
    from transforms.kafka_client import connected, connection, kafka_client  # noqa: PLC0415
    from transforms.sinks.kafka_replay import send, sending_order  # noqa: PLC0415

    client: Any = kafka_client()
    plan = load_plan(args.folder, input=args.input)
    kafka = _where(args, plan)
    disorder = flags.micros("--disorder", args.disorder)
    if args.seed is not None and not disorder:
        msg = "--seed must come with a --disorder; got none; add --disorder 30s, or leave it out"
        raise UsageError(msg)
    settings = connection(kafka, plan.folder)
    topic = kafka.topics[0]
    messages = _messages(plan, args.key, _avro(plan, kafka))
    _make_topic(settings, topic, args.partitions)
    order = sending_order(messages.times, disorder, args.seed or 0)
    producer = connected(client.Producer, {**settings, "enable.idempotence": True, "linger.ms": 20})
    seconds = send(producer, topic, messages, order, rate=args.rate, told=_told)
    speed = len(order) / max(seconds, 1e-9)
    print(f"{topic}: {len(order):,} records in {seconds:.1f} s, {speed:,.0f} records/s")
    return 0


def _told(sent: int, seconds: float) -> None:
    print(f"  {sent:,} records, {sent / seconds:,.0f} records/s", file=sys.stderr, flush=True)


def _where(args: argparse.Namespace, plan: Plan) -> Any:
    """Return the topic: of the flags, else of the pipeline's streaming face."""
    from dataclasses import replace  # noqa: PLC0415

    from schemas.stream_source import KafkaSource, Registry  # noqa: PLC0415

    usual = os.environ.get("KAFKA_BROKERS", "127.0.0.1:9092")
    kafka = plan.stream.kafka if plan.stream is not None else KafkaSource(brokers=usual)
    if args.brokers is not None:
        kafka = replace(kafka, brokers=args.brokers)
    if args.topic is not None:
        kafka = replace(kafka, topics=(args.topic,), pattern=None)
    if len(kafka.topics) != 1:
        msg = (
            f"there must be one topic to send to; got {', '.join(kafka.topics) or 'none'}; "
            "give --topic"
        )
        raise UsageError(msg)
    wanted = args.format or kafka.format
    if (args.topic is None and wanted != kafka.format) or wanted not in ("json", "avro"):
        msg = (
            f"a topic that is produced to must be read as what is sent, json or avro; got "
            f"{kafka.format} in source.stream.kafka.format; give --format and --topic, or let the "
            "topic's own writers fill it"
        )
        raise UsageError(msg)
    registry = kafka.registry if args.registry is None else Registry(url=args.registry)
    if wanted == "avro" and registry is None:
        msg = "avro must have a registry for its schema; got none; give --registry URL"
        raise UsageError(msg)
    if wanted != "avro" and args.registry is not None:
        msg = f"--registry must come with avro; got {wanted}; give --format avro, or leave it out"
        raise UsageError(msg)
    return replace(kafka, format=wanted, registry=registry if wanted == "avro" else None)


def _avro(plan: Plan, kafka: Any) -> Any:
    """Return what makes Avro of rows, its schema registered; None for JSON."""
    from transforms.schema_registry import SchemaRegistry  # noqa: PLC0415
    from transforms.sinks.kafka_replay import AvroValues  # noqa: PLC0415

    if kafka.registry is None:
        return None
    values = AvroValues(plan.contract, plan.name)
    values.register(SchemaRegistry(kafka.registry, plan.folder), kafka.topics[0])
    return values


def _messages(plan: Plan, key: str | None, avro: Any) -> Any:
    from schemas.located import did_you_mean  # noqa: PLC0415
    from transforms.decode.decoder import make_decoder  # noqa: PLC0415
    from transforms.sinks.kafka_replay import messages_of  # noqa: PLC0415
    from transforms.sources.files import discover, read_blocks  # noqa: PLC0415

    decoder = make_decoder(plan.contract, plan.source)
    known = decoder.schema.names
    if key is not None and key not in known:
        msg = f"--key must name a column of the contract; got {key!r}; {did_you_mean(key, known)}"
        raise UsageError(msg)
    slices = discover(plan.source, Path(plan.folder), {}).slices
    blocks = (decoder.decode(block) for piece in slices for block in read_blocks(piece))
    return messages_of(blocks, plan.contract, key, avro)


def _make_topic(settings: dict[str, Any], topic: str, partitions: int | None) -> None:
    """Make the topic unless it is there, with the partitions that are asked for."""
    from confluent_kafka import (  # noqa: PLC0415  an extra
        KafkaError,
        KafkaException,
        admin,
    )

    from transforms.kafka_client import TIMEOUT_S, connected, failed  # noqa: PLC0415

    untyped: Any = admin
    asked = untyped.NewTopic(topic, num_partitions=partitions or _PARTITIONS)
    reached = connected(admin.AdminClient, settings)
    made = reached.create_topics([asked], request_timeout=TIMEOUT_S)
    try:
        made[topic].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise failed(error, f"topic {topic} must be there or be made") from error
        there = len(reached.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions)
        if partitions not in (None, there):
            msg = (
                f"--partitions must be those of a topic that is there; got {partitions}, and "
                f"{topic} has {there}; leave it out, or name another --topic"
            )
            raise UsageError(msg) from None
