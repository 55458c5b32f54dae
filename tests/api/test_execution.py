"""Commands over HTTP: what is bounded, what is binary, and what becomes of a command whose client hangs up."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from cli.fleet.fleet import Fleet
from tests.support.clients import Client, new_user
from tests.support.waiting import until

LIMIT = 4 * 1024 * 1024


@pytest.fixture(scope="module")
def client(fleet: Fleet) -> Iterator[Client]:
    """With a running VM 'run'."""
    made = new_user(fleet)
    assert made.call("POST", "/vms", made.bearer, {"name": "run"}).status_code == 201
    assert made.call("POST", "/vms/run/start", made.bearer).status_code == 200
    yield made
    assert made.call("DELETE", "/vms/run", made.bearer).status_code == 204


def execute(client: Client, dialect: str = "bearer", **body: Any) -> Any:
    answer = client.call("POST", "/vms/run/execute", getattr(client, dialect), body)
    assert answer.status_code == 200, answer.text
    return answer.json() if dialect == "bearer" else answer.json()["data"]


@pytest.mark.parametrize("dialect", ["bearer", "key"])
def test_bytes_that_are_no_text_are_had_in_base64(client: Client, dialect: str) -> None:
    line = r"printf \\377\\000a"
    assert execute(client, dialect, command=line)["stdout"] == "\ufffd\0a"
    done = execute(client, dialect, command=line, encoding="base64")
    assert (done["encoding"], base64.b64decode(done["stdout"])) == ("base64", b"\xff\0a")
    binary = base64.b64encode(b"\0\xff").decode()
    assert execute(client, dialect, command="cat", stdin=binary, encoding="base64")["stdout"] == binary
    assert execute(client, dialect, command="cat", stdin="päper")["stdout"] == "päper"


def test_too_much_output_is_cut_and_the_answer_names_the_limit(client: Client) -> None:
    done = execute(client, command=f"head -c {LIMIT + 1} /dev/zero; exit 3")
    assert (done["exit_code"], len(done["stdout"])) == (3, LIMIT)
    assert (done["truncated"], done["output_limit_bytes"]) == (True, LIMIT)
    assert str(LIMIT) in done["truncation"]
    done = execute(client, command=f"head -c {LIMIT} /dev/zero")
    assert (done["truncated"], done["truncation"], len(done["stdout"])) == (False, None, LIMIT)


@pytest.mark.parametrize("pipelined", [b"", b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_command_ends_when_its_client_hangs_up(fleet: Fleet, client: Client, pipelined: bytes) -> None:
    body = json.dumps({"command": "sleep 600", "timeout_seconds": 900}).encode()
    host, _, port = fleet.url.removeprefix("http://").partition(":")
    logs = [fleet.plan.home / "logs" / f"{name}.log" for name in ("host-a", "host-b")]

    def abandoned() -> int:
        return sum(log.read_text().count("nobody waits") for log in logs)

    ended = abandoned()
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = (
            f"POST /api/v1/vms/run/execute HTTP/1.1\r\nHost: x\r\nAuthorization: {client.bearer['Authorization']}\r\n"
        )
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body + pipelined)
        connection.settimeout(1.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert abandoned() == ended
    until(lambda: abandoned() == ended + 1, 5)
