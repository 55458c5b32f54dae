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

from agent.drivers.groups.guest import ExecRequest, ExecResult
from agent.drivers.virtualbox import credentials
from agent.drivers.virtualbox.folder import Folder
from agent.drivers.virtualbox.vboxmanage import VBoxManage, refusal
from agent.guest import script
from agent.vault import Vault
from core.contract.errors import DriverFailure, GuestTimeout, Unsupported

OUTPUT_LIMIT = 4 * 1024 * 1024  # of each of the two
COMMAND_LIMIT = 30_000  # a message of Guest Additions' holds 64 KiB, and input is in it as base64
RUN_LEVEL_USERLAND = 2
BEYOND_SECONDS, KILL_SECONDS = 10.0, 30.0
SHELL = "/bin/sh"
_REFUSALS = {
    "not able to logon": "the guest does not let the account in that its host knows: PUT /vms/<name>/guest-credentials "
    "takes another name and password",
    "not ready (yet)": "the guest's Guest Additions take no commands now: its service VBoxService may be starting, or "
    "have ended",
}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def check(info: dict[str, str], vm_name: str) -> None:
    """The VM runs, and Guest Additions with it."""
    if info.get("VMState") != "running":
        state = info.get("VMState", "not there")
        raise DriverFailure(f"VM '{vm_name}' is {state}, not running: start it first", code="vm_not_running")
    if int(info.get("GuestAdditionsRunLevel") or 0) < RUN_LEVEL_USERLAND:
        raise Unsupported(
            f"in VM '{vm_name}' no Guest Additions answer, by which the driver 'virtualbox' runs commands: install "
            "virtualbox-guest-utils in it, or wait until it has booted"
        )


def execute(manage: VBoxManage, vault: Vault, folder: Folder, request: ExecRequest) -> ExecResult:
    """Runs it to its end; past its timeout all of it is killed, and then it is a `GuestTimeout`."""
    token = secrets.token_hex(16)
    number = secrets.randbelow(10**9)
    text = _text(request, number, token)
    began = time.monotonic()
    try:
        out, err = _run(manage, vault, folder, text, request, token)
    except GuestTimeout:
        killer = ExecRequest(script.killing(number, token), KILL_SECONDS)
        _run(manage, vault, folder, killer.command, killer, token)
        raise GuestTimeout(f"the command did not end within {request.timeout_seconds:g} s and was killed") from None
    seconds = time.monotonic() - began
    ended = re.search(rb"\n%s (\d+)\n" % token.encode(), err)
    if ended is None:
        raise _refusal(err.decode(errors="replace").strip()[-2000:])
    err, code = err[: ended.start()], int(ended[1])
    if script.missed_folder(token, code, err):
        raise DriverFailure(f"there is no folder {request.working_directory} in the guest", code="invalid_request")
    truncated = max(len(out), len(err)) > OUTPUT_LIMIT
    return ExecResult(code, out[:OUTPUT_LIMIT], err[:OUTPUT_LIMIT], seconds, truncated)


def _refusal(said: str) -> DriverFailure:
    """What VBoxManage says of a program that did not run."""
    for words, meaning in _REFUSALS.items():
        if words in said:
            return DriverFailure(meaning, code="invalid_state")
    return refusal("guestcontrol", said)


def _text(request: ExecRequest, number: int, token: str) -> str:
    inside = script.around(request.command, number, token, request.working_directory)
    data = base64.b64encode(request.stdin or b"").decode()
    text = (
        f"printf %s '{data}' | base64 -d | {SHELL} -c {shlex.quote(inside)}; printf '\\n%s %s\\n' {token} $? >&2; "
        f"rmdir {script.GROUPS}/{number} 2>/dev/null; exit 0"
    )
    if len(text) > COMMAND_LIMIT:
        raise DriverFailure(
            f"the command and its input are longer than Guest Additions take ({COMMAND_LIMIT} bytes)",
            code="invalid_request",
        )
    return text


def _run(
    manage: VBoxManage, vault: Vault, folder: Folder, text: str, request: ExecRequest, token: str
) -> tuple[bytes, bytes]:
    milliseconds = str(max(1, int(request.timeout_seconds * 1000)))
    environment = {"PATH": PATH, "LANG": "C.UTF-8", **(request.environment or {}), script.MARK: token}
    given = [part for name, value in environment.items() for part in ("--putenv", f"{name}={value}")]
    with credentials.opened(vault, folder) as account:
        began = time.monotonic()
        ended = manage.ended(
            *["guestcontrol", folder.uuid, "run", *account, "--timeout", milliseconds, *given],
            *["--wait-stdout", "--wait-stderr", "--", SHELL, "-c", text],
            timeout=request.timeout_seconds + BEYOND_SECONDS,
        )
    if ended.returncode != 0 and time.monotonic() - began >= request.timeout_seconds:
        raise GuestTimeout("the command did not end in time")
    return ended.stdout, ended.stderr
