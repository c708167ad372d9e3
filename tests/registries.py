"""A schema registry in this process, which says what a test tells it to; and messages framed."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import fastavro

from schemas.stream_source import Registry


class FakeRegistry:
    """Answers by path; counts what it was asked."""

    def __init__(self) -> None:
        self.schemas: dict[int, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.logins: list[str | None] = []
        self.failing = 0  # so many answers are errors first

    @property
    def about(self) -> Registry:
        return Registry(url=self.url)

    url = ""

    def answer(self, path: str) -> tuple[int, Any]:
        self.asked.append(path)
        if self.failing:
            self.failing -= 1
            return 503, {"message": "busy"}
        if path == "/schemas/types":
            return 200, ["AVRO"]
        if path.startswith("/schemas/ids/"):
            found = self.schemas.get(int(path.rsplit("/", 1)[1]))
            return (404, {"error_code": 40403}) if found is None else (200, found)
        if not path.startswith("/subjects/"):
            return 404, {"message": "no page"}
        found = self.versions.get(path)
        return (404, {"error_code": 40401}) if found is None else (200, found)


@contextmanager
def fake_registry() -> Iterator[FakeRegistry]:
    """Serve one on a free port."""
    fake = FakeRegistry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.logins.append(self.headers["Authorization"])
            code, body = fake.answer(self.path)
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()


def framed(number: int, body: bytes) -> bytes:
    """A message in Confluent's framing."""
    return b"\0" + number.to_bytes(4, "big") + body


def datum(schema: Any, record: Any) -> bytes:
    """An Avro datum, as another implementation writes it."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
    return out.getvalue()
