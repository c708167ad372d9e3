"""`python -m infra.local.servers up|down|status`: what `make up`, `down` and `status` call."""

from __future__ import annotations

import argparse
import os
import sys

from infra.local.servers import catalogue, manager
from schemas.errors import PenstockError


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    known = " ".join([*catalogue.GROUPS, *catalogue.SERVERS])
    parser = argparse.ArgumentParser(prog="servers", description="Local servers, on 127.0.0.1.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="start servers that are not up", epilog=f"Servers: {known}")
    up.add_argument("names", nargs="+", metavar="SERVER")
    up.add_argument("--ports", metavar="'kafka=19092 ...' | free")
    down = verbs.add_parser("down", help="end servers and all that they started")
    down.add_argument("names", nargs="*", metavar="SERVER", help="default: all")
    down.add_argument("--wipe", action="store_true", help="drop their data, too")
    verbs.add_parser("status", help="what is up, where")
    given = parser.parse_args(arguments)
    try:
        if given.verb == "up":
            if given.ports:
                os.environ["PENSTOCK_PORTS"] = given.ports
            for running in manager.up(given.names):
                print(f"{running.name:<20} {running.address}")
        elif given.verb == "down":
            ended = manager.down(given.names, wipe=given.wipe)
            print(f"ended: {' '.join(ended)}" if ended else "none was up")
        else:
            print(table(manager.status()))
    except PenstockError as e:
        print(f"servers: {e}", file=sys.stderr)
        return e.exit_code
    return 0


def table(rows: list[manager.Row]) -> str:
    """Lay out the rows of `status` in columns."""
    cells = [("server", "state", "port", "pid", "version", "log")]
    cells += [(r.name, r.state, r.port, r.pid, r.version, r.log) for r in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


if __name__ == "__main__":
    sys.exit(main())
