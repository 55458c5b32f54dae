"""Calls and replies: a type for each verb of a call, and one for its reply.

A call's params are read as those of its verb, and a reply's result as that of the question; neither can be another.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from msgspec import Meta, Struct, field

from core.contract import rotating
from core.contract.bounds import MOST_LISTED, Count, ExitCode, FileTime, Line, Moment, Name, Serial
from core.contract.described import DescribeReply, VmRef
from core.contract.measures import MeasureReply
from core.contract.moves import ReadMoved
from core.contract.prefetching import PullImage, PullImageReply
from core.contract.terminals import ExecId, ExecRef, ResizeTerminal, TerminalSize, TypeKeys
from core.contract.vms import Adapter, Disk, Running

_PATH = Meta(min_length=1, max_length=4096)
Path = Annotated[str, _PATH]
Seconds = Annotated[float, Meta(ge=0, le=10_000_000)]
Offset = Annotated[int, Meta(ge=0, le=2**62)]


class Nothing(Struct, frozen=True):
    """The empty reply, or no parameters."""


class CommandLine(Struct, frozen=True, kw_only=True):
    """A command for the guest's shell, and what it is given."""

    command: str
    working_directory: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    timeout_seconds: Seconds | None = None
    stdin_b64: str | None = None

    def __post_init__(self) -> None:
        """`ValueError` for an input that is not base64."""
        try:
            base64.b64decode(self.stdin_b64 or "", validate=True)
        except binascii.Error:
            raise ValueError("stdin_b64 is not base64") from None

    @property
    def stdin(self) -> bytes | None:
        """Its standard input."""
        return None if self.stdin_b64 is None else base64.b64decode(self.stdin_b64)


class BeginExec(CommandLine, frozen=True, kw_only=True):
    """A command that becomes an execution, under an id that the caller has chosen; with `tty` on a terminal."""

    id: ExecId
    name: Name | None = None
    tty: TerminalSize | None = None


class ExecuteReply(Struct, frozen=True):
    """The result of a command in a guest."""

    exit_code: ExitCode
    stdout_b64: str
    stderr_b64: str
    execution_time_seconds: float
    truncated: bool
    output_limit_bytes: Count


class SignalExec(ExecRef, frozen=True):
    """An execution, and the signal for its processes."""

    signal: Name


class ListExecs(Struct, frozen=True):
    """A page of executions, newest first; those in one state, if it is given."""

    limit: Count
    offset: Count
    state: Name | None = None


class ExecReply(Struct, frozen=True):
    """An execution as it is now (agent/drivers/capabilities/execs.py)."""

    id: ExecId
    command: str
    started_at: Moment
    name: Name | None = None
    timeout_seconds: float | None = None
    working_directory: str | None = None
    state: Name = "running"
    exit_code: ExitCode | None = None
    signal: Name | None = None
    ended_at: Moment | None = None
    tty: bool = False


class ExecListReply(Struct, frozen=True):
    """A page of executions, and how many there are."""

    execs: list[ExecReply]
    total: Count


class Offsets(Struct, frozen=True, omit_defaults=True):
    """The offsets from which outputs are wanted; None: not at all."""

    stdout: Offset | None = None
    stderr: Offset | None = None


class ReadExecOutput(ExecRef, frozen=True):
    """A request for output of an execution, of each output at most `limit` bytes."""

    offsets: Offsets
    limit: Annotated[int, Meta(ge=1, le=1024 * 1024)]


class ExecOutputPart(Struct, frozen=True):
    """A part of one output; `offset` is that of its first byte, and nothing follows once it has `ended`."""

    data_b64: str
    offset: Serial
    ended: bool


class ExecOutputReply(Struct, frozen=True, omit_defaults=True):
    """The requested parts of an execution's outputs."""

    stdout: ExecOutputPart | None = None
    stderr: ExecOutputPart | None = None


class GuestLogin(Struct, frozen=True):
    """The name and password of a guest's account."""

    username: Name
    password: Name


class OperationRef(Struct, frozen=True):
    """The operation that is to stop, or to have its last report sent once more."""

    operation_id: Name


class OperationReply(Struct, frozen=True):
    """The agent's state of an operation, such as "cancelling", "cancelled" or "finished"."""

    state: Name


class MediumRef(Struct, frozen=True):
    """The disk that is to be removed, with all that is on it."""

    id: Name


class CallRef(Struct, frozen=True):
    """The call that nobody waits for any more, so that its work is ended."""

    call_id: Name


class AbandonReply(Struct, frozen=True):
    """Whether the abandoned call was in progress."""

    abandoned: bool


class ConsolePosition(Struct, frozen=True):
    """The position of a reader of a console: a byte of a log."""

    log: Name
    position: Serial


class OpenConsole(Struct, frozen=True):
    """A console on that stream (agent/calls/consoles.py), from a position on if that is still known."""

    stream: Name
    write: bool
    replay: bool
    after: ConsolePosition | None = None


class WriteFile(Struct, frozen=True):
    """An upload on that stream (agent/calls/files.py). `path`: the file's, if it is known before."""

    stream: Name
    path: Path | None = None


class ReadFile(Struct, frozen=True):
    """A download on that stream."""

    stream: Name
    path: Path


class ListFiles(Struct, frozen=True):
    """The entries of a folder, and with `recursive` of those below it, at most so many."""

    path: Path
    recursive: bool
    most: Count


class FileEntryReply(Struct, frozen=True):
    """An entry of a folder."""

    path: str
    kind: Name
    size_bytes: Serial
    permissions: Count
    modified_at: FileTime


class FileListReply(Struct, frozen=True):
    """The entries by path; `truncated`: there are more."""

    entries: list[FileEntryReply]
    truncated: bool


class InterfaceReply(Struct, frozen=True):
    """A network interface as the guest sees it."""

    name: Name
    mac_address: Name
    addresses: Annotated[list[Name], Meta(max_length=MOST_LISTED)]


class NetworkReply(Struct, frozen=True):
    """The network interfaces of a guest."""

    interfaces: Annotated[list[InterfaceReply], Meta(max_length=MOST_LISTED)]


class DisksReply(Struct, frozen=True):
    """A VM's disks."""

    disks: list[Disk]


class AdaptersReply(Struct, frozen=True):
    """A VM's adapters."""

    adapters: list[Adapter]


class ObserveReply(Struct, frozen=True):
    """The observation of a VM by its driver, as `vms.Observation`."""

    vm_id: Name
    state: Name
    started_at: Moment | None = None
    pid: Serial | None = None
    reason: Line | None = None
    facts: Running = field(default_factory=Running)


CALLS: dict[str, tuple[type[Struct], type[Struct]]] = {
    "execute": (CommandLine, ExecuteReply),
    "exec_begin": (BeginExec, ExecReply),
    "exec_list": (ListExecs, ExecListReply),
    "exec_get": (ExecRef, ExecReply),
    "exec_output": (ReadExecOutput, ExecOutputReply),
    "exec_signal": (SignalExec, ExecReply),
    "exec_type": (TypeKeys, Nothing),
    "exec_resize": (ResizeTerminal, Nothing),
    "exec_delete": (ExecRef, Nothing),
    "guest_credentials": (GuestLogin, Nothing),
    "observe": (Nothing, ObserveReply),
    "measure": (Nothing, MeasureReply),
    "network": (Nothing, NetworkReply),
    "disks": (Nothing, DisksReply),
    "adapters": (Nothing, AdaptersReply),
    "console": (OpenConsole, Nothing),
    "file_write": (WriteFile, Nothing),
    "file_read": (ReadFile, Nothing),
    "file_list": (ListFiles, FileListReply),
    "moved_file": (ReadMoved, Nothing),
    "cancel": (OperationRef, OperationReply),
    "report": (OperationRef, OperationReply),
    "abandon": (CallRef, AbandonReply),
    "medium_delete": (MediumRef, Nothing),
    "describe": (VmRef, DescribeReply),
    "image_pull": (PullImage, PullImageReply),
    **rotating.CALLS,
}
"""What each verb asks, and what the answer to it is. The last eight are about no VM of the record."""
