"""The raw console of the microvm dialect, on a real guest's serial line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from simple_websocket import Client as Socket

from tests.console.conftest import ALONE, BOOTED, FAKE, GUEST, Operator, ended, read_until
from tests.support.waiting import until

Open = Callable[..., Socket]


def writable(console: Socket) -> bool:
    """As its first message says."""
    hello: dict[str, Any] = json.loads(console.receive(timeout=20) or "{}")
    assert hello["type"] == "connected"
    return bool(hello["writable"])


def test_every_byte_arrives_as_it_is(caller: Operator, consoles: Open) -> None:
    console = consoles(query="?replay=false")
    assert writable(console)
    caller.run(f"{ALONE}; printf 'a\\000\\377\\303\\050b' >/dev/ttyS0")
    assert b"a\x00\xff\xc3\x28b" in read_until(console, b"\x28b")


def test_what_is_typed_reaches_the_guest_and_one_types_at_a_time(caller: Operator, consoles: Open) -> None:
    first, second = consoles(), consoles()
    assert writable(first)
    assert not writable(second)
    caller.run(f"{ALONE}; (head -c 4 /dev/ttyS0 | od -An -tx1 >/dev/ttyS0) >/dev/null 2>&1 &")
    second.send(b"no")
    first.send(b"\x00\xff\x03")
    first.send("!")
    for console in (first, second):
        assert b"00 ff 03 21" in read_until(console, b"00 ff 03 21")
    first.close()
    until(lambda: writable(consoles()), why="the one who typed has left")


def test_the_last_of_it_is_shown_on_connecting(caller: Operator, consoles: Open) -> None:
    caller.run("head -c 70000 /dev/zero | tr '\\0' x >/dev/ttyS0; echo the last of it >/dev/ttyS0")
    console = consoles()
    assert len(read_until(console, b"the last of it")) <= 64 * 1024
    assert not writable(consoles(query="?read_only=true"))


def test_a_reboot_of_the_guest_and_a_new_agent_go_unnoticed(caller: Operator, consoles: Open) -> None:
    console = consoles(query="?replay=false")
    assert writable(console)
    caller.call("POST", f"/vms/{GUEST}/restart")
    read_until(console, BOOTED, 300)
    host = caller.call("GET", f"/vms/{GUEST}")["host"]
    caller.fleet.kill(host)
    caller.fleet.restart(host)
    caller.run("echo still here >/dev/ttyS0")
    read_until(console, b"still here", 60)


def test_a_fake_vm_shows_its_power_and_takes_no_input(caller: Operator, consoles: Open) -> None:
    console = consoles(FAKE)
    assert not writable(console)
    read_until(console, b"the fake VM is running")
    console.send(b"x")
    while isinstance(text := console.receive(timeout=10), bytes):
        pass
    assert json.loads(text or "{}")["error"] == "console_read_only"


def test_it_ends_with_its_vm(caller: Operator, consoles: Open) -> None:
    caller.call("POST", "/vms", {"name": "short", "hypervisor": "fake"})
    console = consoles("short")
    assert not writable(console)
    caller.call("DELETE", "/vms/short")
    assert ended(console) == 4404


@pytest.mark.parametrize(
    ("name", "query", "status"), [("nobody", "", 404), (GUEST, "?replay=perhaps", 400), (GUEST, "?read_only=1", 400)]
)
def test_what_can_be_refused_is_refused_before_the_handshake(
    caller: Operator, name: str, query: str, status: int
) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    url = f"{caller.fleet.url}/api/v1/vms/{name}/console{query}"
    answer = requests.get(url, headers=caller.client.bearer | upgrade, timeout=20)
    assert answer.status_code == status, answer.text
