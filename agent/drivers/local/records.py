"""Records of finished snapshots: the files of each, with their sizes and SHA-256."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agent.drivers import ids, sums
from agent.drivers.base import Progress
from agent.drivers.capabilities.snapshots import FinishedSnapshot
from agent.drivers.local import disks
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord, VirtualMachineModel
from core.durable import write_json

RECORD, MEMORY = "snapshot.json", "memory"


@dataclass(frozen=True)
class SnapshotFile:
    """A file of a snapshot, by its name in the VM's folder."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class LocalSnapshot:
    """`layer` is the disk's top layer of then; `power` is running, paused or stopped; `machine` if with memory."""

    id: str
    layer: str
    power: str
    machine: VirtualMachineModel | None
    files: list[SnapshotFile]

    @property
    def taken(self) -> FinishedSnapshot:
        """As the caller wants it. The image's disk counts for the checksum and not for the size."""
        own = [file for file in self.files if not file.name.startswith("image/")]
        checksum = sums.checksum([asdict(file) for file in self.files])
        return FinishedSnapshot(sum(file.size_bytes for file in own), checksum, self.machine is not None)


def home(folder: LocalVmFolder, snapshot_id: str) -> Path:
    """The snapshot's own folder."""
    return folder.snapshots / ids.checked("snapshot", snapshot_id)


def read(folder: LocalVmFolder, snapshot_id: str) -> LocalSnapshot | None:
    """None when there is none, or only the remains of one."""
    return sums.read_record(LocalSnapshot, home(folder, snapshot_id) / RECORD, snapshot_id)


def snapshot_ids(folder: LocalVmFolder) -> list[str]:
    """The finished ones."""
    return sorted(path.parent.name for path in folder.snapshots.glob(f"*/{RECORD}"))


def begin(folder: LocalVmFolder, snapshot_id: str) -> Path:
    """An empty folder for a new one."""
    path = home(folder, snapshot_id)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def finish(folder: LocalVmFolder, state: LocalVmRecord, snapshot: LocalSnapshot, progress: Progress) -> LocalSnapshot:
    """Adds up the files and keeps the record, after which the snapshot exists."""
    names = [f"layers/{name}" for name in disks.chain(folder, snapshot.layer)]
    if snapshot.machine is not None:
        names += _memory(folder, snapshot.id)
    known = _known(folder)
    files = [known.get(name) or added_up(folder.path / name, name, progress) for name in names]
    if state.image is not None:
        disk = state.image.disk
        files.append(SnapshotFile(f"image/{disk.name}", disk.size_bytes, disk.sha256))
    done = replace(snapshot, files=files)
    write_json(home(folder, snapshot.id) / RECORD, asdict(done))
    return done


def _memory(folder: LocalVmFolder, snapshot_id: str) -> list[str]:
    """The files of a memory, which is one, or a folder of some."""
    memory = home(folder, snapshot_id) / MEMORY
    files = sorted(memory.iterdir()) if memory.is_dir() else [memory]
    return [str(file.relative_to(folder.path)) for file in files]


def verify(folder: LocalVmFolder, snapshot: LocalSnapshot, progress: Progress) -> None:
    """`DriverFailure` with code "snapshot_damaged" unless every file is as it was."""
    files = ((folder.path / file.name, sums.Sum(file.size_bytes, file.sha256)) for file in snapshot.files)
    sums.verify(snapshot.id, files, progress)


def layers(folder: LocalVmFolder) -> list[str]:
    """The layers that snapshots go back to."""
    return [each.layer for each in _all(folder)]


def replace_files(folder: LocalVmFolder, new: SnapshotFile, gone: list[str]) -> None:
    """One file took the place of another, and took in those that are gone."""
    for each in _all(folder):
        if new.name in {file.name for file in each.files}:
            files = [new if file.name == new.name else file for file in each.files if file.name not in gone]
            write_json(home(folder, each.id) / RECORD, asdict(replace(each, files=files)))


def all_taken(folder: LocalVmFolder) -> dict[str, FinishedSnapshot]:
    """Each snapshot by its id, as the caller wants it."""
    return {each.id: each.taken for each in _all(folder)}


def remove(folder: LocalVmFolder, state: LocalVmRecord, snapshot_id: str) -> None:
    """Removes it, its remains, and the layers that nothing needs any more."""
    path = home(folder, snapshot_id)
    (path / RECORD).unlink(missing_ok=True)  # first: half a snapshot is none
    shutil.rmtree(path, ignore_errors=True)
    remove_unused_layers(folder, state)


def remove_unused_layers(folder: LocalVmFolder, state: LocalVmRecord) -> None:
    """Removes the layers that nothing needs, and what is left of snapshots that were never finished."""
    for path in folder.snapshots.glob("*"):
        if not (path / RECORD).exists():
            shutil.rmtree(path, ignore_errors=True)
    disks.remove_unused(folder, state, layers(folder))


def _all(folder: LocalVmFolder) -> list[LocalSnapshot]:
    found = (read(folder, snapshot_id) for snapshot_id in snapshot_ids(folder))
    return [each for each in found if each is not None]


def _known(folder: LocalVmFolder) -> dict[str, SnapshotFile]:
    """Frozen layers that earlier snapshots rest on have been added up already."""
    return {file.name: file for each in _all(folder) for file in each.files}


def added_up(path: Path, name: str, progress: Progress) -> SnapshotFile:
    """The size and the sum of a file that is to be known by that name."""
    found = sums.add_up(path, progress, flush=f"/{MEMORY}" in name)
    return SnapshotFile(name, found.size_bytes, found.sha256)
