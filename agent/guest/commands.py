"""A command in a guest, by its agent: runs to its end or its timeout; after a timeout nothing of it is left.

Its end is that of its shell. Children that hold its outputs open are ended then, as nobody would hear of the rest;
those that write elsewhere go on.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.drivers.base import Cancelled, Check, wanted
from agent.drivers.capabilities.guest import OUTPUT_LIMIT, GuestExecRequest, GuestExecResult
from agent.guest import command_locks, killing, qga, script
from agent.guest.holders import Holders
from agent.guest.qga import Tick
from agent.guest.replies import QgaExecStatus
from core.contract.errors import DriverFailure, GuestTimeout
from core.contract.texts import COMMAND_BYTES, PATH_BYTES, VALUE_BYTES, too_long, unsendable

# A look costs the guest some milliseconds where it is emulated: a command is looked at less often as it ages.
POLL_SHARE, FIRST_POLL_SECONDS, LAST_POLL_SECONDS = 0.25, 0.003, 0.1
CROWD_SECONDS = 0.02  # for each other command under way, so that looking never takes the guest's time from working
SILENCE_SECONDS = 15.0
LATE_SECONDS = 5.0  # much output takes a busy guest so long before its first byte is there
MAKING_SECONDS = 2.0
ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "LOGNAME": "root",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "USER": "root",
}
SHELLS = ("/bin/bash", "/bin/sh")


def execute(
    channel: Path, request: GuestExecRequest, check: Check = wanted, watch: Tick | None = None
) -> GuestExecResult:
    """Runs it in the guest whose agent is at the end of the channel in that folder.

    `GuestTimeout` once it and its children are dead, wherever they went, and so for the `Cancelled` of `check`;
    `AgentSilent` when the agent falls silent, and then the next sweep sees to that. `watch` is called all the while and
    raises `GuestWent` when there is nothing left to wait for. `DriverFailure` with code "invalid_request" for what
    can't be run at all, like a working directory that isn't there.
    """
    check_texts(request.command, request.working_directory, request.environment)
    began = time.monotonic()
    number, token = command_locks.next_number(channel), secrets.token_hex(16)
    with command_locks.claim(channel, number, token) as claim:
        running = _Running(channel, number, token, watch)
        try:
            status = running.to_its_end(request, began + request.timeout_seconds, check)
        finally:
            if running.is_over:
                claim.unlink(missing_ok=True)
    make_ahead(channel, number)
    return _result(token, request, status, time.monotonic() - began)


def warm_up(channel: Path, timeout: float) -> None:
    """Has the guest make its first cgroups, so that the first command need not wait for them."""
    _make_groups(channel, command_locks.next_number(channel) + 1, 2 * script.AHEAD, timeout)


def make_ahead(channel: Path, number: int, count: int = 1) -> None:
    """Has the guest make the next cgroups, if with these numbers it is time; without them commands are slower."""
    if (first := script.batch(number, count)) is not None:
        with suppress(DriverFailure):
            _make_groups(channel, first, script.AHEAD, MAKING_SECONDS)


def _make_groups(channel: Path, first: int, count: int, timeout: float) -> None:
    qga.ask(channel, "guest-exec", timeout, path="/bin/sh", arg=["-c", script.making(first, count)])


class GuestWent(DriverFailure):
    """The guest restarted or stopped while it was at work: nothing of what ran in it is alive."""

    code = "guest_restarted"


class _Running:
    """One command in the guest; `is_over` once nothing of it can be alive."""

    def __init__(self, channel: Path, number: int, token: str, watch: Tick | None) -> None:
        self.channel, self.number, self.token, self._watch = channel, number, token, watch
        self.pid: int | None = None
        self.is_over = False

    def to_its_end(self, request: GuestExecRequest, deadline: float, check: Check) -> QgaExecStatus:
        """The agent's last word on it. Whatever else comes of it, nothing of it is left alive then."""
        try:
            status = self._result(request, deadline, check)
        except (GuestWent, qga.AgentForbids):
            self.is_over = True
            raise
        except (qga.AgentRefused, qga.AgentRestarted) as error:
            if self.pid is None and isinstance(error, qga.AgentRefused):
                self.is_over = True
                raise
            self._kill()
            raise qga.AgentRefused(f"the guest agent lost the command, which was killed: {error.message}") from None
        except qga.AgentSilent as error:  # which can't kill it either: the sweep does once it is heard again
            text = f"{error.message}; if the command still runs, it is killed as soon as the agent answers"
            raise qga.AgentSilent(text, timeout_seconds=request.timeout_seconds) from None
        except GuestTimeout:
            self._kill()
            text = f"the command did not end within {request.timeout_seconds:g} s and was killed"
            raise GuestTimeout(text, timeout_seconds=request.timeout_seconds) from None
        except Cancelled:
            self._kill()
            raise
        self.is_over = True
        return status

    def _result(self, request: GuestExecRequest, deadline: float, check: Check) -> QgaExecStatus:
        """Starts it and waits; `GuestTimeout` at the deadline."""
        began = time.monotonic()
        self.pid = self._start(request, deadline)
        holders = Holders(self.channel, self.number, self.token, self.pid)
        while (left := deadline - time.monotonic()) > 0:
            age, others = time.monotonic() - began, len(command_locks.paths(self.channel)) - 1
            pause = min(LAST_POLL_SECONDS, max(FIRST_POLL_SECONDS, POLL_SHARE * age))
            time.sleep(min(left, max(pause, CROWD_SECONDS * others)))
            status = self._status(max(LATE_SECONDS, deadline - time.monotonic()))
            if status.exited:
                return status
            check()
            holders.look()
        raise GuestTimeout("the command did not end in time")

    def _kill(self) -> None:
        """`GuestTimeout` that says so if the guest does not confirm it: the file that stays lets it be tried again."""
        try:
            killing.kill(self.channel, self.number, self.token)
            self.is_over = True
            if self.pid is not None:
                self._status(LATE_SECONDS)  # so that the agent drops what it keeps of it
        except qga.AgentRefused:
            return  # an agent that was started anew keeps nothing
        except GuestTimeout:
            text = "the command did not end, and the guest does not confirm that it could be killed"
            raise qga.AgentSilent(text) from None

    def _start(self, request: GuestExecRequest, deadline: float) -> int:
        environment = {**ENVIRONMENT, **(request.environment or {}), script.MARK: self.token}
        text = script.around(request.command, self.number, self.token, request.working_directory)
        try:
            return self._spawn(SHELLS[0], text, environment, deadline, request.stdin)
        except qga.AgentRefused:
            return self._spawn(SHELLS[1], text, environment, deadline, request.stdin)

    def _spawn(
        self, shell: str, text: str, environment: dict[str, str], deadline: float, stdin: bytes | None = None
    ) -> int:
        arguments: dict[str, Any] = {"path": shell, "arg": ["-c", text], "capture-output": True}
        if environment:
            arguments["env"] = [f"{name}={value}" for name, value in environment.items()]
        if stdin is not None:
            arguments["input-data"] = qga.data(stdin)
        seconds = min(killing.left(deadline), SILENCE_SECONDS)
        return int(qga.ask(self.channel, "guest-exec", seconds, self._watch, **arguments).pid)

    def _status(self, seconds: float) -> QgaExecStatus:
        # A command that has ended is told once, and much output takes its time: that is not cut by the deadline.
        silence = min(seconds, SILENCE_SECONDS)
        found: QgaExecStatus = qga.ask(self.channel, "guest-exec-status", silence, self._watch, pid=self.pid)
        return found


def check_texts(command: str, folder: str | None, environment: dict[str, str] | None) -> None:
    """`DriverFailure` with code "invalid_request" for what no process can be given."""
    for what, text, most_bytes in _texts(command, folder, environment or {}):
        if too_long(text, most_bytes):
            raise _unfit(f"{what} is over {most_bytes} bytes: send long data by stdin")
        if (bad := unsendable(text)) is not None:
            raise _unfit(f"{what} contains {bad}, which can't be sent to a guest: send it by stdin, in base64")
    for name in environment or {}:
        if not name or "=" in name or unsendable(name):
            raise _unfit(f"'{name}' is not a valid variable name")


def _texts(command: str, folder: str | None, environment: dict[str, str]) -> Iterator[tuple[str, str, int]]:
    yield "the command", command, COMMAND_BYTES
    yield "the working directory", folder or "", PATH_BYTES
    for name, value in environment.items():
        yield f"the variable '{name[:80]}'", value, VALUE_BYTES


def _unfit(why: str) -> DriverFailure:
    return DriverFailure(why, code="invalid_request")


def no_folder(path: str) -> DriverFailure:
    """What is said of a working directory that isn't there."""
    text = f"the working directory '{path}' can't be entered in the guest: create it first"
    return DriverFailure(text, code="invalid_request")


def _result(token: str, request: GuestExecRequest, status: QgaExecStatus, seconds: float) -> GuestExecResult:
    out, err = status.out_data, status.err_data
    code = status.exitcode if status.signal is None else 128 + status.signal
    if script.missed_folder(token, code, err):
        raise no_folder(request.working_directory or "")
    cut = max(len(out), len(err)) > OUTPUT_LIMIT
    truncated = cut or status.out_truncated or status.err_truncated
    return GuestExecResult(code, out[:OUTPUT_LIMIT], err[:OUTPUT_LIMIT], seconds, truncated)
