"""A cluster's REST interface, played by a small server: what it is asked, and what it answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from runners.flink.rest import Rest


class Cluster:
    """Answers by method and path; a list is answered one after the other."""

    def __init__(self, url: str) -> None:
        self.rest = Rest(url, seconds=5)
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, Any]] = []

    def answer(self, asked: str, body: Any) -> tuple[int, Any]:
        self.asked.append((asked, body))
        found = self.answers.get(asked, (404, {"errors": ["Not found."]}))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        return found if isinstance(found, tuple) else (200, found)


@contextmanager
def played() -> Iterator[Cluster]:
    """Answer on a free port while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            code, told = made.answer(f"{self.command} {self.path}", body)
            text = told.encode() if isinstance(told, str) else json.dumps(told).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = _answer

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Cluster(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
