"""What accelerates QEMU on this host: KVM where it really runs a guest, else nothing."""

from __future__ import annotations

import os
from pathlib import Path

from agent import process
from agent.drivers.local import trial
from agent.drivers.qemu.command import PROGRAM
from core import settings
from core.contract.errors import DriverFailure


def version() -> str:
    """QEMU's, like "7.2.22"; `process.MissingProgram` without one."""
    return process.run([PROGRAM, "--version"], 10.0).split("version", 1)[1].split()[0]


def choose(store: Path) -> str:
    """ "kvm" or "tcg"."""
    if not os.access(trial.DEVICE, os.R_OK | os.W_OK):
        return "tcg"
    return "kvm" if trial.passed("qemu", process.path_of(PROGRAM), store, _boots) else "tcg"


def _boots(kernel: Path) -> bool:
    machine = ["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-m", "256"]
    guest = ["-serial", "stdio", "-no-reboot", "-kernel", str(kernel), "-append", trial.CMDLINE]
    seconds = settings.load().kvm_trial_seconds
    try:
        said = process.run([PROGRAM, *machine, "-accel", "kvm", "-cpu", "max", *guest], seconds)
    except DriverFailure:
        return False
    return trial.LAST_WORDS in said
