"""Snapshots by VirtualBox: taken, restored and deleted; VirtualBox has each under Corral's id.

VirtualBox can't delete one that several others rest on. Such a one is only renamed, and deleted after the others.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from agent.drivers.base import Progress
from agent.drivers.limits import Left
from agent.drivers.virtualbox import output, power, saved, states
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder
from agent.drivers.virtualbox.vboxmanage import VBoxManage
from core.contract.errors import DriverFailure
from core.contract.states import Observed

RUNNING, PAUSED, STOPPED = "running", "paused", "stopped"
DELETED = "deleted "  # no id begins so
_NAME = re.compile(r"SnapshotName((?:-\d+)*)")
_ATTACHED = re.compile(r"Unit \d+: UUID: ([0-9a-f-]{36})")


@dataclass(frozen=True)
class Node:
    """A snapshot as VirtualBox has it. `rested_on_by`: how many others, and the VM as it is now, come from it."""

    name: str
    uuid: str
    rested_on_by: int


def take(
    manage: VBoxManage,
    folder: VirtualBoxVmFolder,
    snapshot_id: str,
    include_memory: bool,
    progress: Progress,
    left: Left,
) -> saved.VirtualBoxSnapshot:
    """Of the VM as it is. VirtualBox keeps the memory of one that runs, asked to or not; a restore may drop it."""
    now = power.word(manage, folder)
    state = states.observed(now)
    before = _memories(folder)
    if snapshot_id not in [node.name for node in _tree(manage, folder)]:
        live = ["--live"] if state is Observed.RUNNING else []
        manage.change(folder.uuid, "snapshot", "take", snapshot_id, *live, timeout=left())
    memory = next(iter(_memories(folder) - before - _kept(folder)), None)
    mode = {Observed.RUNNING: RUNNING, Observed.PAUSED: PAUSED}.get(state, STOPPED)
    with_memory = include_memory and memory is not None and mode != STOPPED
    taken = saved.VirtualBoxSnapshot(snapshot_id, mode, memory, with_memory, 0, "", [])
    return saved.write(folder, taken, _files(manage, folder, snapshot_id, memory), progress)


def restore(
    manage: VBoxManage,
    folder: VirtualBoxVmFolder,
    snapshot: saved.VirtualBoxSnapshot,
    running: bool,
    progress: Progress,
    left: Left,
) -> None:
    """Cuts the power and puts the snapshot back; its memory waits for the next start if the VM is to run."""
    power.cut(manage, folder, left)
    progress("restoring", None)
    manage.change(folder.uuid, "snapshot", "restore", snapshot.id, timeout=left())
    if power.word(manage, folder) in states.SAVED and not (running and snapshot.include_memory):
        power.discard(manage, folder)


def delete(manage: VBoxManage, folder: VirtualBoxVmFolder, snapshot_id: str, left: Left) -> None:
    """Removes it, and those that were waiting for that."""
    saved.remove(folder, snapshot_id)
    for node in _tree(manage, folder):
        if node.name == snapshot_id:
            manage.change(folder.uuid, "snapshot", "edit", node.uuid, "--name", f"{DELETED}{node.uuid}")
    _sweep(manage, folder, left)
    for other in saved.snapshot_ids(folder):
        record = saved.read(folder, other)
        memory = record.memory if record else None
        saved.rewrite(folder, other, _files(manage, folder, other, memory), _silent)


def check(folder: VirtualBoxVmFolder, snapshot_id: str, progress: Progress) -> saved.VirtualBoxSnapshot:
    """The snapshot, if it is whole; touches nothing."""
    found = saved.read(folder, snapshot_id)
    if found is None:
        raise DriverFailure(f"snapshot '{snapshot_id}' is not on this host", code="snapshot_not_found")
    saved.verify(found, progress)
    return found


def _sweep(manage: VBoxManage, folder: VirtualBoxVmFolder, left: Left) -> None:
    """Deletes what is deleted for us, as far as VirtualBox can: each that goes may free another."""
    while free := [node for node in _tree(manage, folder) if node.name.startswith(DELETED) and node.rested_on_by <= 1]:
        manage.change(folder.uuid, "snapshot", "delete", free[0].uuid, timeout=left())


def _tree(manage: VBoxManage, folder: VirtualBoxVmFolder) -> list[Node]:
    """VirtualBox's snapshots of a VM."""
    told = manage.info(folder.uuid) or {}
    names = {found[1]: value for key, value in told.items() if (found := _NAME.fullmatch(key))}
    above = Counter(path.rpartition("-")[0] for path in names if path)
    current = told.get("CurrentSnapshotNode", "").removeprefix("SnapshotName")
    return [
        Node(name, told[f"SnapshotUUID{path}"], above[path] + (path == current and "CurrentSnapshotNode" in told))
        for path, name in names.items()
    ]


def _files(manage: VBoxManage, folder: VirtualBoxVmFolder, snapshot_id: str, memory: str | None) -> list[str]:
    """The disks as of a snapshot, each with all that it rests on, and the memory."""
    told = manage.run("snapshot", folder.uuid, "showvminfo", snapshot_id)
    known = {item["UUID"]: item for item in output.parse_items(manage.run("list", "hdds"))}
    uuids = _ATTACHED.findall(told)
    found = {path for uuid in uuids for path in _chain(known, uuid)}
    return sorted({*found, *([memory] if memory else [])})


def _chain(known: dict[str, dict[str, str]], uuid: str) -> Iterator[str]:
    while uuid in known:
        yield known[uuid]["Location"]
        uuid = known[uuid]["Parent UUID"]


def _memories(folder: VirtualBoxVmFolder) -> set[str]:
    return {str(path) for path in (folder.settings / "Snapshots").glob("*.sav")}


def _kept(folder: VirtualBoxVmFolder) -> set[str]:
    records = [saved.read(folder, snapshot_id) for snapshot_id in saved.snapshot_ids(folder)]
    return {each.memory for each in records if each and each.memory}


def _silent(step: str, percent: int | None) -> None:
    """Nobody is told of what a deletion adds up."""
