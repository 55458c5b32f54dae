"""Replies of a simulated host to calls: what it knows of its VMs, and the replies of guests without one."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar

from msgspec import Struct, to_builtins

from core import sealing
from core.contract.calls import CALLS, CommandLine, ExecuteReply, OperationRef
from core.contract.errors import CorralError, Invalid, Unsupported
from core.contract.measures import MeasureReply, SampleReply
from core.contract.messages import JSON, Addressed, Call, Failure, Reply, Report, Sealed, Unread, decode, encode
from core.sealing import HostKey
from tools.simulator.host import SimulatedHost

_OUTPUT_BYTES = 1024 * 1024
T = TypeVar("T", bound=Struct)


class Answers:
    """The answers of one host. `key`: what calls to it are sealed with; `report` sends what a call makes it report."""

    def __init__(self, host: SimulatedHost, key: HostKey, report: Callable[[Report], None]) -> None:
        self._host, self._key, self._report = host, key, report
        self._verbs: dict[str, Callable[[Call], JSON]] = {
            "execute": self._execute,
            "observe": self._observe,
            "measure": self._measure,
            "cancel": self._cancel,
            "report": self._report_again,
            "abandon": lambda _: {"abandoned": False},
            "disks": lambda _: {"disks": []},
            "adapters": lambda _: {"adapters": []},
            "network": lambda _: {"interfaces": []},
        }

    def to(self, text: bytes) -> tuple[str, str] | None:
        """Where a reply goes, and the reply; None where nobody can be told."""
        try:
            if text.startswith(b'{"sealed"'):
                text = self._key.open(decode(Sealed, text).sealed)
            call = decode(Call, text)
        except sealing.Unsealable:
            return None
        except Invalid as error:
            return self._refusal(text, error)
        try:
            return _reply(call, result=self._answer(call))
        except CorralError as error:
            return _reply(call, failure=Failure(error.code, error.message, error.retryable, error.details))

    def _refusal(self, text: bytes, error: Invalid) -> tuple[str, str] | None:
        try:
            unread = decode(Unread, text)
        except Invalid:
            return None
        known = isinstance(unread.verb, str) and unread.verb in CALLS
        why = error if known else Unsupported(f"the agent knows no call '{str(unread.verb)[:80]}'")
        return _reply(unread, failure=Failure(why.code, why.message))

    def _answer(self, call: Call) -> JSON:
        verb = self._verbs.get(call.verb)
        if verb is None:
            raise Unsupported(f"a simulated host does not answer '{call.verb}'")
        return verb(call)

    def _observe(self, call: Call) -> JSON:
        return asdict(self._host.vms.observe(_vm_id(call)))

    def _execute(self, call: Call) -> JSON:
        asked = _asked(call, CommandLine)
        said = base64.b64encode(f"{asked.command}\n".encode()).decode()
        return _plain(ExecuteReply(0, said, "", 0.0, truncated=False, output_limit_bytes=_OUTPUT_BYTES))

    def _measure(self, call: Call) -> JSON:
        sample = SampleReply(_vm_id(call), 1, 1.0, 2**27, 2**29)
        return _plain(MeasureReply(sample, 5.0))

    def _cancel(self, call: Call) -> JSON:
        state, report = self._host.cancel(_operation(call))
        if report is not None:
            self._report(report)
        return {"state": state}

    def _report_again(self, call: Call) -> JSON:
        operation_id = _operation(call)
        _, report = self._host.cancel(operation_id) if self._host.state_of(operation_id) == "finished" else ("", None)
        if report is not None:
            self._report(report)
        return {"state": self._host.state_of(operation_id)}


def _vm_id(call: Call) -> str:
    if call.vm is None:
        raise Invalid(f"'{call.verb}' is about a VM")
    return call.vm.id


def _operation(call: Call) -> str:
    return _asked(call, OperationRef).operation_id


def _asked(call: Call, kind: type[T]) -> T:
    if not isinstance(call.params, kind):  # which the verb says, so it is
        raise Invalid(f"these are no params of '{call.verb}'")
    return call.params


def _plain(answer: object) -> JSON:
    plain: JSON = to_builtins(answer)
    return plain


def _reply(call: Addressed, *, result: JSON | None = None, failure: Failure | None = None) -> tuple[str, str]:
    text = encode(Reply(call.id, result, failure))
    if call.reply_key:
        text = encode(Reply(call.id, wrapped=sealing.wrap(call.reply_key, text.encode())))
    return call.reply_to, text
