"""Real servers for tests: each is started when first asked for, shared, and left up.

They are the ones of `make up`; `make status` shows them, `make down` ends them. The address is the
same in every test process, so tests that run in parallel share them: give topics, buckets and jobs
names of your own (`unique`).
"""

from __future__ import annotations

import os
import uuid

from infra.local.servers import manager


def kafka() -> str:
    """Return the bootstrap address of a Kafka broker."""
    return _up("kafka").address


def unique(prefix: str) -> str:
    """Return a name that no other test has."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def _up(name: str) -> manager.Running:
    # A developer's own Kafka on 9092 is no reason for a test to fail: it takes a free port then.
    os.environ.setdefault("PENSTOCK_PORTS", "free")
    return manager.up([name])[-1]
