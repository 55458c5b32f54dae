"""A move is two commands: its source tells what the VM consists of, its target makes a VM of that."""

from __future__ import annotations

from agent.commands import hardware
from agent.drivers.base import Driver, Progress
from agent.drivers.capabilities.moving import MovingCapability
from agent.drivers.offers import offered
from agent.moves.arrivals import Arrivals
from core.contract.commands import Move
from core.contract.errors import Unsupported
from core.contract.messages import VmSpec
from core.contract.results import MoveTold
from core.contract.states import Observed


def leave(driver: Driver, vm: VmSpec, asked: Move, progress: Progress, timeout: float) -> MoveTold:
    """Off, if it may be stopped for it, and its files told."""
    moving = offered(driver, MovingCapability)
    if asked.stop and driver.observe(vm.id).state in (Observed.RUNNING, Observed.PAUSED):
        driver.stop(vm, 0.0 if asked.force else asked.grace_seconds, progress, timeout)
    return MoveTold(files=moving.moved_files(vm, progress, timeout))


def arrive(
    driver: Driver, vm: VmSpec, asked: Move, arrivals: Arrivals | None, progress: Progress, timeout: float
) -> MoveTold:
    """Made of what has come, which nobody needs any more then."""
    if arrivals is None:
        raise Unsupported("this agent can't take VMs in")
    offered(driver, MovingCapability).take_in(vm, asked.files or [], arrivals.fetched(vm.id), progress, timeout)
    arrivals.clear(vm.id)
    told = hardware.hardware_of(driver, vm)
    return MoveTold(told.disks, told.adapters)


def is_here(driver: Driver, vm: VmSpec) -> bool:
    """Whether it was made before the agent died."""
    there = driver.remembered(vm.id)
    return there is not None and there.home >= vm.home
