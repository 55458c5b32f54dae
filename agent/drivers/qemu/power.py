"""On and off: a launch that ends with a usable guest or with none, and a stop that asks before it cuts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from agent import cgroups
from agent.drivers.base import Progress
from agent.drivers.limits import Left
from agent.drivers.local import adapters as local_adapters
from agent.drivers.local import confinement, daemon, restores, shutdown, trial, usable
from agent.drivers.local.folder import Folder, Machine, State
from agent.drivers.local.handing import Handing
from agent.drivers.qemu import adapters, balloon, events, forwarding, media, memory
from agent.drivers.qemu.accelerators import BEYOND_MB
from agent.drivers.qemu.command import Attached, machine_of
from agent.drivers.qemu.launch import launch, wait_usable
from agent.drivers.qemu.qmp import Monitor
from agent.media import Media
from agent.network.network import Network
from agent.network.user_mode import Way
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec

ASK_SECONDS = 1.0
POLL_SECONDS = 0.05
HALT_SECONDS = 1.0
QUICK_SECONDS = 10.0


@dataclass(frozen=True)
class Host:
    """What a launch needs to know of its host. `groups` is where VMs have their control groups."""

    acceleration: str
    version: str
    groups: Path | None
    network: Network
    media: Media


def switch_on(folder: Folder, vm: VmSpec, host: Host, progress: Progress, left: Left, *, paused: bool = False) -> None:
    """Running and usable, from any state; off again when that fails."""
    state = folder.state()
    if daemon.alive(folder.path) is not None and state.resume is not None and not events.seen(folder.path).resumed:
        daemon.cut(folder.path)  # an agent died while the memory was loaded: once more, from the beginning
    with _off_again(folder, host.network):
        if daemon.alive(folder.path) is None:
            state = _launch(folder, state, vm, host, progress, left)
        if paused:
            folder.change(usable=True, resume=None)
            return
        go_on(folder)
        wait_usable(folder, state, progress, left)
        if state.resume is not None:
            restores.set_clock(folder)
        usable.warm_up(folder.path, state)
        folder.change(usable=True, resume=None)


def switch_off(folder: Folder, grace_seconds: float, progress: Progress, left: Left) -> None:
    """Asks the guest for as long as the grace lasts, then cuts."""
    state = folder.change(should_run=False, usable=False)
    shutdown.wait(folder.path, state, grace_seconds, lambda: _press(folder), progress, left)
    daemon.cut(folder.path)


def go_on(folder: Folder) -> None:
    """The machine's processors run, whatever had stopped them."""
    if daemon.alive(folder.path) is not None:
        with Monitor(folder.path, QUICK_SECONDS) as monitor:
            if not monitor.ask("query-status")["running"]:
                monitor.ask("cont")


def must_not_halt_again(folder: Folder) -> None:
    """A write that found no room is tried again when the machine goes on: it is given a moment to fail."""
    deadline = time.monotonic() + HALT_SECONDS
    while (seen := events.seen(folder.path)).was_halted and time.monotonic() < deadline:
        if seen.disk_is_full:
            raise DriverFailure(
                "the host's disk is still full: make room on it, then resume", code="insufficient_resources"
            )
        time.sleep(POLL_SECONDS)


def _launch(folder: Folder, state: State, vm: VmSpec, host: Host, progress: Progress, left: Left) -> State:
    if state.resume is not None and events.seen(folder.path).resumed:
        state = folder.change(resume=None)  # it did go on from there, and has ended since
    saved = restores.memory_of(folder, state)
    machine: Machine = (saved[0].machine if saved else None) or machine_of(
        vm, local_adapters.of(state), host.acceleration, host.version
    )
    size = replace(vm, vcpus=machine.vcpus, memory_mb=machine.memory_mb)
    group = cgroups.prepare(host.groups, size, BEYOND_MB[machine.acceleration])
    confined = confinement.of(
        folder,
        host.network.user_mode,
        local_adapters.of(state),
        devices=[trial.DEVICE] if machine.acceleration == "kvm" else [],
    )
    with Handing() as handing:
        attached = media.command(state, host.media, vm, handing)
        netdevs = forwarding.netdevs(host.network, vm, local_adapters.of(state), confined.way, handing)
        more = Attached(netdevs, attached, handing)
        state = folder.change(should_run=True, usable=False, waits=saved is not None, machine=machine, spec=vm)
        progress("booting" if saved is None else "resuming", None)
        launch(folder, state, machine, group, more, confined, incoming=saved is not None)
    if confined.way is Way.NAMESPACE:
        forwarding.lead_in(folder, host.network.forward_address, vm)
    if saved is not None:
        with Monitor(folder.path, left()) as monitor:
            memory.load(monitor, saved[1], progress)
    adapters.pull_cables(folder, machine)
    balloon.fit(folder, machine, vm.memory_limit_percent)
    return state


def _press(folder: Folder) -> None:
    """The power button, of a machine that runs."""
    go_on(folder)
    with Monitor(folder.path, ASK_SECONDS) as monitor:
        monitor.ask("system_powerdown")


@contextmanager
def _off_again(folder: Folder, network: Network) -> Iterator[None]:
    with ExitStack() as undo:
        undo.callback(network.leave, folder.path.name)
        undo.callback(folder.change, should_run=False, usable=False)
        undo.callback(daemon.cut, folder.path)
        yield
        undo.pop_all()
