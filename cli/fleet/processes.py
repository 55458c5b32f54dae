"""One child process: it ends with its parent, is logged, and is stopped in time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cli.fleet import files

# The kernel sends the death signal when the *thread* that started a child ends, so one that lasts starts them all.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


class StartFailed(Exception):
    """Something of the fleet did not come up; the message says what, and what to do."""


class Process:
    """A command with its log. `death_signal` is what the kernel sends it should this process be killed."""

    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.environment = environment
        self.folder = folder
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process itself, also its group's id; an error when it was never started."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        return self._child is not None and self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, or before it ever did."""
        return None if self._child is None else self._child.poll()

    def start(self) -> None:
        """Starts it, unless it runs."""
        if not self.alive:
            files.private_folder(self.log.parent)
            self._child = _SPAWNER.submit(self._spawn).result()

    def _spawn(self) -> subprocess.Popen[bytes]:
        die_with_us = ["setpriv", f"--pdeathsig={self.death_signal.name}", "--"]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*die_with_us, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,  # a Ctrl-C in the terminal is ours alone; and `kill` reaches its children
            )

    def ask_to_stop(self) -> None:
        """Sends the stop signal and returns at once."""
        if self._child is not None and self.alive:
            self._child.send_signal(self.stop_signal)

    def stop(self, grace: float = 10.0) -> None:
        """Asks it to stop, and kills it when it has not after `grace` seconds."""
        self.ask_to_stop()
        if not self.ended_within(grace):
            self.kill()

    def kill(self) -> None:
        """kill -9 of the process and of its children in its group, and waits until it is gone."""
        if self._child is None:
            return
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._child.wait()

    def ended_within(self, seconds: float) -> bool:
        """Waits that long at most; whether it has ended."""
        if self._child is None:
            return True
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def restart(self) -> None:
        """Stops it and starts it again."""
        self.stop()
        self.start()


def stop_all(processes: Sequence[Process], grace: float) -> None:
    """Asks all of them to stop, and kills those that have not after `grace` seconds."""
    for process in processes:
        process.ask_to_stop()
    deadline = time.monotonic() + grace
    for process in processes:
        if not process.ended_within(max(0.0, deadline - time.monotonic())):
            process.kill()


def occupants(folder: Path, program: str) -> list[int]:
    """The processes called `program` that work in that folder: by its identity, as other mounts may name it anew."""
    try:
        wanted = folder.stat()
    except FileNotFoundError:
        return []
    return [pid for pid in _pids() if _works_in(pid, wanted, program)]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _works_in(pid: int, folder: os.stat_result, program: str) -> bool:
    try:
        here = Path(f"/proc/{pid}/cwd").stat()
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:  # gone meanwhile, or someone else's
        return False
    return (here.st_dev, here.st_ino) == (folder.st_dev, folder.st_ino) and name == program


def clear_out(folder: Path, program: str, polite: signal.Signals, grace: float = 10.0) -> None:
    """Ends what a killed supervisor left at work in that folder: first `polite`, then, after `grace` s, by force."""
    for number, seconds in ((polite, grace), (signal.SIGKILL, 5.0)):
        for pid in occupants(folder, program):
            _send(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not occupants(folder, program):
                return
            time.sleep(0.05)
    raise StartFailed(f"{program} still runs in {folder} and can't be ended: {occupants(folder, program)}")


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
