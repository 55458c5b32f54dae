"""Another machine, as far as its files go: /etc, /opt, /run and /var/lib of its own, in a mount namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

_OWN = ("etc", "opt", "run", "var/lib")
# Stands for systemctl on a machine without systemd: it writes down what it was asked.
_SYSTEMCTL = '#!/bin/sh\necho "$@" >>/run/asked\n'


class Machine:
    """Commands see its own folders; what they leave there stays until the test's end. `root` has them from outside."""

    def __init__(self, root: Path) -> None:
        self.root, self._ended = root, ExitStack()
        for name in ("opt", "run/systemd/system", "var/lib", "bin"):
            (root / name).mkdir(parents=True)
        shutil.copytree("/etc", root / "etc", symlinks=True, ignore=lambda *_: {"corral", "systemd"})
        (root / "etc" / "systemd" / "system").mkdir(parents=True)
        (root / "bin" / "systemctl").write_text(_SYSTEMCTL)
        (root / "bin" / "systemctl").chmod(0o755)

    def begin(self, *command: str, given: str = "", **environment: str) -> subprocess.Popen[str]:
        """A command there, with that on its standard input; it ends with the test at the latest."""
        binds = "".join(f"/usr/bin/mount --bind '{self.root / name}' /{name} && " for name in _OWN)
        # In a process group of its own, so that all of it can be killed.
        process = subprocess.Popen(
            ["/usr/bin/unshare", "--mount", "--", "/bin/sh", "-c", f'{binds}exec "$@"', "sh", *command],
            env={"PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", "HOME": "/root", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        self._ended.callback(process.stdout.close)
        self._ended.callback(process.wait)
        self._ended.callback(process.kill)
        assert process.stdin is not None
        process.stdin.write(given)
        process.stdin.close()
        return process

    def run(self, *command: str, given: str = "", code: int = 0, **environment: str) -> str:
        """A command there to its end; what it said."""
        process = self.begin(*command, given=given, **environment)
        assert process.stdout is not None
        said = process.stdout.read()
        assert process.wait() == code, said
        return said

    def asked(self) -> list[str]:
        """What systemd was asked."""
        file = self.root / "run" / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def close(self) -> None:
        self._ended.close()
