"""The calls about commands in guests: those that are waited for, and those that run on by themselves."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from dataclasses import asdict

from agent.drivers.base import Check
from agent.drivers.groups.execs import SIGNALS, STREAMS, Detached, Execs, Output
from agent.drivers.groups.guest import OUTPUT_LIMIT, ExecRequest, Guest
from agent.drivers.offers import offered
from agent.drivers.registry import Drivers
from agent.loops import Loop
from agent.parameters import environment_of, param, stdin_of, vm_of
from core.contract.errors import Invalid
from core.contract.messages import JSON, Call

MOST_BYTES = 1024 * 1024
SWEEP_SECONDS = 5.0


class GuestCommands:
    """`execute` and the verbs beginning with `exec_`; `loops` hold to their time what nobody else does."""

    def __init__(self, drivers: Drivers) -> None:
        self._drivers = drivers
        self.verbs: dict[str, Callable[[Call], JSON]] = {
            "exec_begin": self._begin,
            "exec_list": self._list,
            "exec_get": lambda call: asdict(self._execs(call).exec_get(vm_of(call), _id(call))),
            "exec_output": self._output,
            "exec_signal": self._signal,
            "exec_delete": self._delete,
        }
        self.loops = [_sweeper(driver) for driver in drivers.all() if isinstance(driver, Guest)]
        self._timekeepers = [Timekeeper(driver) for driver in drivers.all() if isinstance(driver, Execs)]
        self.loops += [keeper.loop for keeper in self._timekeepers]

    def execute(self, call: Call, check: Check) -> JSON:
        """Runs a command to its end."""
        vm = vm_of(call)
        done = offered(self._drivers.get(vm.hypervisor), Guest).execute(vm, _request_of(call), check)
        return {
            "exit_code": done.exit_code,
            "stdout_b64": base64.b64encode(done.stdout).decode(),
            "stderr_b64": base64.b64encode(done.stderr).decode(),
            "execution_time_seconds": done.execution_time_seconds,
            "truncated": done.truncated,
            "output_limit_bytes": OUTPUT_LIMIT,
        }

    def _begin(self, call: Call) -> JSON:
        made = self._execs(call).exec_begin(vm_of(call), _wanted_of(call))
        for keeper in self._timekeepers:
            keeper.soon.set()
        return asdict(made)

    def _list(self, call: Call) -> JSON:
        limit, offset = param(call, "limit", int), param(call, "offset", int)
        state = param(call, "state", str, optional=True)
        found = [each for each in self._execs(call).exec_list(vm_of(call)) if state in (None, each.state)]
        return {"execs": [asdict(each) for each in found[offset : offset + limit]], "total": len(found)}

    def _output(self, call: Call) -> JSON:
        offsets, limit = param(call, "offsets", dict), param(call, "limit", int)
        if not set(offsets) <= set(STREAMS) or not all(type(each) is int and each >= 0 for each in offsets.values()):
            raise Invalid(f"exec_output: 'offsets' must be numbers of bytes in some of {', '.join(STREAMS)}")
        if not 0 < limit <= MOST_BYTES:
            raise Invalid(f"exec_output: 'limit' must be between 1 and {MOST_BYTES}")
        driver, vm, exec_id = self._execs(call), vm_of(call), _id(call)
        return {
            stream: _dumped(driver.exec_output(vm, exec_id, stream, offset, limit))
            for stream, offset in offsets.items()
        }

    def _signal(self, call: Call) -> JSON:
        signal = param(call, "signal", str)
        if signal not in SIGNALS:
            raise Invalid(f"exec_signal: 'signal' must be one of {', '.join(SIGNALS)}")
        return asdict(self._execs(call).exec_signal(vm_of(call), _id(call), signal))

    def _delete(self, call: Call) -> JSON:
        self._execs(call).exec_delete(vm_of(call), _id(call))
        return {}

    def _execs(self, call: Call) -> Execs:
        return offered(self._drivers.get(vm_of(call).hypervisor), Execs)


class Timekeeper:
    """Has a driver end what is past its timeout; set `soon` when there may be something new to end."""

    def __init__(self, driver: Execs) -> None:
        self._driver = driver
        self.loop = Loop("timekeeper", self._keep)
        self.soon = threading.Event()

    def _keep(self) -> None:
        self.soon.clear()
        due = self._driver.exec_sweep()
        self.soon.wait(SWEEP_SECONDS if due is None else min(SWEEP_SECONDS, max(0.0, due - time.time())))


def _sweeper(driver: Guest) -> Loop:
    def sweep() -> None:
        driver.sweep_guests()
        loop.stopping.wait(SWEEP_SECONDS)

    loop = Loop("guests", sweep)
    return loop


def _request_of(call: Call) -> ExecRequest:
    left = call.deadline_at - time.time()
    seconds = param(call, "timeout_seconds", (int, float), optional=True)
    return ExecRequest(
        command=param(call, "command", str),
        timeout_seconds=left if seconds is None else min(float(seconds), left),
        working_directory=param(call, "working_directory", str, optional=True),
        environment=environment_of(call),
        stdin=stdin_of(call),
    )


def _wanted_of(call: Call) -> Detached:
    seconds = param(call, "timeout_seconds", (int, float), optional=True)
    return Detached(
        id=_id(call),
        command=param(call, "command", str),
        name=param(call, "name", str, optional=True),
        timeout_seconds=None if seconds is None else float(seconds),
        working_directory=param(call, "working_directory", str, optional=True),
        environment=environment_of(call),
        stdin=stdin_of(call),
    )


def _id(call: Call) -> str:
    found: str = param(call, "id", str)
    if not found or not set(found) <= set("0123456789abcdef-") or len(found) > 64:
        raise Invalid(f"{call.verb}: parameter 'id' must have 1 to 64 of 0-9a-f-")
    return found


def _dumped(output: Output) -> JSON:
    return {"data_b64": base64.b64encode(output.data).decode(), "offset": output.offset, "ended": output.ended}
