"""Unpacks an archive that a guest has packed, and trusts nothing in it: it may be made to write elsewhere.

Python's own filters are not enough: of several releases, 3.11.7 among them, they can be led out of the folder by
links. Here all is looked at before anything is written, no link is ever followed, and links are made last.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from tarfile import TarInfo
from typing import IO, cast

_OWNERS, _SAFE = 0o600, 0o755  # what a file has at least, and at most: nobody else may write it


class ArchiveRefused(Exception):
    """It is no archive, has what can't be copied, or something is in its way here, or no room."""


def unpack(packed: Path, into: Path) -> None:
    """Put what is in a tar into a folder, beside what is there. `ArchiveRefused` says what of it can't be copied."""
    try:
        with tarfile.open(packed, "r:") as tar:  # as it is, and not what it may be compressed from
            members = list(_looked_at(tar))
            for member in members:
                _check(member)
            into.mkdir(parents=True, exist_ok=True)
            for member in sorted(members, key=lambda each: (each.islnk(), each.issym())):
                _make(tar, member, into)
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise ArchiveRefused(f"it is not a complete tar archive: {error}") from None
    except OSError as error:
        raise ArchiveRefused(f"{error.filename or into}: {error.strerror or error}") from None


def _looked_at(tar: tarfile.TarFile) -> Iterator[TarInfo]:
    """Its members, each behind the one before: a header can lead back, and so round for ever."""
    behind = -1
    while (member := tar.next()) is not None:
        if member.size < 0 or member.offset <= behind:
            raise ArchiveRefused("its members overlap")
        behind = member.offset
        yield member


def _check(member: TarInfo) -> None:
    name = _parts(member.name)
    if not name and not member.isdir():
        raise ArchiveRefused(f"it has a {_kind(member)} instead of the folder itself")
    if member.issym():
        target = PurePosixPath(member.linkname)
        if target.is_absolute() or _leaves([*name[:-1], *target.parts]):
            raise ArchiveRefused(f"its link {member.name!r} leads out of the folder, to {member.linkname!r}")
    elif member.islnk():
        _parts(member.linkname)
    elif not (member.isdir() or member.isreg()) or member.issparse():
        raise ArchiveRefused(f"{member.name!r} is {_kind(member)}, which can't be copied")


def _parts(name: str) -> list[str]:
    """The folders and the name within the folder that it goes to; `ArchiveRefused` for what is nowhere in there."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ArchiveRefused(f"it has something outside of the folder, {name!r}")
    return list(path.parts)


def _leaves(parts: list[str]) -> bool:
    depth = 0
    for part in parts:
        depth += -1 if part == ".." else part != "."
        if depth < 0:
            return True
    return False


def _make(tar: tarfile.TarFile, member: TarInfo, into: Path) -> None:
    place = _place(into, member.name)
    if member.isdir():
        if place != into:
            _folder(place)
        return
    if place.is_symlink() or place.is_file():
        place.unlink()  # and not what a link leads to
    if member.issym():
        place.symlink_to(member.linkname)
    elif member.islnk():
        os.link(_place(into, member.linkname), place, follow_symlinks=False)
    else:
        with cast(IO[bytes], tar.extractfile(member)) as content, place.open("xb") as file:
            shutil.copyfileobj(content, file)
        place.chmod(member.mode & _SAFE | _OWNERS)
        with suppress(OSError, OverflowError, ValueError):  # a guest's clock says what it likes
            os.utime(place, (member.mtime, member.mtime))


def _place(into: Path, name: str) -> Path:
    """Where that is, its folders made if need be."""
    place = into
    parts = _parts(name)
    for part in parts[:-1]:
        place /= part
        _folder(place)
    return place / parts[-1] if parts else into


def _folder(place: Path) -> None:
    """Is there afterwards, and is no link, which could lead anywhere."""
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise ArchiveRefused(f"{place} is in the way: it is not a folder")
    place.mkdir(exist_ok=True)


def _kind(member: TarInfo) -> str:
    kinds = {tarfile.FIFOTYPE: "a pipe", tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device"}
    return kinds.get(member.type, "a sparse file" if member.issparse() else "a file of an unknown kind")
