"""The calls about commands in guests: those that a caller waits for, and executions."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from dataclasses import asdict

from msgspec import to_builtins

from agent.calls.parameters import asked, vm_of
from agent.drivers.base import Check
from agent.drivers.capabilities.execs import SIGNALS, Detached, ExecOutput, ExecsCapability, Size
from agent.drivers.capabilities.guest import OUTPUT_LIMIT, GuestCapability, GuestExecRequest
from agent.drivers.capabilities.terminals import TerminalsCapability
from agent.drivers.offers import offered
from agent.drivers.registry import Drivers
from agent.system.loops import Loop
from core.contract.calls import BeginExec, CommandLine, ListExecs, ReadExecOutput, SignalExec
from core.contract.errors import Invalid
from core.contract.messages import JSON, Call
from core.contract.terminals import ExecRef, ResizeTerminal, TerminalSize, TypeKeys

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
            "exec_type": self._type,
            "exec_resize": self._resize,
            "exec_delete": self._delete,
        }
        self.loops = [_sweeper(driver) for driver in drivers.all() if isinstance(driver, GuestCapability)]
        self._timekeepers = [Timekeeper(driver) for driver in drivers.all() if isinstance(driver, ExecsCapability)]
        self.loops += [each.loop for each in self._timekeepers]

    def execute(self, call: Call, check: Check) -> JSON:
        """Runs a command to its end."""
        vm = vm_of(call)
        done = offered(self._drivers.get(vm.hypervisor), GuestCapability).execute(vm, _request_of(call), check)
        return {
            "exit_code": done.exit_code,
            "stdout_b64": base64.b64encode(done.stdout).decode(),
            "stderr_b64": base64.b64encode(done.stderr).decode(),
            "execution_time_seconds": done.execution_time_seconds,
            "truncated": done.truncated,
            "output_limit_bytes": OUTPUT_LIMIT,
        }

    def _begin(self, call: Call) -> JSON:
        wanted = _wanted_of(call)
        if wanted.tty:
            self._terminals(call)
        made = self._execs(call).exec_begin(vm_of(call), wanted)
        for each in self._timekeepers:
            each.soon.set()
        return asdict(made)

    def _list(self, call: Call) -> JSON:
        page = asked(call, ListExecs)
        found = [each for each in self._execs(call).exec_list(vm_of(call)) if page.state in (None, each.state)]
        shown = found[page.offset : page.offset + page.limit]
        return {"execs": [asdict(each) for each in shown], "total": len(found)}

    def _output(self, call: Call) -> JSON:
        driver, vm, wanted = self._execs(call), vm_of(call), asked(call, ReadExecOutput)
        return {
            stream: _dumped(driver.exec_output(vm, wanted.id, stream, offset, wanted.limit))
            for stream, offset in to_builtins(wanted.offsets).items()
        }

    def _signal(self, call: Call) -> JSON:
        signal = asked(call, SignalExec).signal
        if signal not in SIGNALS:
            raise Invalid(f"exec_signal: 'signal' must be one of {', '.join(SIGNALS)}")
        return asdict(self._execs(call).exec_signal(vm_of(call), _id(call), signal))

    def _delete(self, call: Call) -> JSON:
        self._execs(call).exec_delete(vm_of(call), _id(call))
        return {}

    def _type(self, call: Call) -> JSON:
        self._terminals(call).exec_type(vm_of(call), _id(call), asked(call, TypeKeys).data)
        return {}

    def _resize(self, call: Call) -> JSON:
        self._terminals(call).exec_resize(vm_of(call), _id(call), _size(asked(call, ResizeTerminal).size))
        return {}

    def _execs(self, call: Call) -> ExecsCapability:
        return offered(self._drivers.get(vm_of(call).hypervisor), ExecsCapability)

    def _terminals(self, call: Call) -> TerminalsCapability:
        return offered(self._drivers.get(vm_of(call).hypervisor), TerminalsCapability)


class Timekeeper:
    """Has a driver end what is past its timeout; set `soon` when there may be something new to end."""

    def __init__(self, driver: ExecsCapability) -> None:
        self._driver = driver
        self.loop = Loop("timekeeper", self._keep)
        self.soon = threading.Event()

    def _keep(self) -> None:
        self.soon.clear()
        due = self._driver.exec_sweep()
        self.soon.wait(SWEEP_SECONDS if due is None else min(SWEEP_SECONDS, max(0.0, due - time.time())))


def _sweeper(driver: GuestCapability) -> Loop:
    def sweep() -> None:
        driver.sweep_guests()
        loop.stopping.wait(SWEEP_SECONDS)

    loop = Loop("guests", sweep)
    return loop


def _request_of(call: Call) -> GuestExecRequest:
    line, left = asked(call, CommandLine), call.deadline_at - time.time()
    return GuestExecRequest(
        command=line.command,
        timeout_seconds=left if line.timeout_seconds is None else min(line.timeout_seconds, left),
        working_directory=line.working_directory,
        environment=line.environment,
        stdin=line.stdin,
    )


def _wanted_of(call: Call) -> Detached:
    line = asked(call, BeginExec)
    return Detached(
        id=line.id,
        command=line.command,
        name=line.name,
        timeout_seconds=line.timeout_seconds,
        working_directory=line.working_directory,
        environment=line.environment,
        stdin=line.stdin,
        tty=_size(line.tty) if line.tty else None,
    )


def _size(told: TerminalSize) -> Size:
    return Size(told.rows, told.columns)


def _id(call: Call) -> str:
    return asked(call, ExecRef).id


def _dumped(output: ExecOutput) -> JSON:
    return {"data_b64": base64.b64encode(output.data).decode(), "offset": output.offset, "ended": output.ended}
