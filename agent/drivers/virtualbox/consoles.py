"""A VM's serial console: a relay beside the VM's process keeps its log and takes what is typed."""

from __future__ import annotations

import sys
from pathlib import Path

from agent import process
from agent.drivers.base import Console
from agent.drivers.virtualbox.folder import Folder

PROGRAM = Path(__file__).with_name("relay.py")
# As in relay.py, which is a program and imports what Linux has alone.
LOCK, LOG, KEYBOARD = "console.lock", "console.log", "keyboard.sock"
SAID = "relay.log"


def console(folder: Folder) -> Console:
    """Where the console is; a VM that someone else has started gets its relay now."""
    if sys.platform != "linux":
        return Console(folder.path / LOG, None)
    if folder.console.exists():
        attend(folder)
    return Console(folder.path / LOG, folder.path / KEYBOARD)


def attend(folder: Folder) -> None:
    """Begins a relay unless there is one. It waits for the VM's port for a while, and ends with the VM."""
    if sys.platform != "linux" or _attended(folder):
        return
    # -I and -S: a relay for each VM is to be small, and needs nothing but Python.
    command = [sys.executable, "-I", "-S", str(PROGRAM), str(folder.console)]
    with process.spawn(command, folder=folder.path, log=folder.path / SAID):
        return


def _attended(folder: Folder) -> bool:
    import fcntl

    with (folder.path / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
