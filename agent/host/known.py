"""The state of a host's VMs that the control plane knows from the last messages."""

from __future__ import annotations

import threading

from agent.host.exits import Exits
from core.contract.states import Observed
from core.contract.vms import Observation

LastTold = tuple[Observed, float | None, int | None, str | None]


class KnownVms:
    """The VMs as last told, in whatever message. `exits` waits for the processes of those that reports tell of."""

    def __init__(self, exits: Exits) -> None:
        self._exits = exits
        self._lock = threading.Lock()
        self._told: dict[str, LastTold] = {}

    def note(self, observation: Observation) -> None:
        """One VM was told in a report."""
        with self._lock:
            self._told[observation.vm_id] = _seen(observation)
        self._exits.also(observation.pid)

    def replace(self, vms: list[Observation]) -> None:
        """All were told in an inventory."""
        with self._lock:
            self._told = {each.vm_id: _seen(each) for each in vms}

    def states(self) -> list[str]:
        """The state of each VM that is there."""
        with self._lock:
            return [state for state, *_ in self._told.values() if state is not Observed.ABSENT]

    def differs(self, vms: list[Observation], ignore: set[str]) -> bool:
        """Whether the control plane doesn't know this yet, but for VMs whose change is about to be reported."""
        seen = {each.vm_id: _seen(each) for each in vms}
        with self._lock:
            changed = {vm for vm, each in seen.items() if self._told.get(vm) != each}
            gone = {vm for vm, (state, *_) in self._told.items() if vm not in seen and state is not Observed.ABSENT}
        return bool((changed | gone) - ignore)


def _seen(observation: Observation) -> LastTold:
    return observation.state, observation.started_at, observation.pid, observation.reason
