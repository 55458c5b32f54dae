"""The guest agent's answers: a type with bounds for each request whose answer is read.

A guest may answer anything. What is not of that type is refused as it is read, before it takes memory, and what nobody
reads is passed over. https://qemu.readthedocs.io/en/v7.2.0/interop/qemu-ga-ref.html
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated, Any, TypeVar, cast

from msgspec import Meta, Raw, Struct, field

from agent.guest.answers import SHOWN, AgentForbids, AgentRefused
from core.contract.bounds import MOST_LISTED, ExitCode, Line, Name, Serial
from core.contract.errors import DriverFailure
from core.contract.types import decoder

T = TypeVar("T")
MOST_BYTES = 4 * 1024 * 1024
MOST_DATA_BYTES = 64 * 1024 * 1024  # of those that have what a guest's user has written; an agent keeps 16 MB of each
Number = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class QgaExecStarted(Struct, frozen=True):
    """A program that runs, by its number."""

    pid: Number


class QgaExecStatus(Struct, frozen=True, rename="kebab"):
    """A program, and once it has `exited` how; `signal`: what ended it."""

    exited: bool
    exitcode: ExitCode = 0
    signal: Annotated[int, Meta(ge=0, le=2**16)] | None = None
    out_data: bytes = b""
    err_data: bytes = b""
    out_truncated: bool = False
    err_truncated: bool = False


class QgaRead(Struct, frozen=True, rename="kebab"):
    """A part of a file; `eof`: there is no more."""

    buf_b64: bytes
    eof: bool


class QgaPosition(Struct, frozen=True):
    """The position in a file where the next byte is read."""

    position: Serial


class QgaVcpu(Struct, frozen=True, rename="kebab"):
    """A processor."""

    logical_id: Number
    online: bool


class QgaMemoryBlock(Struct, frozen=True, rename="kebab"):
    """A piece of memory."""

    phys_index: Serial
    online: bool


class QgaDiskAddress(Struct, frozen=True, rename="kebab"):
    """The address of a disk; `pci_controller`: its domain, bus, slot and function."""

    bus_type: Name
    serial: Line | None = None
    pci_controller: dict[Name, Number] = field(default_factory=dict)


class QgaDisk(Struct, frozen=True):
    """A disk, or a part of one, which has no address."""

    address: QgaDiskAddress | None = None


class QgaAddress(Struct, frozen=True, rename="kebab"):
    """An IP address of an interface."""

    ip_address: Name
    ip_address_type: Name


class QgaStatistics(Struct, frozen=True, rename="kebab"):
    """The counters of an interface."""

    rx_bytes: Serial
    tx_bytes: Serial
    rx_packets: Serial
    tx_packets: Serial


class QgaInterface(Struct, frozen=True, rename="kebab"):
    """A network interface; some have no hardware, and not every agent counts."""

    name: Name
    hardware_address: Name = ""
    ip_addresses: Annotated[list[QgaAddress], Meta(max_length=MOST_LISTED)] = field(default_factory=list)
    statistics: QgaStatistics | None = None


class QgaFileSystem(Struct, frozen=True, rename="kebab"):
    """A mounted file system."""

    mountpoint: Line
    type: Name
    total_bytes: Serial | None = None
    used_bytes: Serial | None = None


class QgaCpuTimes(Struct, frozen=True):
    """The times of a processor by their use, in milliseconds."""

    user: Serial = 0
    nice: Serial = 0
    system: Serial = 0
    irq: Serial = 0
    softirq: Serial = 0
    steal: Serial = 0
    idle: Serial = 0
    iowait: Serial = 0


_TYPES: dict[str, Any] = {
    "guest-exec": QgaExecStarted,
    "guest-exec-status": QgaExecStatus,
    "guest-file-open": Number,
    "guest-file-read": QgaRead,
    "guest-file-seek": QgaPosition,
    "guest-fsfreeze-freeze": Number,
    "guest-get-cpustats": list[QgaCpuTimes],
    "guest-get-disks": list[QgaDisk],
    "guest-get-fsinfo": Annotated[list[QgaFileSystem], Meta(max_length=MOST_LISTED)],
    "guest-get-memory-blocks": list[QgaMemoryBlock],
    "guest-get-vcpus": list[QgaVcpu],
    "guest-network-get-interfaces": Annotated[list[QgaInterface], Meta(max_length=MOST_LISTED)],
}
_DATA = ("guest-exec-status", "guest-file-read")


class _Error(Struct, frozen=True):
    kind: str = field(name="class", default="")
    desc: str = "no reason given"


class _Reply(Struct, frozen=True):
    error: Raw = Raw()
    result: Raw = field(name="return", default=Raw(b"null"))


class _Marker(Struct, frozen=True):
    number: Number = field(name="return")


def most_bytes(command: str) -> int:
    """How long the answer to that may be."""
    return MOST_DATA_BYTES if has_data(command) else MOST_BYTES


def has_data(command: str) -> bool:
    """Whether the answer to that has what a guest's user has written, much or little."""
    return command in _DATA


def read(command: str, line: bytes) -> Any:
    """The answer to that question; None where nobody reads it. `AgentRefused` or `AgentForbids` when it is an error,
    or not of the type that it has to be."""
    reply = _decoded(line, _Reply)
    if bytes(reply.error):
        raise refusal(command, reply.error)
    return _decoded(reply.result, _TYPES[command]) if command in _TYPES else None


def marker(line: bytes) -> int | None:
    """The number in the answer to guest-sync-delimited, if it is one."""
    if not line.startswith(b"{"):  # of such lines there may be a million
        return None
    try:
        return _decoded(line, _Marker).number
    except AgentRefused:
        return None


def refusal(command: str, said: Raw) -> DriverFailure:
    """What an error of the agent's is here; its class alone says which, its words are for people."""
    try:
        error = _decoded(said, _Error)
    except AgentRefused:
        error = _Error()
    why = error.desc[:SHOWN]
    if error.kind == "CommandNotFound":
        return AgentForbids(
            f"the guest agent does not allow '{command}' ({why}): take it out of 'block-rpcs' in the guest's "
            "/etc/qemu/qemu-ga.conf (with RHEL out of the options in /etc/sysconfig/qemu-ga), or install a newer agent",
            call=command,
            setting="block-rpcs",
        )
    return AgentRefused(f"the guest agent refused '{command}': {why}")


def _decoded(text: bytes | Raw, kind: type[T]) -> T:
    try:
        return cast(T, decoder(cast(Hashable, kind)).decode(text))
    except (ValueError, RecursionError):  # RecursionError: nested too deeply
        raise AgentRefused("the guest agent's answer can't be understood") from None
