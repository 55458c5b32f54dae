"""Machines that become hosts of a fleet: with nothing in their environment but folders of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path


class Machine:
    """One that is no host yet."""

    def __init__(self, folder: Path, images: Path, hypervisor: str = "fake", **more: str) -> None:
        self.settings, self.home, self._said = folder / "etc" / "agent.json", folder / "state", folder / "said"
        own = {"HOME": str(folder), "CORRAL_FAKE": "1", "CORRAL_IMAGES": str(images)}
        self._environment = {"PATH": os.environ["PATH"], **own, **more}
        self._kept = [f"--settings={self.settings}", f"--home={self.home}", f"--hypervisor={hypervisor}"]
        self._ended = ExitStack()

    def run(self, *words: str, code: int = 0) -> str:
        """One command of the agent's; what it says."""
        command = [sys.executable, "-m", "agent", *words]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr
        return done.stderr

    def join(self, token: str, *, code: int = 0) -> str:
        return self.run("join", token, *self._kept, code=code)

    def begin_to_join(self, token: str) -> subprocess.Popen[bytes]:
        """The same, and not waited for."""
        return self.begin("agent", "join", token, *self._kept)

    def serve(self, *options: str) -> subprocess.Popen[bytes]:
        """The agent, told nothing but where its settings are."""
        return self.begin("agent", f"--settings={self.settings}", *options)

    def begin(self, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """A command that ends with the test at the latest."""
        command = [sys.executable, "-m", *words]
        with self._said.open("ab") as said:
            process = subprocess.Popen(command, env=environment or self._environment, stdout=said, stderr=said)
        self._ended.callback(process.wait)
        self._ended.callback(process.kill)
        return process

    def said(self) -> str:
        """What all of those have said so far."""
        return self._said.read_text()

    def close(self) -> None:
        self._ended.close()
