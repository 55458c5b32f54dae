"""The observed state of VMs, by VirtualBox; when all are observed, only changed ones are asked about."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import psutil

from agent.drivers import ids
from agent.drivers.virtualbox import output, states
from agent.drivers.virtualbox.folder import RECORD, VirtualBoxVmFolder, VirtualBoxVmRecord
from agent.drivers.virtualbox.vboxmanage import VBoxManage
from core.contract.errors import DriverFailure
from core.contract.states import Observed
from core.contract.vms import Observation, Running

HEAD_BYTES = 8192
_OPENED = re.compile(rb"Log opened (\S+?)Z")
_PID = re.compile(rb"Process ID: (\d+)")
UNREGISTERED = "the VM is no longer registered with VirtualBox: register its .vbox file again, or delete the VM"
UNREADABLE = "VirtualBox can't read the VM's settings: repair the .vbox file in the VM's folder"


@dataclass(frozen=True)
class Stamp:
    """A version of a VM's settings file. VirtualBox writes it anew with every change of an off VM's state."""

    inode: int
    changed: int


def observe(manage: VBoxManage, folder: VirtualBoxVmFolder) -> Observation:
    """Asks VirtualBox about one VM, if it is one of ours."""
    try:
        record = folder.read()
    except DriverFailure as error:  # one damaged VM must not hide the others; it can be deleted
        return Observation(folder.path.name, Observed.CRASHED, reason=error.message)
    if record is None:
        return Observation(folder.path.name, Observed.ABSENT)
    info = manage.info(folder.uuid)
    if info is None:
        return _told(folder, record, None, UNREGISTERED, Running())
    size = Running(vcpus=int(info.get("cpus") or 0), memory_mb=int(info.get("memory") or 0))
    return _told(folder, record, info.get("VMState"), UNREADABLE, size)


def process_of(folder: VirtualBoxVmFolder) -> psutil.Process | None:
    """The process that a VM runs in, if it does: the one that its log names, unless that number is another's by now."""
    _, pid = _process(folder)
    try:
        process = psutil.Process(pid) if pid else None
        return process if process and folder.uuid in process.cmdline() else None
    except psutil.Error:
        return None


def folders_of(vms: Path) -> list[VirtualBoxVmFolder]:
    """Those of all VMs of ours, whole or damaged."""
    names = sorted(path.parent.name for path in vms.glob(f"[!.]*/{RECORD}") if ids.is_one(path.parent.name))
    return [VirtualBoxVmFolder(vms / name) for name in names]


class VirtualBoxWatch:
    """Looks at all VMs every few seconds. What it remembers is what VirtualBox said of files that have not changed."""

    def __init__(self, manage: VBoxManage, vms: Path) -> None:
        self._manage, self._vms = manage, vms
        self._off: dict[str, tuple[Stamp, str | None]] = {}

    def observe_all(self) -> list[Observation]:
        """Two calls, whatever the number of VMs; three after one that is off has changed; none without VMs."""
        folders = {folder.uuid: folder for folder in folders_of(self._vms)}
        if not folders:
            return []
        stamps = {uuid: _stamp(folder) for uuid, folder in folders.items()}
        registered = set(output.parse_short(self._manage.run("list", "vms")))
        running = {each.uuid: each for each in output.parse_list(self._manage.run("list", "-l", "runningvms"))}
        known = self._known(stamps, registered - set(running))
        found = []
        for uuid, folder in folders.items():
            why = UNREADABLE if uuid in registered else UNREGISTERED
            now = running.get(uuid)
            size = Running(vcpus=now.vcpus, memory_mb=now.memory_mb) if now else Running()
            found.append(_seen(folder, now.state if now else known.get(uuid), why, size))
        return [each for each in found if each.state is not Observed.ABSENT]

    def _known(self, stamps: dict[str, Stamp | None], off: set[str]) -> dict[str, str | None]:
        """The states of the VMs that are off; all are asked for anew once one of them may have changed."""
        mine = {uuid: stamp for uuid, stamp in stamps.items() if uuid in off and stamp is not None}
        if any(self._off.get(uuid, (None, None))[0] != stamp for uuid, stamp in mine.items()):
            listed = {each.uuid: each.state for each in output.parse_list(self._manage.run("list", "-l", "vms"))}
            self._off = {uuid: (stamp, listed.get(uuid)) for uuid, stamp in mine.items()}
        return {uuid: state for uuid, (_, state) in self._off.items() if uuid in mine}


def _seen(folder: VirtualBoxVmFolder, word: str | None, why: str, size: Running) -> Observation:
    try:
        record = folder.read()
    except DriverFailure as error:
        return Observation(folder.path.name, Observed.CRASHED, reason=error.message)
    if record is None:
        return Observation(folder.path.name, Observed.ABSENT)
    return _told(folder, record, word, why, size)


def _told(
    folder: VirtualBoxVmFolder, record: VirtualBoxVmRecord, word: str | None, why: str, size: Running
) -> Observation:
    """`size`: what a running VM runs with."""
    facts = Running(record.restores)
    if word is None:
        return Observation(folder.path.name, Observed.CRASHED, reason=why, facts=facts)
    state = states.observed(word)
    if state not in (Observed.RUNNING, Observed.PAUSED):
        return Observation(folder.path.name, state, reason=states.REASONS.get(word), facts=facts)
    started_at, pid = _process(folder)
    return Observation(folder.path.name, state, started_at, pid, facts=replace(size, restores=record.restores))


def _process(folder: VirtualBoxVmFolder) -> tuple[float | None, int | None]:
    """Since when the VM's process runs, and its number: VirtualBox tells neither, but each process begins a log."""
    try:
        with (folder.settings / "Logs" / "VBox.log").open("rb") as log:
            head = log.read(HEAD_BYTES)
    except FileNotFoundError:
        return None, None
    opened, pid = _OPENED.search(head), _PID.search(head)
    try:
        started_at = datetime.fromisoformat(opened[1].decode()[:26] + "+00:00").timestamp() if opened else None
    except ValueError:
        started_at = None
    return started_at, int(pid[1]) if pid else None


def _stamp(folder: VirtualBoxVmFolder) -> Stamp | None:
    try:
        status = (folder.settings / f"{folder.path.name}.vbox").stat()
    except FileNotFoundError:
        return None
    return Stamp(status.st_ino, status.st_mtime_ns)
