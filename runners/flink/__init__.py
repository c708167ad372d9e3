"""Flink: batches and streams on a cluster, submitted through Beam's job server."""

from typing import Final

CAN: Final = frozenset({"batch", "stream", "detach", "savepoint", "drain"})
