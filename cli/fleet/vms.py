"""The VMs of a fleet that run as processes of their own, whether or not an agent looks after them."""

from __future__ import annotations

import fcntl
import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import psutil

_LOCK = struct.Struct("hhqqi")  # struct flock on 64-bit Linux


@dataclass(frozen=True)
class RunningVm:
    """A QEMU process and the VM that it runs."""

    process: psutil.Process
    host: str
    name: str


def running(home: Path) -> list[RunningVm]:
    """By host and name."""
    found = [_vm_of(pid_file) for pid_file in home.glob("hosts/*/vms/*/qemu.pid")]
    return sorted((vm for vm in found if vm is not None), key=lambda vm: (vm.host, vm.name))


def _vm_of(pid_file: Path) -> RunningVm | None:
    pid = _holder(pid_file)
    if pid is None:
        return None
    try:
        return RunningVm(psutil.Process(pid), pid_file.parts[-4], _name(pid_file.parent))
    except psutil.NoSuchProcess:
        return None


def _holder(pid_file: Path) -> int | None:
    """QEMU keeps a lock on its pid file for as long as it lives: a number without the lock is a dead one's."""
    try:
        with pid_file.open("rb") as file:
            query = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            held = _LOCK.unpack(fcntl.fcntl(file, fcntl.F_OFD_GETLK, query))[0] != fcntl.F_UNLCK
            text = file.read(20).strip()
    except FileNotFoundError:
        return None
    return int(text) if held and text.isdigit() else None


def _name(folder: Path) -> str:
    try:
        return str(json.loads((folder / "vm.json").read_text())["spec"]["name"])
    except (OSError, ValueError, LookupError):
        return folder.name


def end(vms: list[RunningVm], grace: float = 10.0) -> None:
    """Ends the processes: first in order (QEMU writes its disks out), then, after `grace` seconds, by force."""
    processes = [vm.process for vm in vms]
    for process in processes:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=grace)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=5)
