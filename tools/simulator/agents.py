"""Agents of simulated hosts: each has two connections of its own to Redis, one that waits and one that sends."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import uuid
from base64 import b64decode
from typing import Any

from core import transport
from core.contract import channels
from core.contract.errors import Conflict, Invalid, Unavailable
from core.contract.messages import Command, Numbered, Report, decode, encode
from core.dispatch import COMMAND_TASK
from core.sealing import HostKey
from tools.simulator.answers import Answers
from tools.simulator.connection import Connection, connect
from tools.simulator.host import SimulatedHost

log = logging.getLogger(__name__)

# As an agent's own (agent/host, agent/reports, agent/broker).
HEARTBEAT_SECONDS, LEASE_SECONDS, USAGE_SECONDS, USAGE_KEPT_SECONDS, TELL_SECONDS = 2.0, 10.0, 5.0, 20, 30.0
_BLOCK_SECONDS = 1
_LIVE_WAITS_SECONDS = 0.05  # what is under way is told only if it lasts
_PAUSE_SECONDS = 1.0
_LOOK_SECONDS = 0.1
_BATCH = 200
_HOLDER = uuid.uuid4().hex
_MALFORMED = (ValueError, TypeError, AttributeError, KeyError, RecursionError)


def _one_command(arguments: dict[str, Any]) -> bool:
    return set(arguments) == {"command"} and isinstance(arguments["command"], str)


class SimulatedAgent:
    """The agent of a simulated host. `url`: its way to Redis; `work_seconds`: how long an operation takes at most."""

    def __init__(self, host: SimulatedHost, url: str, key: HostKey, work_seconds: float = 0.0) -> None:
        self.host, self._url, self._key, self._work_seconds = host, url, key, work_seconds
        self.serves = asyncio.Event()
        self._answers = Answers(host, key, self._report)
        self._outbox: list[str] = []
        self._told, self._wanted = asyncio.Event(), asyncio.Event()
        self._works: set[asyncio.Task[None]] = set()

    async def serve(self, gate: asyncio.Semaphore) -> None:
        """Until it is cancelled; anew when Redis was away. `Conflict` when the name is another agent's."""
        while True:
            try:
                await self._serve(gate)
            except* (OSError, Unavailable) as lost:
                log.warning("host %s tries again in a moment: %s", self.host.name, lost.exceptions[0])
            await asyncio.sleep(_PAUSE_SECONDS)

    def boot(self) -> None:
        """Its agent is started anew: the control plane hears of all it has."""
        self.host.boot()
        self._wanted.set()

    async def _serve(self, gate: asyncio.Semaphore) -> None:
        name = f"simulated-{self.host.name}"
        async with gate:
            waiting, telling = await connect(self._url, name), await connect(self._url, name)
        try:
            self._wanted.set()
            async with asyncio.TaskGroup() as group:
                for loop in (self._listen(waiting), self._beat(telling), self._send(telling), self._use(telling)):
                    group.create_task(loop)
                group.create_task(self._tell())
        finally:
            waiting.close()
            telling.close()

    async def _beat(self, redis: Connection) -> None:
        """Says every two seconds that it is alive, and notices when the control plane has forgotten it."""
        of = self.host.name
        lease, home, key = channels.lease(of), channels.home(of), channels.call_key(of)
        holder = f"{self.host.home_id} {_HOLDER}".encode()
        while True:
            held, believed = await redis.ask(("GET", lease), ("GET", home))
            if held not in (None, holder) or believed not in (None, self.host.home_id.encode()):
                raise Conflict(f"host '{of}' is another agent's, or has its VMs in another home")
            replies = await redis.ask(
                ("SET", lease, holder, "PX", int(LEASE_SECONDS * 1000)),
                ("SET", key, self._key.public),
                ("SET", channels.heartbeat(of), self.host.heartbeat(), "GET"),
            )
            if replies[-1] is None:
                self._wanted.set()
            self.serves.set()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def leave(self) -> None:
        """Let the next agent have the name at once."""
        redis = await connect(self._url, f"simulated-{self.host.name}")
        await redis.ask(("DEL", channels.lease(self.host.name)))
        redis.close()

    async def _tell(self) -> None:
        """An inventory when it is wanted, and every half minute, of all hosts at different times."""
        seconds = random.uniform(0, TELL_SECONDS)
        while True:
            try:
                await asyncio.wait_for(self._wanted.wait(), seconds)
            except TimeoutError:
                pass
            self._wanted.clear()
            self._put(self.host.inventory())
            seconds = TELL_SECONDS

    async def _use(self, redis: Connection) -> None:
        await asyncio.sleep(random.uniform(0, USAGE_SECONDS))
        key = channels.vm_usage(self.host.name)
        while True:
            machine, vms = self.host.usage()
            hashed = [("HSET", key, *(word for pair in vms.items() for word in pair))] if vms else []
            kept = [("EXPIRE", key, USAGE_KEPT_SECONDS)] if vms else []
            await redis.ask(
                ("MULTI",), ("SET", channels.usage(self.host.name), machine), ("DEL", key), *hashed, *kept, ("EXEC",)
            )
            await asyncio.sleep(USAGE_SECONDS)

    async def _send(self, redis: Connection) -> None:
        """What there is to tell, together, for as long as it takes."""
        while True:
            await self._told.wait()
            self._told.clear()
            while batch := self._outbox[:_BATCH]:
                reports = channels.reports(self.host.name)
                await redis.ask(("RPUSH", reports, *batch), ("PUBLISH", channels.REPORTS_WAKEUP, self.host.name))
                del self._outbox[: len(batch)]

    def _put(self, entry: str) -> None:
        self._outbox.append(entry)
        self._told.set()

    def _report(self, report: Report) -> None:
        self._put(f'{{"kind":"report","body":{encode(report)}}}')

    async def _listen(self, redis: Connection) -> None:
        """Takes commands and calls, which an agent does on two connections; what comes is never behind what is done."""
        commands, calls = channels.command_queue(self.host.name), channels.calls(self.host.name)
        while True:
            (popped,) = await redis.ask(("BRPOP", commands, calls, _BLOCK_SECONDS))
            if isinstance(popped, Exception):
                raise Unavailable(f"Redis refuses the queue: {popped}")
            if popped is None:
                continue
            if popped[0] == commands.encode():
                self._command(popped[1])
            elif (reply := self._answers.to(popped[1])) is not None:
                await redis.ask(("PUBLISH", *reply))

    def _command(self, text: bytes) -> None:
        try:
            task = transport.rebuilt(json.loads(text), {COMMAND_TASK: _one_command})
            command = json.loads(b64decode(task["body"]))[1]["command"]
        except _MALFORMED as error:
            log.warning("host %s dropped a malformed message: %s", self.host.name, error)
            return
        try:
            read = decode(Command, command)
        except Invalid as error:
            try:
                self._report(self.host.refuse(decode(Numbered, command), error.message))
            except Invalid:
                log.warning("host %s dropped what is no command: %s", self.host.name, error.message)
            return
        if self.host.takes(read):
            self._begin(read)
        elif (again := self.host.again(read.operation_id, read.attempt)) is not None:
            self._report(again)

    def _begin(self, command: Command) -> None:
        if not self._work_seconds:
            self._report(self.host.carry_out(command))
            return
        task = asyncio.get_running_loop().create_task(self._work(command))
        self._works.add(task)
        task.add_done_callback(self._works.discard)

    async def _work(self, command: Command) -> None:
        """As long as it takes, or until it is cancelled."""
        left = random.uniform(0, self._work_seconds)
        if left > _LIVE_WAITS_SECONDS:
            await asyncio.sleep(_LIVE_WAITS_SECONDS)
            self._report(self.host.begun(command))
        while left > 0 and not self.host.is_cancelled(command.operation_id):
            await asyncio.sleep(min(left, _LOOK_SECONDS))
            left -= _LOOK_SECONDS
        self._report(self.host.carry_out(command))
