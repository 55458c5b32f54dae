"""Taps as open files: a hypervisor that gets one needs neither privileges nor the namespace."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.network import namespaces, opening
from agent.system import process
from core.contract.errors import DriverFailure

PROGRAM = Path(opening.__file__)
SECONDS = 10.0
DISABLED, FORWARDING = "0", "3"  # of a bridge's port: BR_STATE_* of linux/if_bridge.h


def on_host(name: str) -> int:
    """A tap of the host's."""
    try:
        return opening.opened(name)
    except OSError as error:
        raise DriverFailure(f"the tap '{name}' can't be opened: {error.strerror}") from None


def in_namespace(pid: int, names: Sequence[str]) -> list[int]:
    """Taps of the namespace that a process is in, made there if need be."""
    for name in names:
        if name != namespaces.TAP_NAME:
            _make(pid, name)
    ours, its = socket.socketpair()
    with ours, its:
        args = [sys.executable, "-I", "-S", str(PROGRAM), str(its.fileno()), *names]
        process.run([*entering(pid, "--preserve-credentials"), *args], SECONDS, holding=(its.fileno(),))
        ours.settimeout(SECONDS)
        try:
            _, found, _, _ = socket.recv_fds(ours, 16, len(names))
        except OSError as error:
            raise DriverFailure(f"can't create the VM's taps: {error}") from None
    if len(found) != len(names):
        for each in found:
            os.close(each)
        raise DriverFailure("can't create the VM's taps: some are missing")
    return list(found)


def join_bridge(pid: int, name: str) -> None:
    """Puts a tap of a process's namespace on the bridge there, where slirp4netns is."""
    command = ["ip", "link", "set", name, "master", namespaces.BRIDGE_NAME, "up"]
    process.run([*entering(pid), *command], SECONDS)


def set_cable(pid: int | None, name: str, *, connected: bool) -> None:
    """Lets a tap's bridge pass frames, or drop them; of the host, or of a process's namespace.

    The tap itself stays up: hypervisors take one that is down for broken.
    """
    state = FORWARDING if connected else DISABLED
    command = ["ip", "link", "set", name, "type", "bridge_slave", "state", state]
    process.run([*(entering(pid) if pid is not None else []), *command], SECONDS)


def entering(pid: int, *options: str) -> list[str]:
    """What to put before a command, so that it runs where the process's network is, as that one's root.

    With `--preserve-credentials` it goes on as it is, without that one's rights, and can still read our files.
    """
    return ["nsenter", *options, "--user", "--net", "--target", str(pid), "--"]


def _make(pid: int, name: str) -> None:
    """A tap that stays, unless it is there."""
    try:
        process.run([*entering(pid), "ip", "tuntap", "add", "dev", name, "mode", "tap"], SECONDS)
    except process.ProgramFailed as error:
        if "busy" not in error.said:
            raise
    process.run([*entering(pid), "ip", "link", "set", name, "up"], SECONDS)
