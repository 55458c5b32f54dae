"""A receiver of webhooks: a real HTTP server on loopback that keeps what it is sent, and answers as it is told."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.certificates import Certificate


@dataclass(frozen=True)
class Sent:
    """One POST."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


class Received:
    """`status` says what the next ones are answered."""

    def __init__(self, url: str) -> None:
        self.url, self.sent = url, list[Sent]()
        self.status: Callable[[Sent], int] = lambda _: 204

    def seqs(self) -> list[int]:
        """The numbers of the events that came, in order."""
        return [each.body["data"]["seq"] for each in self.sent]


@contextmanager
def receiver(shows: Certificate | None = None) -> Iterator[Received]:
    """Listens until the end of the block; with a certificate over TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            sent = Sent(self.path, {name.lower(): value for name, value in self.headers.items()}, raw)
            received.sent.append(sent)
            self.send_response(received.status(sent))
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if shows is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shows.file, shows.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    received = Received(f"{'https' if shows else 'http'}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
