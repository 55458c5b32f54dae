"""The launch of QEMU, until its guest answers."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack
from pathlib import Path

from agent.drivers.local import daemon, usable
from agent.drivers.local.confinement import Confinement
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord, VirtualMachineModel
from agent.drivers.qemu import command, events, qmp
from agent.guest import qga
from agent.system import process
from core.contract.errors import DriverFailure

MONITOR_SECONDS = 30.0
LOG = "qemu.log"
CONSOLE_KEPT = 4 * 1024 * 1024


def launch(
    folder: LocalVmFolder,
    state: LocalVmRecord,
    machine: VirtualMachineModel,
    group: Path | None,
    more: command.BackEnds,
    confined: Confinement,
    *,
    incoming: bool,
) -> None:
    """Starts QEMU in its control group, and returns once its monitor answers; it is gone again when this fails."""
    prepare(folder)
    args = command.command(folder, state, machine, more, incoming=incoming)
    with ExitStack() as undo, events.recording(folder.path):
        confined.prepare(folder, command.CONSOLE_LOG, qga.IN, qga.OUT, events.IN, events.OUT)
        undo.callback(daemon.cut, folder.path)
        with confined.started(folder, args, more.handing, group) as qemu:
            _wait_for_monitor(folder, qemu)
        undo.pop_all()


def prepare(folder: LocalVmFolder) -> None:
    """Fresh pipes, and a console log that doesn't grow for ever."""
    qga.make_channel(folder.path)
    trim_console(folder)
    (folder.path / command.CONSOLE_LOG).touch(0o600)


def trim_console(folder: LocalVmFolder) -> None:
    """Keeps a long console log as the part before, and begins a new one.

    In place, as QEMU may have it open, at whose end it writes in any case. What comes in between is lost.
    """
    log = folder.path / command.CONSOLE_LOG
    try:
        if log.stat().st_size > CONSOLE_KEPT:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)
    except FileNotFoundError:
        return


def _wait_for_monitor(folder: LocalVmFolder, qemu: process.Daemon) -> None:
    deadline = time.monotonic() + MONITOR_SECONDS
    while time.monotonic() < deadline:
        if qemu.ended():
            raise DriverFailure(f"QEMU did not start: {usable.tail(folder.path / LOG) or 'no output'}")
        try:
            with qmp.Monitor(folder.path, 5.0) as monitor:
                monitor.ask("query-status")
                return
        except qmp.QmpError:
            pass  # about to end
        time.sleep(0.01)
    raise DriverFailure(f"QEMU's monitor did not answer within {MONITOR_SECONDS:.0f} s", code="timeout")
