"""The agent with the VirtualBox driver runs where VirtualBox's users are: nothing of Linux's alone is imported."""

from __future__ import annotations

import subprocess
import sys

LINUX_ONLY = ("fcntl", "grp", "pwd", "resource", "termios", "pty", "tty", "syslog", "pyroute2")
SCRIPT = """
import importlib.abc, sys
import celery.apps.worker, kombu.transport.redis, psutil, redis  # which choose what they import by the system
from pathlib import Path

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

for name in {names!r}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Blocked())
import agent.__main__
from agent.drivers.base import DriverFolders
from agent.drivers.registry import Drivers
print(Drivers(["{driver}"], DriverFolders(Path("vms"), Path("images"))).get("{driver}").name)
"""


def run(driver: str) -> subprocess.CompletedProcess[str]:
    """A fresh Python that has none of those modules loads what an agent with that driver loads."""
    script = SCRIPT.format(names=LINUX_ONLY, driver=driver)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)


def test_an_agent_with_virtualbox_needs_nothing_of_linux() -> None:
    done = run("virtualbox")
    assert (done.stdout, done.returncode) == ("virtualbox\n", 0), done.stderr


def test_the_modules_are_really_blocked() -> None:
    done = run("qemu")  # which has every right to them
    assert "No module named 'fcntl'" in done.stderr
