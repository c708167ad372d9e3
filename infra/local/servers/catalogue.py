"""Which servers there are, and the names that stand for several of them."""

from __future__ import annotations

from collections.abc import Iterable

from infra.local.servers import flink, kafka, prism, schema_registry, spark
from infra.local.servers.server import Server, ServerError

SERVERS = {
    s.name: s for module in (kafka, schema_registry, flink, prism, spark) for s in module.SERVERS
}
GROUPS = {"flink": ("flink-jobmanager", "flink-taskmanager")}


def named(names: Iterable[str]) -> list[Server]:
    """Return the servers of these names and groups, each once, those that others need first.

    Raises:
        ServerError: A name that is neither.
    """
    found: dict[str, Server] = {}

    def add(name: str) -> None:
        if name in GROUPS:
            for member in GROUPS[name]:
                add(member)
        elif name in SERVERS:
            for need in SERVERS[name].needs:
                add(need)
            found.setdefault(name, SERVERS[name])
        else:
            known = " ".join([*GROUPS, *SERVERS])
            msg = f"SERVERS must name local servers; got {name!r}; choose from: {known}"
            raise ServerError(msg)

    for name in names:
        add(name)
    return list(found.values())
