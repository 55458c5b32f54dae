"""Answers calls: at most once, before their deadline, and never behind a command."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import redis
from msgspec import to_builtins
from redis.exceptions import RedisError

from agent.broker.connection import BLOCK_SECONDS
from agent.calls import describing
from agent.calls.consoles import Consoles
from agent.calls.execs import GuestCommands
from agent.calls.files import FileCalls
from agent.calls.hosts import HostCalls
from agent.calls.parameters import asked, vm_of
from agent.calls.waiting import Waiting
from agent.commands.runner import Commands
from agent.drivers.base import Cancelled
from agent.drivers.capabilities.guest import GuestCredentialsCapability, GuestNetworkCapability
from agent.drivers.capabilities.hardware import AdaptersCapability, DisksCapability
from agent.drivers.capabilities.metrics import MetricsCapability
from agent.drivers.offers import offered
from agent.drivers.registry import Drivers
from agent.guest import patience
from agent.host import prometheus
from agent.reports.failures import failure_of
from agent.system.loops import Loop
from core import sealing
from core.contract import channels
from core.contract.calls import CALLS, CallRef, GuestLogin, OpenConsole, OperationRef
from core.contract.described import VmRef
from core.contract.errors import CorralError, Invalid, Unavailable, Unsupported
from core.contract.messages import JSON, Addressed, Call, Failure, Reply, Sealed, Unread, decode, encode
from core.contract.shares import Shares
from core.sealing import HostKey, Unsealable

log = logging.getLogger(__name__)
# Commands last as long as their callers like, and so have places of their own: questions never wait behind them. No
# owner has all places, whatever their VMs and their guests do.
QUESTIONS, QUESTIONS_EACH = 48, 32
EXECUTES, EXECUTES_EACH = 64, 32
ANSWER_SECONDS = 1.0  # of a call's time, for the way back
AT_THE_DOOR = ("cancel", "abandon")  # answered at once, and never behind others: they may be what frees them
PARK_BYTES = 64 * 1024
PARK_SECONDS = 60


class Calls:
    """The calls of one host; `loop` is the thread that takes them in."""

    def __init__(
        self,
        host: str,
        client: redis.Redis,
        key: HostKey,
        drivers: Drivers,
        commands: Commands,
        consoles: Consoles,
        files: FileCalls,
        host_calls: HostCalls,
    ) -> None:
        self._host, self._client, self._drivers, self._commands = host, client, drivers, commands
        self._key = key
        self._consoles = consoles
        questions = Shares(f"calls to host '{host}'", QUESTIONS, QUESTIONS_EACH)
        executes = Shares(f"commands on host '{host}'", EXECUTES, EXECUTES_EACH)
        self._questions = questions, ThreadPoolExecutor(QUESTIONS, thread_name_prefix="call")
        self._executes = executes, ThreadPoolExecutor(EXECUTES, thread_name_prefix="execute")
        self.waiting, self.guests = Waiting(), GuestCommands(drivers)
        self._verbs: dict[str, Callable[[Call], JSON]] = {
            "execute": self._execute,
            "guest_credentials": self._guest_credentials,
            "observe": self._observe,
            "measure": self._measure,
            "disks": self._disks,
            "adapters": self._adapters,
            "cancel": self._cancel,
            "report": self._report,
            "describe": self._describe,
            "console": self._console,
            "abandon": self._abandon,
            **self.guests.verbs,
            **host_calls.verbs,
            "file_write": files.write,
            "file_read": files.read,
            "file_list": files.list,
            "moved_file": files.moved,
            "network": self._network,
        }
        self.loop = Loop("calls", self._take)

    def answer(self, verbs: dict[str, Callable[[Call], JSON]]) -> None:
        """Answer these, too."""
        self._verbs |= verbs

    def _take(self) -> None:
        popped: Any = self._client.blpop([channels.calls(self._host)], BLOCK_SECONDS)
        if popped is None:
            return
        try:
            call = self._opened(popped[1])
        except Unsealable as error:
            log.warning("dropped a call that was sealed for another host: %s", error)
            return
        if call is None:
            return
        if time.time() >= call.deadline_at:
            log.info("dropped call %s (%s): past its deadline", call.id, call.verb)
        elif call.verb in AT_THE_DOOR:
            self._answer(call)
        else:
            self._begin(call)

    def _opened(self, text: bytes) -> Call | None:
        """A call sealed for this host; or one in the clear, which is how those without secrets may come.

        Whoever waits for the reply to one that can't be read is told; None.
        """
        try:
            if text.startswith(b'{"sealed"'):
                text = self._key.open(decode(Sealed, text).sealed)
            return decode(Call, text)
        except Invalid as error:
            self._refuse(text, error)
            return None

    def _refuse(self, text: bytes, error: Invalid) -> None:
        log.warning("refused a malformed call: %s", error.message[:200])
        with suppress(Invalid):
            unread = decode(Unread, text)
            unknown = Unsupported(f"the agent knows no call '{str(unread.verb)[:80]}'")
            self._reply(unread, failure=failure_of(error if _is_known(unread.verb) else unknown))

    def _begin(self, call: Call) -> None:
        shares, pool = self._executes if call.verb == "execute" else self._questions
        try:
            shares.take(call.vm.owner if call.vm else "")
        except Unavailable as error:
            self._reply(call, failure=failure_of(error))
            return
        self.waiting.begin(call.id)
        pool.submit(self._answer_and_free, call, shares)

    def _answer_and_free(self, call: Call, shares: Shares) -> None:
        try:
            self._answer(call)
        finally:
            self.waiting.end(call.id)
            shares.leave(call.vm.owner if call.vm else "")

    def _answer(self, call: Call) -> None:
        try:
            seconds = call.deadline_at - time.time() - ANSWER_SECONDS
            with prometheus.metered(call.verb), patience.ends_in(seconds):
                result = self._verbs[call.verb](call)
            self._reply(call, result=result)
        except CorralError as error:
            self._reply(call, failure=failure_of(error))
        except Cancelled as why:
            log.info("call %s (%s) ended: %s", call.id, call.verb, why)
        except Exception:  # the outermost handler of a call: whoever waits is told
            log.exception("call %s (%s) failed unexpectedly", call.id, call.verb)
            self._reply(call, failure=Failure("internal_error", "the agent failed unexpectedly; its log says why"))

    def _reply(self, call: Addressed, *, result: JSON | None = None, failure: Failure | None = None) -> None:
        if not call.reply_to:
            return
        text = encode(Reply(call.id, result, failure))
        if call.reply_key:
            text = encode(Reply(call.id, wrapped=sealing.wrap(call.reply_key, text.encode())))
        try:
            if len(text) > PARK_BYTES:
                self._client.set(channels.parked_reply(self._host, call.id), text, ex=PARK_SECONDS)
                text = encode(Reply(call.id, parked=True))
            self._client.publish(call.reply_to, text)
        except RedisError as error:
            log.warning("the reply to call %s is lost: %s", call.id, error)

    def _execute(self, call: Call) -> JSON:
        return self.guests.execute(call, self.waiting.check_of(call.id))

    def _guest_credentials(self, call: Call) -> JSON:
        vm = vm_of(call)
        driver = offered(self._drivers.get(vm.hypervisor), GuestCredentialsCapability)
        account = asked(call, GuestLogin)
        driver.set_guest_credentials(vm, account.username, account.password)
        return {}

    def _describe(self, call: Call) -> JSON:
        return to_builtins(describing.described(self._drivers.all(), asked(call, VmRef).vm_id))  # type: ignore[no-any-return]

    def _observe(self, call: Call) -> JSON:
        vm = vm_of(call)
        return asdict(self._drivers.get(vm.hypervisor).observe(vm.id))

    def _console(self, call: Call) -> JSON:
        on = asked(call, OpenConsole)
        self._consoles.connect(vm_of(call), on.stream, write=on.write, replay=on.replay, after=on.after)
        return {}

    def _measure(self, call: Call) -> JSON:
        vm = vm_of(call)
        driver = offered(self._drivers.get(vm.hypervisor), MetricsCapability)
        return asdict(driver.measure(vm, call.deadline_at - time.time()))

    def _disks(self, call: Call) -> JSON:
        vm = vm_of(call)
        return {
            "disks": [asdict(each) for each in offered(self._drivers.get(vm.hypervisor), DisksCapability).disks(vm)]
        }

    def _adapters(self, call: Call) -> JSON:
        vm = vm_of(call)
        return {
            "adapters": [
                asdict(each) for each in offered(self._drivers.get(vm.hypervisor), AdaptersCapability).adapters(vm)
            ]
        }

    def _network(self, call: Call) -> JSON:
        vm = vm_of(call)
        driver = offered(self._drivers.get(vm.hypervisor), GuestNetworkCapability)
        found = driver.guest_interfaces(vm, max(0.1, call.deadline_at - time.time()))
        return {"interfaces": [asdict(each) for each in found]}

    def _cancel(self, call: Call) -> JSON:
        return {"state": self._commands.cancel(asked(call, OperationRef).operation_id)}

    def _report(self, call: Call) -> JSON:
        return {"state": self._commands.report_again(asked(call, OperationRef).operation_id)}

    def _abandon(self, call: Call) -> JSON:
        return {"abandoned": self.waiting.abandon(asked(call, CallRef).call_id)}


def _is_known(verb: Any) -> bool:
    return isinstance(verb, str) and verb in CALLS
