"""Snapshots: the VM is paused while its memory and its disk are stored.

A disk is kept in one of three ways. Of a VM that is off, its top layer is frozen under a new, empty one. Of one that
runs, the top layer is copied, where its file has all that the guest has written: a raw file always, one of qcow2 when
the guest has frozen its file systems before, as Cloud Hypervisor holds back what describes such a file until the guest
asks for it to be written. Where neither is so, the process is ended, which writes it; its top layer is frozen as of a
VM that is off, and another process goes on from the memory that was saved.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from agent.drivers.base import Progress
from agent.drivers.cloud_hypervisor import memory, power, sizes
from agent.drivers.cloud_hypervisor.api import CloudHypervisorApi
from agent.drivers.cloud_hypervisor.launch import CloudHypervisorHost, launch
from agent.drivers.limits import Left
from agent.drivers.local import daemon, disks, records
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord, VirtualMachineModel
from agent.drivers.local.media import check_memory
from agent.drivers.local.snapshots import PAUSED, RUNNING, STOPPED, kept_if_whole, quiet_guest
from agent.network.namespaces import Namespace
from agent.system import cgroups, process
from core.contract.errors import DriverFailure
from core.durable import sync_folder

SETTLE_SECONDS = 10.0


def take(
    folder: LocalVmFolder,
    snapshot_id: str,
    include_memory: bool,
    host: CloudHypervisorHost,
    progress: Progress,
    left: Left,
    lock: int,
) -> records.LocalSnapshot:
    """Takes one of the VM as it is, running or not; of one that fails nothing stays."""
    state = folder.state()

    def made(home: Path) -> records.LocalSnapshot:
        if daemon.alive(folder.path) is None:
            power, machine, layer = STOPPED, None, state.disk
            folder.change(disk=disks.layer_over(folder, layer, lock))
        else:
            if include_memory:
                check_memory(state)
            taking = _Taking(folder, state, host, progress, left, lock)
            power, layer = taking.of_what_runs(home, include_memory=include_memory)
            machine = state.machine if include_memory else None
        snapshot = records.LocalSnapshot(snapshot_id, layer, power, machine, [])
        return records.finish(folder, folder.state(), snapshot, progress)

    return kept_if_whole(folder, snapshot_id, made)


class _Taking:
    """One snapshot of a VM whose process is there."""

    def __init__(
        self,
        folder: LocalVmFolder,
        state: LocalVmRecord,
        host: CloudHypervisorHost,
        progress: Progress,
        left: Left,
        lock: int,
    ) -> None:
        self._folder, self._state, self._host = folder, state, host
        self._progress, self._left, self._lock = progress, left, lock

    def of_what_runs(self, home: Path, *, include_memory: bool) -> tuple[str, str]:
        """What the VM's power was, and the layer that has its disk."""
        was = PAUSED if power.state_of(self._api()) == "Paused" else RUNNING
        with quiet_guest(self._folder, self._state, was) as frozen, self._held(was):
            whole = frozen or self._state.disk.endswith(disks.RAW)
            if include_memory or not whole:
                self._progress("saving the memory", None)
                memory.save(self._api(), self._folder, home)
            layer = self._copied() if whole else self._frozen_under(home / records.MEMORY)
        if not include_memory:
            shutil.rmtree(home / records.MEMORY, ignore_errors=True)
        return was, layer

    def _copied(self) -> str:
        self._progress("copying the disk", None)
        top = self._state.disk
        layer = disks.new_name(Path(top).suffix)
        source, copy = self._folder.layers / top, self._folder.layers / layer
        command = ["cp", "--reflink=auto", "--sparse=always", str(source), str(copy)]
        process.run(command, self._left(), holding=(self._lock,))
        with copy.open("rb") as file:
            os.fsync(file.fileno())
        sync_folder(self._folder.layers)
        return layer

    def _frozen_under(self, saved: Path) -> str:
        machine = self._state.machine
        if machine is None:
            raise DriverFailure("the VM's machine type is not known", code="state_damaged")
        daemon.cut(self._folder.path)
        layer = self._state.disk
        state = self._folder.change(disk=disks.layer_over(self._folder, layer, self._lock))
        self._launch(state, machine, saved)
        return layer

    def _launch(self, state: LocalVmRecord, machine: VirtualMachineModel, saved: Path) -> None:
        vm = state.spec
        size = replace(vm, vcpus=machine.vcpus, memory_mb=machine.memory_mb)
        Namespace(self._folder.path).wait_gone()
        group = cgroups.prepare(self._host.groups, size, sizes.BEYOND_MB)
        launch(self._folder, vm, state, machine, self._host, group, saved, self._left)

    @contextmanager
    def _held(self, was: str) -> Iterator[None]:
        """The machine paused, and then as it was."""
        if was == PAUSED:
            yield
            return
        self._folder.change(held=True)
        self._api().put("vm.pause")
        try:
            yield
        finally:
            power.go_on(self._folder)
            self._folder.change(held=False)

    def _api(self) -> CloudHypervisorApi:
        return CloudHypervisorApi(self._folder.path, self._left())
