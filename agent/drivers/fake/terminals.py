"""Terminals of the fake guest: what is typed is shown, and a shell runs each line of it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from agent.drivers.capabilities.execs import Size
from agent.drivers.fake.execs import NEVER, SHELL, ExecPlan, keep, read, written
from agent.drivers.fake.guest import Shell
from agent.drivers.fake.tree import Tree
from core.contract.errors import DriverFailure
from core.contract.messages import JSON, VmSpec


def type_in(vms: Path, vm: VmSpec, exec_id: str, data: bytes) -> None:
    """See `Terminals`."""
    plan = _open(vms, vm, exec_id)
    for key in data.decode("latin-1"):
        if plan.ends_at > time.time():
            plan = _pressed(plan, key, Tree(vms / vm.id))
    keep(vms, vm, plan)


def resize(vms: Path, vm: VmSpec, exec_id: str, size: Size) -> None:
    """See `Terminals`."""
    plan = _open(vms, vm, exec_id)
    keep(vms, vm, replace(plan, size=size))


def _open(vms: Path, vm: VmSpec, exec_id: str) -> ExecPlan:
    plan = read(vms, vm, exec_id)
    if not plan.exec.tty:
        raise DriverFailure(f"execution '{exec_id}' was begun without a terminal", code="not_a_terminal")
    return plan


def _pressed(plan: ExecPlan, key: str, files: Tree) -> ExecPlan:
    match key:
        case "\x03":
            return _interrupted(plan)
        case "\x04" if _reads(plan) and not plan.line:
            return replace(plan, ends_at=max(time.time(), plan.busy_until))
        case "\r" | "\n":
            plan = _shown(plan, time.time(), b"\r\n")
            return _ran(replace(plan, line=""), plan.line, files) if _reads(plan) else plan
        case _:
            return replace(_shown(plan, time.time(), key.encode("latin-1")), line=plan.line + key)


def _reads(plan: ExecPlan) -> bool:
    return plan.exec.command == SHELL


def _interrupted(plan: ExecPlan) -> ExecPlan:
    """What runs in the foreground ends; a shell goes on."""
    now = time.time()
    plan = _shown(replace(plan, writes=[each for each in plan.writes if each["at"] <= now], line=""), now, b"^C\r\n")
    if not _reads(plan):
        return replace(plan, ends_at=now, exit_code=130)
    return _shown(replace(plan, busy_until=now, ends_at=NEVER), now, b"$ ")


def _ran(plan: ExecPlan, line: str, files: Tree) -> ExecPlan:
    at = max(time.time(), plan.busy_until)
    writes = list[JSON]()

    def sleep(seconds: float) -> None:
        nonlocal at
        at += seconds

    def write(_: str, data: bytes) -> None:
        writes.append(written(at, "stdout", data.replace(b"\n", b"\r\n")))

    shell = Shell(files, sleep, write, size=plan.size)
    code = shell.run(line) if line.strip() else 0
    plan = replace(plan, writes=[*plan.writes, *writes], busy_until=at, exit_code=code)
    return replace(plan, ends_at=at) if shell.exited else _shown(plan, at, b"$ ")


def _shown(plan: ExecPlan, at: float, data: bytes) -> ExecPlan:
    return replace(plan, writes=[*plan.writes, written(at, "stdout", data)])
