"""On and off: a launch that ends with a usable guest or with none, and a stop that asks before it cuts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from agent.drivers.base import Progress
from agent.drivers.qemu import daemon, events, memory, restores
from agent.drivers.qemu.command import machine_of
from agent.drivers.qemu.folder import Folder, Machine, State
from agent.drivers.qemu.launch import Left, launch, wait_usable, warm_up
from agent.drivers.qemu.qmp import Monitor
from agent.guest import qga
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec

ASK_SECONDS = 3.0
CUT_SECONDS = 15.0
POLL_SECONDS = 0.05
QUICK_SECONDS = 10.0


def switch_on(
    folder: Folder, vm: VmSpec, host: tuple[str, str], progress: Progress, left: Left, *, paused: bool = False
) -> None:
    """Running and usable, from any state; off again when that fails. `host` is (acceleration, QEMU's version)."""
    state = folder.state()
    if daemon.alive(folder.path) is not None and state.resume is not None and not events.seen(folder.path).resumed:
        daemon.cut(folder.path)  # an agent died while the memory was loaded: once more, from the beginning
    with _off_again(folder):
        if daemon.alive(folder.path) is None:
            state = _launch(folder, state, vm, host, progress, left)
        if paused:
            folder.change(usable=True, resume=None)
            return
        go_on(folder)
        wait_usable(folder, state, progress, left)
        if state.resume is not None:
            restores.set_clock(folder, state)
        else:
            warm_up(folder, state)
        folder.change(usable=True, resume=None)


def switch_off(folder: Folder, grace_seconds: float, progress: Progress, left: Left) -> None:
    """Asks the guest for as long as the grace lasts, then cuts."""
    folder.change(should_run=False, usable=False)
    if grace_seconds > 0 and daemon.alive(folder.path) is not None:
        _ask_guest(folder)
        deadline = time.monotonic() + min(grace_seconds, max(0.0, left() - CUT_SECONDS))
        while daemon.alive(folder.path) is not None and time.monotonic() < deadline:
            progress("waiting for the guest to shut down", None)
            time.sleep(POLL_SECONDS)
    daemon.cut(folder.path)


def go_on(folder: Folder) -> None:
    """The machine's processors run, whatever had stopped them."""
    if daemon.alive(folder.path) is not None:
        with Monitor(folder.path, QUICK_SECONDS) as monitor:
            if not monitor.ask("query-status")["running"]:
                monitor.ask("cont")


def _launch(folder: Folder, state: State, vm: VmSpec, host: tuple[str, str], progress: Progress, left: Left) -> State:
    if state.resume is not None and events.seen(folder.path).resumed:
        state = folder.change(resume=None)  # it did go on from there, and has ended since
    saved = restores.memory_of(folder, state)
    machine: Machine = (saved[0].machine if saved else None) or machine_of(vm, *host)
    state = folder.change(should_run=True, usable=False, machine=machine, spec=vm)
    progress("booting" if saved is None else "resuming", None)
    launch(folder, state, machine, incoming=saved is not None)
    if saved is not None:
        with Monitor(folder.path, left()) as monitor:
            memory.load(monitor, saved[1], progress)
    return state


def _ask_guest(folder: Folder) -> None:
    """By its agent and by the power button: whichever it listens to."""
    try:
        go_on(folder)
        with Monitor(folder.path, ASK_SECONDS) as monitor:
            monitor.ask("system_powerdown")
        image = folder.state().image
        if image is not None and image.guest_agent:
            qga.tell(folder.path, "guest-shutdown", ASK_SECONDS, mode="powerdown")
    except DriverFailure:
        pass  # a machine that can't be asked is cut when its grace is over


@contextmanager
def _off_again(folder: Folder) -> Iterator[None]:
    with ExitStack() as undo:
        undo.callback(folder.change, should_run=False, usable=False)
        undo.callback(daemon.cut, folder.path)
        yield
        undo.pop_all()
