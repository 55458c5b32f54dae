"""Executions of the fake driver: no command runs; the output and its times are computed at the beginning."""

from __future__ import annotations

import base64
import json
import time
import zlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from agent.drivers.capabilities.execs import KEPT_BYTES, MOST_RUNNING, SIGNALS, Detached, ExecOutput, GuestExec, Size
from agent.drivers.fake import state
from agent.drivers.fake.guest import Shell
from agent.drivers.fake.state import FakeVmRecord
from agent.drivers.fake.tree import Tree
from core.contract.errors import DriverFailure
from core.contract.messages import JSON, VmSpec, decode

SHELL = "sh"
"""The one command that reads what is typed on a terminal (terminals.py)."""
NEVER = 1e11
NUMBERS = {"HUP": 1, "INT": 2, "QUIT": 3, "KILL": 9, "USR1": 10, "USR2": 12, "TERM": 15}
DEAF = ("USR1", "USR2")


@dataclass(frozen=True)
class ExecPlan:
    """An execution as it will go. `writes`: {"at", "stream", "data_b64"}, compressed; `boot`: when its VM was started.

    `size`: of its terminal, if it has one, on which `line` is typed and something runs until `busy_until`.
    """

    exec: GuestExec
    ends_at: float
    exit_code: int
    boot: float
    writes: list[JSON] = field(default_factory=list)
    end: str = "exited"
    size: Size | None = None
    line: str = ""
    busy_until: float = 0.0

    def now(self, vm: FakeVmRecord | None) -> GuestExec:
        """The command as far as it has come."""
        if time.time() >= self.ends_at:
            return replace(self.exec, state=self.end, exit_code=self.exit_code, ended_at=self.ends_at)
        if vm is None or vm.started_at != self.boot:
            return replace(self.exec, state="lost", ended_at=time.time())
        return self.exec


def begin(vms: Path, vm: VmSpec, wanted: Detached) -> GuestExec:
    """Reckons how it goes; what it writes to files is written at once."""
    path = _path(vms, vm, wanted.id)
    if path.exists():
        return get(vms, vm, wanted.id)
    if sum(each.state == "running" for each in all_of(vms, vm)) >= MOST_RUNNING:
        raise DriverFailure(f"{MOST_RUNNING} executions run in this VM already: end one first", code="too_many_execs")
    machine = state.of(vms, vm)
    plan = _planned(machine, wanted, Tree(vms / vm.id))
    path.parent.mkdir(exist_ok=True)
    state.write_whole(path, json.dumps(asdict(plan)))
    return plan.now(machine)


def get(vms: Path, vm: VmSpec, exec_id: str) -> GuestExec:
    """As it is now."""
    return read(vms, vm, exec_id).now(state.read(vms, vm.id))


def all_of(vms: Path, vm: VmSpec) -> list[GuestExec]:
    """Newest first."""
    found = [get(vms, vm, path.stem) for path in _path(vms, vm, "x").parent.glob("*.json")]
    return sorted(found, key=lambda each: each.started_at, reverse=True)


def output(vms: Path, vm: VmSpec, exec_id: str, stream: str, offset: int, limit: int) -> ExecOutput:
    """Its newest output is kept, as a real driver keeps it."""
    plan, until = read(vms, vm, exec_id), time.time()
    wrote = [each for each in plan.writes if each["stream"] == stream and each["at"] <= min(until, plan.ends_at)]
    everything = b"".join(zlib.decompress(base64.b64decode(each["data_b64"])) for each in wrote)
    offset = max(offset, len(everything) - KEPT_BYTES)
    data = everything[offset : offset + limit]
    ended = plan.now(state.read(vms, vm.id)).state != "running"
    return ExecOutput(data, offset, ended and offset + len(data) >= len(everything))


def signal(vms: Path, vm: VmSpec, exec_id: str, name: str) -> GuestExec:
    """Ends it now, but for those that are for users."""
    plan = read(vms, vm, exec_id)
    plan = replace(plan, exec=replace(plan.exec, signal=name))
    if name in SIGNALS and name not in DEAF:
        plan = replace(plan, ends_at=time.time(), exit_code=128 + NUMBERS[name], end="killed")
    keep(vms, vm, plan)
    return get(vms, vm, exec_id)


def forget(vms: Path, vm: VmSpec, exec_id: str) -> None:
    """Removes it."""
    _path(vms, vm, exec_id).unlink(missing_ok=True)


def keep(vms: Path, vm: VmSpec, plan: ExecPlan) -> None:
    """What it will do from now on."""
    state.write_whole(_path(vms, vm, plan.exec.id), json.dumps(asdict(plan)))


def written(at: float, stream: str, data: bytes) -> JSON:
    """One of a plan's writes."""
    return {"at": at, "stream": stream, "data_b64": base64.b64encode(zlib.compress(data)).decode()}


def _planned(machine: FakeVmRecord, wanted: Detached, files: Tree) -> ExecPlan:
    began = at = time.time()
    writes = list[JSON]()

    def sleep(seconds: float) -> None:
        nonlocal at
        at += seconds

    def write(stream: str, data: bytes) -> None:
        on_terminal = ("stdout", data.replace(b"\n", b"\r\n"))
        writes.append(written(at, *(on_terminal if wanted.tty else (stream, data))))

    if wanted.tty and wanted.command == SHELL:
        write("stdout", b"$ ")
        return ExecPlan(_made(wanted, began), NEVER, 0, machine.started_at or 0.0, writes, size=wanted.tty)
    code = Shell(files, sleep, write, wanted.environment or {}, wanted.stdin or b"", wanted.tty).run(wanted.command)
    made = _made(wanted, began)
    boot = machine.started_at or 0.0
    if wanted.timeout_seconds is not None and at - began > wanted.timeout_seconds:
        return ExecPlan(made, began + wanted.timeout_seconds, 137, boot, writes, "timed_out", size=wanted.tty)
    return ExecPlan(made, at, code, boot, writes, size=wanted.tty)


def _made(wanted: Detached, began: float) -> GuestExec:
    return GuestExec(
        id=wanted.id,
        command=wanted.command,
        started_at=began,
        name=wanted.name,
        timeout_seconds=wanted.timeout_seconds,
        working_directory=wanted.working_directory,
        tty=wanted.tty is not None,
    )


def read(vms: Path, vm: VmSpec, exec_id: str) -> ExecPlan:
    """What it will do, as far as that is known."""
    try:
        return decode(ExecPlan, _path(vms, vm, exec_id).read_bytes())
    except FileNotFoundError:
        raise DriverFailure(f"execution '{exec_id}' not found", code="exec_not_found") from None


def _path(vms: Path, vm: VmSpec, exec_id: str) -> Path:
    return vms / vm.id / "execs" / f"{exec_id}.json"
