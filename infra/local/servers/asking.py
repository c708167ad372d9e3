"""Questions to a server that only one which can be used answers."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

from infra.local.servers.server import HOST

SECONDS = 3.0
_SETTINGS = 4  # the type of the HTTP/2 frame that a server sends first


def http_json(port: int, path: str) -> Any:
    """Return the JSON that a GET of a path yields, or None if it is no success.

    Raises:
        OSError: Nobody listens, or the answer is broken off.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=SECONDS)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as e:
        raise ConnectionError(str(e)) from e
    finally:
        connection.close()
    if answer.status != http.client.OK:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None


def speaks_grpc(port: int) -> bool:
    """Say whether a server greets as HTTP/2 does, as every gRPC server must.

    Raises:
        OSError: Nobody listens, or the connection is broken off.
    """
    with socket.create_connection((HOST, port), timeout=SECONDS) as s:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0]))
        return exactly(s, 9)[3] == _SETTINGS


def listens(port: int) -> bool:
    """Say whether somebody listens on a port."""
    with socket.create_connection((HOST, port), timeout=SECONDS):
        return True


def exactly(s: socket.socket, size: int) -> bytes:
    """Read so many bytes.

    Raises:
        ConnectionError: The other side ended before that.
    """
    found = b""
    while len(found) < size:
        more = s.recv(size - len(found))
        if not more:
            msg = "the connection was closed"
            raise ConnectionError(msg)
        found += more
    return found
