"""Runs a command line in a guest by its agent: to its end, or to its timeout and then nothing of it is left."""

from __future__ import annotations

import base64
import fcntl
import os
import secrets
import time
from pathlib import Path
from typing import Any

from agent.drivers.base import ExecRequest, ExecResult
from agent.guest import qga, script
from core.contract.errors import DriverFailure, GuestTimeout

COUNTER = "commands"
OUTPUT_LIMIT = 4 * 1024 * 1024  # of each of the two; what the guest agent itself keeps is 16 MB
COMMAND_LIMIT = 100_000  # Linux takes 128 KiB in one argument
# A look costs the guest about a millisecond where it is emulated, so a command is looked at less often as it ages.
POLL_SHARE, FIRST_POLL_SECONDS, LAST_POLL_SECONDS = 0.15, 0.003, 0.1
SILENCE_SECONDS = 15.0
KILL_SECONDS = 15.0
ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "LOGNAME": "root",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "USER": "root",
}
SHELLS = ("/bin/bash", "/bin/sh")


def execute(channel: Path, request: ExecRequest) -> ExecResult:
    """Runs it in the guest whose agent is at the end of the channel in that folder.

    `GuestTimeout` once it and its children are dead, wherever they went; `DriverFailure` with code "invalid_request"
    for what can't be run at all, like a working directory that isn't there.
    """
    _check(request)
    began = time.monotonic()
    deadline = began + request.timeout_seconds
    running = _Running(channel, _next_number(channel), secrets.token_hex(16))
    try:
        status = running.result(request, deadline)
    except GuestTimeout:
        running.kill()
        raise GuestTimeout(f"the command did not end within {request.timeout_seconds:g} s and was killed") from None
    return _result(running.token, request, status, time.monotonic() - began)


def warm_up(channel: Path, timeout: float) -> None:
    """Has the guest make its first cgroups, so that the first command need not wait for them."""
    text = script.making(_next_number(channel) + 1)
    qga.ask(channel, "guest-exec", timeout, path="/bin/sh", arg=["-c", text])


class _Running:
    """One command in the guest."""

    def __init__(self, channel: Path, number: int, token: str) -> None:
        self.channel, self.number, self.token = channel, number, token
        self.pid: int | None = None

    def result(self, request: ExecRequest, deadline: float) -> dict[str, Any]:
        """Starts it and returns the agent's last word on it; `GuestTimeout` at the deadline."""
        began = time.monotonic()
        self.pid = self._start(request, deadline)
        while (left := deadline - time.monotonic()) > 0:
            age = time.monotonic() - began
            time.sleep(min(left, LAST_POLL_SECONDS, max(FIRST_POLL_SECONDS, POLL_SHARE * age)))
            status = self._status()
            if status["exited"]:
                return status
        raise GuestTimeout("the command did not end in time")

    def kill(self) -> None:
        """Kills every process of it; `GuestTimeout` that says so if the guest does not confirm that."""
        deadline = time.monotonic() + KILL_SECONDS
        killer = ExecRequest(script.killing(self.number, self.token), KILL_SECONDS)
        try:
            pid = self._spawn("/bin/sh", killer.command, {}, deadline)
            while not (status := self._ask("guest-exec-status", deadline, pid=pid))["exited"]:
                time.sleep(0.02)
            if status.get("exitcode") == 0:
                self._forget(deadline)
                return
        except GuestTimeout:
            pass  # told below, like a killer that failed
        raise GuestTimeout("the command did not end in time, and the guest does not confirm that it could be killed")

    def _start(self, request: ExecRequest, deadline: float) -> int:
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
        return int(self._ask("guest-exec", deadline, **arguments)["pid"])

    def _status(self) -> dict[str, Any]:
        # A command that has ended is told once, and much output takes its time: that is not cut by the deadline.
        found: dict[str, Any] = qga.ask(self.channel, "guest-exec-status", SILENCE_SECONDS, pid=self.pid)
        return found

    def _ask(self, command: str, deadline: float, **arguments: Any) -> Any:
        left = deadline - time.monotonic()
        if left <= 0:
            raise GuestTimeout("the guest agent did not answer in time")
        return qga.ask(self.channel, command, min(left, SILENCE_SECONDS), **arguments)

    def _forget(self, deadline: float) -> None:
        """Asks once more, so that the agent drops what it keeps of the killed command."""
        if self.pid is not None:
            self._ask("guest-exec-status", deadline, pid=self.pid)


def _check(request: ExecRequest) -> None:
    environment = request.environment or {}
    if len(request.command.encode()) > COMMAND_LIMIT:
        raise DriverFailure(f"the command is over {COMMAND_LIMIT} bytes: send it by stdin", code="invalid_request")
    texts = [request.command, request.working_directory or "", *environment, *environment.values()]
    if any("\0" in text for text in texts):
        raise DriverFailure("commands, paths and variables can't hold a zero byte", code="invalid_request")
    for name in environment:
        if not name or "=" in name:
            raise DriverFailure(f"'{name}' can't be a variable's name", code="invalid_request")


def _result(token: str, request: ExecRequest, status: dict[str, Any], seconds: float) -> ExecResult:
    out, err = (base64.b64decode(status.get(key, "")) for key in ("out-data", "err-data"))
    code = 128 + status["signal"] if "signal" in status else status.get("exitcode", 0)
    if script.missed_folder(token, code, err):
        raise DriverFailure(
            f"the working directory '{request.working_directory}' can't be entered in the guest: make it first",
            code="invalid_request",
        )
    cut = max(len(out), len(err)) > OUTPUT_LIMIT
    truncated = cut or bool(status.get("out-truncated") or status.get("err-truncated"))
    return ExecResult(code, out[:OUTPUT_LIMIT], err[:OUTPUT_LIMIT], seconds, truncated)


def _next_number(channel: Path) -> int:
    """A number that no command of this VM has had; the counter is a file beside the channel."""
    counter = os.open(channel / COUNTER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(counter, fcntl.LOCK_EX)
        number = int(os.read(counter, 20) or b"0") + 1
        os.pwrite(counter, str(number).encode(), 0)
    finally:
        os.close(counter)
    return number
