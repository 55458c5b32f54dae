"""Runs command lines in a Linux guest by VirtualBox's Guest Additions.

VBoxManage tells whether a program ended well and not its exit code, so that the shell's last word does. It is written
after the command's standard error, behind a word that the command can't know.
"""

from __future__ import annotations

import base64
import re
import secrets
import shlex
import time
from contextlib import suppress
from dataclasses import dataclass, field

from agent.drivers.capabilities.guest import GuestExecRequest, GuestExecResult
from agent.drivers.virtualbox import credentials
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder
from agent.drivers.virtualbox.vboxmanage import VBoxManage, refusal
from agent.guest import script
from agent.system.vault import Vault
from core.contract.errors import DriverFailure, GuestTimeout, Unsupported

OUTPUT_LIMIT = 4 * 1024 * 1024  # of each of the two
COMMAND_LIMIT = 30_000  # a message of Guest Additions' holds 64 KiB, and input is in it as base64
RUN_LEVEL_USERLAND = 2
BEYOND_SECONDS, KILL_SECONDS = 10.0, 20.0  # the API waits for both: api/shared/execution.py
SHELL = "/bin/sh"
_REFUSALS = {
    "not able to logon": "the guest rejects the stored guest credentials: set others with "
    "PUT /vms/<name>/guest-credentials",
    "not ready (yet)": "the guest's Guest Additions accept no commands now: the service VBoxService may be starting "
    "or stopped",
}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def check(info: dict[str, str], vm_name: str) -> None:
    """The VM runs, and Guest Additions with it."""
    if info.get("VMState") != "running":
        state = info.get("VMState", "not there")
        raise DriverFailure(f"VM '{vm_name}' is {state}, not running: start it first", code="vm_not_running")
    if int(info.get("GuestAdditionsRunLevel") or 0) < RUN_LEVEL_USERLAND:
        raise Unsupported(
            f"no Guest Additions answer in VM '{vm_name}', and VirtualBox needs them to run commands: install "
            "virtualbox-guest-utils in the guest, or wait until it has booted"
        )


@dataclass(frozen=True)
class _Mark:
    """By which a command's processes are found again: its cgroup, and a word in their environment."""

    number: int = field(default_factory=lambda: secrets.randbelow(10**9))
    token: str = field(default_factory=lambda: secrets.token_hex(16))


def execute(manage: VBoxManage, vault: Vault, folder: VirtualBoxVmFolder, request: GuestExecRequest) -> GuestExecResult:
    """Runs it to its end; past its timeout all of it is killed, and then it is a `GuestTimeout`."""
    mark = _Mark()
    try:
        return once(manage, vault, folder, request, mark)
    except GuestTimeout:
        _kill(manage, vault, folder, mark)
        raise GuestTimeout(f"the command did not end within {request.timeout_seconds:g} s and was killed") from None


def once(
    manage: VBoxManage, vault: Vault, folder: VirtualBoxVmFolder, request: GuestExecRequest, mark: _Mark | None = None
) -> GuestExecResult:
    """Runs it, and kills nothing: within its timeout and `BEYOND_SECONDS` it has ended, or it is a `GuestTimeout`."""
    began, mark = time.monotonic(), mark or _Mark()
    out, err = _run(manage, vault, folder, request, mark)
    seconds = time.monotonic() - began
    ended = re.search(rb"\n%s (\d{1,3})\n" % mark.token.encode(), err)
    if ended is None:
        raise _refusal(err.decode(errors="replace").strip()[-2000:])
    err, code = err[: ended.start()], int(ended[1])
    if script.missed_folder(mark.token, code, err):
        raise DriverFailure(f"there is no folder '{request.working_directory}' in the guest", code="invalid_request")
    truncated = max(len(out), len(err)) > OUTPUT_LIMIT
    return GuestExecResult(code, out[:OUTPUT_LIMIT], err[:OUTPUT_LIMIT], seconds, truncated)


def _kill(manage: VBoxManage, vault: Vault, folder: VirtualBoxVmFolder, mark: _Mark) -> None:
    """Returns once nothing of a command is left. The killer has another mark, or it would be among the first to go."""
    killer = GuestExecRequest(script.killing(mark.number, mark.token), KILL_SECONDS)
    with suppress(DriverFailure):
        if once(manage, vault, folder, killer).exit_code == 0:
            return
    raise GuestTimeout("the command did not end in time, and the guest does not confirm that it could be killed")


def _refusal(said: str) -> DriverFailure:
    """What VBoxManage says of a program that did not run."""
    for words, meaning in _REFUSALS.items():
        if words in said:
            return DriverFailure(meaning, code="invalid_state")
    return refusal("guestcontrol", said)


def _text(request: GuestExecRequest, mark: _Mark) -> str:
    inside = script.around(request.command, mark.number, mark.token, request.working_directory)
    data = base64.b64encode(request.stdin or b"").decode()
    text = (
        f"printf %s '{data}' | base64 -d | {SHELL} -c {shlex.quote(inside)}; printf '\\n%s %s\\n' {mark.token} $? >&2; "
        f"rmdir {script.GROUPS}/{mark.number} 2>/dev/null; exit 0"
    )
    if len(text) > COMMAND_LIMIT:
        raise DriverFailure(
            f"the command with its input is longer than Guest Additions accept ({COMMAND_LIMIT} bytes)",
            code="invalid_request",
        )
    return text


def _run(
    manage: VBoxManage, vault: Vault, folder: VirtualBoxVmFolder, request: GuestExecRequest, mark: _Mark
) -> tuple[bytes, bytes]:
    text, milliseconds = _text(request, mark), str(max(1, int(request.timeout_seconds * 1000)))
    environment = {"PATH": PATH, "LANG": "C.UTF-8", **(request.environment or {}), script.MARK: mark.token}
    given = [part for name, value in environment.items() for part in ("--putenv", f"{name}={value}")]
    with credentials.opened(vault, folder) as account:
        began = time.monotonic()
        try:
            ended = manage.ended(
                *["guestcontrol", folder.uuid, "run", *account, "--timeout", milliseconds, *given],
                *["--wait-stdout", "--wait-stderr", "--", SHELL, "-c", text],
                timeout=request.timeout_seconds + BEYOND_SECONDS,
                most_bytes=OUTPUT_LIMIT,
            )
        except DriverFailure as failure:
            if failure.code != GuestTimeout.code:
                raise
            raise GuestTimeout(failure.message) from None
    if ended.returncode != 0 and time.monotonic() - began >= request.timeout_seconds:
        raise GuestTimeout("the command did not end in time")
    return ended.stdout, ended.stderr
