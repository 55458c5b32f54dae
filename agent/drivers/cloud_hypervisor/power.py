"""The power of a VM: launch, end and resume a Cloud Hypervisor process."""

from __future__ import annotations

from agent.drivers.base import Progress
from agent.drivers.cloud_hypervisor import config, events, sizes
from agent.drivers.cloud_hypervisor.api import CloudHypervisorApi
from agent.drivers.cloud_hypervisor.confinement import LOG
from agent.drivers.cloud_hypervisor.launch import CloudHypervisorHost, launch
from agent.drivers.limits import Left
from agent.drivers.local import adapters, daemon, power, restores, usable
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord
from agent.drivers.local.snapshots import thaw
from agent.network import ports
from agent.network.namespaces import Namespace
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec

ASK_SECONDS = 1.0
QUICK_SECONDS = 10.0


def switch_on(
    folder: LocalVmFolder,
    vm: VmSpec,
    host: CloudHypervisorHost,
    progress: Progress,
    left: Left,
    *,
    paused: bool = False,
) -> None:
    """Running and usable, from any state; off again when that fails."""

    def begin(state: LocalVmRecord) -> LocalVmRecord:
        return _launch(folder, state, vm, host, progress, left)

    ways = power.Ways("Cloud Hypervisor", LOG, events.RECORD, begin, go_on, wake)
    power.switch_on(folder, ways, host.network, progress, left, paused=paused)


def go_on(folder: LocalVmFolder) -> None:
    """The machine's processors run, whatever had stopped them."""
    if daemon.alive(folder.path) is not None:
        api = CloudHypervisorApi(folder.path, QUICK_SECONDS)
        if state_of(api) == "Paused":
            api.put("vm.resume")


def state_of(api: CloudHypervisorApi) -> str:
    """Created, Running, Shutdown or Paused, in its own words."""
    return str(api.get("vm.info")["state"])


def wake(folder: LocalVmFolder, state: LocalVmRecord) -> None:
    """A guest whose memory was put back may have been frozen as that was saved, and does not know the time."""
    if usable.has_agent(state):
        try:
            thaw(folder)
        except DriverFailure:
            pass  # silent: nothing can be done
        restores.set_clock(folder)


def _launch(
    folder: LocalVmFolder, state: LocalVmRecord, vm: VmSpec, host: CloudHypervisorHost, progress: Progress, left: Left
) -> LocalVmRecord:
    fresh = config.machine_of(vm, adapters.of(state), host.version)
    prepared = power.prepare(folder, state, vm, events.RECORD, fresh, host.groups, sizes.beyond_mb)
    Namespace(folder.path).wait_gone()
    ports.must_be_free(host.network.forward_address, vm.forwards)
    state = power.note(folder, vm, prepared, progress)
    launch(folder, vm, state, prepared.machine, host, prepared.group, prepared.saved, left)
    sizes.fit_balloon(folder, prepared.machine, vm.memory_limit_percent)
    return state


def press(folder: LocalVmFolder) -> None:
    """The power button, of a machine that runs."""
    go_on(folder)
    CloudHypervisorApi(folder.path, ASK_SECONDS).put("vm.power-button")
