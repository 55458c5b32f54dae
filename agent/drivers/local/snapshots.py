"""The common part of snapshots, whichever process runs the VM."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.drivers.local import daemon, records, usable
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord
from agent.guest import qga
from core.contract.errors import DriverFailure, GuestTimeout

FREEZE_SECONDS, THAW_SECONDS = 5.0, 10.0
SPARE_BYTES = 1024 * 1024
RUNNING, PAUSED, STOPPED = "running", "paused", "stopped"


def kept_if_whole(
    folder: LocalVmFolder, snapshot_id: str, take: Callable[[Path], records.LocalSnapshot]
) -> records.LocalSnapshot:
    """What `take` makes in the snapshot's folder; of one that fails nothing stays."""
    home = records.begin(folder, snapshot_id)
    try:
        return take(home)
    except BaseException as error:
        full = shutil.disk_usage(home).free < SPARE_BYTES
        shutil.rmtree(home, ignore_errors=True)
        if full and isinstance(error, DriverFailure):
            raise DriverFailure(
                f"no space is left on the host's disk for snapshot '{snapshot_id}': delete others, or make room",
                code="insufficient_resources",
            ) from error
        raise


def recover(folder: LocalVmFolder, go_on: Callable[[LocalVmFolder], None], *, asking: bool = True) -> LocalVmRecord:
    """Lets a machine go on that a snapshot, cut off half-way, had paused or frozen; a guest is asked only if so said.

    One that does not answer stays noted as frozen, and is asked again the next time.
    """
    state = folder.state()
    if not state.held and not state.frozen:
        return state
    if daemon.alive(folder.path) is not None:
        if state.held:
            go_on(folder)
        if state.frozen and not (asking and thaw(folder)):
            return folder.change(held=False)
    return folder.change(held=False, frozen=False)


@contextmanager
def quiet_guest(folder: LocalVmFolder, state: LocalVmRecord, power: str) -> Iterator[bool]:
    """The guest's file systems frozen, if its agent can; without that the snapshot is as after a power cut.

    Yields whether they are: then all that the guest has written is on its disk.
    """
    if not usable.has_agent(state) or power == PAUSED:
        yield False
        return
    folder.change(frozen=True)
    try:
        frozen = False
        try:
            frozen = qga.ask(folder.path, "guest-fsfreeze-freeze", FREEZE_SECONDS) > 0
        except DriverFailure:
            pass  # not frozen, or late: it is thawed below in any case
        yield frozen
    finally:
        folder.change(frozen=not thaw(folder))


def thaw(folder: LocalVmFolder) -> bool:
    """Whether the guest's file systems go on. A silent one gets the request when it does, after the other."""
    try:
        qga.ask(folder.path, "guest-fsfreeze-thaw", THAW_SECONDS)
    except GuestTimeout:
        return False
    except DriverFailure:
        return True  # an agent that can't thaw can't have frozen, and a machine that is off is not frozen
    return True
