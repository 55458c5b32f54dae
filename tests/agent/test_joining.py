"""Who joins over TLS speaks to the server whose key the token names, and to no other."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.joining.asking import JoinRefused, ask
from core.contract.joining import Joined, Token
from core.pins import key_of
from tests.support.certificates import Certificate, certificate


class Server(ThreadingHTTPServer):
    """A fleet's address with a certificate that nobody vouches for; `heard` is all that it was told."""

    def __init__(self, own: Certificate) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own.file, own.key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.heard: list[Any] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answering(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_POST(self) -> None:
        self.server.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        body = b'{"host": "web-7", "account": "host.web-7", "redis_url": "rediss://redis.example/0", "redis_ca": ""}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is told of it."""


@pytest.fixture
def own(tmp_path: Path) -> Certificate:
    """The server's."""
    return certificate(tmp_path)


@pytest.fixture
def server(own: Certificate) -> Iterator[Server]:
    made = Server(own)
    yield made
    made.shutdown()
    made.server_close()


def token(server: Server, pin: str) -> Token:
    return Token(f"https://127.0.0.1:{server.server_port}", "join-1", "secret", "web-7", pin)


def pin_of(own: Certificate) -> str:
    return key_of(ssl.PEM_cert_to_DER_cert(own.file.read_text()))


def test_the_server_whose_key_the_token_names_is_asked(server: Server, own: Certificate) -> None:
    joined = ask(token(server, pin_of(own)), "web-7", "mine", "0.1.0")
    assert joined == Joined("web-7", "host.web-7", "rediss://redis.example/0")
    (heard,) = server.heard
    assert "mine" not in json.dumps(heard)


def test_a_server_in_between_hears_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(JoinRefused, match="may intercept the connection") as refused:
        ask(token(server, pin_of(certificate(tmp_path, "the fleet's"))), "web-7", "mine", "0.1.0")
    assert not refused.value.may_have_joined
    assert server.heard == []


def test_without_a_pin_somebody_has_to_vouch_for_it(server: Server) -> None:
    with pytest.raises(JoinRefused, match="is not valid"):
        ask(token(server, ""), "web-7", "mine", "0.1.0")
    assert server.heard == []
