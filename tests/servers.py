"""Real servers for tests: each is started when first asked for, shared, and left up.

They are the ones of `make up`; `make status` shows them, `make down` ends them. The address is the
same in every test process, so tests that run in parallel share them: give topics, buckets and jobs
names of your own (`unique`).
"""

from __future__ import annotations

import json
import os
import sys
import uuid

from infra.local.servers import manager
from infra.local.servers.kafka import secure_client
from infra.local.servers.schema_registry import CONFLUENT
from runners.worker import COMMAND

# Flags for a job whose workers the runner starts itself, with this Python and this source tree.
PROCESS = (
    "--environment_type=PROCESS",
    "--environment_config="
    + json.dumps(
        {
            "command": str(COMMAND),
            "env": {"PENSTOCK_WORKER_PYTHON": sys.executable},
        }
    ),
    # Otherwise every stage starts a worker of its own.
    "--environment_cache_millis=60000",
)


def kafka() -> str:
    """Return the bootstrap address of a Kafka broker."""
    return _up("kafka").address


def secure_kafka() -> dict[str, str]:
    """Return librdkafka's settings for the same broker by TLS and with a password."""
    running = _up("kafka")
    return secure_client(manager.folder() / "kafka", running.ports)


def schema_registry() -> str:
    """Return the URL of a schema registry that speaks Confluent's protocol."""
    return f"http://{_up('schema-registry').address}{CONFLUENT}"


def flink() -> str:
    """Return the address of a Flink cluster's REST interface; it has two slots."""
    _up("flink")
    return _up("flink-jobmanager").address


def job_server() -> str:
    """Return the address of the Beam job server that submits to `flink()`."""
    return _up("jobserver").address


def prism() -> str:
    """Return the address of prism's job service."""
    return _up("prism").address


def spark() -> str:
    """Return the address of the Beam job server that runs jobs on a Spark of its own."""
    return _up("spark").address


def unique(prefix: str) -> str:
    """Return a name that no other test has."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def _up(name: str) -> manager.Running:
    # A developer's own Kafka on 9092 is no reason for a test to fail: it takes a free port then.
    os.environ.setdefault("PENSTOCK_PORTS", "free")
    return manager.up([name])[-1]
