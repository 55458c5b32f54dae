"""VirtualBox's names of VM states, and the messages about a change."""

from __future__ import annotations

from api.shared.views import Outcome
from core.contract.states import LIVE, Kind, Observed, VmStatus

_WORDS = {
    VmStatus.CREATING: "creating",
    VmStatus.CREATED: "poweroff",
    VmStatus.STARTING: "starting",
    VmStatus.RUNNING: "running",
    VmStatus.STOPPING: "stopping",
    VmStatus.STOPPED: "poweroff",
    VmStatus.PAUSED: "paused",
    VmStatus.RESTORING: "restoring",
    VmStatus.DELETING: "deleting",
    VmStatus.CRASHED: "aborted",
    VmStatus.FAILED: "failed",
    VmStatus.UNKNOWN: "unknown",
    VmStatus.LOST: "inaccessible",
}
DELETED = "deleted"
STATES = (*dict.fromkeys(_WORDS.values()), DELETED)

_BEGUN = {
    Kind.CREATE: "VM is being created",
    Kind.START: "VM is starting",
    Kind.STOP: "VM is stopping",
    Kind.RESTART: "VM is restarting",
    Kind.PAUSE: "VM is being paused",
    Kind.RESUME: "VM is being resumed",
    Kind.SAVE: "VM is being saved",
    Kind.DELETE: "VM is being deleted",
}
_DONE = {
    Kind.CREATE: "VM created successfully",
    Kind.START: "VM started successfully",
    Kind.STOP: "VM stopped successfully",
    Kind.RESTART: "VM restarted successfully",
    Kind.PAUSE: "VM paused successfully",
    Kind.RESUME: "VM resumed successfully",
    Kind.SAVE: "VM saved successfully",
    Kind.DELETE: "VM deleted successfully",
}


def state_of(status: VmStatus) -> str:
    """The word for a status."""
    return _WORDS[status]


def statuses_of(state: str | None) -> tuple[str, ...]:
    """The statuses behind a word; none for None. What is deleted is listed nowhere: its word stands for itself."""
    if state is None:
        return ()
    return tuple(status.value for status, word in _WORDS.items() if word == state) or (state,)


def state_after(outcome: Outcome) -> str:
    """The word for a VM after a change, which may have been its last."""
    return DELETED if outcome.vm.deleted_at else state_of(outcome.status)


def observed_state(observed: str) -> str:
    """The word for what a driver saw."""
    words = {Observed.STOPPED: "poweroff", Observed.CRASHED: "aborted", Observed.ABSENT: "failed"}
    return words.get(Observed(observed), observed)


def message_of(outcome: Outcome) -> str:
    """What is said of an operation."""
    words = _BEGUN if outcome.operation.state in LIVE else _DONE
    return words[Kind(outcome.operation.kind)]
