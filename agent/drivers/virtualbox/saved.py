"""What is kept of a finished snapshot: the files it consists of, each with its size and SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agent.drivers.base import Progress
from agent.drivers.capabilities.snapshots import SnapshotTaken
from agent.drivers.virtualbox.folder import NAME, Folder
from core.contract.errors import DriverFailure, Invalid
from core.contract.messages import decode
from core.durable import write_json

BLOCK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class File:
    """One file, by its path; `changed` is its time in nanoseconds, by which a sum already made is known to hold."""

    path: str
    size_bytes: int
    changed: int
    sha256: str


@dataclass(frozen=True)
class Saved:
    """`power` is running, paused or stopped; `memory` the file with the memory, if it is to be gone on from."""

    id: str
    power: str
    memory: str | None
    include_memory: bool
    size_bytes: int
    checksum: str
    files: list[File]

    @property
    def taken(self) -> SnapshotTaken:
        """As the caller wants it."""
        return SnapshotTaken(self.size_bytes, self.checksum, self.include_memory)


def read(folder: Folder, snapshot_id: str) -> Saved | None:
    """None when there is none, or one that was not finished."""
    try:
        return decode(Saved, _path(folder, snapshot_id).read_bytes())
    except FileNotFoundError:
        return None
    except Invalid:
        raise DriverFailure(f"the metadata of snapshot '{snapshot_id}' is damaged", code="snapshot_damaged") from None


def ids(folder: Folder) -> list[str]:
    """The finished ones."""
    return sorted(path.stem for path in folder.snapshots.glob("*.json"))


def write(folder: Folder, saved: Saved, paths: Iterable[str], progress: Progress) -> Saved:
    """Adds up the files and keeps the record, after which the snapshot exists."""
    files = _added_up(folder, sorted(paths), progress)
    listing = json.dumps([[Path(file.path).name, file.size_bytes, file.sha256] for file in files])
    checksum = "sha256:" + hashlib.sha256(listing.encode()).hexdigest()
    done = replace(saved, files=files, size_bytes=sum(file.size_bytes for file in files), checksum=checksum)
    folder.snapshots.mkdir(exist_ok=True)
    write_json(_path(folder, saved.id), asdict(done))
    return done


def rewrite(folder: Folder, snapshot_id: str, paths: Iterable[str], progress: Progress) -> None:
    """VirtualBox has put files of this snapshot together with those of another: they are added up anew.

    What the caller was told of it when it was taken stays as it is.
    """
    saved = read(folder, snapshot_id)
    if saved is not None:
        write_json(_path(folder, snapshot_id), asdict(replace(saved, files=_added_up(folder, sorted(paths), progress))))


def verify(saved: Saved, progress: Progress) -> None:
    """`DriverFailure` with code "snapshot_damaged" unless every file is as it was."""
    for file in saved.files:
        path = Path(file.path)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise _damaged(saved, path, "is missing") from None
        if size != file.size_bytes:
            raise _damaged(saved, path, f"has {size} bytes and not {file.size_bytes}")
        if _sum(path, progress) != file.sha256:
            raise _damaged(saved, path, "was changed")


def remove(folder: Folder, snapshot_id: str) -> None:
    """Removes the record: half a snapshot is none."""
    _path(folder, snapshot_id).unlink(missing_ok=True)


def _added_up(folder: Folder, paths: list[str], progress: Progress) -> list[File]:
    records = [read(folder, snapshot_id) for snapshot_id in ids(folder)]
    known = {(file.path, file.size_bytes, file.changed): file for each in records if each for file in each.files}
    found = []
    for path in paths:
        status = Path(path).stat()
        key = (path, status.st_size, status.st_mtime_ns)
        found.append(known.get(key) or File(*key, sha256=_sum(Path(path), progress)))
    return found


def _sum(path: Path, progress: Progress) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            progress("adding up the snapshot", None)
    return digest.hexdigest()


def _path(folder: Folder, snapshot_id: str) -> Path:
    if not NAME.fullmatch(snapshot_id):
        raise DriverFailure(f"'{snapshot_id}' is not a valid snapshot id", code="invalid_request")
    return folder.snapshots / f"{snapshot_id}.json"


def _damaged(saved: Saved, path: Path, what: str) -> DriverFailure:
    return DriverFailure(f"snapshot '{saved.id}' is damaged: {path.name} {what}", code="snapshot_damaged")
