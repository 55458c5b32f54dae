"""The power of a VM: launch, end and resume a QEMU process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from agent.drivers.base import Progress
from agent.drivers.limits import Left
from agent.drivers.local import adapters as local_adapters
from agent.drivers.local import confinement, daemon, power, restores, trial
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord
from agent.drivers.local.handing import Handing
from agent.drivers.qemu import adapters, balloon, events, forwarding, media, memory
from agent.drivers.qemu.accelerators import beyond_mb
from agent.drivers.qemu.command import BackEnds, machine_of
from agent.drivers.qemu.launch import LOG, launch
from agent.drivers.qemu.qmp import Monitor
from agent.media.media import MediaFolders
from agent.network.network import HostNetworking
from agent.network.user_mode import Way
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec

ASK_SECONDS = 1.0
POLL_SECONDS = 0.05
HALT_SECONDS = 1.0
QUICK_SECONDS = 10.0


@dataclass(frozen=True)
class QemuHost:
    """The host as a launch sees it. `groups` is where VMs have their control groups."""

    acceleration: str
    version: str
    groups: Path | None
    network: HostNetworking
    media: MediaFolders


def switch_on(
    folder: LocalVmFolder, vm: VmSpec, host: QemuHost, progress: Progress, left: Left, *, paused: bool = False
) -> None:
    """Running and usable, from any state; off again when that fails."""

    def begin(state: LocalVmRecord) -> LocalVmRecord:
        return _launch(folder, state, vm, host, progress, left)

    def wake(folder: LocalVmFolder, _: LocalVmRecord) -> None:
        restores.set_clock(folder)

    ways = power.Ways("QEMU", LOG, events.RECORD, begin, go_on, wake)
    power.switch_on(folder, ways, host.network, progress, left, paused=paused)


def go_on(folder: LocalVmFolder) -> None:
    """The machine's processors run, whatever had stopped them."""
    if daemon.alive(folder.path) is not None:
        with Monitor(folder.path, QUICK_SECONDS) as monitor:
            if not monitor.ask("query-status")["running"]:
                monitor.ask("cont")


def must_not_halt_again(folder: LocalVmFolder) -> None:
    """A write that found no room is tried again when the machine goes on: it is given a moment to fail."""
    deadline = time.monotonic() + HALT_SECONDS
    while (seen := events.RECORD.run_events(folder.path)).was_halted and time.monotonic() < deadline:
        if seen.disk_is_full:
            raise DriverFailure(
                "the host's disk is still full: make room on it, then resume", code="insufficient_resources"
            )
        time.sleep(POLL_SECONDS)


def _launch(
    folder: LocalVmFolder, state: LocalVmRecord, vm: VmSpec, host: QemuHost, progress: Progress, left: Left
) -> LocalVmRecord:
    fresh = machine_of(vm, local_adapters.of(state), host.acceleration, host.version)
    prepared = power.prepare(folder, state, vm, events.RECORD, fresh, host.groups, beyond_mb)
    state, machine, saved = prepared.state, prepared.machine, prepared.saved
    confined = confinement.of(
        folder,
        host.network.user_mode,
        local_adapters.of(state),
        devices=[trial.DEVICE] if machine.acceleration == "kvm" else [],
    )
    with Handing() as handing:
        attached = media.command(state, host.media, vm, handing)
        netdevs = forwarding.netdevs(host.network, vm, local_adapters.of(state), confined.way, handing)
        more = BackEnds(netdevs, attached, handing)
        state = power.note(folder, vm, prepared, progress)
        launch(folder, state, machine, prepared.group, more, confined, incoming=saved is not None)
    if confined.way is Way.NAMESPACE:
        forwarding.lead_in(folder, host.network.forward_address, vm)
    if saved is not None:
        with Monitor(folder.path, left()) as monitor:
            memory.load(monitor, saved, progress)
    adapters.pull_cables(folder, machine)
    balloon.fit(folder, machine, vm.memory_limit_percent)
    return state


def press(folder: LocalVmFolder) -> None:
    """The power button, of a machine that runs."""
    go_on(folder)
    with Monitor(folder.path, ASK_SECONDS) as monitor:
        monitor.ask("system_powerdown")
