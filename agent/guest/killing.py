"""Ends all the processes of a command in a guest, wherever they went."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from agent.guest import command_locks, patience, qga, script
from core.contract.errors import DriverFailure, GuestTimeout

log = logging.getLogger(__name__)
KILL_SECONDS = 13.0
SWEEP_SECONDS = 5.0  # a guest that hangs must not hold up those that are swept after it


def kill(channel: Path, number: int, token: str) -> None:
    """Returns once nothing of it is left; `GuestTimeout` if the guest does not confirm that within 13 s."""
    deadline = time.monotonic() + KILL_SECONDS
    if run(channel, script.killing(number, token), deadline) != 0:
        raise GuestTimeout("some processes of the command can't be killed")


def run(channel: Path, text: str, deadline: float) -> int:
    """Runs a short script of ours to its end; its exit code."""
    pid = qga.ask(channel, "guest-exec", left(deadline), path="/bin/sh", arg=["-c", text]).pid
    while not (status := qga.ask(channel, "guest-exec-status", left(deadline), pid=pid)).exited:
        time.sleep(0.02)
    return 1 if status.signal is not None else int(status.exitcode)


def left(deadline: float) -> float:
    """Seconds until then; `GuestTimeout` when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise GuestTimeout("the guest agent did not answer in time")
    return seconds


def sweep(channel: Path, *, is_on: bool) -> None:
    """Kills the commands of one VM that nobody waits for any more; what can't be killed now stays for the next time.

    In a VM that is not even on there is nothing to kill.
    """
    for path in command_locks.paths(channel):
        with command_locks.left_behind(path) as found:
            if found is None:
                continue
            try:
                if is_on:
                    with patience.ends_in(SWEEP_SECONDS):
                        kill(channel, *found)
                    log.info("killed command %d of VM %s, whose caller is gone", found[0], channel.name)
                path.unlink(missing_ok=True)
            except qga.AgentGone:
                path.unlink(missing_ok=True)
            except DriverFailure as error:
                log.warning("command %d of VM %s, whose caller is gone: %s", found[0], channel.name, error.message)
                return  # its guest does not answer: the others can wait too
