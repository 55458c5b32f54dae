"""The VMs of a fleet that run as processes of their own, whether or not an agent looks after them."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.contract import pidfiles

_PIPE = "events.in"  # of a monitor that the QEMU driver keeps for the record of events
_ASK_EVERY = 3.0  # a guest that boots has nobody yet to hear the button


@dataclass(frozen=True)
class RunningVm:
    """A QEMU process and the VM that it runs."""

    process: psutil.Process
    host: str
    name: str
    folder: Path

    def press_power_button(self) -> bool:
        """Asks its guest to shut down; False when QEMU has no pipe that listens to that."""
        try:
            pipe = os.open(self.folder / _PIPE, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # there is none, or nobody reads it
            return False
        try:
            os.write(pipe, b'{"execute": "system_powerdown"}\n')
        finally:
            os.close(pipe)
        return True


def running(home: Path) -> list[RunningVm]:
    """By host and name."""
    found = [_vm_of(pid_file) for pid_file in home.glob("hosts/*/vms/*/qemu.pid")]
    return sorted((vm for vm in found if vm is not None), key=lambda vm: (vm.host, vm.name))


def _vm_of(pid_file: Path) -> RunningVm | None:
    pid = pidfiles.holder(pid_file)
    if pid is None:
        return None
    try:
        return RunningVm(psutil.Process(pid), pid_file.parts[-4], _name(pid_file.parent), pid_file.parent)
    except psutil.NoSuchProcess:
        return None


def _name(folder: Path) -> str:
    try:
        return str(json.loads((folder / "vm.json").read_text())["spec"]["name"])
    except (OSError, ValueError, LookupError):
        return folder.name


def shut_down(vms: list[RunningVm], patience: float = 30.0) -> None:
    """Asks the guests first, and ends the processes that are still there after `patience` seconds."""
    deadline = time.monotonic() + patience
    while asked := [vm.process for vm in vms if vm.process.is_running() and vm.press_power_button()]:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        psutil.wait_procs(asked, timeout=min(_ASK_EVERY, left))
    end(vms)


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
