"""What is kept of a finished snapshot: the files it consists of, each with its size and SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agent.drivers.base import Progress
from agent.drivers.capabilities.snapshots import SnapshotTaken
from agent.drivers.local import disks
from agent.drivers.local.folder import NAME, Folder, Machine, State
from core.contract.errors import DriverFailure, Invalid
from core.contract.messages import decode
from core.durable import write_json

RECORD, MEMORY = "snapshot.json", "memory"
BLOCK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class File:
    """One file, by its name in the VM's folder."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Snapshot:
    """`layer` is the disk's top layer of then; `power` is running, paused or stopped; `machine` if with memory."""

    id: str
    layer: str
    power: str
    machine: Machine | None
    files: list[File]

    @property
    def taken(self) -> SnapshotTaken:
        """As the caller wants it. The image's disk counts for the checksum and not for the size."""
        own = [file for file in self.files if not file.name.startswith("image/")]
        listing = json.dumps([asdict(file) for file in self.files], sort_keys=True)
        checksum = "sha256:" + hashlib.sha256(listing.encode()).hexdigest()
        return SnapshotTaken(sum(file.size_bytes for file in own), checksum, self.machine is not None)


def home(folder: Folder, snapshot_id: str) -> Path:
    """The snapshot's own folder."""
    if not NAME.fullmatch(snapshot_id):
        raise DriverFailure(f"'{snapshot_id}' is not a valid snapshot id", code="invalid_request")
    return folder.snapshots / snapshot_id


def read(folder: Folder, snapshot_id: str) -> Snapshot | None:
    """None when there is none, or only the remains of one."""
    try:
        return decode(Snapshot, (home(folder, snapshot_id) / RECORD).read_bytes())
    except FileNotFoundError:
        return None
    except Invalid:
        raise DriverFailure(f"the metadata of snapshot '{snapshot_id}' is damaged", code="snapshot_damaged") from None


def ids(folder: Folder) -> list[str]:
    """The finished ones."""
    return sorted(path.parent.name for path in folder.snapshots.glob(f"*/{RECORD}"))


def begin(folder: Folder, snapshot_id: str) -> Path:
    """An empty folder for a new one."""
    path = home(folder, snapshot_id)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def finish(folder: Folder, state: State, snapshot: Snapshot, progress: Progress) -> Snapshot:
    """Adds up the files and keeps the record, after which the snapshot exists."""
    names = [f"layers/{name}" for name in disks.chain(folder, snapshot.layer)]
    if snapshot.machine is not None:
        names += _memory(folder, snapshot.id)
    known = _known(folder)
    files = [known.get(name) or added_up(folder.path / name, name, progress) for name in names]
    if state.image is not None:
        disk = state.image.disk
        files.append(File(f"image/{disk.name}", disk.size_bytes, disk.sha256))
    done = replace(snapshot, files=files)
    write_json(home(folder, snapshot.id) / RECORD, asdict(done))
    return done


def _memory(folder: Folder, snapshot_id: str) -> list[str]:
    """The files of a memory, which is one, or a folder of some."""
    memory = home(folder, snapshot_id) / MEMORY
    files = sorted(memory.iterdir()) if memory.is_dir() else [memory]
    return [str(file.relative_to(folder.path)) for file in files]


def verify(folder: Folder, snapshot: Snapshot, progress: Progress) -> None:
    """`DriverFailure` with code "snapshot_damaged" unless every file is as it was."""
    for file in snapshot.files:
        try:
            size = (folder.path / file.name).stat().st_size
        except FileNotFoundError:
            raise _damaged(snapshot, file, "is missing") from None
        if size != file.size_bytes:
            raise _damaged(snapshot, file, f"has {size} bytes and not {file.size_bytes}")
        if added_up(folder.path / file.name, file.name, progress).sha256 != file.sha256:
            raise _damaged(snapshot, file, "was changed")


def layers(folder: Folder) -> list[str]:
    """The layers that snapshots go back to."""
    return [each.layer for each in _all(folder)]


def replace_files(folder: Folder, new: File, gone: list[str]) -> None:
    """One file took the place of another, and took in those that are gone."""
    for each in _all(folder):
        if new.name in {file.name for file in each.files}:
            files = [new if file.name == new.name else file for file in each.files if file.name not in gone]
            write_json(home(folder, each.id) / RECORD, asdict(replace(each, files=files)))


def all_taken(folder: Folder) -> dict[str, SnapshotTaken]:
    """Each snapshot by its id, as the caller wants it."""
    return {each.id: each.taken for each in _all(folder)}


def remove(folder: Folder, state: State, snapshot_id: str) -> None:
    """Removes it, its remains, and the layers that nothing needs any more."""
    path = home(folder, snapshot_id)
    (path / RECORD).unlink(missing_ok=True)  # first: half a snapshot is none
    shutil.rmtree(path, ignore_errors=True)
    remove_unused_layers(folder, state)


def remove_unused_layers(folder: Folder, state: State) -> None:
    """Removes the layers that nothing needs, and what is left of snapshots that were never finished."""
    for path in folder.snapshots.glob("*"):
        if not (path / RECORD).exists():
            shutil.rmtree(path, ignore_errors=True)
    disks.remove_unused(folder, state, layers(folder))


def _all(folder: Folder) -> list[Snapshot]:
    found = (read(folder, snapshot_id) for snapshot_id in ids(folder))
    return [each for each in found if each is not None]


def _known(folder: Folder) -> dict[str, File]:
    """Frozen layers that earlier snapshots rest on have been added up already."""
    return {file.name: file for each in _all(folder) for file in each.files}


def added_up(path: Path, name: str, progress: Progress) -> File:
    """The size and the sum of a file that is to be known by that name."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        if f"/{MEMORY}" in name:
            os.fsync(file.fileno())
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            size += len(block)
            progress("checking the files", None)
    return File(name, size, digest.hexdigest())


def _damaged(snapshot: Snapshot, file: File, what: str) -> DriverFailure:
    return DriverFailure(
        f"snapshot '{snapshot.id}' is damaged: {file.name} {what}; the VM was left as it is", code="snapshot_damaged"
    )
