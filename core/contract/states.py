"""States of VMs, hosts and operations, and the pure rules between them."""

from __future__ import annotations

from enum import StrEnum


class Observed(StrEnum):
    """What a driver sees of a VM on its host."""

    ABSENT = "absent"
    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"
    CRASHED = "crashed"


class DesiredState(StrEnum):
    """What the owner asked for last."""

    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"
    DELETED = "deleted"


class VmStatus(StrEnum):
    """What a user reads: computed by `status()`, stored nowhere."""

    CREATING = "creating"
    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    PAUSED = "paused"
    RESTORING = "restoring"
    DELETING = "deleting"
    CRASHED = "crashed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    LOST = "lost"


class SchedulingState(StrEnum):
    """Whether a host takes new VMs, as administrators have it."""

    ACTIVE = "active"
    CORDONED = "cordoned"
    DRAINING = "draining"
    DRAINED = "drained"
    FENCED = "fenced"


class RestartPolicy(StrEnum):
    """What becomes of a VM whose host is fenced or given up: it is lost, or created again on another host."""

    NONE = "none"
    ELSEWHERE = "elsewhere"


class HostKind(StrEnum):
    """What an operation of a host does, of no VM: the control plane's own work, and no command."""

    DRAIN = "drain"
    PREFETCH = "image_prefetch"


class Kind(StrEnum):
    """The kind of an operation of a VM; each is one command to one host, and a move is one to each of two hosts."""

    CREATE = "create"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    DELETE = "delete"
    PAUSE = "pause"
    RESUME = "resume"
    SAVE = "save"
    RESIZE = "resize"
    DISK_ATTACH = "disk_attach"
    DISK_DETACH = "disk_detach"
    ADAPTER_SET = "adapter_set"
    SNAPSHOT_CREATE = "snapshot_create"
    SNAPSHOT_RESTORE = "snapshot_restore"
    SNAPSHOT_DELETE = "snapshot_delete"
    PORT_FORWARD_CREATE = "port_forward_create"
    PORT_FORWARD_DELETE = "port_forward_delete"
    MOVE = "move"


class Phase(StrEnum):
    """How far a command is by its host's report; the last three end it."""

    BEGUN = "begun"
    PROGRESS = "progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Applied(StrEnum):
    """Since when a new size of a VM holds."""

    LIVE = "live"
    AT_NEXT_START = "at_next_start"


class OperationState(StrEnum):
    """An operation is live in the first two and never leaves the last three."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


LIVE = (OperationState.QUEUED, OperationState.RUNNING)
ENDED = (OperationState.SUCCEEDED, OperationState.FAILED, OperationState.CANCELLED)

UNDER_WAY = {
    Kind.CREATE: VmStatus.CREATING,
    Kind.START: VmStatus.STARTING,
    Kind.STOP: VmStatus.STOPPING,
    Kind.RESTART: VmStatus.STARTING,
    Kind.SAVE: VmStatus.STOPPING,
    Kind.DELETE: VmStatus.DELETING,
    Kind.SNAPSHOT_RESTORE: VmStatus.RESTORING,
}


def status(
    *,
    wanted: str,
    observed: str | None,
    ever_started: bool,
    live_kind: str | None,
    host_offline: bool,
    lost: bool = False,
) -> VmStatus:
    """The status that a user reads: from the desired state, the observed state, and the live operation.

    A live operation comes first, except a snapshot, which does not change the status. Then comes the loss of the VM,
    then a host that is offline, then the observed state: None until the host has reported the VM once.
    """
    under_way = UNDER_WAY.get(Kind(live_kind)) if live_kind else None
    if under_way is not None:
        return under_way
    if wanted == DesiredState.DELETED:
        return VmStatus.DELETING
    if lost:
        return VmStatus.LOST
    if host_offline:
        return VmStatus.UNKNOWN
    if observed is None or observed == Observed.ABSENT:
        return VmStatus.FAILED
    if observed == Observed.STOPPED:
        return VmStatus.STOPPED if ever_started else VmStatus.CREATED
    return VmStatus(observed)
