"""Capabilities of the guest agent: run commands, report the guest's network, take credentials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from agent.drivers.base import Check, wanted
from core.contract.messages import VmSpec


@dataclass(frozen=True)
class GuestExecRequest:
    """A command line for the guest's shell. `timeout_seconds` later it and its children are dead."""

    command: str
    timeout_seconds: float
    working_directory: str | None = None
    environment: dict[str, str] | None = None
    stdin: bytes | None = None


@dataclass(frozen=True)
class GuestExecResult:
    """The result of a command in a guest. Output beyond `OUTPUT_LIMIT` is cut, and `truncated` says so."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    execution_time_seconds: float
    truncated: bool = False


OUTPUT_LIMIT = 4 * 1024 * 1024
"""How many bytes of each of the two outputs `GuestCapability.execute` returns at most."""


@dataclass(frozen=True)
class GuestInterface:
    """A network interface as the guest sees it; `mac_address` in lower case, `addresses` IPv4."""

    name: str
    mac_address: str
    addresses: list[str]


@runtime_checkable
class GuestCapability(Protocol):
    """Has "guest" among its capabilities: talks to the agent inside the VM."""

    def execute(self, vm: VmSpec, request: GuestExecRequest, check: Check = wanted) -> GuestExecResult:
        """Runs it to its end. `GuestTimeout` after its timeout, and then nothing of it is alive in the guest.

        The same holds when `check` raises, whose `Cancelled` is let through.
        """

    def sweep_guests(self) -> None:
        """Ends in all guests what has lost whoever waited for it, such as the commands of an agent that was killed.

        What can't be ended now is left for the next time. Never raises for a VM that does not answer.
        """


@runtime_checkable
class GuestNetworkCapability(Protocol):
    """Has "guest_network" among its capabilities."""

    def guest_interfaces(self, vm: VmSpec, timeout: float) -> list[GuestInterface]:
        """Those of the guest but its loopback, as it tells itself."""


@runtime_checkable
class GuestCredentialsCapability(Protocol):
    """Has "guest_credentials" among its capabilities: `GuestCapability` takes a name and a password of the guest's."""

    def set_guest_credentials(self, vm: VmSpec, username: str, password: str) -> None:
        """Kept encrypted, until the VM is deleted or they are set anew; whether they are right shows in their use."""
