"""Executions with a terminal, over HTTP and WebSocket, in both dialects, on real processes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from simple_websocket import Client as Socket

from cli.fleet.fleet import Fleet
from tests.api.speaking import EXECS, Speaker
from tests.realtime import clients
from tests.realtime.clients import Closed, Refused
from tests.support.clients import Client, new_key, new_user
from tests.support.waiting import until

Sit = Callable[..., "Terminal"]
TTY = {"rows": 30, "columns": 100}


class Terminal:
    """One client's connection to a terminal; `shown` is all that it was sent of it."""

    def __init__(self, fleet: Fleet, path: str, headers: dict[str, str]) -> None:
        port = int(fleet.url.rsplit(":", 1)[1])
        self.socket = clients.SocketClient(port, f"/api/v1{path}/stream?encoding=base64", headers)
        self.shown, self.errors, self.end = b"", list[str](), dict[str, Any]()

    def type(self, text: str) -> None:
        self.socket.send({"type": "input", "data": text})

    def resize(self, rows: Any, columns: Any) -> None:
        self.socket.send({"type": "resize", "rows": rows, "columns": columns})

    def shows(self, text: bytes) -> None:
        until(lambda: text in self.shown or self._take(), why=lambda: self.shown)

    def fails(self, code: str) -> None:
        until(lambda: code in self.errors or self._take(), why=lambda: self.errors)
        self.errors.remove(code)

    def ended(self) -> dict[str, Any]:
        until(lambda: self.end or self._take())
        assert self.socket.closed().code == 1000
        return self.end

    def _take(self) -> bool:
        """One more frame; it is looked at again."""
        frame = self.socket.receive()
        if frame["type"] == "output":
            assert frame["stream"] == "stdout"
            self.shown += base64.b64decode(frame["data"])
        elif frame["type"] == "error":
            self.errors.append(frame["error"])
        else:
            self.end = frame
        return False


@pytest.fixture
def sit(fleet: Fleet) -> Iterator[Callable[..., Terminal]]:
    """Opens terminals; nobody sits there in the end."""
    with ExitStack() as left:

        def one(path: str, headers: dict[str, str]) -> Terminal:
            made = Terminal(fleet, path, headers)
            left.callback(made.socket.close)
            return made

        yield one


def test_a_terminal_from_its_beginning_to_its_end(speaker: Speaker, sit: Sit) -> None:
    made = speaker("POST", EXECS, {"command": "sh", "tty": TTY}, 201)
    assert made["tty"] is True
    one = f"{EXECS}/{made['id']}"
    terminal = sit(one, speaker.headers)
    terminal.shows(b"$ ")
    terminal.type("stty size\r")
    terminal.shows(b"30 100\r\n")
    terminal.resize(1, 65535)
    terminal.type("stty size\r")
    terminal.shows(b"1 65535\r\n")
    terminal.type("sleep 600\r")
    terminal.shows(b"sleep 600\r\n")
    terminal.type("\x03")
    terminal.type("exit 3\r")
    assert terminal.ended() == {"type": "exit", "state": "exited", "exit_code": 3}
    again = sit(one, speaker.headers)
    again.type("too late")
    again.resize(5, 5)
    assert again.ended()["exit_code"] == 3
    assert speaker("GET", one)["tty"] is True
    speaker("DELETE", one, status=204)


def test_bytes_are_typed_as_they_are_and_two_may_sit_at_one_terminal(fleet: Fleet, bare: Speaker, sit: Sit) -> None:
    one = f"{EXECS}/{bare('POST', EXECS, {'command': 'sh', 'tty': TTY}, 201)['id']}"
    other = sit(one, bare.headers)
    url = f"{fleet.url.replace('http', 'ws')}/api/v1{one}/stream"
    raw = Socket(url, headers=bare.headers)
    raw.send(b"echo \xc3\xa9\r")
    other.shows("echo é\r\n".encode())
    raw.close()
    other.type("\x04")
    assert other.ended()["exit_code"] == 0
    bare("DELETE", one, status=204)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"tty": {"rows": 0, "columns": 80}}, "tty"),
        ({"tty": {"rows": 24, "columns": 65536}}, "tty"),
        ({"tty": {"rows": "24", "columns": 80}}, "tty"),
        ({"tty": {"rows": 24}}, "tty"),
        ({"tty": True}, "tty"),
        ({"tty": {"rows": 24, "columns": 80, "depth": 1}}, "tty"),
        ({"tty": TTY, "stdin": "x"}, "stdin"),
    ],
    ids=str,
)
def test_what_is_no_terminal_is_refused(bare: Speaker, body: dict[str, Any], says: str) -> None:
    assert says in json.dumps(bare("POST", EXECS, {"command": "sh", **body}, 422))


def test_nonsense_is_told_and_changes_nothing(bare: Speaker, sit: Sit) -> None:
    one = f"{EXECS}/{bare('POST', EXECS, {'command': 'sh', 'tty': TTY}, 201)['id']}"
    terminal = sit(one, bare.headers)
    for rows, columns in ((0, 80), (65536, 80), (24, -1), ("24", 80), (2.5, 80), (None, 80), ([], {}), (2**70, 80)):
        terminal.resize(rows, columns)
        terminal.fails("invalid_request")
    nonsense: Any
    for nonsense in ({}, {"type": "exit"}, {"type": "input"}, {"type": "input", "data": 5}, [], "x", None):
        terminal.socket.send(nonsense)
        terminal.fails("invalid_request")
    terminal.type("stty size\r")
    terminal.shows(b"30 100\r\n")
    bare("DELETE", one, status=204)
    with pytest.raises(Closed):
        terminal.fails("nothing")


def test_a_flood_is_taken_in_its_time_and_the_last_size_counts(bare: Speaker, sit: Sit) -> None:
    one = f"{EXECS}/{bare('POST', EXECS, {'command': 'sh', 'tty': TTY}, 201)['id']}"
    terminal = sit(one, bare.headers)
    for number in range(1, 700):
        terminal.resize(number, number)
    terminal.type("x" * 12_000)
    terminal.type("\x03stty size\r")
    terminal.shows(b"699 699\r\n")
    terminal.type("\x04")
    terminal.ended()
    bare("DELETE", one, status=204)


def test_without_a_terminal_nothing_is_typed(bare: Speaker, sit: Sit) -> None:
    one = f"{EXECS}/{bare.begin('sleep 600')}"
    plain = sit(one, bare.headers)
    plain.type("x")
    plain.fails("not_a_terminal")
    plain.resize(5, 5)
    plain.fails("not_a_terminal")
    bare("DELETE", one, status=204)


def test_who_may_not_does_not_type(fleet: Fleet, apart: Client, bare: Speaker, sit: Sit) -> None:
    one = f"{EXECS}/{bare('POST', EXECS, {'command': 'sh', 'tty': TTY}, 201)['id']}"
    reader = new_key(apart, "read")
    answer = apart.call("POST", EXECS, reader, {"command": "sh", "tty": TTY})
    assert answer.status_code == 403
    watching = sit(one, reader)
    watching.shows(b"$ ")
    watching.type("exit\r")
    watching.fails("forbidden")
    watching.resize(5, 5)
    watching.fails("forbidden")
    stranger = new_user(fleet)
    assert stranger.call("POST", EXECS, stranger.bearer, {"command": "sh", "tty": TTY}).status_code == 404
    with pytest.raises(Refused) as refused:
        sit(one, stranger.bearer)
    assert refused.value.status == 404
    assert bare("GET", one)["state"] == "running"
    bare("DELETE", one, status=204)


def test_a_vm_that_is_off_has_none(apart: Client, bare: Speaker, sit: Sit) -> None:
    one = f"{EXECS}/{bare('POST', EXECS, {'command': 'sh', 'tty': TTY}, 201)['id']}"
    terminal = sit(one, bare.headers)
    terminal.shows(b"$ ")
    assert apart.call("POST", "/vms/apart/stop", apart.bearer, {"force": True}).status_code == 200
    try:
        assert terminal.ended() == {"type": "exit", "state": "lost", "exit_code": None}
        refused = bare("POST", EXECS, {"command": "sh", "tty": TTY}, 409)
        assert "start it first" in json.dumps(refused)
    finally:
        assert apart.call("POST", "/vms/apart/start", apart.bearer).status_code == 200
