"""Output of commands that run on by themselves, over WebSockets, in both dialects."""

from __future__ import annotations

import base64
from typing import Any

import psutil
import pytest

from cli.fleet.fleet import Fleet
from tests.api.speaking import EXECS, Speaker
from tests.realtime import clients
from tests.realtime.clients import Closed, Refused
from tests.support.clients import Client, new_user
from tests.support.waiting import until


def socket_of(fleet: Fleet, path: str, headers: dict[str, str] | None = None, **options: Any) -> clients.SocketClient:
    return clients.SocketClient(int(fleet.url.rsplit(":", 1)[1]), f"/api/v1{path}", headers or {}, **options)


def frames(socket: clients.SocketClient) -> tuple[list[dict[str, Any]], Closed]:
    """All until the end."""
    found = list[dict[str, Any]]()
    while True:
        try:
            found.append(socket.receive(20))
        except Closed as end:
            socket.close()
            return found, end


def test_output_is_streamed_as_it_appears(fleet: Fleet, speaker: Speaker) -> None:
    one = f"{EXECS}/{speaker.begin('echo one; sleep 3; echo two; nonsense; exit 5')}"
    socket = socket_of(fleet, f"{one}/stream", speaker.headers)
    first = socket.receive()
    assert speaker("GET", one)["state"] == "running"
    assert first == {
        "type": "output",
        "stream": "stdout",
        "offset": 0,
        "next_offset": 4,
        "encoding": "utf-8",
        "data": "one\n",
    }
    rest, end = frames(socket)
    assert [(each["stream"], each["data"]) for each in rest[:-1]] == [
        ("stdout", "two\n"),
        ("stderr", "sh: nonsense: not found\n"),
    ]
    assert rest[-1] == {"type": "exit", "state": "exited", "exit_code": 5}
    assert end.code == 1000
    resumed, _ = frames(socket_of(fleet, f"{one}/stream?stdout=5&stderr=1000&encoding=base64", speaker.headers))
    assert [base64.b64decode(each["data"]) for each in resumed[:-1]] == [b"wo\n"]


def test_a_stream_tells_what_is_not_kept_any_more(fleet: Fleet, bare: Speaker) -> None:
    mib = 1024 * 1024
    one = f"{EXECS}/{bare.begin(f'head -c {20 * mib} /dev/zero')}"
    bare("GET", f"{one}/wait")
    found, end = frames(socket_of(fleet, f"{one}/stream?encoding=base64", bare.headers))
    assert end.code == 1000
    assert found[0] == {"type": "gap", "stream": "stdout", "from": 0, "to": 12 * mib}
    assert sum(len(base64.b64decode(each["data"])) for each in found[1:-1]) == 8 * mib


def test_a_slow_reader_is_cut(fleet: Fleet, bare: Speaker) -> None:
    one = f"{EXECS}/{bare.begin(f'head -c {8 * 1024 * 1024} /dev/zero')}/stream?encoding=base64"
    socket = socket_of(fleet, one, bare.headers, buffer=4096)
    own = socket.socket.getsockname()[1]
    until(
        lambda: (
            not any(
                each.status == psutil.CONN_ESTABLISHED and each.raddr and each.raddr.port == own
                for each in psutil.net_connections("tcp4")
            )
        )
    )
    found, end = frames(socket)
    assert end.code == 4008, "and not as if the command had ended"
    assert 0 < len(found) < 20


def test_a_stream_ends_with_its_vm_and_with_its_client(fleet: Fleet, apart: Client, bare: Speaker) -> None:
    one = f"{EXECS}/{bare.begin('echo up; sleep 600')}/stream"
    left = socket_of(fleet, one, bare.headers)
    left.receive()
    left.close()
    socket = socket_of(fleet, one, bare.headers)
    socket.receive()
    assert apart.call("POST", "/vms/apart/stop", apart.bearer, {"force": True}).status_code == 200
    try:
        found, end = frames(socket)
        assert found == [{"type": "exit", "state": "lost", "exit_code": None}]
        assert end.code == 1000
        bare("POST", EXECS, {"command": "true"}, 409)
        bare("GET", one.replace("/stream", "/output"), status=409)
        assert bare("GET", one.replace("/stream", "/wait"))["state"] == "lost"
    finally:
        assert apart.call("POST", "/vms/apart/start", apart.bearer).status_code == 200
    log = (fleet.plan.home / "logs").glob("api*.log")
    until(lambda: all("Traceback" not in each.read_text() for each in log))


def test_who_may_not_is_refused_before_the_handshake(fleet: Fleet, bare: Speaker) -> None:
    exec_id = bare.begin("echo up; sleep 600")
    path = f"{EXECS}/{exec_id}/stream"
    stranger = new_user(fleet)
    for wrong, headers, status in (
        (path, stranger.bearer, 404),
        (path, {"Authorization": "Bearer wrong"}, 401),
        (path.replace(exec_id, "0" * 32), bare.headers, 404),
        (path.replace(exec_id, "nothing"), bare.headers, 404),
        (f"{path}?stdout=-1", bare.headers, 400),
        (f"{path}?stderr=x", bare.headers, 400),
        (f"{path}?encoding=x", bare.headers, 400),
    ):
        with pytest.raises(Refused) as refused:
            socket_of(fleet, wrong, headers)
        assert refused.value.status == status, wrong
    browser = socket_of(fleet, path)
    browser.send({"type": "auth", "token": bare.headers["Authorization"].removeprefix("Bearer ")})
    assert browser.receive() == {"type": "authenticated"}
    assert browser.receive()["data"] == "up\n"
    browser.close()
    browser = socket_of(fleet, path)
    browser.send({"type": "auth", "token": stranger.bearer["Authorization"].removeprefix("Bearer ")})
    assert browser.closed().code == 4404
    bare("DELETE", f"{EXECS}/{exec_id}", status=204)
