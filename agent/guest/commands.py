"""Runs a command line in a guest by its agent: to its end, or to its timeout and then nothing of it is left."""

from __future__ import annotations

import base64
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.drivers.base import Cancelled, Check, wanted
from agent.drivers.groups.guest import OUTPUT_LIMIT, ExecRequest, ExecResult
from agent.guest import claims, killing, qga, script
from core.contract.errors import DriverFailure, GuestTimeout

COMMAND_LIMIT = 100_000  # Linux takes 128 KiB in one argument
# A look costs the guest some milliseconds where it is emulated: a command is looked at less often as it ages.
POLL_SHARE, FIRST_POLL_SECONDS, LAST_POLL_SECONDS = 0.25, 0.003, 0.1
CROWD_SECONDS = 0.02  # for each other command under way, so that looking never takes the guest's time from working
SILENCE_SECONDS = 15.0
MAKING_SECONDS = 2.0
ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "LOGNAME": "root",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "USER": "root",
}
SHELLS = ("/bin/bash", "/bin/sh")


def execute(channel: Path, request: ExecRequest, check: Check = wanted) -> ExecResult:
    """Runs it in the guest whose agent is at the end of the channel in that folder.

    `GuestTimeout` once it and its children are dead, wherever they went, and so for the `Cancelled` of `check`;
    `DriverFailure` with code "invalid_request" for what can't be run at all, like a working directory that isn't there.
    """
    check_texts(request.command, request.working_directory, request.environment)
    began = time.monotonic()
    number, token = claims.next_number(channel), secrets.token_hex(16)
    with claims.claim(channel, number, token) as claim:
        running = _Running(channel, number, token)
        try:
            status = running.to_its_end(request, began + request.timeout_seconds, check)
        finally:
            if running.is_over:
                claim.unlink(missing_ok=True)
    make_ahead(channel, number)
    return _result(token, request, status, time.monotonic() - began)


def warm_up(channel: Path, timeout: float) -> None:
    """Has the guest make its first cgroups, so that the first command need not wait for them."""
    _make_groups(channel, claims.next_number(channel) + 1, 2 * script.AHEAD, timeout)


def make_ahead(channel: Path, number: int, count: int = 1) -> None:
    """Has the guest make the next cgroups, if with these numbers it is time; without them commands are slower."""
    if (first := script.batch(number, count)) is not None:
        with suppress(DriverFailure):
            _make_groups(channel, first, script.AHEAD, MAKING_SECONDS)


def _make_groups(channel: Path, first: int, count: int, timeout: float) -> None:
    qga.ask(channel, "guest-exec", timeout, path="/bin/sh", arg=["-c", script.making(first, count)])


class _Running:
    """One command in the guest; `is_over` once nothing of it can be alive."""

    def __init__(self, channel: Path, number: int, token: str) -> None:
        self.channel, self.number, self.token = channel, number, token
        self.pid: int | None = None
        self.is_over = False

    def to_its_end(self, request: ExecRequest, deadline: float, check: Check) -> dict[str, Any]:
        """The agent's last word on it. Whatever else comes of it, nothing of it is left alive then."""
        try:
            status = self._result(request, deadline, check)
        except (qga.AgentRefused, qga.AgentRestarted) as error:
            if self.pid is None and isinstance(error, qga.AgentRefused):
                self.is_over = True
                raise
            self._kill()
            raise DriverFailure(f"the guest agent lost the command, which was killed: {error.message}") from None
        except GuestTimeout as error:
            text = f"the command did not end within {request.timeout_seconds:g} s and was killed"
            if time.monotonic() < deadline:
                text = f"{error.message}, so the command was killed"
            self._kill()
            raise GuestTimeout(text, timeout_seconds=request.timeout_seconds) from None
        except Cancelled:
            self._kill()
            raise
        self.is_over = True
        return status

    def _result(self, request: ExecRequest, deadline: float, check: Check) -> dict[str, Any]:
        """Starts it and waits; `GuestTimeout` at the deadline."""
        began = time.monotonic()
        self.pid = self._start(request, deadline)
        while (left := deadline - time.monotonic()) > 0:
            age, others = time.monotonic() - began, len(claims.paths(self.channel)) - 1
            pause = min(LAST_POLL_SECONDS, max(FIRST_POLL_SECONDS, POLL_SHARE * age))
            time.sleep(min(left, max(pause, CROWD_SECONDS * others)))
            status = self._status()
            if status["exited"]:
                return status
            check()
        raise GuestTimeout("the command did not end in time")

    def _kill(self) -> None:
        """`GuestTimeout` that says so if the guest does not confirm it: the file that stays lets it be tried again."""
        try:
            killing.kill(self.channel, self.number, self.token)
            self.is_over = True
            if self.pid is not None:
                self._status()  # so that the agent drops what it keeps of it
        except qga.AgentRefused:
            return  # an agent that was started anew keeps nothing
        except GuestTimeout:
            raise GuestTimeout(
                "the command did not end, and the guest does not confirm that it could be killed"
            ) from None

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
        return qga.ask(self.channel, command, min(killing.left(deadline), SILENCE_SECONDS), **arguments)


def check_texts(command: str, folder: str | None, environment: dict[str, str] | None) -> None:
    """`DriverFailure` with code "invalid_request" for what no process can be given."""
    environment = environment or {}
    if len(command.encode()) > COMMAND_LIMIT:
        raise DriverFailure(f"the command is over {COMMAND_LIMIT} bytes: send it by stdin", code="invalid_request")
    if any("\0" in text for text in (command, folder or "", *environment, *environment.values())):
        raise DriverFailure("commands, paths and variables must not contain NUL bytes", code="invalid_request")
    for name in environment:
        if not name or "=" in name:
            raise DriverFailure(f"'{name}' can't be a variable's name", code="invalid_request")


def no_folder(path: str) -> DriverFailure:
    """What is said of a working directory that isn't there."""
    text = f"the working directory '{path}' can't be entered in the guest: make it first"
    return DriverFailure(text, code="invalid_request")


def _result(token: str, request: ExecRequest, status: dict[str, Any], seconds: float) -> ExecResult:
    out, err = (base64.b64decode(status.get(key, "")) for key in ("out-data", "err-data"))
    code = 128 + status["signal"] if "signal" in status else status.get("exitcode", 0)
    if script.missed_folder(token, code, err):
        raise no_folder(request.working_directory or "")
    cut = max(len(out), len(err)) > OUTPUT_LIMIT
    truncated = cut or bool(status.get("out-truncated") or status.get("err-truncated"))
    return ExecResult(code, out[:OUTPUT_LIMIT], err[:OUTPUT_LIMIT], seconds, truncated)
