"""A fleet with one real guest and one fake VM, whose consoles are looked at over real sockets."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from simple_websocket import Client as Socket
from simple_websocket import ConnectionClosed

from cli.fleet import vms
from cli.fleet.fleet import Fleet
from cli.fleet.plan import FleetPlan
from cli.fleet.share import Share
from core import settings
from tests.support.clients import Client, administrator
from tests.support.waiting import HANG_SECONDS, until

_PLENTY = "1000000"
GUEST, FAKE = "guest", "fake"
BOOTED = b"corral login:"
ALONE = "systemctl stop serial-getty@ttyS0; stty -F /dev/ttyS0 raw -echo"
"""Makes the guest's end of the line ours alone: no login prompt that reads what is typed, no letter changed."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Hosts that run QEMU and the fake driver. No VM outlives them."""
    home = tmp_path_factory.mktemp("consoles") / "home"
    plan = FleetPlan(
        home=home,
        images=settings.load().images,
        hypervisors=("qemu", "fake"),
        flower=False,
        durable=False,
        image=False,
        share=Share(vcpus=100, memory_mb=100_000, disk_gb=10_000),
        environment={"RATE_LIMIT_BURST": _PLENTY, "RATE_LIMIT_HOURLY": _PLENTY},
    )
    try:
        with Fleet(plan) as running:
            _wait_for_hypervisors(running)
            yield running
    finally:
        vms.end(vms.running(home))


def _wait_for_hypervisors(fleet: Fleet) -> None:
    """Each is tried after the host has joined."""
    client = administrator(fleet)

    def hosts() -> Any:
        return client.call("GET", "/hosts", client.key).json()["data"]

    until(lambda: all(each["healthy"] for host in hosts() for each in host["hypervisors"]), why=hosts)


@dataclass
class Operator:
    """The fleet's administrator, by key and by token."""

    fleet: Fleet
    client: Client

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request, which must succeed."""
        answer = self.client.call(method, path, body=body)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def run(self, command: str) -> None:
        """In the guest."""
        self.call("POST", f"/vms/{GUEST}/execute", {"command": command})

    def console(self, name: str, query: str = "") -> Socket:
        """The microvm dialect's console."""
        url = f"{self.fleet.url.replace('http', 'ws')}/api/v1/vms/{name}/console{query}"
        return Socket(url, headers=self.client.bearer)

    def socket(self, key: str | None = None) -> Talk:
        """The vboxmcp dialect's socket, authenticated."""
        made = Talk(Socket(f"{self.fleet.url.replace('http', 'ws')}/api/v1/ws"))
        made.send("auth", api_key=key or self.fleet.credentials.api_key)
        assert made.next()["type"] == "authenticated"
        return made


@dataclass
class Talk:
    """A vboxmcp socket whose console output is gathered."""

    socket: Socket
    output: bytes = b""

    def send(self, kind: str, **body: Any) -> None:
        self.socket.send(json.dumps({"type": kind} | body))

    def next(self, seconds: float = 20) -> dict[str, Any]:
        """The next message that is no output."""
        while True:
            message = self._take(seconds)
            assert message is not None, "nothing came"
            if message.get("event") != "vm.console_output":
                return message

    def read_until(self, expected: bytes, seconds: float = HANG_SECONDS) -> None:
        """Take what comes until that was put out."""
        until(lambda: self.has(expected), seconds, lambda: self.output[-2000:])

    def has(self, expected: bytes) -> bool:
        """Whether that was put out, or is by the next message."""
        if expected not in self.output:
            self._take(1)
        return expected in self.output

    def _take(self, seconds: float) -> dict[str, Any] | None:
        """One message, if one comes. What is output is gathered."""
        text = self.socket.receive(timeout=seconds)
        if text is None:
            return None
        message: dict[str, Any] = json.loads(text)
        if message.get("event") == "vm.console_output":
            data = message["data"]
            self.output += base64.b64decode(data["output"]) if data["encoding"] == "base64" else data["output"].encode()
        return message


def read_until(console: Socket, expected: bytes, seconds: float = 120) -> bytes:
    """All the output of a raw console up to what is expected."""
    output = b""

    def there() -> bool:
        nonlocal output
        data = console.receive(timeout=1)
        output += data if isinstance(data, bytes) else b""
        return expected in output

    until(there, seconds, lambda: output[-2000:])
    return output


def ended(console: Socket, seconds: float = 20) -> int:
    """The code with which it was closed."""
    with pytest.raises(ConnectionClosed) as closed:
        until(lambda: console.receive(timeout=1) and None, seconds, "it was not closed")
    return int(closed.value.reason or 0)


@pytest.fixture(scope="module")
def caller(fleet: Fleet) -> Iterator[Operator]:
    """Has a guest and a fake VM, both running, and both deleted in the end."""
    made = Operator(fleet, administrator(fleet))
    for name, hypervisor in ((GUEST, "qemu"), (FAKE, "fake")):
        made.call("POST", "/vms", {"name": name, "vcpus": 1, "memory_mb": 256, "hypervisor": hypervisor})
        made.call("POST", f"/vms/{name}/start")
    yield made
    for vm in made.call("GET", "/vms")["vms"]:
        made.call("DELETE", f"/vms/{vm['name']}")


@pytest.fixture
def consoles(caller: Operator) -> Iterator[Callable[..., Socket]]:
    """Opens consoles, which are closed in the end."""
    opened: list[Socket] = []

    def one(name: str = GUEST, query: str = "") -> Socket:
        opened.append(caller.console(name, query))
        return opened[-1]

    yield one
    for console in opened:
        if console.connected:
            console.close()


@pytest.fixture
def talk(caller: Operator) -> Iterator[Talk]:
    """A vboxmcp socket."""
    made = caller.socket()
    yield made
    made.socket.close()
