"""The wait for a usable guest after power-on, and the error if it does not answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agent.drivers.limits import Left
from agent.drivers.local import written
from agent.drivers.local.folder import LocalVmRecord
from agent.guest import commands, qga
from core.contract.errors import DriverFailure, GuestTimeout

SHOWN = 600
WARM_UP_SECONDS = 2.0
CONSOLE_LOG = "console.log"


def wait(
    folder: Path, state: LocalVmRecord, check: Callable[[], None], died: Callable[[], DriverFailure], left: Left
) -> None:
    """Returns once the guest agent answers, if the image has one; `GuestTimeout` tells what was last seen.

    `check` is called meanwhile, and raises when there is no use in waiting; `died` says why there is no VM any more.
    """
    if not has_agent(state):
        return
    try:
        qga.wait(folder, left(), check)
    except qga.AgentGone:
        raise died() from None
    except GuestTimeout as error:
        raise GuestTimeout(f"{error.message}; its console ends with: {console_tail(folder)}") from None


def warm_up(folder: Path, state: LocalVmRecord) -> None:
    """Prepares the guest for commands; without it the first one is slower."""
    if has_agent(state):
        try:
            commands.warm_up(folder, WARM_UP_SECONDS)
        except DriverFailure:
            pass  # an agent that may not run commands is still an agent


def has_agent(state: LocalVmRecord) -> bool:
    """Whether the guest has an agent to talk to."""
    return state.image is not None and state.image.guest_agent


def console_tail(folder: Path) -> str:
    """The last of the serial console, printable."""
    return tail(folder / CONSOLE_LOG) or "(nothing)"


def tail(log: Path) -> str:
    """The end of a log, printable; nothing of one that is not there."""
    text = written.end_of(log, SHOWN).decode(errors="replace")
    return "".join(letter for letter in text if letter.isprintable() or letter == "\n").strip()
