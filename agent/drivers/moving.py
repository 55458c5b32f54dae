"""The files of VMs that move: listed with their sums, read without their holes, and put where they belong."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from agent.drivers.base import Progress
from agent.drivers.capabilities.moving import Fetched
from core import diskfiles
from core.contract.errors import DriverFailure
from core.contract.moves import MOST_EXTENTS, Extent, MovedFile
from core.durable import sync_folder

_CHUNK = 1 << 20
_LEAST_HOLE = 1 << 16  # which is worth an extent of its own


def below(folder: Path) -> list[str]:
    """The names of all files in a folder and below it; links are none."""
    found = []
    for parent, _, names in os.walk(folder):
        files = (Path(parent) / name for name in names)
        found += [str(file.relative_to(folder)) for file in files if stat.S_ISREG(file.lstat().st_mode)]
    return sorted(found)


def listed(folder: Path, names: Iterable[str], progress: Progress) -> list[MovedFile]:
    """Those files, each with its extents and the sum of what is sent of it."""
    return [_listed(folder, name, progress) for name in names]


def _listed(folder: Path, name: str, progress: Progress) -> MovedFile:
    with _open(folder, name) as file:
        size = os.fstat(file.fileno()).st_size
        found = MovedFile(name, size, "", _coarse(list(_data(file.fileno(), size))))
    digest = hashlib.sha256()
    for chunk in read(folder, found, 0):
        digest.update(chunk)
        progress("checking the files", None)
    return MovedFile(name, size, digest.hexdigest(), found.extents)


def read(folder: Path, file: MovedFile, first: int) -> Iterator[bytes]:
    """What is sent of a file, from that byte on. One that became shorter meanwhile ends early."""
    with _open(folder, file.name) as opened:
        for begins, length in file.extents:
            skipped = min(first, length)
            first -= skipped
            opened.seek(begins + skipped)
            left = length - skipped
            while left and (chunk := opened.read(min(left, _CHUNK))):
                left -= len(chunk)
                yield chunk


def put(folder: Path, files: Iterable[MovedFile], fetched: Fetched, progress: Progress) -> None:
    """Makes the files in a folder of the VM's own, which is new, so that they outlive a power cut."""
    folders = {folder}
    linked = set()
    for file in files:
        if not file.is_sane:
            raise damaged(f"'{file.name[:80]}' is not the name of a file of a VM")
        progress("putting the files in place", None)
        target = folder / file.name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folders |= {each for each in target.parents if each.is_relative_to(folder)}
        if _is_whole(file) and file.sha256 not in linked:
            linked.add(file.sha256)
            _link(file, fetched(file), target)
        else:
            _unpack(file, fetched(file), target)
        target.chmod(0o600)
        with target.open("rb") as placed:
            os.fsync(placed.fileno())
    for each in folders:
        sync_folder(each)


def damaged(what: str) -> DriverFailure:
    """The error for what no host of good faith sends."""
    return DriverFailure(f"the VM can't be taken in: {what}", code="state_damaged")


def _is_whole(file: MovedFile) -> bool:
    return file.extents == ([(0, file.size_bytes)] if file.size_bytes else [])


def _link(file: MovedFile, source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another file system, or one without links
        _unpack(file, source, target)


def _unpack(file: MovedFile, source: Path, target: Path) -> None:
    with source.open("rb") as packed, target.open("xb") as out:
        for begins, length in file.extents:
            out.seek(begins)
            left = length
            while left and (chunk := packed.read(min(left, _CHUNK))):
                left -= out.write(chunk)
        out.truncate(file.size_bytes)


def _data(descriptor: int, size: int) -> Iterator[Extent]:
    for offset, length, is_hole in diskfiles.extents(descriptor, size):
        if not is_hole:
            yield offset, length


def _coarse(extents: list[Extent]) -> list[Extent]:
    """So few that they can be told: across small holes, and across larger ones where there are too many."""
    least = _LEAST_HOLE
    while True:
        joined: list[Extent] = []
        for begins, length in extents:
            if joined and begins - sum(joined[-1]) < least:
                joined[-1] = joined[-1][0], begins + length - joined[-1][0]
            else:
                joined.append((begins, length))
        if len(joined) <= MOST_EXTENTS:
            return joined
        least *= 2


def _open(folder: Path, name: str) -> BinaryIO:
    """A file of the folder, through no link: what is in there belongs to a guest's process."""
    path = folder / name
    if path.parent.resolve() != folder.resolve() / path.parent.relative_to(folder) or ".." in Path(name).parts:
        raise DriverFailure(f"'{name}' is not a file of the VM", code="state_damaged")
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
