"""The lab, booted once, and a VM on each of its hosts, made through one API; a failure comes with all logs.

The files run in the order of their names: VirtualBox's guest is looked into as it runs; then both VMs live their lives,
at once, and a third has its limits beside them.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import click
import pytest
from simple_websocket import Client as Socket

from cli.client import FleetClient
from core import settings
from tests.support.waiting import until
from tools.lab import build, recipe
from tools.lab.lab import Lab

pytest.register_assert_rewrite("tests.lab.life")
from tests.lab.life import live  # noqa: E402  # its assertions are to tell what they saw, too

MEMORY_MB = 128
GAP_SECONDS = 0.4  # less than the guest's second
IMAGES = {"lab-kvm": recipe.GUEST_IMAGE, "lab-vbox": recipe.DISK_IMAGE}
_COUNT = re.compile(rb"lab-guest: (\d+)\r?\n")
_LAB = pytest.StashKey[Lab]()
_BEGAN = time.monotonic()


def waiting_for(condition: str) -> str:
    """Shell that waits for a condition, 40 s at most."""
    return f"n=0; until {condition} || [ $n -ge 80 ]; do usleep 500000; n=$((n + 1)); done"


def say(line: str) -> None:
    """What `make lab-test` shows while it runs."""
    click.echo(f"{time.monotonic() - _BEGAN:6.1f}s  {line}")


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Both hosts, joined."""
    built = build.build(settings.load().lab, say)
    say("booting the hosts")
    with Lab(built, tmp_path_factory.mktemp("lab"), say) as running:
        say("both hosts have joined")
        request.config.stash[_LAB] = running
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure comes with the end of all logs, of the hosts and inside of them."""
    report = yield
    running = item.config.stash.get(_LAB, None)
    if report.failed and running is not None:
        report.sections.append(("the lab's logs", running.account()))
    return report


@dataclass
class Console:
    """A VM's serial console, over the API's WebSocket; `seen` is all that it put out since it was opened."""

    socket: Socket
    seen: bytes = b""

    def read_until(self, expected: Callable[[bytes], Any], seconds: float) -> Any:
        """Take what comes until `expected` finds something in what was seen; that."""

        def found() -> Any:
            if what := expected(self.seen):
                return what
            data = self.socket.receive(timeout=1)
            self.seen += data if isinstance(data, bytes) else b""
            return expected(self.seen)

        return until(found, seconds, lambda: f"the console ends with {self.seen[-1000:]!r}")

    def count(self, seconds: float = 60.0) -> int:
        """The last number that the guest has counted to, when all that it put out has arrived."""
        self.seen = b""
        self.read_until(_COUNT.search, seconds)
        while data := self.socket.receive(timeout=GAP_SECONDS):
            self.seen += data if isinstance(data, bytes) else b""
        return int(_COUNT.findall(self.seen)[-1])

    def stands(self, seconds: float) -> bool:
        """Whether it is silent for that long, once what was under way has arrived."""
        while self.socket.receive(timeout=1) is not None:
            pass
        return self.socket.receive(timeout=seconds) is None

    def fallen_to(self, seconds: float = 120.0) -> int:
        """The first number that is less than the one before it: the guest is where it was at an earlier time."""

        def fallen(seen: bytes) -> list[int]:
            numbers = [int(each) for each in _COUNT.findall(seen)]
            return [next_ for number, next_ in pairwise(numbers) if next_ < number]

        return int(self.read_until(fallen, seconds)[0])

    def type(self, text: str) -> None:
        """As on a keyboard."""
        self.socket.send(text.encode())


@dataclass
class LabVm:
    """One VM, named after its host unless it has a name, on its host's first hypervisor unless it has another."""

    lab: Lab
    host: str
    name: str = ""
    hypervisor: str = ""
    client: FleetClient = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.name or self.host
        self.hypervisor = self.hypervisor or recipe.HOSTS[self.host].hypervisors[0]
        self.client = self.lab.client()

    def create(self) -> None:
        """Small, from the image that its hypervisor can boot."""
        body = {
            "name": self.name,
            "host": self.host,
            "hypervisor": self.hypervisor,
            "template": IMAGES[self.host],
            "memory_mb": MEMORY_MB,
            "storage_config": {"disk_size_gb": 1},
        }
        self.change("POST", "", body)

    def change(self, method: str, path: str, body: object = None) -> Any:
        """One operation, to its end."""
        with self.step(f"{method} /vms/{self.name}{path}"):
            place = f"/vms/{self.name}{path}" if method != "POST" or path else "/vms"
            return self.client.follow(method, place, body, lambda _: None)

    def begin(self, path: str) -> None:
        """An operation that is not waited for."""
        self.client.request("POST", f"/vms/{self.name}{path}", Prefer="respond-async")

    def status(self) -> str:
        """As the API has it."""
        return str(self.client.request("GET", f"/vms/{self.name}")["status"])

    def becomes(self, status: str, seconds: float = 60.0) -> None:
        """Wait for a status, and no longer than that."""
        until(lambda: self.status() == status, seconds, lambda: f"{self.name} is {self.status()} and not {status}")

    def run(self, command: str, seconds: int = 50) -> Any:
        """By the guest's shell; the answer."""
        body = {"command": command, "timeout_seconds": seconds}
        with self.step(f"'{command}' in {self.name}'s guest"):
            return self.client.request("POST", f"/vms/{self.name}/execute", body)

    def execute(self, command: str) -> str:
        """As `run`, well; what it says."""
        done = self.run(command)
        assert done["exit_code"] == 0, done
        return str(done["stdout"]).strip()

    def on_host(self, command: str) -> str:
        """In the root shell of its host."""
        return self.lab.machines[self.host].run(command, 60)

    def inside(self, verb: str) -> None:
        """One verb of the host's own driver, made there: someone works beside the API."""
        vm_id = self.client.request("GET", f"/vms/{self.name}")["id"]
        spec = (vm_id, self.name, self.hypervisor, "linux", 1, MEMORY_MB, 1)
        program = (
            "from pathlib import Path; from agent.drivers.base import DriverFolders; "
            "from agent.drivers.registry import Drivers; from core.contract.messages import VmSpec; "
            f"home = Path('/var/lib/corral/hosts/{self.host}'); "
            f"place = DriverFolders(home / 'vms', Path('/opt/images'), (home / 'media',)); vm = VmSpec(*{spec!r}); "
            f"print(Drivers(['{self.hypervisor}'], place).get('{self.hypervisor}').{verb}(vm, 60.0))"
        )
        with self.step(f"{verb} of {self.name} beside the API"):
            paths = "HOME=/root PYTHONPATH=/opt/corral:/usr/lib/corral/site"
            said = self.lab.machines[self.host].run(f"{paths} python3 -c {shlex.quote(program)}", 120)
            assert "Observation(" in said, said

    @contextmanager
    def console(self) -> Iterator[Console]:
        """From its 64 KiB on."""
        url = f"{self.lab.fleet.url.replace('http', 'ws')}/api/v1/vms/{self.name}/console"
        socket = Socket(url, headers=self.client.authorization)
        try:
            yield Console(socket)
        finally:
            socket.close()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Says how long it took, and whether it was done."""
        began, how = time.monotonic(), "failed"
        try:
            yield
            how = "done"
        finally:
            say(f"{what}: {how} in {time.monotonic() - began:.1f} s")


@pytest.fixture(scope="session", autouse=True)
def guests(lab: Lab) -> dict[str, LabVm]:
    """One on each host; both are being started."""
    made = {name: LabVm(lab, name) for name in lab.machines}
    for guest in made.values():
        guest.create()
        guest.begin("/start")
    return made


@pytest.fixture(scope="session")
def lives(guests: dict[str, LabVm]) -> Iterator[dict[str, Future[None]]]:
    """All at once, from when this is first asked for: none takes another host's time."""
    with ThreadPoolExecutor() as pool:
        yield {host: pool.submit(live, guest) for host, guest in guests.items()}
