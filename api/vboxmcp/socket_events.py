"""The events of the vboxmcp dialect's WebSocket: their names and contents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.vboxmcp.states import state_of
from core.contract.states import VmStatus
from core.services.events import EventMessage

CONSOLE_OUTPUT = "vm.console_output"  # no event of the record's: it comes from the VM's host, and is not kept
_NAMES = {
    "status_change": "vm.state_changed",
    "console_output": CONSOLE_OUTPUT,
    "vm_created": "vm.created",
    "vm_deleted": "vm.deleted",
    "vm_made_elsewhere": "vm.made_elsewhere",
    "vm_moved": "vm.moved",
    "operation": "operation.changed",
    "host_joined": "host.joined",
    "host_offline": "host.offline",
    "host_online": "host.online",
    "host_scheduling": "host.scheduling_changed",
    "host_secret": "host.secret_changed",
    "driver_healthy": "host.driver_healthy",
    "driver_unhealthy": "host.driver_unhealthy",
}
ALL_TYPES = frozenset(_NAMES)


def types_of(events: Iterable[str]) -> frozenset[str]:
    """The core's types behind those names."""
    wanted = set(events)
    return frozenset(type_ for type_, name in _NAMES.items() if name in wanted)


def events_of(types: Iterable[str]) -> list[str]:
    """The names of those types."""
    return sorted(_NAMES[type_] for type_ in types)


def event_of(note: EventMessage) -> dict[str, Any] | None:
    """The message; None for what this dialect has no word for, and for a change between states of one name."""
    name = _NAMES.get(note.type)
    data = _state_change(note) if note.type == "status_change" else note.data
    if name is None or data is None:
        return None
    of = {"vm_id": note.vm_id, "name": note.vm_name} if note.vm_id else {"host": note.host_name}
    return {"type": "event", "event": name, "seq": note.seq, "timestamp": note.at, "data": of | data}


def _state_change(note: EventMessage) -> dict[str, Any] | None:
    old, new = (state_of(VmStatus(note.data[key])) for key in ("old_status", "new_status"))
    return None if old == new else {"old_state": old, "new_state": new}
