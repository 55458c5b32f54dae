"""The launch of a Cloud Hypervisor process, until its VM runs or waits to be resumed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from agent.drivers import consoles
from agent.drivers.cloud_hypervisor import config, confinement, events, memory, networking
from agent.drivers.cloud_hypervisor.api import SOCKET, CloudHypervisorApi, Silent
from agent.drivers.cloud_hypervisor.confinement import LOG
from agent.drivers.cloud_hypervisor.program import Version
from agent.drivers.limits import Left
from agent.drivers.local import daemon, media, usable
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord, VirtualMachineModel
from agent.media.media import MediaFolders
from agent.network.network import HostNetworking
from agent.system import process
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.vms import Adapter

API_SECONDS = 30.0


@dataclass(frozen=True)
class CloudHypervisorHost:
    """The host as a launch sees it. `groups` is where VMs have their control groups."""

    program: str
    version: Version
    groups: Path | None
    network: HostNetworking
    media: MediaFolders
    media_folders: Sequence[Path]


def launch(
    folder: LocalVmFolder,
    vm: VmSpec,
    state: LocalVmRecord,
    machine: VirtualMachineModel,
    host: CloudHypervisorHost,
    group: Path | None,
    saved: Path | None,
    left: Left,
) -> None:
    """Starts the process in its control group, and its machine: booting, or waiting with the memory in `saved`.

    It is gone again when this fails.
    """
    media.must_be_usable(host.media, vm, state.media)
    adapters = machine.adapters or []
    with ExitStack() as undo:
        undo.callback(daemon.cut, folder.path)
        _begin(folder, host, adapters, group)
        api = CloudHypervisorApi(folder.path, left())
        with networking.tapped(folder, host.network, vm, adapters) as taps:
            if saved is not None:
                memory.load(api, folder, state, machine, host.version, saved, taps)
            else:
                paths = config.lent(folder, vm, state.media)
                api.put("vm.create", config.config(vm, state, machine, host.version, paths, host.media_folders))
                for adapter in adapters:
                    api.put("vm.add-net", config.net(adapter), [taps[adapter.slot]])
                api.put("vm.boot")
        consoles.attend(folder.path, folder.path / config.SERIAL)
        networking.forward(folder, host.network, vm, adapters)
        networking.set_cables(folder, host.network, vm, [each for each in adapters if not each.cable_connected])
        undo.pop_all()


def _begin(folder: LocalVmFolder, host: CloudHypervisorHost, adapters: Sequence[Adapter], group: Path | None) -> None:
    """A process that answers, and has no machine yet."""
    (folder.path / usable.CONSOLE_LOG).touch(0o600)
    args = [host.program, "--api-socket", f"path={SOCKET}", "--event-monitor", f"path={events.FILE}"]
    with confinement.started(folder, host.network, adapters, args, group) as begun:
        _wait_for_api(folder, begun)


def _wait_for_api(folder: LocalVmFolder, begun: process.Daemon) -> None:
    deadline = time.monotonic() + API_SECONDS
    while time.monotonic() < deadline:
        if begun.ended():
            said = usable.tail(folder.path / LOG) or "no output"
            raise DriverFailure(f"Cloud Hypervisor did not start: {said}")
        if (folder.path / SOCKET).exists():
            try:
                CloudHypervisorApi(folder.path, 5.0).get("vmm.ping")
            except Silent:
                pass  # bound and not listening yet, or about to end
            else:
                return
        time.sleep(0.01)
    raise DriverFailure(f"Cloud Hypervisor did not answer within {API_SECONDS:.0f} s", code="timeout")
