"""The accelerator of QEMU on this host: KVM if it really runs a guest, else none."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from agent.drivers.local import trial
from agent.drivers.qemu.command import PROGRAM
from agent.system import process
from agent.system.users import SystemUser, Users, group_of_device
from core import settings
from core.contract.errors import DriverFailure

VERSION_SECONDS = 60.0  # a busy machine takes its time to load a program, and is none without QEMU for that


def version() -> str:
    """QEMU's, like "7.2.22"; `process.MissingProgram` without one."""
    return process.run([PROGRAM, "--version"], VERSION_SECONDS).split("version", 1)[1].split()[0]


def choose(store: Path, users: Users | None) -> str:
    """ "kvm" or "tcg"."""
    if not os.access(trial.DEVICE, os.R_OK | os.W_OK):
        return "tcg"
    return (
        "kvm" if trial.passed("qemu", process.path_of(PROGRAM), store, lambda kernel: _boots(kernel, users)) else "tcg"
    )


def _boots(kernel: Path, users: Users | None) -> bool:
    machine = ["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-m", "256"]
    guest = ["-serial", "stdio", "-no-reboot", "-kernel", kernel.name, "-append", trial.CMDLINE]
    seconds = settings.load().kvm_trial_seconds
    with tempfile.TemporaryDirectory(prefix="corral-") as name:
        folder = Path(name)
        (folder / kernel.name).write_bytes(kernel.read_bytes())
        first: list[str] = []
        if users is not None:
            user = SystemUser(users.first)
            user.may_enter(folder)
            user.own(folder / kernel.name)
            first = user.command(*group_of_device(trial.DEVICE, users))
        try:
            said = process.run(
                [*first, PROGRAM, *machine, "-accel", "kvm", "-cpu", "max", *guest], seconds, folder=folder
            )
        except DriverFailure:
            return False
    return trial.LAST_WORDS in said
