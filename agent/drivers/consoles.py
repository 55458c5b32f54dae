"""A VM's serial console: a relay beside the VM's process keeps its log and takes what is typed."""

from __future__ import annotations

import sys
from pathlib import Path

from agent.drivers.base import Console
from agent.system import process
from core import filelocks

PROGRAM = Path(__file__).with_name("relay.py")
# As in relay.py, which is a program and imports what Linux has alone.
LOCK, LOG, KEYBOARD = "console.lock", "console.log", "keyboard.sock"
SAID = "relay.log"


def console(folder: Path, port: Path) -> Console:
    """Where the console is of the VM in that folder, whose serial port is that socket.

    A VM that runs without a relay, as one that someone else has started, gets its own now.
    """
    if sys.platform != "linux":
        return Console(folder / LOG, None)
    if port.exists():
        attend(folder, port)
    return Console(folder / LOG, folder / KEYBOARD)


def attend(folder: Path, port: Path) -> None:
    """Begins a relay unless there is one. It waits for the VM's port for a while, and ends with the VM."""
    if sys.platform != "linux" or attended(folder):
        return
    # -I and -S: a relay for each VM is to be small, and needs nothing but Python.
    # By a short name: a unix socket's address holds 107 bytes.
    name = port.relative_to(folder) if port.is_relative_to(folder) else port
    command = [sys.executable, "-I", "-S", str(PROGRAM), str(name)]
    (folder / LOCK).touch()  # not by the relay: it may begin when the folder is about to be removed
    with process.spawn(command, folder=folder, log=folder / SAID):
        return


def attended(folder: Path) -> bool:
    """Whether there is one."""
    return filelocks.is_held(folder / LOCK)
