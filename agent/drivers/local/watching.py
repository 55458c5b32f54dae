"""A watch over the guest during a call, by the hypervisor's event log: whether it stopped or restarted meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.drivers.local import daemon
from agent.drivers.local.folder import LocalVmFolder
from agent.drivers.local.happened import EventLog
from agent.guest.commands import GuestWent
from agent.guest.qga import AgentForbids
from core.contract.errors import DriverFailure, GuestTimeout

Watch = Callable[[], None]
GONE_SECONDS = 5.0


@contextmanager
def watched(folder: LocalVmFolder, record: EventLog) -> Iterator[Watch]:
    """Around questions to a guest; yields what raises `GuestWent` once there is nobody left to answer them.

    What fails inside for whatever reason is told as that, too, where it is so.
    """
    began, pid = record.length(folder.path), daemon.alive(folder.path)

    def look() -> None:
        seen = record.run_events(folder.path, began)
        if seen.restarted_at is not None:
            raise GuestWent("the guest restarted before it answered: its work is lost")
        if seen.ended is not None or daemon.alive(folder.path) != pid:
            daemon.wait_gone(folder.path, GONE_SECONDS)  # what is asked of the VM next finds it off
            why = "shut itself down" if seen.powered_off else "stopped"
            raise GuestWent(f"the guest {why} before it answered: its work is lost", code="guest_stopped")

    try:
        yield look
    except AgentForbids as error:
        state = folder.read()
        if state is None or not state.frozen:
            raise
        frozen = DriverFailure("the guest's file systems are frozen for a snapshot: try again", code="conflict")
        frozen.retryable = True
        raise frozen from error
    except DriverFailure as error:
        look()
        if isinstance(error, GuestTimeout) and (now := record.run_events(folder.path)).paused:
            why = now.halt or "resume it first"
            raise DriverFailure(f"the VM was paused before its guest answered: {why}", code="vm_paused") from None
        raise
