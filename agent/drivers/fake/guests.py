"""The fake driver's verbs that act in the guest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from agent.drivers.base import Check, DriverFolders, wanted
from agent.drivers.capabilities.execs import Detached, ExecOutput, GuestExec, Size
from agent.drivers.capabilities.files import FileReading, FileTarget, GuestFileList
from agent.drivers.capabilities.guest import GuestExecRequest, GuestExecResult, GuestInterface
from agent.drivers.fake import commands, execs, state, terminals
from agent.drivers.fake.behaviour import behaviour, misbehave, silent
from agent.drivers.fake.tree import Tree
from agent.guest.commands import check_texts
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.states import Observed

SECONDS = 15.0
FILE_SECONDS = 60.0


class FakeGuests:
    """Guest, GuestNetwork, Execs, Terminals and Files, without a guest."""

    def __init__(self, place: DriverFolders) -> None:
        self._place = place

    def execute(self, vm: VmSpec, request: GuestExecRequest, check: Check = wanted) -> GuestExecResult:
        """Interprets the command; nothing of it reaches the host."""
        began = time.monotonic()
        misbehave(behaviour(self._place.vms, vm), "execute", silent, request.timeout_seconds)
        check_texts(request.command, request.working_directory, request.environment)
        self._must_run(vm)
        return commands.execute(Tree(self._place.vms / vm.id), request, began, check)

    def sweep_guests(self) -> None:
        """A command ends with the agent that runs it."""

    def exec_begin(self, vm: VmSpec, wanted: Detached) -> GuestExec:
        """What will become of it is known at once."""
        misbehave(behaviour(self._place.vms, vm), "exec_begin", silent, SECONDS)
        check_texts(wanted.command, wanted.working_directory, wanted.environment)
        self._must_run(vm)
        return execs.begin(self._place.vms, vm, wanted)

    def exec_list(self, vm: VmSpec) -> list[GuestExec]:
        """As far as they have come by now."""
        return execs.all_of(self._place.vms, vm)

    def exec_get(self, vm: VmSpec, exec_id: str) -> GuestExec:
        """As far as it has come by now."""
        return execs.get(self._place.vms, vm, exec_id)

    def exec_output(self, vm: VmSpec, exec_id: str, stream: str, offset: int, limit: int) -> ExecOutput:
        """What it has written by now."""
        misbehave(behaviour(self._place.vms, vm), "exec_output", silent, SECONDS)
        self._must_run(vm)
        return execs.output(self._place.vms, vm, exec_id, stream, offset, limit)

    def exec_signal(self, vm: VmSpec, exec_id: str, signal: str) -> GuestExec:
        """Each signal ends it, but for those that are for users."""
        found = execs.get(self._place.vms, vm, exec_id)
        if found.state != "running":
            return found
        self._must_run(vm)
        return execs.signal(self._place.vms, vm, exec_id, signal)

    def exec_type(self, vm: VmSpec, exec_id: str, data: bytes) -> None:
        """Shown, and where a shell reads it run."""
        misbehave(behaviour(self._place.vms, vm), "exec_type", silent, SECONDS)
        self._must_run(vm)
        terminals.type_in(self._place.vms, vm, exec_id, data)

    def exec_resize(self, vm: VmSpec, exec_id: str, size: Size) -> None:
        """For `stty size` to tell."""
        self._must_run(vm)
        terminals.resize(self._place.vms, vm, exec_id, size)

    def exec_delete(self, vm: VmSpec, exec_id: str) -> None:
        """Forgets it."""
        execs.get(self._place.vms, vm, exec_id)
        execs.forget(self._place.vms, vm, exec_id)

    def exec_sweep(self) -> float | None:
        """It ends by itself."""
        return None

    def file_write(
        self, vm: VmSpec, near: str | None, chunks: Iterator[bytes], target: Callable[[], FileTarget]
    ) -> FileTarget:
        """Into the VM's folder."""
        return self._files(vm, "file_write").write(chunks, target)

    def file_read(self, vm: VmSpec, path: str) -> AbstractContextManager[FileReading]:
        """From the VM's folder."""
        return self._files(vm, "file_read").read(path)

    def file_list(self, vm: VmSpec, path: str, recursive: bool, most: int) -> GuestFileList:
        """In the VM's folder."""
        return self._files(vm, "file_list").list(path, recursive, most)

    def guest_interfaces(self, vm: VmSpec, timeout: float) -> list[GuestInterface]:
        """One, with the address that the VM is meant to have."""
        misbehave(behaviour(self._place.vms, vm), "guest_interfaces", silent, timeout)
        self._must_run(vm)
        address = vm.network.true.ip or ""
        return [GuestInterface("eth0", vm.network.mac_address or "", [address])]

    def _files(self, vm: VmSpec, verb: str) -> Tree:
        misbehave(behaviour(self._place.vms, vm), verb, silent, FILE_SECONDS)
        self._must_run(vm)
        return Tree(self._place.vms / vm.id)

    def _must_run(self, vm: VmSpec) -> None:
        found = state.read(self._place.vms, vm.id)
        if found is None or found.observation(vm.id).state is not Observed.RUNNING:
            raise DriverFailure(f"VM '{vm.name}' is not running: start it first", code="vm_not_running")
