"""Records of finished snapshots: the files of each, with their sizes and SHA-256."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agent.drivers import ids, sums
from agent.drivers.base import Progress
from agent.drivers.capabilities.snapshots import FinishedSnapshot
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder
from core.durable import write_json


@dataclass(frozen=True)
class DatedFile:
    """A file of a snapshot, by its path; `changed` is its time in nanoseconds, by which a sum already made is known to
    hold.
    """

    path: str
    size_bytes: int
    changed: int
    sha256: str


@dataclass(frozen=True)
class VirtualBoxSnapshot:
    """`power` is running, paused or stopped; `memory` the file with the memory, if it is to be gone on from."""

    id: str
    power: str
    memory: str | None
    include_memory: bool
    size_bytes: int
    checksum: str
    files: list[DatedFile]

    @property
    def taken(self) -> FinishedSnapshot:
        """As the caller wants it."""
        return FinishedSnapshot(self.size_bytes, self.checksum, self.include_memory)


def read(folder: VirtualBoxVmFolder, snapshot_id: str) -> VirtualBoxSnapshot | None:
    """None when there is none, or one that was not finished."""
    return sums.read_record(VirtualBoxSnapshot, _path(folder, snapshot_id), snapshot_id)


def snapshot_ids(folder: VirtualBoxVmFolder) -> list[str]:
    """The finished ones."""
    return sorted(path.stem for path in folder.snapshots.glob("*.json"))


def write(
    folder: VirtualBoxVmFolder, saved: VirtualBoxSnapshot, paths: Iterable[str], progress: Progress
) -> VirtualBoxSnapshot:
    """Adds up the files and keeps the record, after which the snapshot exists."""
    files = _added_up(folder, sorted(paths), progress)
    checksum = sums.checksum([[Path(file.path).name, file.size_bytes, file.sha256] for file in files])
    done = replace(saved, files=files, size_bytes=sum(file.size_bytes for file in files), checksum=checksum)
    folder.snapshots.mkdir(exist_ok=True)
    write_json(_path(folder, saved.id), asdict(done))
    return done


def rewrite(folder: VirtualBoxVmFolder, snapshot_id: str, paths: Iterable[str], progress: Progress) -> None:
    """VirtualBox has put files of this snapshot together with those of another: they are added up anew.

    What the caller was told of it when it was taken stays as it is.
    """
    saved = read(folder, snapshot_id)
    if saved is not None:
        write_json(_path(folder, snapshot_id), asdict(replace(saved, files=_added_up(folder, sorted(paths), progress))))


def verify(saved: VirtualBoxSnapshot, progress: Progress) -> None:
    """`DriverFailure` with code "snapshot_damaged" unless every file is as it was."""
    files = ((Path(file.path), sums.Sum(file.size_bytes, file.sha256)) for file in saved.files)
    sums.verify(saved.id, files, progress)


def remove(folder: VirtualBoxVmFolder, snapshot_id: str) -> None:
    """Removes the record: half a snapshot is none."""
    _path(folder, snapshot_id).unlink(missing_ok=True)


def _added_up(folder: VirtualBoxVmFolder, paths: list[str], progress: Progress) -> list[DatedFile]:
    records = [read(folder, snapshot_id) for snapshot_id in snapshot_ids(folder)]
    known = {(file.path, file.size_bytes, file.changed): file for each in records if each for file in each.files}
    found = []
    for path in paths:
        status = Path(path).stat()
        key = (path, status.st_size, status.st_mtime_ns)
        found.append(known.get(key) or DatedFile(*key, sha256=sums.add_up(Path(path), progress).sha256))
    return found


def _path(folder: VirtualBoxVmFolder, snapshot_id: str) -> Path:
    return folder.snapshots / f"{ids.checked('snapshot', snapshot_id)}.json"
