"""On and off: a launch that ends with a usable guest or with none, and a stop that asks before it cuts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from agent import cgroups
from agent.drivers.base import Progress
from agent.drivers.cloud_hypervisor import config, events, sizes
from agent.drivers.cloud_hypervisor.api import Api
from agent.drivers.cloud_hypervisor.launch import Host, launch, wait_usable
from agent.drivers.limits import Left
from agent.drivers.local import adapters, daemon, restores, shutdown, usable
from agent.drivers.local.folder import Folder, Machine, State
from agent.drivers.local.snapshots import thaw
from agent.network import ports
from agent.network.namespaces import Namespace
from agent.network.network import Network
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec

ASK_SECONDS = 1.0
QUICK_SECONDS = 10.0


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
            wake(folder, state)
        usable.warm_up(folder.path, state)
        folder.change(usable=True, resume=None)


def switch_off(folder: Folder, grace_seconds: float, progress: Progress, left: Left) -> None:
    """Asks the guest for as long as the grace lasts, then cuts."""
    state = folder.change(should_run=False, usable=False)
    shutdown.wait(folder.path, state, grace_seconds, lambda: _press(folder), progress, left)
    daemon.cut(folder.path)
    Namespace(folder.path).wait_gone()


def go_on(folder: Folder) -> None:
    """The machine's processors run, whatever had stopped them."""
    if daemon.alive(folder.path) is not None:
        api = Api(folder.path, QUICK_SECONDS)
        if state_of(api) == "Paused":
            api.put("vm.resume")


def state_of(api: Api) -> str:
    """Created, Running, Shutdown or Paused, in its own words."""
    return str(api.get("vm.info")["state"])


def wake(folder: Folder, state: State) -> None:
    """A guest whose memory was put back may have been frozen as that was saved, and does not know the time."""
    if usable.has_agent(state):
        try:
            thaw(folder)
        except DriverFailure:
            pass  # silent: nothing can be done
        restores.set_clock(folder)


def _launch(folder: Folder, state: State, vm: VmSpec, host: Host, progress: Progress, left: Left) -> State:
    if state.resume is not None and events.seen(folder.path).resumed:
        state = folder.change(resume=None)  # it did go on from there, and has ended since
    saved = restores.memory_of(folder, state)
    fresh = config.machine_of(vm, adapters.of(state), host.version)
    machine: Machine = (saved[0].machine if saved else None) or fresh
    size = replace(vm, vcpus=machine.vcpus, memory_mb=machine.memory_mb)
    group = cgroups.prepare(host.groups, size, sizes.BEYOND_MB)
    Namespace(folder.path).wait_gone()
    ports.must_be_free(host.network.forward_address, vm.forwards)
    state = folder.change(should_run=True, usable=False, waits=saved is not None, machine=machine, spec=vm)
    progress("booting" if saved is None else "resuming", None)
    launch(folder, vm, state, machine, host, group, saved[1] if saved else None, left)
    sizes.fit_balloon(folder, machine, vm.memory_limit_percent)
    return state


def _press(folder: Folder) -> None:
    """The power button, of a machine that runs."""
    go_on(folder)
    Api(folder.path, ASK_SECONDS).put("vm.power-button")


@contextmanager
def _off_again(folder: Folder, network: Network) -> Iterator[None]:
    with ExitStack() as undo:
        undo.callback(network.leave, folder.path.name)
        undo.callback(folder.change, should_run=False, usable=False)
        undo.callback(daemon.cut, folder.path)
        yield
        undo.pop_all()
