"""What is no request, or no body, or too much of one: refused in our words, at once, on a real gunicorn."""

from __future__ import annotations

import json
import secrets
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from simple_websocket import Client as Socket

from cli.fleet.fleet import Fleet
from tests.support.waiting import until

MIB = 1 << 20


class Answer:
    """The first answer on a connection: interim ones apart."""

    def __init__(self, data: bytes) -> None:
        self.interim = data.startswith(b"HTTP/1.1 100")
        if self.interim:
            data = data.split(b"\r\n\r\n", 1)[1]
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def _raw(fleet: Fleet, *pieces: bytes) -> Answer:
    """Send the pieces as long as they are taken; what is answered until the server closes, or a whole body is there."""
    where = urlsplit(fleet.url)
    with socket.create_connection((str(where.hostname), int(where.port or 0)), 20) as sock:
        try:
            for piece in pieces:
                sock.sendall(piece)
        except OSError:  # it has answered, and reads no more
            pass
        data = b""
        while not _whole(data):
            more = sock.recv(65536)
            if not more:
                break
            data += more
    return Answer(data)


def _whole(data: bytes) -> bool:
    if data.startswith(b"HTTP/1.1 100"):
        data = data.partition(b"\r\n\r\n")[2]
    head, end, body = data.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if end and line.startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return False


def _head(fleet: Fleet, line: str, *headers: str) -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


@pytest.fixture(scope="module")
def key(fleet: Fleet) -> str:
    return f"X-API-Key: {fleet.credentials.api_key}"


def _chunks(size: int) -> bytes:
    body = json.dumps({"command": "x" * size}).encode()
    return f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_a_body_that_is_too_long_is_413_with_limit_and_size(fleet: Fleet, key: str, framing: str) -> None:
    chunked = framing == "chunked"
    body = _chunks(2 * MIB) if chunked else json.dumps({"name": "x" * 2 * MIB}).encode()
    of_body = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    answer = _raw(fleet, _head(fleet, "POST /api/v1/vms", key, "Content-Type: application/json", of_body), body)
    assert answer.status == 413
    assert str(MIB) in answer.json["error"]["message"]
    assert chunked or str(len(body)) in answer.json["error"]["message"]


def test_a_stranger_is_refused_before_the_body(fleet: Fleet, key: str) -> None:
    head = ["Authorization: Bearer wrong", "Content-Type: application/json", f"Content-Length: {5 << 30}"]
    expecting = _raw(fleet, _head(fleet, "POST /api/v1/vms", "Expect: 100-continue", *head))
    sending = _raw(fleet, _head(fleet, "POST /api/v1/vms", *head), *[b"x" * MIB] * 64)
    for answer in (expecting, sending):
        assert (answer.status, answer.interim) == (401, False)
        assert answer.headers["connection"] == "close"
        assert answer.json["error"] == "unauthorized"
    body = b'{"name": "-"}'
    head = [key, "Content-Type: application/json", f"Content-Length: {len(body)}", "Expect: 100-continue"]
    welcome = _raw(fleet, _head(fleet, "POST /api/v1/vms", *head), body)
    assert (welcome.status, welcome.interim) == (400, True)


MALFORMED = {
    "a chunk without a size": b"xyz\r\n{}\r\n0\r\n\r\n",
    "a negative chunk": b"-2\r\n{}\r\n0\r\n\r\n",
    "a chunk without an end": b"2\r\n{}xx0\r\n\r\n",
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_framing_is_the_clients_fault(fleet: Fleet, key: str, what: str) -> None:
    head = [key, "Content-Type: application/json", "Transfer-Encoding: chunked"]
    answer = _raw(fleet, _head(fleet, "POST /api/v1/vms", *head), MALFORMED[what])
    assert answer.status == 400, answer.body
    assert answer.json["error"]["code"] == "invalid_request"
    assert answer.headers["connection"] == "close"


REFUSED = {
    "GET /" + "x" * 9000 + " HTTP/1.1\r\nHost: x\r\n\r\n": 414,
    "GET / HTTP/1.1\r\nHost: x\r\nX: " + "y" * 9000 + "\r\n\r\n": 431,
    "GET / HTTP/1.1\r\nHost: x\r\n" + "".join(f"X-{n}: y\r\n" for n in range(200)) + "\r\n": 431,
    "nonsense\r\n\r\n": 400,
    "GET / HTTP/9.9\r\nHost: x\r\n\r\n": 400,
    "GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n": 400,
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n": 400,
    "POST / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n": 417,
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n": 400,
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": 400,
    "GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n": 404,
    "GET //api//v1/vms HTTP/1.1\r\nHost: x\r\n\r\n": 404,
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n": 501,
    "GET /nowhere HTTP/1.1\r\nHost: \r\n\r\n": 404,
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:30])
def test_every_answer_is_ours(fleet: Fleet, text: str) -> None:
    answer = _raw(fleet, text.encode())
    assert answer.status == REFUSED[text], answer.body
    assert answer.headers["content-type"] == "application/json"
    assert {"error", "message"} <= set(answer.json)
    assert answer.json["error"] != "internal_error"
    assert "x-request-id" in answer.headers


def test_a_field_that_is_too_large_is_named(fleet: Fleet) -> None:
    form = {"name": f"i{secrets.token_hex(4)}", "cmdline": "x" * 600_000}
    headers = {"X-API-Key": fleet.credentials.api_key}
    files = {"disk": ("disk", b"\0" * 1024)}
    answer = requests.post(f"{fleet.url}/api/v1/images", headers=headers, data=form, files=files, timeout=20)
    assert answer.status_code == 413
    assert "cmdline" in answer.json()["error"]["message"]
    assert answer.json()["error"]["details"]["field"] == "cmdline"


def test_who_knows_only_the_address_finds_the_rest(fleet: Fleet) -> None:
    for path in ("/", "/docs", "/docs/"):
        found = requests.get(f"{fleet.url}{path}", timeout=10).json()
        for name, link in found.items():
            if link.startswith("/") and name != "api":
                assert requests.get(f"{fleet.url}{link}", timeout=10).status_code == 200, link
        page = requests.get(f"{fleet.url}{path}", headers={"Accept": "text/html"}, timeout=10)
        assert ("/docs" if path == "/" else "/docs/microvm/") in page.text


def test_a_connection_is_kept_after_a_small_body_that_nobody_read(fleet: Fleet) -> None:
    body = b'{"name": "x"}'
    one = _head(fleet, "POST /api/v1/vms", "Content-Type: application/json", f"Content-Length: {len(body)}") + body
    answer = _raw(fleet, one)
    assert (answer.status, answer.headers["connection"]) == (401, "keep-alive")


def test_a_conversation_that_is_over_is_no_error(fleet: Fleet) -> None:
    """The server is told by an exception."""
    log = fleet.home / "logs" / "api.log"
    before = log.stat().st_size
    url = f"{fleet.url.replace('http', 'ws')}/api/v1/ws"
    socket = Socket(url, headers={"X-API-Key": fleet.credentials.api_key})
    socket.close()
    until(lambda: b"GET '/api/v1/ws'" in log.read_bytes()[before:])
    assert requests.get(f"{fleet.url}/api/v1/health", timeout=20).status_code == 200
    assert b"Traceback" not in log.read_bytes()[before:]
