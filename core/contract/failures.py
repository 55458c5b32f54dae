"""The failure in a host's reply, as an error."""

from __future__ import annotations

from msgspec import to_builtins

from core.contract.calls import CALLS
from core.contract.errors import (
    Conflict,
    CorralError,
    DriverFailure,
    GuestTimeout,
    HostRefused,
    Invalid,
    NoCapacity,
    NotFound,
    Unavailable,
    Unsupported,
)
from core.contract.messages import JSON, Failure, Reply, build

# The one place that says who is to blame. What is not here was refused by the hypervisor, a tool or the guest.
_KINDS: dict[str, type[CorralError]] = {
    "internal_error": DriverFailure,  # the agent's own fault, and the only code that may become a 500
    "timeout": GuestTimeout,
    "guest_agent_unresponsive": GuestTimeout,
    "unsupported": Unsupported,
    "invalid_request": Invalid,
    "not_found": NotFound,
    "vm_not_found": NotFound,
    "image_not_found": NotFound,
    "snapshot_not_found": NotFound,
    "exec_not_found": NotFound,
    "orphan_not_found": NotFound,
    "too_many_execs": Conflict,
    "no_terminals": Unsupported,
    "not_a_terminal": Conflict,
    "terminal_full": Conflict,
    "conflict": Conflict,
    "superseded": Conflict,
    "invalid_state": Conflict,
    "port_taken": Conflict,
    "disk_slot_taken": Conflict,
    "disk_in_use": Conflict,
    "vm_not_running": Conflict,
    "vm_already_running": Conflict,
    "vm_paused": Conflict,
    "file_not_found": NotFound,
    "is_a_directory": Conflict,
    "not_a_directory": Conflict,
    "not_a_file": Conflict,
    "file_refused": Conflict,
    "no_space": NoCapacity,
    "insufficient_resources": NoCapacity,
    "service_unavailable": Unavailable,
    "image_unavailable": Unavailable,
    "deadline_exceeded": Unavailable,
}


def error_of(failure: Failure) -> CorralError:
    """The matching error; `HostRefused` for any code not known here."""
    error = _KINDS.get(failure.code, HostRefused)(failure.message, code=failure.code)
    error.details = failure.details
    error.retryable = failure.retryable
    return error


def result_of(reply: Reply, verb: str) -> JSON:
    """What a host's reply to a call of that verb tells; the error, if that is what it tells of."""
    if reply.failure is not None:
        raise error_of(reply.failure)
    try:
        answer: JSON = to_builtins(build(CALLS[verb][1], reply.result or {}))
    except Invalid as error:
        raise Unavailable(f"unexpected reply from the host: {error.message}") from None
    return answer
