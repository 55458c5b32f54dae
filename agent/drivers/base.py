"""What every driver is: a few verbs that all have, and small optional groups of verbs that some have.

The laws, each a test that every driver passes (tests/contract):

- Idempotent: a verb whose effect is already there returns quietly.
- A verb returns only when `observe` agrees with it.
- Every outside call has a deadline (`timeout`, in seconds); when it runs out: `GuestTimeout` or `DriverFailure`.
- Only `DriverFailure` (or a subclass) leaves, with a message that says what to do.
- Plain frozen data in and out; no memory between calls: what must be remembered is a file in the VM's folder, written
  whole or not at all. A driver object may be made anew at any time and find everything again.
- No database, no Celery. Verbs of different VMs run at once, in threads; the agent runs one verb per VM at a time
  (`observe` and guest calls may come at any time beside it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from agent.network.network import Network
from core.contract.messages import JSON, DriverHealth, Forward, Observation, VmSpec
from core.contract.states import Applied

Progress = Callable[[str, int | None], None]
"""Told of each step: a few words, and the percent done where known. It raises `Cancelled` when it is to stop."""


Check = Callable[[], None]
"""Called now and then by a verb that only waits. It raises `Cancelled` when nobody wants the outcome any more."""


class Cancelled(Exception):
    """Raised by a `Progress` or `Check` inside a verb, which undoes or leaves what it had begun and lets it through."""


def wanted() -> None:
    """The `Check` of an outcome that is always wanted."""


@dataclass(frozen=True)
class Place:
    """Where a driver keeps things: `vms/<vm id>/` is one VM's folder, `images` the store of images.

    `media` are the folders whose disks and DVDs may be attached to VMs (agent/media.py).
    `cgroup` is where VMs have their groups; None: under the agent's own.
    """

    vms: Path
    images: Path
    media: tuple[Path, ...] = ()
    cgroup: Path | None = None
    network: Network = field(default_factory=Network)


@dataclass(frozen=True)
class Console:
    """A VM's serial console.

    `log` has all that it put out, of every start: the newest part, when it has grown long; the part before is beside
    it, with ".1" to its name. `socket` (unix) takes what is typed and repeats what is put out, for one connection at a
    time; None: nothing can be typed. Both may be missing while the VM does not run.
    """

    log: Path
    socket: Path | None


@dataclass(frozen=True)
class SnapshotTaken:
    """A finished snapshot. `checksum` is "sha256:<hex>" over everything it consists of."""

    size_bytes: int
    checksum: str
    include_memory: bool


@dataclass(frozen=True)
class Resized:
    """Since when each new size holds: `LIVE` only if the VM runs with it now."""

    vcpus: Applied
    memory_mb: Applied
    cpu_limit_percent: Applied
    memory_limit_percent: Applied


@dataclass(frozen=True)
class ExecRequest:
    """A command line for the guest's shell. `timeout_seconds` later it and its children are dead."""

    command: str
    timeout_seconds: float
    working_directory: str | None = None
    environment: dict[str, str] | None = None
    stdin: bytes | None = None


@dataclass(frozen=True)
class ExecResult:
    """How it ended. Output beyond `OUTPUT_LIMIT` is cut, and `truncated` says so."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    execution_time_seconds: float
    truncated: bool = False


@dataclass(frozen=True)
class Detached:
    """A command line for the guest's shell that runs on by itself. `id`: 1 to 64 of `0-9a-f-`, chosen by the caller."""

    id: str
    command: str
    name: str | None = None
    timeout_seconds: float | None = None
    working_directory: str | None = None
    environment: dict[str, str] | None = None
    stdin: bytes | None = None


@dataclass(frozen=True)
class Exec:
    """A detached command as it is now. Times are seconds since the epoch.

    `state`: running; exited; killed (by `signal`, which `exec_signal` sent); timed_out; lost (the guest was restarted,
    or what watched over it there was killed; nothing of it is alive). `exit_code` as a shell tells it, 128 + N for
    signal N; None while it runs, and for a lost one.
    """

    id: str
    command: str
    started_at: float
    name: str | None = None
    timeout_seconds: float | None = None
    working_directory: str | None = None
    state: str = "running"
    exit_code: int | None = None
    signal: str | None = None
    ended_at: float | None = None


@dataclass(frozen=True)
class Output:
    """Some of what a command wrote to one of its outputs. `offset` is that of the first byte of `data`.

    It is larger than what was asked for where older output is not kept any more. `ended`: nothing follows.
    """

    data: bytes
    offset: int
    ended: bool


@dataclass(frozen=True)
class DiskRequest:
    """A medium to be attached. `type`: "hdd" or "dvd"; `medium`: a path below one of the host's media folders.

    `create_if_missing`: an empty disk of `size_gb` GiB is made there if nothing is, of the format its name ends in.
    """

    controller: str
    port: int
    device: int
    type: str
    medium: str
    create_if_missing: bool = False
    size_gb: int | None = None


@dataclass(frozen=True)
class Disk:
    """A medium as it is attached: `medium` the host's own path, `format` in lower case, such as "vdi".

    `own`: it is the VM's own disk and goes with it. `used_bytes`: what it takes on the host, where that can be told.
    """

    controller: str
    port: int
    device: int
    type: str
    medium: str
    size_bytes: int
    used_bytes: int | None
    format: str
    own: bool


@dataclass(frozen=True)
class Adapter:
    """A network adapter, asked for or as it is. `slot` counts from 0.

    `mode`: "none", "null", "nat", "natnetwork", "bridged", "intnet", "hostonly", "generic"; `network`: which interface
    or network that is, None for the mode's own default. `mac_address`: None leaves it as it is.
    """

    slot: int
    enabled: bool = True
    mode: str = "nat"
    type: str = "82540EM"
    cable_connected: bool = True
    mac_address: str | None = None
    network: str | None = None


OUTPUT_LIMIT = 4 * 1024 * 1024
"""How many bytes of each of the two outputs `Guest.execute` returns at most."""


@dataclass(frozen=True)
class Sample:
    """What a VM takes of its host at one moment, read without asking the hypervisor or the guest.

    `cpu_seconds`: of its process, from that process's start; None without one. `memory_bytes`: of its memory, held by
    the host now. `disk_bytes`: its disk's files.
    """

    vm_id: str
    vcpus: int
    cpu_seconds: float | None
    memory_bytes: int
    disk_bytes: int

    def cpu_percent_since(self, before: Sample, seconds: float) -> float:
        """The share of all its vCPUs that it used in the `seconds` since, 0 to 100; 0 for another process."""
        if self.cpu_seconds is None or before.cpu_seconds is None or seconds <= 0:
            return 0.0
        share = (self.cpu_seconds - before.cpu_seconds) / (seconds * max(1, self.vcpus))
        return round(100 * min(1.0, max(0.0, share)), 2)


@dataclass(frozen=True)
class Measured:
    """A VM, measured over a moment. All numbers that count up do so from its start.

    `network`: {"bytes_in", "bytes_out", "packets_in", "packets_out", "source"} as the VM sees in and out; `disk_io`:
    {"read_bytes", "written_bytes", "reads", "writes"}; `guest`: {"cpu", "memory", "file_systems"}, what its agent told.
    `unknown` says of each that is None, or that lacks a part, why.
    """

    sample: Sample
    cpu_percent: float
    network: JSON | None = None
    disk_io: JSON | None = None
    guest: JSON | None = None
    unknown: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FileTarget:
    """Where a file goes in a guest, and its mode bits. `path` is absolute and names no folder."""

    path: str
    permissions: int


@dataclass(frozen=True)
class FileEntry:
    """What is in a folder of a guest. `kind`: "file", "directory", "symlink" or "other"; a link is not followed."""

    path: str
    kind: str
    size_bytes: int
    permissions: int
    modified_at: float


@dataclass(frozen=True)
class FileList:
    """The entries by path; `truncated`: there are more than were asked for, or than fit."""

    entries: list[FileEntry]
    truncated: bool


class FileReading(Protocol):
    """A file that is open for reading. `size_bytes` is None where only reading tells, as in /proc."""

    size_bytes: int | None
    modified_at: float

    def chunks(self, first: int, length: int | None) -> Iterator[bytes]:
        """So many bytes from there on (None: to the end), once; `DriverFailure` when there are fewer by now."""


@dataclass(frozen=True)
class GuestInterface:
    """A network interface as the guest sees it; `mac_address` in lower case, `addresses` IPv4."""

    name: str
    mac_address: str
    addresses: list[str]


@runtime_checkable
class Driver(Protocol):
    """What every driver can do."""

    name: str
    capabilities: frozenset[str]
    """What it has beyond the verbs below: those that the groups of verbs say, "pause", "snapshots_with_memory",
    "bridges" (a VM can be on one), and "kernels" (it boots images that have a kernel and no boot loader)."""

    def probe(self) -> DriverHealth:
        """Whether it works here, found by use and not by a file being there; never raises."""

    def create(self, vm: VmSpec, progress: Progress, timeout: float) -> Observation: ...

    def start(self, vm: VmSpec, progress: Progress, timeout: float) -> Observation:
        """Running, and usable: where the image has a guest agent, it has answered."""

    def stop(self, vm: VmSpec, grace_seconds: float, progress: Progress, timeout: float) -> Observation:
        """Asks the guest, and cuts the power once the grace is over; at once if it is 0."""

    def pause(self, vm: VmSpec, timeout: float) -> Observation: ...

    def resume(self, vm: VmSpec, timeout: float) -> Observation: ...

    def delete(self, vm: VmSpec, timeout: float) -> Observation:
        """Cuts the power if need be and removes all traces; ABSENT afterwards. Works on a half-made VM."""

    def observe(self, vm_id: str) -> Observation:
        """What is true now; ABSENT for a VM that isn't there. CRASHED: it should run by its own files and does not."""

    def observe_all(self) -> list[Observation]: ...

    def console(self, vm_id: str) -> Console:
        """Where its serial console is, whether or not there is such a VM."""


@runtime_checkable
class Snapshots(Protocol):
    """Has "snapshots" among its capabilities. A snapshot is known by its id, unique everywhere."""

    def snapshot_create(
        self, vm: VmSpec, snapshot_id: str, include_memory: bool, progress: Progress, timeout: float
    ) -> SnapshotTaken:
        """Disk, and with memory if asked and the VM runs; the VM goes on as it was."""

    def snapshot_restore(
        self, vm: VmSpec, snapshot_id: str, start: bool | None, progress: Progress, timeout: float
    ) -> Observation:
        """Back to it, then running or not as `start` says; None: as it was when the snapshot was taken.

        With memory the guest resumes where it was. Checks that the snapshot is whole before it touches the VM.
        As its last act it adds one to a count that `observe` shows as `facts["restores"]`: a restore that was done
        can't be told from its effect, and doing it again would lose what the guest wrote since.
        """

    def snapshot_delete(
        self, vm: VmSpec, snapshot_id: str, progress: Progress, timeout: float
    ) -> dict[str, SnapshotTaken]:
        """Removes it, unless it is gone. Returns the VM's others by their ids: they may be stored otherwise now."""

    def snapshot_ids(self, vm_id: str) -> list[str]: ...


@runtime_checkable
class Resizing(Protocol):
    """Has "resizing" among its capabilities; `observe` shows facts["vcpus"] and facts["memory_mb"] of what runs."""

    def resize(self, vm: VmSpec, progress: Progress, timeout: float) -> Resized:
        """Gives a VM the sizes and limits in `vm`: at once what a running one can take, the rest when it starts.

        `Unsupported`, before anything is changed, where the host can't hold it to a limit; so does a start.
        """


@runtime_checkable
class PortForwards(Protocol):
    """Has "port_forwards" among its capabilities. Those of a VM are in its spec, and in effect from each start on."""

    def set_port_forwards(self, vm: VmSpec, timeout: float) -> None:
        """Exactly `vm.forwards`, at once if it runs. `PortTaken` for a new one whose port someone else has."""

    def port_forwards(self, vm_id: str) -> list[Forward]:
        """Those in effect now; none of a VM that does not run."""


@runtime_checkable
class Guest(Protocol):
    """Has "guest" among its capabilities: talks to the agent inside the VM."""

    def execute(self, vm: VmSpec, request: ExecRequest, check: Check = wanted) -> ExecResult:
        """Runs it to its end. `GuestTimeout` after its timeout, and then nothing of it is alive in the guest.

        The same holds when `check` raises, whose `Cancelled` is let through.
        """

    def sweep_guests(self) -> None:
        """Ends in all guests what has lost whoever waited for it, such as the commands of an agent that was killed.

        What can't be ended now is left for the next time. Never raises for a VM that does not answer.
        """


SIGNALS = ("HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM")
STREAMS = ("stdout", "stderr")
KEPT_BYTES = 8 * 1024 * 1024
"""How much of each output of a detached command is kept at least, the newest; and at most twice as much."""
MOST_RUNNING = 32
"""How many detached commands a VM runs at once."""
MOST_KEPT = 100
"""How many ended ones are kept, the newest."""


@runtime_checkable
class Execs(Protocol):
    """Has "execs" among its capabilities: commands that run on in the guest whatever becomes of whoever began them.

    All but `exec_sweep` raise `DriverFailure` with code "exec_not_found" for an id that is not there.
    """

    def exec_begin(self, vm: VmSpec, wanted: Detached) -> Exec:
        """Returns as soon as it is under way; the one that has that id already, if there is one."""

    def exec_list(self, vm: VmSpec) -> list[Exec]:
        """Newest first. In a VM that does not run, none does."""

    def exec_get(self, vm: VmSpec, exec_id: str) -> Exec: ...

    def exec_output(self, vm: VmSpec, exec_id: str, stream: str, offset: int, limit: int) -> Output:
        """What it has written to "stdout" or "stderr" from that byte on, at most so many bytes; needs the guest."""

    def exec_signal(self, vm: VmSpec, exec_id: str, signal: str) -> Exec:
        """Sends one of `SIGNALS` to all its processes, unless it has ended. After KILL it has."""

    def exec_delete(self, vm: VmSpec, exec_id: str) -> None:
        """Kills it if need be, and forgets it and its output."""

    def exec_sweep(self) -> float | None:
        """Ends in all guests what is past its timeout; when the next one will be, in seconds since the epoch."""


@runtime_checkable
class Disks(Protocol):
    """Has "disks" among its capabilities. A place on a controller has one medium at most."""

    def disks(self, vm: VmSpec) -> list[Disk]:
        """All that is attached, the VM's own disk first."""

    def disk_attach(self, vm: VmSpec, request: DiskRequest, timeout: float) -> Disk:
        """Attaches it; the same again is no change. Code "invalid_request" for a medium out of bounds or another VM's,
        "disk_slot_taken" when something else is there, "invalid_state" when the VM would have to be off."""

    def disk_detach(self, vm: VmSpec, controller: str, port: int, device: int, timeout: float) -> None:
        """Empties the place; the medium stays. Code "invalid_request" for the VM's own disk."""


@runtime_checkable
class Adapters(Protocol):
    """Has "adapters" among its capabilities."""

    def adapters(self, vm: VmSpec) -> list[Adapter]:
        """Those that the VM has, by slot."""

    def adapter_set(self, vm: VmSpec, adapter: Adapter, timeout: float) -> Adapter:
        """Makes the adapter in its slot like that, and tells how it is. Code "invalid_state" for what can't be done
        while the VM runs."""


@runtime_checkable
class Metrics(Protocol):
    """Has "metrics" among its capabilities."""

    def sample_all(self) -> list[Sample]:
        """One of each VM; cheap enough for every few seconds. What can't be read is left out."""

    def measure(self, vm: VmSpec, timeout: float) -> Measured:
        """All there is to know. Two readings a moment apart tell the processor's use, as nothing is remembered."""


@runtime_checkable
class Files(Protocol):
    """Has "files" among its capabilities. Paths are absolute, in the guest.

    Codes of its failures: "file_not_found", "is_a_directory", "not_a_directory", "not_a_file", "no_space",
    "file_refused" for whatever else the guest's files don't let happen, and "vm_not_running".
    """

    def file_write(
        self, vm: VmSpec, near: str | None, chunks: Iterator[bytes], target: Callable[[], FileTarget]
    ) -> FileTarget:
        """A whole new file in the place of an old one, or nothing: whatever is raised by `chunks` undoes it.

        `target` is asked once all chunks have been taken. `near`: where it will go, if that is known before. Folders
        on the way are made; a link at its place is followed. Returns where it really went.
        """

    def file_read(self, vm: VmSpec, path: str) -> AbstractContextManager[FileReading]:
        """A regular file, links followed."""

    def file_list(self, vm: VmSpec, path: str, recursive: bool, most: int) -> FileList:
        """What is in a folder, and with `recursive` in all below it, `most` entries at most; links are not followed."""


@runtime_checkable
class GuestNetwork(Protocol):
    """Has "guest_network" among its capabilities."""

    def guest_interfaces(self, vm: VmSpec, timeout: float) -> list[GuestInterface]:
        """Those of the guest but its loopback, as it tells itself."""


@runtime_checkable
class Credentials(Protocol):
    """Has "guest_credentials" among its capabilities: `Guest` takes a name and a password of the guest's."""

    def set_guest_credentials(self, vm: VmSpec, username: str, password: str) -> None:
        """Kept encrypted, until the VM is deleted or they are set anew; whether they are right shows in their use."""
