"""Pure rules: whether a change of a VM is allowed now. Each raises the error that says why not."""

from __future__ import annotations

from core.contract.errors import Conflict, Unavailable, Unsupported
from core.contract.states import Observed, SchedulingState
from core.models import Host, Vm


def must_be_reachable(vm: Vm, host: Host) -> None:
    """The VM's host is online, and was not given up."""
    if vm.lost_at is not None and vm.elsewhere_at is not None:
        raise Conflict(
            f"VM '{vm.name}' is lost with its host '{host.name}', and is to be created again elsewhere:"
            f" {vm.observed_reason or 'try again in a moment'}",
            code="invalid_state",
        )
    if host.scheduling_state == SchedulingState.FENCED:
        raise Conflict(
            f"VM '{vm.name}' is lost: its host '{host.name}' is fenced; delete it, or have an administrator activate"
            " the host",
            code="invalid_state",
        )
    if vm.lost_at is not None or host.removed_at is not None:
        raise Conflict(
            f"VM '{vm.name}' is lost: its host '{host.name}' was removed from the fleet; delete the VM",
            code="invalid_state",
        )
    if host.offline_since is not None:
        since = f"{host.offline_since:%Y-%m-%d %H:%M:%S} UTC"
        raise Unavailable(f"host '{host.name}' (running VM '{vm.name}') is offline since {since}", host=host.name)


def must_answer(host: Host) -> None:
    """The host is heard of."""
    if host.offline_since is not None:
        since = f"{host.offline_since:%Y-%m-%d %H:%M:%S} UTC"
        raise Unavailable(f"host '{host.name}' is offline since {since}", host=host.name)


def must_exist(vm: Vm) -> None:
    """The VM was made on its host."""
    if vm.observed is None or vm.observed == Observed.ABSENT:
        raise Conflict(f"VM '{vm.name}' was not created successfully; delete it", code="invalid_state")


def may_start(vm: Vm) -> None:
    """Stopped or crashed."""
    must_exist(vm)
    if vm.observed == Observed.RUNNING:
        raise Conflict(f"VM '{vm.name}' is already running", code="vm_already_running")
    if vm.observed == Observed.PAUSED:
        raise Conflict(f"VM '{vm.name}' is paused; resume it", code="invalid_state")


def must_let_start(vm: Vm, host: Host) -> None:
    """The VM's host is not being emptied of what runs there, nor has been."""
    if host.scheduling_state in (SchedulingState.DRAINING, SchedulingState.DRAINED):
        why = f" ({host.scheduling_reason})" if host.scheduling_reason else ""
        raise Conflict(
            f"host '{host.name}' of VM '{vm.name}' is {host.scheduling_state}{why}: nothing starts there until an"
            " administrator has activated it",
            code="invalid_state",
        )


def must_run(vm: Vm) -> None:
    """Running, as far as was seen."""
    must_exist(vm)
    if vm.observed == Observed.PAUSED:
        raise Conflict(f"VM '{vm.name}' is paused: {vm.observed_reason or 'resume it first'}", code="vm_not_running")
    if vm.observed != Observed.RUNNING:
        why = f" ({vm.observed_reason})" if vm.observed_reason else ""
        raise Conflict(f"VM '{vm.name}' is not running{why}; start it first", code="vm_not_running")


def may_stop(vm: Vm) -> None:
    """Running or paused."""
    must_exist(vm)
    if vm.observed not in (Observed.RUNNING, Observed.PAUSED):
        raise Conflict(f"VM '{vm.name}' is not running", code="vm_not_running")


def may_pause(vm: Vm) -> None:
    """Running, and not paused already."""
    if vm.observed == Observed.PAUSED:
        raise Conflict(f"VM '{vm.name}' is already paused", code="invalid_state")
    must_run(vm)


def may_resume(vm: Vm) -> None:
    """Paused."""
    must_exist(vm)
    if vm.observed == Observed.RUNNING:
        raise Conflict(f"VM '{vm.name}' is running, not paused", code="invalid_state")
    if vm.observed != Observed.PAUSED:
        raise Conflict(f"VM '{vm.name}' is not running; start it first", code="vm_not_running")


def may_move(vm: Vm, *, to: str | None, stop: bool) -> None:
    """Off, or to be stopped for it; with nothing that belongs to its host; and not where it is already."""
    if to == vm.host_name:
        raise Conflict(f"VM '{vm.name}' is on host '{to}' already", code="invalid_state")
    if vm.observed in (Observed.RUNNING, Observed.PAUSED) and not stop:
        raise Conflict(
            f"VM '{vm.name}' is {vm.observed}: stop it first, or have it stopped for the move", code="invalid_state"
        )
    media = [f"'{disk.medium}'" for disk in vm.hardware.disks or [] if not disk.own]
    if media:
        raise Conflict(
            f"VM '{vm.name}' has media attached, which stay on its host: detach {', '.join(media)} first",
            code="invalid_state",
        )


def must_support(vm: Vm, host: Host, capability: str) -> None:
    """The VM's driver, on its host, has that capability."""
    for driver in host.drivers:
        if driver["name"] == vm.hypervisor and capability in driver["capabilities"]:
            return
    raise Unsupported(f"the hypervisor '{vm.hypervisor}' of VM '{vm.name}' does not offer {capability}")
