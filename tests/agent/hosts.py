"""The real agent process on the real Redis, with the fake driver, and a control plane that only sends and listens."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from msgspec import Struct, structs
from redis import Redis as Client
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from agent.drivers.fake.state import effects
from core.contract import channels
from core.contract.hosts import Inventory
from core.contract.messages import Command, Reply, Report, ReportsEntry, VmSpec, build, decode, encode
from core.contract.states import Kind
from core.contract.vms import Hardware
from core.dispatch import Dispatch
from tests.support import accounts
from tests.support.waiting import HANG_SECONDS, until

_names = itertools.count(1)


class Asked(Struct, frozen=True):
    """A call on its way, right or wrong."""

    id: str
    verb: str
    reply_to: str
    deadline_at: float
    vm: VmSpec | None
    params: dict[str, Any]


class Said(Struct, frozen=True):
    """A command on its way, right or wrong."""

    operation_id: str
    attempt: int
    kind: Kind
    vm: VmSpec
    params: dict[str, Any]
    deadline_at: float


class Host:
    """One host of a test: its agent process, and the control plane's side of its queues."""

    def __init__(self, home: Path, redis_url: str) -> None:
        self.name = f"host-{next(_names)}"
        self.home = home
        self.url = redis_url
        self.folder = home / "hosts" / self.name
        self.dispatch = Dispatch(redis_url)
        self.redis = Client.from_url(redis_url, socket_timeout=5, retry=Retry(NoBackoff(), 0))
        self.reports: list[Report] = []
        self.inventories: list[Inventory] = []
        self.process: subprocess.Popen[bytes] | None = None

    # the agent

    def start(self, *arguments: str, wait: bool = True) -> None:
        """Starts the agent, and waits until Redis knows it anew."""
        known = self._heartbeat() if wait else None
        command = [sys.executable, "-m", "agent", "--name", self.name, "--hypervisor", "fake", *arguments]
        own = {"CORRAL_HOME": str(self.home), "REDIS_URL": accounts.address_of(self.url, self.name)}
        with suppress(RedisError):  # a test may have ended it
            self.admit()
        environment = {**os.environ, **own, "PYTHONFAULTHANDLER": "1"}
        with (self.home / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        if wait:
            until(lambda: self._heartbeat() not in (None, known), why=self._where_it_is)

    def admit(self) -> None:
        """Makes its account in Redis, which forgets it when it is started anew."""
        accounts.admit(self.redis, self.name)

    def _where_it_is(self) -> str:
        """What each thread of an agent that hangs is at, and its log before."""
        assert self.process is not None
        self.process.send_signal(signal.SIGABRT)  # its last words are in its log
        return f"(exit code {self.process.wait(15)})\n{self.log()}"

    def kill(self) -> None:
        """Ends the agent as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def terminate(self, seconds: float = 15.0) -> int:
        """Asks it to end; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        return (self.home / "agent.log").read_text()

    def _heartbeat(self) -> str | None:
        text = self.redis.get(channels.heartbeat(self.name))
        return json.loads(text)["boot_id"] if text else None  # type: ignore[arg-type]

    def journaled(self, operation_id: str) -> str:
        """Waits until the agent has journaled a command; its phase."""

        def phase() -> str | None:
            with sqlite3.connect(f"file:{self.folder}/journal.sqlite?mode=ro", uri=True) as journal:
                row = journal.execute("SELECT phase FROM commands WHERE operation_id = ?", (operation_id,)).fetchone()
            journal.close()
            return row[0] if row else None

        found: str = until(phase)
        return found

    # the fake driver

    def told(self, **behaviour: Any) -> None:
        """Tells the fake driver how to behave."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "fake.json").write_text(json.dumps(behaviour))

    def effects(self, vm: VmSpec, verb: str) -> int:
        return effects(self.folder / "vms")[vm.id, verb]

    # the control plane: reports and replies are returned as Any, as each test knows which of their parts are there

    def vm(self, **hardware: Any) -> VmSpec:
        return VmSpec(str(uuid.uuid4()), "web", "fake", "linux", 1, 256, 1, hardware=build(Hardware, hardware))

    def command(self, kind: Kind, vm: VmSpec, *, seconds: float = 60.0, **params: Any) -> Said:
        return Said(str(uuid.uuid4()), 1, kind, vm, params, time.time() + seconds)

    def send(self, command: Said | Command, attempt: int = 1) -> str:
        assert until(lambda: self.dispatch.command(self.name, cast(Any, structs.replace(command, attempt=attempt))))
        return command.operation_id

    def do(self, kind: Kind, vm: VmSpec, **params: Any) -> Any:
        """Sends a command and waits for its end."""
        return self.end(self.send(self.command(kind, vm, **params)))

    def made(self, **hardware: Any) -> VmSpec:
        """A VM that exists."""
        vm = self.vm(**hardware)
        assert self.do(Kind.CREATE, vm).phase == "succeeded"
        return vm

    def end(self, operation_id: str, seconds: float = HANG_SECONDS) -> Any:
        """The last report of an operation."""
        return self.ends(operation_id, 1, seconds)[0]

    def ends(self, operation_id: str, count: int, seconds: float = HANG_SECONDS) -> list[Any]:
        """Its last reports, once there are that many."""
        ended = ("succeeded", "failed", "cancelled")

        def enough() -> list[Report]:
            found = [each for each in self.received(operation_id) if each.phase in ended]
            return found if len(found) >= count else []

        found: list[Any] = until(enough, seconds)
        return found

    def seen(self, operation_id: str, phase: str) -> Report:
        """The first report of a phase."""
        report: Report = until(lambda: next((r for r in self.received(operation_id) if r.phase == phase), None))
        return report

    def received(self, operation_id: str) -> list[Report]:
        """All reports of an operation so far."""
        self.receive()
        return [report for report in self.reports if report.operation_id == operation_id]

    def receive(self) -> None:
        """Takes in what the agent has sent."""
        try:
            texts: Any = self.redis.lpop(channels.reports(self.name), 1000)
        except RedisError:
            return
        for text in texts or []:
            message = decode(ReportsEntry, text).body
            if isinstance(message, Report):
                self.reports.append(message)
            else:
                self.inventories.append(message)

    def inventory(self) -> Inventory | None:
        """The newest so far."""
        self.receive()
        return self.inventories[-1] if self.inventories else None

    def call(self, verb: str, vm: VmSpec | None = None, *, seconds: float = 10.0, **params: Any) -> Any:
        """Asks, and waits for the reply."""
        return self.asked(verb, vm, params, seconds)

    def asked(self, verb: str, vm: VmSpec | None, params: Any, seconds: float = 10.0) -> Any:
        """The same, whatever its params are."""
        channel = channels.replies(uuid.uuid4().hex)
        call = Asked(str(uuid.uuid4()), verb, channel, time.time() + seconds, vm, params)
        with self.redis.pubsub(ignore_subscribe_messages=True) as listening:  # type: ignore[no-untyped-call]
            listening.subscribe(channel)
            until(lambda: listening.subscribed)
            listening.get_message(timeout=1)
            self.redis.rpush(channels.calls(self.name), encode(call))
            message: Any = until(lambda: listening.get_message(timeout=0.5), seconds)
        return decode(Reply, message["data"])
