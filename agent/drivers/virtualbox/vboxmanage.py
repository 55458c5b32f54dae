"""Runs VBoxManage: a list of arguments in, its output out, its errors by their codes.

Nearly all of its commands have VirtualBox's server do the work. The first one starts that server, which starts the VMs,
and each has the limits of what began it: so no command has any but those that know no server (docs/decisions).
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.drivers.virtualbox import output
from agent.system import process
from core.backoff import Backoff
from core.contract.errors import DriverFailure
from core.contract.limits import ProcessLimits

SECONDS = 60.0
LOCK_SECONDS = 20.0  # how long another client's session, or the end of one, is waited for
# How long a VM is asked for its state while its process begins or ends: VirtualBox has many ways to refuse then.
ASK_SECONDS = 8.0
AGAIN_SECONDS, LAST_AGAIN_SECONDS = 0.1, 1.0
NOT_FOUND, IN_USE, LOCKED = "VBOX_E_OBJECT_NOT_FOUND", "VBOX_E_OBJECT_IN_USE", "VBOX_E_INVALID_OBJECT_STATE"
WRONG_STATE = "VBOX_E_INVALID_VM_STATE"
NO_SERVER, SERVER_TRIES = "Failed to create the VirtualBox object", 3  # a busy host takes its time to start it
ALONE = ("convertfromraw",)
FILE_ERROR = "VBOX_E_FILE_ERROR"
# With E_ACCESSDENIED, which is said of a VM that starts, too: its server has lost the VM's settings since it began.
LIMITED = "The object functionality is limited"
# In a line of its own, or at the end of what was said.
_CODE = re.compile(r"^VBoxManage: error: (?:Details: code (\w+)|.*\(([A-Z]+(?:_[A-Z]+)+)\)$)", re.MULTILINE)
_SAID = re.compile(r"^VBoxManage: error: (?!Details: |Context: )(.+)", re.MULTILINE)


class VBoxManageError(DriverFailure):
    """VBoxManage failed. `reason` is VirtualBox's own code for it, such as VBOX_E_OBJECT_NOT_FOUND, or ""."""

    code = "hypervisor_refused"
    reason = ""


class VBoxManage:
    """The program, by its name or path. `calls` counts what was run, by VBoxManage's own verbs."""

    def __init__(self, program: str) -> None:
        self.program = program
        self._turns: dict[str, threading.RLock] = {}
        self._turns_lock = threading.Lock()
        self.calls: Counter[str] = Counter()

    def run(self, *arguments: str, timeout: float = SECONDS) -> str:
        """Runs it once, to its end; `VBoxManageError` when it fails."""
        return self._run(arguments, timeout, None)

    def alone(self, *arguments: str, timeout: float, limits: ProcessLimits) -> str:
        """The same within limits: for commands that work in their own process and start no server, and no others."""
        if arguments[0] not in ALONE:
            raise ValueError(f"VBoxManage {arguments[0]} may start VirtualBox's server, which would have its limits")
        return self._run(arguments, timeout, limits)

    def _run(
        self, arguments: tuple[str, ...], timeout: float, limits: ProcessLimits | None, tries: int = SERVER_TRIES
    ) -> str:
        """Once more where the server was not there in time: it was not asked then, and may be there by now."""
        self.calls[arguments[0]] += 1
        try:
            return process.run([self.program, *arguments], timeout, limits=limits)
        except process.ProgramFailed as failed:
            if NO_SERVER not in failed.said or tries == 1:
                raise refusal(arguments[0], failed.said) from None
        return self._run(arguments, timeout, limits, tries - 1)

    def ended(self, *arguments: str, timeout: float, most_bytes: int) -> process.ProcessResult:
        """Runs it once, and tells how that ended, in bytes: of each output so many, and its end if there are more."""
        self.calls[arguments[0]] += 1
        return process.output([self.program, *arguments], timeout, most_bytes=most_bytes)

    def change(self, uuid: str, verb: str, *arguments: str, timeout: float = SECONDS) -> str:
        """Changes one VM: `verb uuid arguments`. Waits for its turn, and for whoever has a session on the VM."""
        with self.turn(uuid):
            return self.unlocked(verb, uuid, *arguments, timeout=timeout)

    def unlocked(self, *arguments: str, timeout: float = SECONDS) -> str:
        """As `run`, again and again for a while as long as another session has what it needs locked."""
        return self._again(arguments, timeout, min(timeout, LOCK_SECONDS), lambda reason: reason == LOCKED)

    def _again(self, arguments: tuple[str, ...], timeout: float, seconds: float, passing: Callable[[str], bool]) -> str:
        """Runs it until it succeeds, is refused for a reason that is not `passing`, or the seconds are over."""
        deadline = time.monotonic() + seconds
        backoff = Backoff(AGAIN_SECONDS, LAST_AGAIN_SECONDS)
        while True:
            try:
                return self.run(*arguments, timeout=timeout)
            except VBoxManageError as refused:
                pause = backoff.pause()
                if not passing(refused.reason) or time.monotonic() + pause >= deadline:
                    raise
            time.sleep(pause)

    def info(self, uuid: str, timeout: float = SECONDS) -> dict[str, str] | None:
        """All that VirtualBox knows of a VM; empty when it can't read its settings, None when it has no such VM."""
        ask, again = ("showvminfo", uuid, "--machinereadable"), min(timeout, ASK_SECONDS)
        try:
            return output.parse(self._again(ask, timeout, again, lambda reason: reason != NOT_FOUND))
        except VBoxManageError as refused:
            if refused.reason == NOT_FOUND:
                return None
            if LIMITED in refused.message:
                return {}
            raise

    @contextmanager
    def turn(self, uuid: str) -> Iterator[None]:
        """One thread at a time changes a VM: two would only meet each other's locks."""
        with self._turns_lock:
            turn = self._turns.setdefault(uuid, threading.RLock())
        with turn:
            yield

    def forget(self, uuid: str) -> None:
        """The VM is gone, and needs no turns."""
        with self._turns_lock:
            self._turns.pop(uuid, None)


def refusal(verb: str, said: str) -> VBoxManageError:
    """What VBoxManage said on standard error, as an error."""
    words = " ".join(_SAID.findall(said)) or said or "no reason given"
    code = _CODE.search(said)
    reason = code[1] or code[2] if code else ""
    refused = VBoxManageError(
        f"VBoxManage {verb} failed: {words}", code="invalid_state" if reason == WRONG_STATE else None
    )
    refused.reason = reason
    return refused
