"""Flink: streams on a cluster, submitted through Beam's job server."""

from typing import Final

CAN: Final = frozenset({"stream", "detach", "savepoint", "drain"})
